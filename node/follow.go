package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/transport"
)

// onLink is told of the connections to the other nodes' processes.
func (n *Node) onLink(e transport.LinkEvent) {
	r := n.raftOrNil()
	switch e.State {
	case transport.Dead:
		n.setReachable(e.Peer.ID, false)
		n.linked.Delete(e.Peer.ID)
		n.log.Info("peer process is dead", zap.String("peer", e.Peer.ID), zap.Uint64("incarnation", e.Peer.Incarnation))
		if r != nil {
			r.LeaderLinkDead(e.Peer.ID)
		}
		n.manager.Killed(fsm.NodeRef{ID: e.Peer.ID, Inc: e.Peer.Incarnation})
	case transport.Up:
		n.setReachable(e.Peer.ID, true)
		n.linked.Store(e.Peer.ID, e.Peer.Incarnation)
		if r != nil {
			r.NodeAlive(e.Peer.ID)
		}
		n.manager.Alive(fsm.NodeRef{ID: e.Peer.ID, Inc: e.Peer.Incarnation})
	case transport.Lost:
		n.setReachable(e.Peer.ID, false)
		n.linked.Delete(e.Peer.ID)
		if errors.Is(e.Err, transport.ErrWrongCluster) {
			n.log.Error("a node of this cluster belongs to another one now", zap.String("code", "other_cluster"), zap.String("peer", e.Peer.ID), zap.Error(e.Err))
			return
		}
		n.log.Info("peer is silent", zap.String("peer", e.Peer.ID), zap.Error(e.Err))
	}
}

// followLeadership tells the shard manager when this node leads.
func (n *Node) followLeadership(changes <-chan consensus.LeadershipChange) {
	end := func() {} // the work of this node's leadership
	defer func() { end() }()
	for {
		select {
		case <-n.ctx.Done():
			return
		case c, ok := <-changes:
			if !ok {
				return
			}
			if c.Leader.Known {
				n.log.Info("leader", zap.String("leader", c.Leader.ID), zap.Uint64("term", c.Leader.Term), zap.Bool("established", c.Established))
			}
			n.manager.SetLeadership(c.Leader.Term, c.Established)
			end()
			if c.Established {
				ctx, cancel := context.WithCancel(n.ctx)
				end = cancel
				n.wg.Go(func() { n.lead(ctx, c.Leader.Term) })
			}
		}
	}
}

// followMembers keeps a link to every other node of the cluster, and gossip
// going with those that it doesn't know yet.
func (n *Node) followMembers() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		n.watchPeers()
		select {
		case <-n.ctx.Done():
			return
		case <-n.members.Changed():
		case <-n.look:
		case <-tick.C:
		}
	}
}

// lookAround has this node look for its peers now: it has become one of them.
func (n *Node) lookAround() {
	select {
	case n.look <- struct{}{}:
	default:
	}
}

func (n *Node) watchPeers() {
	var unknown []string
	present := make(map[string]bool)
	for _, s := range n.raft.Load().Servers() {
		if s.ID == n.o.ID {
			continue
		}
		present[s.ID] = true
		addr, ok := n.addrOf(s.ID)
		if !ok {
			continue
		}
		if _, gossiped := n.members.Lookup(s.ID); !gossiped {
			unknown = append(unknown, addr)
		}
		if old, ok := n.watched.Swap(s.ID, addr); ok && old != addr {
			n.transport.Unwatch(old.(string)) //nolint:errcheck,forcetypeassert // only strings are stored
		}
		n.transport.Watch(addr, s.ID)
	}
	n.watched.Range(func(id, addr any) bool {
		if !present[id.(string)] { //nolint:errcheck,forcetypeassert // only strings are stored
			n.transport.Unwatch(addr.(string)) //nolint:errcheck,forcetypeassert // only strings are stored
			n.watched.Delete(id)
		}
		return true
	})
	if len(unknown) > 0 {
		_, _ = n.members.Join(unknown) // tried again at the next tick
	}
}

// registerLoop registers this process with the cluster, again after a restore,
// until the node ends.
func (n *Node) registerLoop() {
	for {
		changed := n.machine.Changed()
		due := !n.registered() && n.lacksToken() == "" || !n.caughtUp.Load()
		if due && n.raft.Load().Leader().Known && n.inCluster() {
			n.register()
		}
		select {
		case <-n.ctx.Done():
			return
		case <-changed:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// inCluster reports whether this node is a server of its own configuration.
func (n *Node) inCluster() bool {
	for _, s := range n.raft.Load().Servers() {
		if s.ID == n.o.ID {
			return true
		}
	}
	return false
}

func (n *Node) registered() (ok bool) {
	n.machine.View(func(_ uint64, s *fsm.State) { ok = s.IsUp(n.self) })
	return ok
}

// ErrDeclaredDead is given to Options.Fatal when the cluster has recorded the
// death of this very process, as after a firewall that refuses connections. Its
// name is used up: it gets nothing to do until it starts again, which gives it
// another incarnation.
var ErrDeclaredDead = errors.New("the cluster has declared this process dead: it has to start again")

// register registers this process once its state is recent: a node that has
// still to read a long log would get shards that others could serve at once.
func (n *Node) register() {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	if err := n.catchUp(ctx); err != nil || n.lacksToken() != "" {
		return
	}
	// First what it runs: no event may find it an owner without handlers.
	res, err := n.propose(ctx, func(*fsm.State) fsm.Command { return n.program() })
	if err == nil && res.Code == fsm.OK {
		res, err = n.propose(ctx, func(*fsm.State) fsm.Command {
			return &fsm.Up{Node: n.self, Weight: n.o.Weight, MaxShards: n.o.MaxShards}
		})
	}
	switch {
	case err != nil:
	case res.Code == fsm.OK:
		_ = poll(ctx, n.registered) // else the next turn of the loop proposes it again
	case res.Code == fsm.Refused && res.Version == n.self.Inc:
		n.log.Error("this process was declared dead and must start again", zap.String("code", "declared_dead"))
		n.o.Fatal(ErrDeclaredDead)
		<-n.ctx.Done()
	case res.Code == fsm.Refused:
		n.log.Error("the cluster knows a newer process of this node; stop one of them",
			zap.String("code", "id_conflict"), zap.Uint64("newer_incarnation", res.Version))
		select {
		case <-time.After(2 * time.Second):
		case <-n.ctx.Done():
		}
	}
}

// program says which handlers this process has.
func (n *Node) program() *fsm.Program {
	p := &fsm.Program{Node: n.self}
	for _, b := range n.o.Bots {
		handlers := slices.Clone(b.Interests)
		for _, s := range b.Schedules {
			handlers = append(handlers, fsm.Interest{Type: fsm.EventTick, Handlers: []string{s.Name}})
		}
		p.Bots = append(p.Bots, fsm.BotProgram{Bot: b.Name, Handlers: handlers})
	}
	return p
}

// catchUp waits until this node has applied what was committed before.
func (n *Node) catchUp(ctx context.Context) error {
	index, err := n.proposer.LinearizableIndex(ctx)
	if err != nil {
		return err
	}
	if err := n.raft.Load().WaitApplied(ctx, index); err != nil {
		return err
	}
	n.caughtUp.Store(true)
	return nil
}

// waitState waits until a part of the state that matters to its caller isn't the
// same any more, as same says after each entry, or for most. changed is the
// machine's channel from before the caller's own look, so that nothing in between is
// missed. It reports false once the node ends.
func (n *Node) waitState(changed <-chan struct{}, most time.Duration, same func(*fsm.State) bool) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-changed:
		}
		changed = n.machine.Changed()
		still := false
		n.State(func(s *fsm.State) { still = same(s) })
		if !still {
			return true
		}
	}
}

// propose proposes a command that is made from the applied state.
func (n *Node) propose(ctx context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	var cmd []byte
	n.machine.View(func(_ uint64, s *fsm.State) { cmd = fsm.Encode(s.Generation, build(s)) })
	b, err := n.proposer.Propose(ctx, cmd)
	if err != nil {
		return fsm.Result{}, err
	}
	return fsm.DecodeResult(b)
}
