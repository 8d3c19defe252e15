package model

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// shardView is what an owner sees of the applied state.
func (n *node) shardView(k int) (v shard.View, ok bool) {
	n.view(func(s *fsm.State, b *fsm.Bot) {
		if b == nil {
			return
		}
		var sh fsm.Shard
		if sh, ok = b.Shard(n.s.key(k)); !ok {
			return
		}
		v = shard.View{
			Generation: s.Generation, Epoch: sh.Epoch, Owner: sh.Owner, SID: sh.SID, URL: sh.URL, C: sh.C, Sessions: sh.Sessions,
			Key: uint32(discord.IdentifyKey(k, max(1, b.Budget.MaxConcurrency))), ConfigRev: b.ConfigRev, Intents: b.Config.Intents,
		}
		v.Permit, v.HasPermit = b.Permit(v.Key)
	})
	return v, ok
}

// input gives an owner an input, after the applied state if that has changed.
func (n *node) input(k int, in shard.Input) { n.step(n.owners[k], in) }

func (n *node) step(b *ownerBox, in shard.Input) {
	b.o.SetFresh(n.freshUntil)
	if b.moved {
		b.moved = false
		if v, ok := n.shardView(b.k); ok {
			n.carryOut(b, b.o.Step(n.local(), shard.Applied{View: v, FreshUntil: n.freshUntil}))
		}
	}
	n.carryOut(b, b.o.Step(n.local(), in))
	n.tickLater(b)
}

func (n *node) tickLater(b *ownerBox) {
	at, ok := b.o.Deadline(n.local())
	if !ok {
		return
	}
	if at -= n.offset; b.tickAt > n.s.now && b.tickAt <= at {
		return
	}
	b.tickAt = at
	n.s.on(n, at-n.s.now, func() {
		if b.tickAt <= n.s.now {
			b.tickAt = 0
		}
		n.step(b, shard.Tick{})
	})
}

// carryOut executes an owner's actions in order. Between the decision and the
// execution the process may freeze.
func (n *node) carryOut(b *ownerBox, actions []shard.Action) {
	if len(actions) == 0 {
		return
	}
	decided := n.s.now
	todo := append([]shard.Action(nil), actions...)
	for _, a := range todo {
		n.s.oracle.decided(n, b, a)
	}
	if n.s.fault(n.s.knobs.Freeze) {
		n.freeze(n.s.between(10*time.Millisecond, 3*time.Second))
	}
	n.s.on(n, 0, func() {
		for _, a := range todo {
			n.perform(b, a, decided)
		}
	})
}

func (n *node) perform(b *ownerBox, a shard.Action, decided Time) {
	switch a := a.(type) {
	case shard.Dial:
		b.conn = n.s.discord.dial(n, b.k, a.Conn)
	case shard.Drop:
		if b.conn != nil && b.conn.id == a.Conn {
			if a.End && b.conn.sess != nil {
				b.conn.sess.ended = true
			}
			b.conn.drop()
		}
	case shard.Resume:
		if b.conn != nil && b.conn.id == a.Conn {
			n.s.oracle.wroteResume(n, b, a)
			b.conn.resume(a.SID, a.Seq)
		}
	case shard.Identify:
		if b.conn != nil && b.conn.id == a.Conn {
			n.s.oracle.wroteIdentify(n, b, decided)
			b.conn.identify()
		}
	case shard.Propose:
		n.proposeFor(b, a)
	case shard.AskPermit:
		n.tell(n.believes, func(to *node) {
			if to.lead != nil {
				to.lead.AskedPermit(to.local(), botName, a.Key, n.s.key(b.k), a.Epoch, a.Ask)
				to.planSoon(0)
			}
		})
	case shard.Prepared:
		n.tell(n.believes, func(to *node) {
			if to.lead != nil {
				to.lead.Prepared(botName, n.s.key(b.k), a.Epoch)
				to.planSoon(0)
			}
		})
	case shard.Stranded:
		n.tell(n.believes, func(to *node) {
			if to.lead != nil {
				to.lead.Stranded(to.local(), n.ref, botName, n.s.key(b.k), a.Epoch)
				to.planSoon(0)
			}
		})
	case shard.Released:
		n.tell(n.s.node(a.To.ID), func(to *node) { to.input(b.k, shard.HandedOver{Epoch: a.Epoch}) })
	default:
		panic(fmt.Sprintf("action %T", a))
	}
}
