package fsm

// Pin binds shards to a node, or takes their pins away. The leader moves a
// shard to where it is pinned, and leaves it there: neither even load nor
// fail-back moves it. A pin ends with the process of its node, with the node's
// drain or removal, and when the shard has to be granted elsewhere.
//
// Guard: Rev is the number of changes so far, or a late repeat would bring an
// older pin back; the shards are of the layout in force, and To is up and not
// draining. A repeat that carries what is already in force is answered OK.
type Pin struct {
	Bot    string
	Rev    uint64
	To     string   // node id; "" takes the pins away
	Why    Why      // what a move that follows is called
	Layout uint32   // of the shards
	Shards []uint32 // their indexes
}

// Kind implements Command.
func (*Pin) Kind() Kind { return KindPin }

func (c *Pin) encode(w *writer) {
	w.string(c.Bot)
	w.uint(c.Rev)
	w.string(c.To)
	w.byte(byte(c.Why))
	w.uint(uint64(c.Layout))
	w.uint(uint64(len(c.Shards)))
	for _, index := range c.Shards {
		w.uint(uint64(index))
	}
}

func (c *Pin) decode(r *reader) {
	c.Bot, c.Rev, c.To, c.Why, c.Layout = r.string(), r.uint(), r.string(), Why(r.byte()), r.uint32()
	for range r.count(1) {
		c.Shards = append(c.Shards, r.uint32())
	}
}

func (c *Pin) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if c.Layout != b.Layout {
		return refused("the bot has another shard count in force")
	}
	shards := make([]*Shard, 0, len(c.Shards))
	same := true
	for _, index := range c.Shards {
		sh := b.shards[ShardKey{Layout: c.Layout, Index: index}]
		if sh == nil {
			return noShard
		}
		shards = append(shards, sh)
		same = same && sh.Pin == c.To && (c.To == "" || sh.PinWhy == c.Why)
	}
	if c.Rev != b.PinRev {
		if c.Rev+1 == b.PinRev && same {
			return Result{Version: b.PinRev} // a repeat
		}
		return Result{Code: Conflict, Version: b.PinRev, Msg: "the pins have been changed since"}
	}
	why := c.Why
	if c.To == "" {
		why = WhyNormal
	} else if n := s.nodes[c.To]; n == nil || !n.Up || n.Draining {
		return refused("a shard can be pinned to a node only that is up and not draining")
	}
	for _, sh := range shards {
		sh.Pin, sh.PinWhy = c.To, why
	}
	b.PinRev++
	return Result{Version: b.PinRev}
}

// unpin takes the pins to a node away.
func (s *State) unpin(id string) {
	for _, b := range s.bots {
		for _, sh := range b.shards {
			if sh.Pin == id {
				sh.Pin, sh.PinWhy = "", WhyNormal
			}
		}
	}
}
