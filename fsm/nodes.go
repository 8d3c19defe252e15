package fsm

import "github.com/botnode/botnode/internal/mutant"

// Init gives a new cluster its id. It is the first command of a log.
type Init struct{ ClusterID string }

// Kind implements Command.
func (*Init) Kind() Kind { return KindInit }

func (c *Init) encode(w *writer) { w.string(c.ClusterID) }
func (c *Init) decode(r *reader) { c.ClusterID = r.string() }

func (c *Init) apply(s *State) Result {
	if s.ClusterID != "" && s.ClusterID != c.ClusterID {
		return refused("the cluster has another id")
	}
	s.ClusterID = c.ClusterID
	return Result{}
}

// Up registers a new process of a node.
//
// Guard: the incarnation is newer than the node's last of this generation; the
// first is 1. Effect: the node is up; what its older incarnations owned or ran
// belongs to nobody, and no shard is pinned to it any more.
type Up struct {
	Node NodeRef
	// Weight is the node's share of the shards relative to the others'. One of
	// weight 0 gets a shard only where no other node can have it.
	Weight uint32
	// MaxShards bounds the shards that the node is given; 0 is no bound.
	MaxShards uint32
}

// Kind implements Command.
func (*Up) Kind() Kind { return KindUp }

func (c *Up) encode(w *writer) {
	w.ref(c.Node)
	w.uint(uint64(c.Weight))
	w.uint(uint64(c.MaxShards))
}

func (c *Up) decode(r *reader) { c.Node, c.Weight, c.MaxShards = r.ref(), r.uint32(), r.uint32() }

func (c *Up) apply(s *State) Result {
	if c.Node.None() {
		return refused("a node needs an id")
	}
	n := s.nodes[c.Node.ID]
	if n == nil {
		s.nodes[c.Node.ID] = &Node{Inc: c.Node.Inc, Up: true, Weight: c.Weight, MaxShards: c.MaxShards}
		s.forgetPrograms(c.Node)
		return Result{}
	}
	if n.Inc == c.Node.Inc && n.Up {
		return Result{}
	}
	if c.Node.Inc <= n.Inc {
		return Result{Code: Refused, Version: n.Inc, Msg: "a newer process of this node is known"}
	}
	s.release(NodeRef{ID: c.Node.ID, Inc: n.Inc})
	n.Inc, n.Up, n.Enlisted = c.Node.Inc, true, false
	n.Weight, n.MaxShards = c.Weight, c.MaxShards
	s.forgetPrograms(c.Node)
	return Result{}
}

// Down records that a node's process is dead.
//
// Guard: it is the node's newest incarnation. Effect: the node is not up, and
// what it owned or ran belongs to nobody; its pins are gone.
type Down struct{ Node NodeRef }

// Kind implements Command.
func (*Down) Kind() Kind { return KindDown }

func (c *Down) encode(w *writer) { w.ref(c.Node) }
func (c *Down) decode(r *reader) { c.Node = r.ref() }

func (c *Down) apply(s *State) Result {
	n := s.nodes[c.Node.ID]
	if n == nil || n.Inc != c.Node.Inc {
		return refused("not the newest process of that node")
	}
	n.Up, n.Enlisted = false, false
	s.release(c.Node)
	return Result{}
}

// release takes everything from a process that is gone, the node's newest.
func (s *State) release(ref NodeRef) {
	s.unpin(ref.ID)
	for _, name := range s.BotNames() {
		b := s.bots[name]
		for _, sh := range b.sortedShards() {
			if sh.Owner == ref {
				sh.Owner = NodeRef{}
				sh.From = ref
				s.changes.touch(b.Name, sh.Key)
			}
			b.rerun(s, sh, nil, func(e *Entry) (NodeRef, bool) { return NodeRef{}, e.Runner == ref })
		}
		b.unlock(func(holder NodeRef) bool { return holder == ref })
	}
}

// Enlist records that a process belongs to the cluster's present run. A run is
// from the bots' first start to the end of the last process that was in it: by
// the living among those who are enlisted, a leader tells a take-over from the
// start of a cluster whose processes had all ended.
//
// Guard: it is the node's newest process, and up.
type Enlist struct{ Node NodeRef }

// Kind implements Command.
func (*Enlist) Kind() Kind { return KindEnlist }

func (c *Enlist) encode(w *writer) { w.ref(c.Node) }
func (c *Enlist) decode(r *reader) { c.Node = r.ref() }

func (c *Enlist) apply(s *State) Result {
	n := s.node(c.Node)
	if n == nil {
		return noNode
	}
	n.Enlisted = true
	return Result{}
}

// Forget removes a node that has left the cluster from among the nodes that
// are up or draining, and makes its certificates void.
type Forget struct{ ID string }

// Kind implements Command.
func (*Forget) Kind() Kind { return KindForget }

func (c *Forget) encode(w *writer) { w.string(c.ID) }
func (c *Forget) decode(r *reader) { c.ID = r.string() }

func (c *Forget) apply(s *State) Result {
	trusted := s.trust.drop(c.ID)
	n := s.nodes[c.ID]
	switch {
	case n == nil && trusted:
		return Result{}
	case n == nil:
		return Result{Code: Old}
	}
	s.release(NodeRef{ID: c.ID, Inc: n.Inc})
	// The incarnation stays, or a process that was cut off could come back
	// under a number that was used before.
	n.Up, n.Draining, n.Enlisted = false, false, false
	return Result{}
}

// Drain says whether a node is to have no shards. Those that are pinned to it
// are so no longer.
type Drain struct {
	ID string
	On bool
}

// Kind implements Command.
func (*Drain) Kind() Kind { return KindDrain }

func (c *Drain) encode(w *writer) { w.string(c.ID); w.bool(c.On) }
func (c *Drain) decode(r *reader) { c.ID = r.string(); c.On = r.bool() }

func (c *Drain) apply(s *State) Result {
	n := s.nodes[c.ID]
	if n == nil {
		return noNode
	}
	n.Draining = c.On
	if c.On {
		s.unpin(c.ID)
	}
	return Result{}
}

// Renew starts a new generation after a restore or a recovery: whatever was
// proposed before it is void, every shard is unassigned, every node registers
// again.
//
// Guard: the generation is newer. Epochs go on from where the restored state
// has them; what may rewind is fenced by the generation.
type Renew struct {
	Generation   uint64
	KeepSessions bool
}

// Kind implements Command.
func (*Renew) Kind() Kind { return KindRenew }

func (c *Renew) encode(w *writer) { w.uint(c.Generation); w.bool(c.KeepSessions) }
func (c *Renew) decode(r *reader) { c.Generation = r.uint(); c.KeepSessions = r.bool() }

func (c *Renew) apply(s *State) Result {
	if c.Generation == s.Generation {
		return Result{Code: Old}
	}
	if c.Generation < s.Generation {
		return refused("generations never go back")
	}
	s.Generation = c.Generation
	for _, n := range s.nodes {
		n.Up, n.Inc, n.Enlisted = false, 0, false // a process that lives registers again under its old incarnation
	}
	clear(s.programs) // and so does its program
	for _, name := range s.BotNames() {
		b := s.bots[name]
		for key, p := range b.permits {
			p.Held = false
			b.permits[key] = p
		}
		b.unlock(func(NodeRef) bool { return true })
		if !s.Mutant.Has(mutant.ClientRenew) {
			b.clients.drop(s, func(*ClientSession) bool { return true }) // positions may begin again
		}
		for _, sh := range b.sortedShards() {
			sh.Owner, sh.From = NodeRef{}, NodeRef{}
			sh.Pin, sh.PinWhy = "", WhyNormal
			s.changes.touch(b.Name, sh.Key)
			if !c.KeepSessions {
				sh.SID, sh.URL, sh.Planned = "", "", false
			}
			b.rerun(s, sh, nil, func(*Entry) (NodeRef, bool) { return NodeRef{}, true })
		}
	}
	return Result{}
}
