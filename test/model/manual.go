package model

import (
	"slices"
	"time"

	"github.com/botnode/botnode/fsm"
)

// An operator's commands about single shards. They are given at any node, which
// makes them of what it has applied, and may be lost, late or repeated like every
// proposal.

// parkedAt returns a shard as a node has it.
func (n *node) parkedAt(k int) (sh fsm.Shard, known bool) {
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		if b != nil {
			sh, known = b.Shard(n.s.key(k))
		}
	})
	return sh, known
}

// Disconnect has a shard disconnected by an operator, who connects it again
// after a while.
func (s *Sim) Disconnect(k int, away Time) {
	n := s.someone()
	if n == nil {
		return
	}
	sh, known := n.parkedAt(k)
	if !known {
		return
	}
	s.tracef("an operator disconnects shard %d at %s", k, n.ref)
	n.propose(&fsm.Disconnect{Bot: botName, Shard: sh.Key, Epoch: sh.Epoch}, n.generation(), func(fsm.Result, bool) {})
	s.after(away, func() { s.Connect(k) })
}

// Connect has a shard connected by an operator: to a node of his choice or to
// any, and now and then with the session as another cluster has left it, which
// has handled more of it meanwhile.
func (s *Sim) Connect(k int) {
	n := s.someone()
	if n == nil {
		return
	}
	sh, known := n.parkedAt(k)
	if !known || !sh.Parked {
		return
	}
	cmd := &fsm.Connect{Bot: botName, Shard: sh.Key, Epoch: sh.Epoch, At: 1}
	if to := s.nodes[s.rng.IntN(len(s.nodes))]; s.chance(0.5) {
		cmd.To = to.ref
	}
	if x := s.discord.sessions[sh.SID]; x != nil && s.chance(0.4) {
		rest := slices.IndexFunc(x.stream, func(e sent) bool { return e.S >= sh.C })
		if rest >= 0 {
			cmd.SID, cmd.URL, cmd.C = sh.SID, sh.URL, x.stream[rest+s.rng.IntN(len(x.stream)-rest)].S
		}
	}
	s.tracef("an operator connects shard %d at %s: to %s, session %q up to %d", k, n.ref, cmd.To, cmd.SID, cmd.C)
	n.propose(cmd, n.generation(), func(fsm.Result, bool) {})
}

// someone is a node that an operator reaches, or nil.
func (s *Sim) someone() *node {
	alive := slices.DeleteFunc(slices.Clone(s.nodes), func(n *node) bool { return !n.alive || n.frozenUntil > s.now })
	if len(alive) == 0 {
		return nil
	}
	return alive[s.rng.IntN(len(alive))]
}

// reconnect has operators connect what is disconnected, once all is quiet.
func (s *Sim) reconnect() {
	for k := range s.knobs.Shards {
		s.Connect(k)
	}
	s.after(500*time.Millisecond, s.reconnect)
}

// judgeParked: nobody owns a shard that is disconnected, and its session stays
// as it is until the Connect (I4).
func (o *oracle) judgeParked(c fsm.Command, pre, post sight) {
	if post.sh.Parked && !post.sh.Owner.None() {
		o.s.fail("I4", "%T made %s the owner of %v, which an operator has disconnected", c, post.sh.Owner, post.sh.Key)
	}
	if _, connect := c.(*fsm.Connect); connect || !pre.sh.Parked {
		return
	}
	if pre.sh.SID != post.sh.SID || pre.sh.C != post.sh.C || !post.sh.Parked {
		o.s.fail("I4", "%T changed the session of %v, which an operator has disconnected", c, pre.sh.Key)
	}
}

// judgeConnect: what another cluster has handled counts as handled; whoever is in
// the middle of a handler keeps his entries (I1, I5).
func (o *oracle) judgeConnect(c *fsm.Connect, pre, post sight) {
	if post.sh.Epoch == pre.sh.Epoch {
		return // a repeat
	}
	if post.gaps > pre.gaps && o.m.rules() >= fsm.KnownRules {
		o.commit(commit{gap: true, k: c.Shard})
	}
	if !pre.sh.Parked {
		o.s.fail("I4", "a Connect took effect on %v, which is not disconnected", c.Shard)
	}
	if c.SID == "" {
		if post.sh.SID != pre.sh.SID || post.sh.C != pre.sh.C {
			o.s.fail("I1", "a Connect without a session changed that of %v", c.Shard)
		}
		return
	}
	x := o.s.discord.sessions[c.SID]
	at := o.progress[c.SID]
	for at < len(x.stream) && x.stream[at].S <= c.C {
		if w := x.stream[at].world; w > 0 {
			o.world[w] = c.SID
		}
		at++
	}
	o.progress[c.SID] = at
	o.peak[c.SID] = max(o.peak[c.SID], post.sh.C)
	if post.sh.C != c.C || x.stream[at-1].S != c.C {
		o.s.fail("I1", "after a Connect up to %d: c %d", c.C, post.sh.C)
	}
}
