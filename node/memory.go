package node

import (
	"context"
	"net"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/trust"
)

// Memory takes the place of a node's data directory. It outlives the node, so
// that the node can be started again on it. One node at a time may use it.
type Memory struct {
	identity *membership.Memory
	raft     *consensus.Memory
	trust    *trust.Memory
}

// NewMemory returns the Memory of a node that never was.
func NewMemory() *Memory {
	return &Memory{identity: new(membership.Memory), raft: consensus.NewMemory(), trust: new(trust.Memory)}
}

// Clone returns a copy of what is stored now: what the node would find after a
// crash. A node that still runs goes on with the original.
func (m *Memory) Clone() *Memory {
	// The identity first: an identity that is ahead of its log would say that
	// the log was lost.
	return &Memory{identity: m.identity.Clone(), raft: m.raft.Clone(), trust: m.trust.Clone()}
}

// log returns the part that is consensus's, nil for a nil Memory.
func (m *Memory) log() *consensus.Memory {
	if m == nil {
		return nil
	}
	return m.raft
}

func (o *Options) openIdentity() (*membership.Identity, error) {
	if o.Memory != nil {
		return membership.OpenMemory(o.Memory.identity, o.ID)
	}
	return membership.OpenIdentity(o.DataDir, o.ID)
}

// dialer returns the network's dial, nil for the machine's own.
func (o *Options) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if o.Network == nil {
		return nil
	}
	return o.Network.DialContext
}
