package consensus

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestHeartbeatsChangeTheTermInTurn has a follower's main loop wait for its disk. Heartbeats of its term are answered
// meanwhile, or its leader would lose its lease; one of a higher term waits for the loop, which does what it has begun
// by the term in which it began.
func TestHeartbeatsChangeTheTermInTurn(t *testing.T) {
	t.Parallel()
	hang, hung := make(chan struct{}), make(chan struct{})
	resume, reached := sync.OnceFunc(func() { close(hang) }), sync.OnceFunc(func() { close(hung) })
	defer resume()
	var slow atomic.Value
	slow.Store("")
	c := newCluster(t, 3, func(o *Options) {
		o.StoreTimeout = time.Minute
		id := o.ID
		o.wrapLog = func(inner raft.LogStore) raft.LogStore {
			return &gatedLog{inner, func(uint64) {
				if slow.Load() == id {
					reached()
					<-hang
				}
			}}
		}
	})
	l := c.Leader()
	var f *testNode
	for _, n := range c.live() {
		if n != l {
			f = n
		}
	}
	slow.Store(f.id)
	c.propose(l, "a 1")
	<-hung
	term := f.Term()
	beat := func(term uint64) (bool, error) {
		req := &raft.AppendEntriesRequest{Term: term, RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.id), Addr: []byte(l.addr),
		}}
		var resp raft.AppendEntriesResponse
		err := l.wire.NetworkTransport.AppendEntries(raft.ServerID(f.id), raft.ServerAddress(f.addr), req, &resp)
		return resp.Success, err
	}
	higher := make(chan error, 1)
	go func() {
		ok, err := beat(term + 1)
		if err == nil && !ok {
			t.Error("a heartbeat of a higher term is refused")
		}
		higher <- err
	}()
	for range 50 { // the other one has come by then
		if ok, err := beat(term); !ok || err != nil {
			t.Fatalf("a heartbeat while the disk is slow: %v, %v", ok, err)
		}
	}
	if got := f.Term(); got != term || len(higher) > 0 {
		t.Errorf("the term is %d beside the main loop, which began in %d", got, term)
	}
	resume()
	if err := <-higher; err != nil {
		t.Error(err)
	}
	if got := f.Term(); got <= term {
		t.Errorf("term %d, was told of %d", got, term+1)
	}
}
