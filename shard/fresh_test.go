package shard

import (
	"context"
	"encoding/binary"
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
