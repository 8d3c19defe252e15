package consensus

import (
	"errors"
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
