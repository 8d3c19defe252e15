package shard

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"

	"github.com/botnode/botnode/fsm"
)

// ahead is a cluster whose leader answers, having applied more than this node.
type ahead struct {
	fakeCluster
	index uint64
	asked chan struct{}
}

func (c ahead) Call(context.Context, string, []byte) ([]byte, error) {
	c.asked <- struct{}{}
	return binary.AppendUvarint(nil, c.index), nil
}

// A node that was away is not fresh by the leader's answer alone: first it has
// to apply what the leader had applied when it answered.
func TestFreshOnlyWhenCaughtUp(t *testing.T) {
	machine := fsm.NewMachine()
	p := newFakeProposer(machine)
	c := ahead{fakeCluster{leader: "mike"}, 3, make(chan struct{}, 100)}
	m := NewManager(Options{Self: refJoe, Machine: machine, Proposer: p, Cluster: c})
	p.do(&fsm.Up{Node: refJoe})
	m.Start()
	defer m.Stop()
	<-c.asked
	<-c.asked // the first question was answered and came to nothing
	if m.Fresh() {
		t.Fatal("fresh on a state that is behind the leader's")
	}
	p.do(&fsm.Up{Node: refMike})
	p.do(&fsm.Up{Node: fsm.NodeRef{ID: "robert", Inc: 1}})
	eventually(t, "fresh once caught up", m.Fresh)
	// From now on answers keep it fresh, whatever the leader applies meanwhile.
	until := m.freshUntil()
	eventually(t, "fresh for longer", func() bool { return m.freshUntil() > until })
}

// slow is a cluster whose leader takes a while to answer.
type slow struct {
	fakeCluster
	m    *Manager
	came *Time // when the last question came
}

func (c slow) Call(context.Context, string, []byte) ([]byte, error) {
	for *c.came = c.m.now(); c.m.now() < *c.came+5*c.m.o.Timing.Fresh/1000; { // a while
	}
	return binary.AppendUvarint(nil, 0), nil
}

// TestFreshFromWhenItAsked: the leader that answers may have been deposed while its
// answer was on the way, and the next one takes what this node has as soon as it
// can't be fresh by what was asked before.
func TestFreshFromWhenItAsked(t *testing.T) {
	m := NewManager(Options{Self: refJoe, Machine: fsm.NewMachine(), Cluster: fakeCluster{}})
	var came Time
	m.o.Cluster = slow{fakeCluster{leader: "mike"}, m, &came}
	m.askFresh(t.Context())
	if !m.Fresh() {
		t.Fatal("not fresh")
	}
	if late := m.freshUntil() - (came + m.o.Timing.Fresh); late > 0 {
		t.Errorf("fresh for %v after the question plus %v", late, m.o.Timing.Fresh)
	}
}

// cutOff is a cluster whose leader reaches no majority.
type cutOff struct{ fakeCluster }

var errNoMajority = errors.New("no majority")

func (cutOff) Verify(context.Context, uint64) error { return errNoMajority }

// TestFreshTakesAVerifiedLeader: a node that leads as far as it knows keeps nobody
// fresh, itself included, unless a majority says so.
func TestFreshTakesAVerifiedLeader(t *testing.T) {
	m := NewManager(Options{Self: refJoe, Machine: fsm.NewMachine(), Cluster: cutOff{fakeCluster{leader: "joe"}}})
	m.SetLeadership(1, true)
	msg, err := json.Marshal(message{Kind: msgFresh, Node: refMike})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.HandleMessage(t.Context(), "mike", msg); !errors.Is(err, errNoMajority) {
		t.Errorf("it answers that it leads: %v", err)
	}
	if m.askFresh(t.Context()); m.Fresh() {
		t.Error("it is fresh by its own word")
	}
}

// inTerm is a cluster in which this node leads in a term.
type inTerm struct {
	fakeCluster
	term uint64
}

func (c inTerm) Verify(_ context.Context, term uint64) error {
	if term != c.term {
		return ErrNotLeading
	}
	return nil
}

// TestFreshTakesTheTermOfTheRules: a node that was deposed and elected again, and has
// not been told so here, may not have applied what was granted in between. Whom it
// answers would take that state for the newest.
func TestFreshTakesTheTermOfTheRules(t *testing.T) {
	m := NewManager(Options{Self: refJoe, Machine: fsm.NewMachine(), Cluster: inTerm{fakeCluster{leader: "joe"}, 5}})
	m.SetLeadership(3, true)
	msg, err := json.Marshal(message{Kind: msgFresh, Node: refMike})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.HandleMessage(t.Context(), "mike", msg); !errors.Is(err, ErrNotLeading) {
		t.Errorf("an answer by the rules of a term that is over: %v", err)
	}
	m.SetLeadership(5, true)
	if _, err := m.HandleMessage(t.Context(), "mike", msg); err != nil {
		t.Error(err)
	}
}
