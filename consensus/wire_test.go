package consensus

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestWaitsForAnUnreachableFollower(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l, n := c.Leader(), c.follower()
	request := func(term uint64, heartbeat bool) <-chan error {
		req := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.id), Addr: []byte(l.addr)},
			Term:      term,
		}
		if !heartbeat {
			req.PrevLogTerm, req.PrevLogEntry = l.lastEntry()
		}
		done := make(chan error, 1)
		go func() {
			var resp raft.AppendEntriesResponse
			done <- l.wire.AppendEntries(raft.ServerID(n.id), raft.ServerAddress(n.addr), req, &resp)
		}()
		return done
	}
	c.Partition(n)
	c.eventually("the heartbeat to fail", func() bool { return errors.Is(<-request(l.Term(), true), errDial) })
	c.eventually("a request of an older term to be given up", func() bool { return errors.Is(<-request(l.Term()-1, false), errDial) })
	waits := request(l.Term(), false)
	select {
	case err := <-waits:
		t.Errorf("gave up on a member: %v", err)
	case <-time.After(3 * unreachableWait):
	}
	c.Heal(n)
	select {
	case err := <-waits:
		if err != nil {
			t.Errorf("after healing: %v", err)
		}
	case <-time.After(patience):
		t.Error("still waits after healing")
	}
}

// TestElectionLooksBehindEndedConnections: a node that has led has idle connections to the others. Those to a process
// that has died since must not cost it an election that the next process of that node would decide.
func TestElectionLooksBehindEndedConnections(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.Timeouts = Safe() })
	leads := func(id string) *testNode {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if l := c.Leader(); l.id != id {
			if err := l.TransferLeadership(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		c.eventually(id+" to lead", func() bool { return c.Leader().id == id })
		l := c.Leader()
		c.WaitApplied(c.propose(l, "a 1"))
		return l
	}
	once := leads("n3") // the highest id stands, if the logs are equal
	l := leads("n1")
	c.Kill(c.net.nodes["n2"], false)
	c.restart(c.net.nodes["n2"])
	c.WaitApplied(c.propose(l, "b 2"))
	start := time.Now()
	c.Kill(l, true)
	if next := c.Leader(); next != once || next.Term() != l.Term()+1 {
		t.Errorf("%s leads in term %d after %s in %d: the first election failed", next.id, next.Term(), l.id, l.Term())
	}
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("the election waited for a timeout: %v", took)
	}
}

func TestAddressesPreferMembership(t *testing.T) {
	t.Parallel()
	known := map[string]string{"b": "new:1", "self": "wrong:1"}
	a := &addresses{
		self: "self", addr: "me:1",
		resolve: func(id string) (string, bool) { addr, ok := known[id]; return addr, ok },
		servers: func() []Server { return []Server{{ID: "b", Addr: "old:1"}, {ID: "c", Addr: "old:2"}} },
	}
	for id, want := range map[raft.ServerID]raft.ServerAddress{"self": "me:1", "b": "new:1", "c": "old:2"} {
		if got, err := a.ServerAddr(id); err != nil || got != want {
			t.Errorf("%s is at %s, %v; want %s", id, got, err, want)
		}
	}
	if _, err := a.ServerAddr("d"); !errors.Is(err, errNoAddress) {
		t.Errorf("unknown node: %v", err)
	}
}

// TestClosedNodeDialsNobody: a leader whose log hangs can't stop its raft, which goes on asking for connections. Were
// they made, only to be ended at once, its peers would accept one each 10 ms in front of their candidate's.
func TestClosedNodeDialsNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	l, n := c.Leader(), c.follower()
	knocks := &countingLayer{tcpLayer: l.opts.Layer.(*tcpLayer)}
	raftsLayer := newLayer(knocks, nil)
	dial := func() error {
		conn, err := raftsLayer.Dial(raft.ServerAddress(n.addr), patience)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	if err := dial(); err != nil || knocks.dials != 1 {
		t.Fatalf("open: %v, %d dials", err, knocks.dials)
	}
	if err := raftsLayer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dial(); !errors.Is(err, net.ErrClosed) || !errors.Is(err, errDial) || knocks.dials != 1 {
		t.Errorf("closed: %v, %d dials", err, knocks.dials)
	}
}

// countingLayer counts the connections that are asked for.
type countingLayer struct {
	*tcpLayer
	dials int
}

func (l *countingLayer) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	l.dials++
	return l.tcpLayer.Dial(addr, timeout)
}
