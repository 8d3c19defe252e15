package model

import (
	"time"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// establish makes the rules of a new term.
func (n *node) establish(term uint64) {
	n.s.tracef("%s is established in term %d", n.ref, term)
	n.lead, n.leadTerm = shard.NewLeader(n.s.timing, n.local()), term
	n.lead.Stable, n.lead.Self = time.Second, n.ref
	if n.s.knobs.Await {
		n.lead.Await, n.lead.AwaitUntil = []string{"c"}, n.local()+time.Second
	}
	for ref := range n.killed {
		n.lead.Killed(ref)
	}
	n.planLoop(n.lead)
}

func (n *node) planLoop(led *shard.Leader) {
	if n.lead != led {
		return
	}
	n.plan()
	n.chores()
	n.s.on(n, 100*time.Millisecond, func() { n.planLoop(led) })
}

func (n *node) planSoon(d Time) {
	if n.lead == nil || n.planning {
		return
	}
	n.planning = true
	n.s.on(n, d, func() {
		n.planning = false
		n.plan()
	})
}

func (n *node) plan() {
	n.replan = false
	if n.lead == nil {
		return
	}
	var actions []shard.LeaderAction
	n.m.View(func(_ uint64, s *fsm.State) { actions = n.lead.Plan(n.local(), s) })
	n.carryOutPlan(append([]shard.LeaderAction(nil), actions...))
}

// carryOutPlan carries out a leader's actions.
func (n *node) carryOutPlan(actions []shard.LeaderAction) {
	for _, a := range actions {
		switch a := a.(type) {
		case shard.LeaderPropose:
			n.proposeAsLeader(a.Cmd, a.Generation, nil)
		case shard.Announce:
			n.s.tracef("%s announces %v epoch %d to %s", n.ref, a.Shard, a.Epoch, a.To)
			n.tell(n.s.node(a.To.ID), func(to *node) {
				to.input(int(a.Shard.Index), shard.Announced{Epoch: a.Epoch})
			})
		case shard.TryAgain:
			n.tell(n.s.node(a.To.ID), func(to *node) {
				to.input(int(a.Shard.Index), shard.TriedAgain{Epoch: a.Epoch})
			})
		case shard.ReadBudget:
			n.readBudget(n.lead)
		}
	}
}

// proposeAsLeader proposes a decision of this node's rules: to its own log and
// nowhere else, since a successor has other grounds to decide on.
func (n *node) proposeAsLeader(cmd fsm.Command, gen uint64, answer func(fsm.Result)) {
	p := command{bytes: fsm.Encode(gen, cmd), gen: gen, cmd: cmd, by: n.ref, term: n.leadTerm, decided: n.s.now, age: n.s.raft.restored[n.applied]}
	if n.s.knobs.Forward {
		n.s.after(n.s.between(0, 2*time.Second), func() {
			if to := n.s.raft.leader; to != nil {
				n.s.on(to, 0, func() { n.s.raft.append(to, proposal{command: p, answer: answer}) })
			}
		})
		return
	}
	if n.leadTerm == n.s.raft.term {
		n.s.raft.append(n, proposal{command: p, answer: answer})
	}
}

// reachesDiscord reports whether the node can ask Discord, or have another one ask.
func (n *node) reachesDiscord() bool {
	ok := n.offline <= n.s.now
	for _, m := range n.s.nodes {
		ok = ok || !n.isolated && m != n && m.alive && !m.isolated && m.frozenUntil <= n.s.now && m.offline <= n.s.now
	}
	return ok
}

func (n *node) readBudget(led *shard.Leader) {
	n.s.on(n, n.s.between(10*time.Millisecond, 200*time.Millisecond), func() {
		if n.s.discord.out() || !n.reachesDiscord() {
			return
		}
		n.proposeAsLeader(&fsm.Budget{Bot: botName, Budget: fsm.IdentifyBudget{
			Remaining: n.s.discord.remaining, Limit: 1000, MaxConcurrency: n.s.knobs.Concurrency,
		}}, n.generation(), func(r fsm.Result) {
			if r.Code == fsm.OK && n.lead == led {
				led.BudgetRead(botName)
				n.planSoon(0)
			}
		})
	})
}
