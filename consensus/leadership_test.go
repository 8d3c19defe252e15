package consensus

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// gatedLog is a log store whose writes may have to wait.
type gatedLog struct {
	raft.LogStore
	wait func(term uint64)
}

func (g *gatedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

func (g *gatedLog) StoreLogs(logs []*raft.Log) error {
	g.wait(logs[len(logs)-1].Term)
	return g.LogStore.StoreLogs(logs)
}

// TestLeaderEstablishesItselfLate has a new leader whose only follower does not
// write for longer than its barrier and the hand-over of leadership may take.
// Raft's heartbeats keep it the leader of its term, so it must go on trying.
func TestLeaderEstablishesItselfLate(t *testing.T) {
	t.Parallel()
	core, warnings := observer.New(zap.WarnLevel)
	hang := make(chan struct{})
	resume := sync.OnceFunc(func() { close(hang) })
	defer resume()
	var last atomic.Uint64 // of the terms whose entries followers write
	last.Store(math.MaxUint64)
	var c *cluster
	c = newCluster(t, 3, func(o *Options) {
		o.StoreTimeout, o.EstablishTimeout, o.Logger = time.Minute, 100*time.Millisecond, zap.New(core)
		id := o.ID
		o.wrapLog = func(inner raft.LogStore) raft.LogStore {
			return &gatedLog{inner, func(term uint64) {
				if term > last.Load() && !c.node(id).IsLeader() {
					<-hang
				}
			}}
		}
	})
	old := c.Leader()
	last.Store(old.Term())
	c.Kill(old, true)
	c.eventually("the barrier and the hand-over fail", func() bool {
		return warnings.FilterMessage("leadership could not be given away").Len() > 0
	})
	for _, n := range c.live() {
		if _, ok := n.Established(); ok {
			t.Fatalf("%s is established without a quorum", n.id)
		}
	}
	resume()
	c.propose(c.Leader(), "a 1")
	c.EnsureSame()
}

// node returns a node by its id.
func (c *cluster) node(id string) *testNode {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.net.nodes[id]
}
