package shard

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

var (
	refJoe  = fsm.NodeRef{ID: "joe", Inc: 1}
	refMike = fsm.NodeRef{ID: "mike", Inc: 1}
)

// fakeCluster is a cluster of nobody else, led by whom it says.
type fakeCluster struct{ leader string }

func (c fakeCluster) Leader() (string, bool)             { return c.leader, c.leader != "" }
func (fakeCluster) Verify(context.Context, uint64) error { return nil }
func (fakeCluster) Call(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("nobody is there")
}

// fakeProposer applies proposals to a machine at once. While held is not nil,
// decisions of the leader wait until it is closed.
type fakeProposer struct {
	machine *fsm.Machine
	held    chan struct{}
	begun   chan struct{} // capacity 1: a decision waits

	mu        sync.Mutex             // guards what follows
	lose      func(fsm.Command) bool // proposals that get lost; may be nil
	index     uint64
	submitted []fsm.Command
	led       []fsm.Command
}

func newFakeProposer(m *fsm.Machine) *fakeProposer {
	return &fakeProposer{machine: m, begun: make(chan struct{}, 1)}
}

func (p *fakeProposer) apply(cmd []byte, into *[]fsm.Command) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, c, err := fsm.Decode(cmd); err == nil && into != nil {
		*into = append(*into, c)
	}
	p.index++
	rs, _ := p.machine.Apply(p.index, fsm.EncodeBatch([][]byte{cmd})).([]fsm.Result)
	return fsm.EncodeResult(rs[0])
}

func (p *fakeProposer) loses(cmd []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, c, err := fsm.Decode(cmd)
	return err == nil && p.lose != nil && p.lose(c)
}

func (p *fakeProposer) losing(f func(fsm.Command) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = f
}

func (p *fakeProposer) do(c fsm.Command) { p.apply(fsm.Encode(1, c), nil) }

func (p *fakeProposer) Submit(cmd []byte, done func([]byte, error)) {
	go func() {
		if p.loses(cmd) {
			done(nil, errors.New("nobody answers"))
			return
		}
		done(p.apply(cmd, &p.submitted), nil)
	}()
}

func (p *fakeProposer) Lead(_ uint64, cmd []byte) func(context.Context) ([]byte, error) {
	if p.held != nil {
		select {
		case p.begun <- struct{}{}:
		default:
		}
		<-p.held
	}
	res := p.apply(cmd, &p.led)
	return func(context.Context) ([]byte, error) { return res, nil }
}

func newTestManager(t *testing.T, bots ...*BotOptions) (*Manager, *fakeProposer) {
	t.Helper()
	machine := fsm.NewMachine()
	p := newFakeProposer(machine)
	m := NewManager(Options{
		Self: refJoe, Machine: machine, Proposer: p, Cluster: fakeCluster{leader: "joe"}, Bots: bots,
	})
	p.do(&fsm.Up{Node: refJoe})
	p.do(&fsm.Up{Node: refMike})
	return m, p
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// A leader whose proposal waits for room still answers questions, takes
// entries, deaths and the end of its term: the machine applies entries under
// its lock, and nothing behind that may wait for a proposal.
func TestWaitingProposalHoldsNothingUp(t *testing.T) {
	m, p := newTestManager(t)
	p.held = make(chan struct{})
	m.Start()
	defer m.Stop()
	m.SetLeadership(1, true)
	m.Killed(refMike) // Down is proposed, and waits
	<-p.begun
	done := make(chan error, 1)
	go func() {
		msg, err := json.Marshal(message{Kind: msgFresh, Node: refMike})
		if err != nil {
			done <- err
			return
		}
		_, err = m.HandleMessage(context.Background(), "mike", msg)
		m.Killed(fsm.NodeRef{ID: "robert", Inc: 1})
		p.do(&fsm.Up{Node: fsm.NodeRef{ID: "robert", Inc: 2}})
		m.SetLeadership(1, false)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("a waiting proposal of the leader holds everything up")
	}
	close(p.held)
	eventually(t, "the death is in the log", func() bool { return !isUp(m, refMike) })
}

func isUp(m *Manager, ref fsm.NodeRef) (up bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) { up = s.IsUp(ref) })
	return up
}

// A death is remembered for the terms to come, and forgotten when the process
// answers after all.
func TestDeathsOutliveTermsUnlessTheDeadAnswer(t *testing.T) {
	m, p := newTestManager(t)
	robert := fsm.NodeRef{ID: "robert", Inc: 1}
	p.do(&fsm.Up{Node: robert})
	m.Killed(refMike)
	m.Killed(robert)
	m.Alive(robert)
	m.Start()
	defer m.Stop()
	m.SetLeadership(1, true)
	eventually(t, "the death is in the log", func() bool { return !isUp(m, refMike) })
	if !isUp(m, robert) {
		t.Error("a process that answers was recorded as dead")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.submitted) > 0 {
		t.Errorf("a decision of the leader went where a successor might carry it out: %T", p.submitted[0])
	}
}

// freshAnswer has a node ask m for freshness, and a manager of its own take
// the answer.
func freshAnswer(t *testing.T, m *Manager, ref fsm.NodeRef) (waiting []string) {
	t.Helper()
	msg, err := json.Marshal(message{Kind: msgFresh, Node: ref})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.HandleMessage(context.Background(), ref.ID, msg)
	if err != nil {
		t.Fatal(err)
	}
	asker, _ := newTestManager(t)
	asker.heardLeader(answer)
	return asker.Waiting()
}

// The leader alone decides when the bots start; what it waits for, every node
// hears with the next answer.
func TestEveryNodeHearsForWhomTheStartWaits(t *testing.T) {
	m, p := newTestManager(t)
	robert := fsm.NodeRef{ID: "robert", Inc: 1}
	p.do(&fsm.Up{Node: robert})
	m.o.SyncNodes, m.o.SyncTimeout = []string{"mike"}, time.Minute
	m.Start()
	defer m.Stop()
	m.SetLeadership(1, true)
	eventually(t, "the leader waits", func() bool { return slices.Equal(m.Waiting(), []string{"mike"}) })
	if got := freshAnswer(t, m, robert); !slices.Equal(got, []string{"mike"}) {
		t.Errorf("robert hears that the start waits for %v", got)
	}
	freshAnswer(t, m, refMike) // it lives
	eventually(t, "the leader begins", func() bool { return len(m.Waiting()) == 0 })
	if got := freshAnswer(t, m, robert); len(got) > 0 {
		t.Errorf("robert hears that the start waits for %v", got)
	}
	eventually(t, "those who live are enlisted", func() bool { return enlisted(m, refMike) && enlisted(m, robert) })
}

func enlisted(m *Manager, ref fsm.NodeRef) (yes bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		n, _ := s.Node(ref.ID)
		yes = n.Enlisted && n.Inc == ref.Inc
	})
	return yes
}
