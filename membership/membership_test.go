package membership

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/botnode/botnode/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type testNode struct {
	*Membership
	t         *transport.Transport
	conflicts chan Conflict
}

func startNode(t *testing.T, id string, incarnation uint64, bind string) *testNode {
	t.Helper()
	return startWith(t, id, incarnation, bind)
}

// startWith starts a node whose gossip is encrypted if there are keys.
func startWith(t *testing.T, id string, incarnation uint64, bind string, keys ...[]byte) *testNode {
	t.Helper()
	tr, err := transport.Listen(transport.Options{Bind: bind, ID: id, Incarnation: incarnation})
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	n := &testNode{t: tr, conflicts: make(chan Conflict, 10)}
	n.Membership, err = New(Options{
		Meta:    Meta{ID: id, Incarnation: incarnation, ClusterAddr: tr.Addr(), Version: "v0"},
		Packets: tr.PacketConn(), Streams: tr.GossipStreams(), Dial: tr.DialGossip,
		Probe: func(ctx context.Context, addr string) (string, uint64, error) {
			p, err := tr.Probe(ctx, addr)
			return p.ID, p.Incarnation, err
		},
		OnConflict:     func(c Conflict) { n.conflicts <- c },
		ProbeInterval:  60 * time.Millisecond,
		RejoinInterval: 200 * time.Millisecond,
		Encrypt:        keys != nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		if err := n.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

// kill ends the node as a crash would: without a word.
func (n *testNode) kill() {
	_ = n.Close()
	_ = n.t.Close()
}

// until waits for a condition on n's view, woken by its changes.
func (n *testNode) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-n.Changed():
		case <-timeout:
			t.Fatalf("%s never saw %s; it sees %+v", n.Self().ID, what, n.Members())
		}
	}
}

func (n *testNode) sees(id string, s Status) func() bool {
	return func() bool {
		m, ok := n.Lookup(id)
		return ok && m.Status == s
	}
}

func cluster3(t *testing.T) (a, b, c *testNode) {
	t.Helper()
	a, b, c = startNode(t, "a", 1, "127.0.0.1:0"), startNode(t, "b", 1, "127.0.0.1:0"), startNode(t, "c", 1, "127.0.0.1:0")
	for _, n := range []*testNode{b, c} {
		if got, err := n.Join([]string{a.t.Addr()}); got != 1 || err != nil {
			t.Fatalf("join: %d, %v", got, err)
		}
	}
	for _, n := range []*testNode{a, b, c} {
		n.until(t, "three members", func() bool {
			return n.sees("a", Alive)() && n.sees("b", Alive)() && n.sees("c", Alive)()
		})
	}
	return a, b, c
}

func TestMetaTravels(t *testing.T) {
	a, b, c := cluster3(t)
	meta := b.Self()
	meta.Flags |= Draining
	meta.Tags = map[string]string{"zone": "x"}
	if err := b.Update(meta, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*testNode{a, c} {
		n.until(t, "b draining", func() bool { m, _ := n.Lookup("b"); return m.Flags.Has(Draining) && m.Tags["zone"] == "x" })
	}
	meta.ID = "other"
	if err := b.Update(meta, time.Second); !errors.Is(err, ErrFixedMeta) {
		t.Errorf("got %v", err)
	}
}

func TestDeathAndRestartElsewhere(t *testing.T) {
	a, b, c := cluster3(t)
	c.kill()
	began := time.Now()
	for _, n := range []*testNode{a, b} {
		n.until(t, "c dead", n.sees("c", Dead))
	}
	t.Logf("dead after %v with a probe interval of 60ms", time.Since(began))
	if a.Forget("b") {
		t.Error("forgot a living member")
	}
	again := startNode(t, "c", 2, "127.0.0.1:0")
	if _, err := again.Join([]string{b.t.Addr()}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*testNode{a, b} {
		n.until(t, "c at its new address", func() bool {
			m, _ := n.Lookup("c")
			return m.Status == Alive && m.ClusterAddr == again.t.Addr()
		})
	}
}

func TestRestartBeforeAnyoneNoticed(t *testing.T) {
	a, b, c := cluster3(t)
	c.kill()
	again := startNode(t, "c", 2, "127.0.0.1:0")
	if _, err := again.Join([]string{a.t.Addr()}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*testNode{a, b} {
		n.until(t, "c at its new address", func() bool {
			m, _ := n.Lookup("c")
			return m.Status == Alive && m.Incarnation == 2 && m.ClusterAddr == again.t.Addr()
		})
	}
	select {
	case x := <-a.conflicts:
		t.Errorf("a restart was called a conflict: %+v", x)
	default:
	}
}

func TestLeaveIsNotDeath(t *testing.T) {
	a, b, c := cluster3(t)
	if err := c.Leave(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	c.kill()
	for _, n := range []*testNode{a, b} {
		n.until(t, "c left", n.sees("c", Left))
	}
	if !a.Forget("c") {
		t.Error("a didn't forget c")
	}
}

func TestTwoLiveNodesWithOneID(t *testing.T) {
	a, _, c := cluster3(t)
	twin := startNode(t, "c", 2, "127.0.0.1:0")
	if _, err := twin.Join([]string{a.t.Addr()}); err != nil {
		t.Fatal(err)
	}
	select {
	case x := <-a.conflicts:
		if x.ID != "c" || x.Older.ClusterAddr != c.t.Addr() || x.Newer.ClusterAddr != twin.t.Addr() {
			t.Errorf("got %+v", x)
		}
	case <-time.After(10 * time.Second):
		t.Error("no conflict reported")
	}
}

func TestUseBeforeStartAndAfterClose(t *testing.T) {
	n := startNode(t, "a", 1, "127.0.0.1:0")
	n.kill()
	if _, err := n.Join([]string{n.t.Addr()}); !errors.Is(err, ErrNotStarted) {
		t.Errorf("join: %v", err)
	}
	if err := n.Leave(time.Second); !errors.Is(err, ErrNotStarted) {
		t.Errorf("leave: %v", err)
	}
	if err := n.Start(); !errors.Is(err, ErrNotStarted) {
		t.Errorf("start: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}
