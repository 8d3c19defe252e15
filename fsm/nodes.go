package fsm

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
// belongs to nobody.
type Up struct{ Node NodeRef }

// Kind implements Command.
func (*Up) Kind() Kind { return KindUp }

func (c *Up) encode(w *writer) { w.ref(c.Node) }
func (c *Up) decode(r *reader) { c.Node = r.ref() }

func (c *Up) apply(s *State) Result {
	if c.Node.None() {
		return refused("a node needs an id")
	}
	n := s.nodes[c.Node.ID]
	if n == nil {
		s.nodes[c.Node.ID] = &Node{Inc: c.Node.Inc, Up: true}
		return Result{}
	}
	if n.Inc == c.Node.Inc && n.Up {
		return Result{}
	}
	if c.Node.Inc <= n.Inc {
		return Result{Code: Refused, Version: n.Inc, Msg: "a newer process of this node is known"}
	}
	s.release(NodeRef{ID: c.Node.ID, Inc: n.Inc})
	n.Inc, n.Up = c.Node.Inc, true
	return Result{}
}

// Down records that a node's process is dead.
//
// Guard: it is the node's newest incarnation. Effect: the node is not up, and
// what it owned or ran belongs to nobody.
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
	n.Up = false
	s.release(c.Node)
	return Result{}
}

// release takes everything from a process that is gone.
func (s *State) release(ref NodeRef) {
	for _, name := range s.BotNames() {
		b := s.bots[name]
		for _, sh := range b.sortedShards() {
			if sh.Owner == ref {
				sh.Owner = NodeRef{}
				sh.From = ref
				s.changes.touch(b.Name, sh.Key)
			}
			b.rerun(s, sh, func(e *Entry) (NodeRef, bool) { return NodeRef{}, e.Runner == ref })
		}
		b.unlock(func(holder NodeRef) bool { return holder == ref })
	}
}

// Forget removes a node that has left the cluster from among the nodes that
// are up or draining.
type Forget struct{ ID string }

// Kind implements Command.
func (*Forget) Kind() Kind { return KindForget }

func (c *Forget) encode(w *writer) { w.string(c.ID) }
func (c *Forget) decode(r *reader) { c.ID = r.string() }

func (c *Forget) apply(s *State) Result {
	n := s.nodes[c.ID]
	if n == nil {
		return Result{Code: Old}
	}
	s.release(NodeRef{ID: c.ID, Inc: n.Inc})
	// The incarnation stays, or a process that was cut off could come back
	// under a number that was used before.
	n.Up, n.Draining = false, false
	return Result{}
}

// Drain says whether a node is to have no shards.
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
	return Result{}
}

// KnownRules is the newest number of rules that this version has the effects
// of. A node that meets a newer one in a log or a snapshot stops: see
// NewerRulesError.
const KnownRules = 1

// Rules raises the number that selects the effects of commands. It is
// proposed once every node of the cluster knows the new rules.
type Rules struct{ N uint64 }

// Kind implements Command.
func (*Rules) Kind() Kind { return KindRules }

func (c *Rules) encode(w *writer) { w.uint(c.N) }
func (c *Rules) decode(r *reader) { c.N = r.uint() }

func (c *Rules) apply(s *State) Result {
	if c.N < s.Rules {
		return refused("rules never go back")
	}
	s.Rules = c.N
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
		n.Up, n.Inc = false, 0 // a process that lives registers again under its old incarnation
	}
	clear(s.programs) // and so does its program
	for _, name := range s.BotNames() {
		b := s.bots[name]
		for key, p := range b.permits {
			p.Held = false
			b.permits[key] = p
		}
		b.unlock(func(NodeRef) bool { return true })
		for _, sh := range b.sortedShards() {
			sh.Owner, sh.From = NodeRef{}, NodeRef{}
			s.changes.touch(b.Name, sh.Key)
			if !c.KeepSessions {
				sh.SID, sh.URL, sh.Planned = "", "", false
			}
			b.rerun(s, sh, func(*Entry) (NodeRef, bool) { return NodeRef{}, true })
		}
	}
	return Result{}
}
