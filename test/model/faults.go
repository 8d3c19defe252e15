package model

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// start brings up the cluster and plans the faults.
func (s *Sim) start() {
	s.raft.write(s.firstCommands())
	for _, n := range s.nodes {
		n.boot()
	}
	s.raft.elect(nil)
	s.watch()
	for k := range s.knobs.Shards {
		s.worldLoop(k)
	}
	for _, c := range s.clients {
		c.connectSoon()
	}
	s.cutClients()
	if s.knobs.Rules {
		s.after(s.between(0, 2*time.Second), s.rekey)
	}
	for range s.knobs.Faults {
		s.after(s.between(100*time.Millisecond, s.knobs.Chaos), s.strike)
	}
	for range s.knobs.Intents {
		s.after(s.between(100*time.Millisecond, s.knobs.Chaos), s.reconfigure)
	}
	if s.knobs.Restore {
		at := s.between(s.knobs.Chaos/4, s.knobs.Chaos)
		s.after(s.between(0, at), s.oracle.takeBackup)
		s.after(at, s.Restore)
	} else if s.knobs.Snapshots {
		s.after(s.between(0, s.knobs.Chaos), s.oracle.takeBackup)
	}
}

func (s *Sim) firstCommands() []proposal {
	total := uint32(s.knobs.Shards)
	var out []proposal
	for _, c := range []fsm.Command{
		&fsm.Init{ClusterID: "model"},
		&fsm.Configure{Bot: botName, Config: s.modelConfig(0)},
		&fsm.Layout{Bot: botName, Total: total, To: total - 1},
		&fsm.Budget{Bot: botName, Budget: fsm.IdentifyBudget{Remaining: 1, Limit: 1, MaxConcurrency: s.knobs.Concurrency}},
		&fsm.Interests{Bot: botName, List: s.interests()},
		&fsm.PutClientKey{Bot: botName, Key: fsm.ClientKey{Name: clientKey, Rights: fsm.RightEvents | fsm.RightREST, At: 1}},
		&fsm.Rules{N: s.firstRules()},
	} {
		out = append(out, proposal{command: command{bytes: fsm.Encode(1, c), gen: 1, cmd: c}})
	}
	return out
}

// firstRules are those that the cluster begins with.
func (s *Sim) firstRules() uint64 {
	if s.knobs.Rules {
		return 1
	}
	return fsm.KnownRules
}

// interests are handlers for all processes, or types alone where each registers
// its own.
func (s *Sim) interests() []fsm.Interest {
	list := handlersOf(0)
	if s.knobs.Programs {
		for i := range list {
			list[i].Handlers = nil
		}
	}
	return list
}

// watch has the others notice a leader that is gone.
func (s *Sim) watch() {
	s.raft.check()
	s.after(50*time.Millisecond, s.watch)
}

func (s *Sim) worldLoop(k int) {
	if !s.faults {
		return
	}
	s.discord.happen(k)
	s.after(s.between(time.Millisecond, 2*s.knobs.EventEvery), func() { s.worldLoop(k) })
}

// strike lets one fault happen.
func (s *Sim) strike() {
	if !s.faults {
		return
	}
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch s.rng.IntN(14) {
	case 0, 1:
		s.Kill(n.ref.ID, s.between(50*time.Millisecond, 3*time.Second))
	case 2, 3:
		if n.alive {
			n.freeze(s.between(20*time.Millisecond, 3*time.Second))
		}
	case 4:
		s.Isolate(n.ref.ID, s.between(100*time.Millisecond, 3*time.Second))
	case 5:
		s.raft.elect(nil)
	case 6, 7:
		to := ""
		if s.chance(0.7) {
			to = s.nodes[s.rng.IntN(len(s.nodes))].ref.ID
		}
		s.Move(s.rng.IntN(s.knobs.Shards), to)
	case 8:
		s.drain(n)
	case 9, 10:
		s.discordFault()
	case 12:
		s.Disconnect(s.rng.IntN(s.knobs.Shards), s.between(50*time.Millisecond, 2*time.Second))
	case 13:
		s.Unplug(n.ref.ID, s.between(200*time.Millisecond, 4*time.Second))
	case 11:
		s.discord.outage = s.now + s.between(200*time.Millisecond, 2*time.Second)
		for _, c := range s.discord.conns {
			if c.up {
				c.close(discord.VerdictResume)
			}
		}
	}
}

// Kill ends a process and starts another one after a while. The others may be
// told of the death, or notice the silence.
func (s *Sim) Kill(id string, down Time) {
	n := s.node(id)
	if !n.alive {
		return
	}
	ref := n.ref
	n.kill()
	for _, m := range s.nodes {
		if m != n && m.alive && s.chance(0.6) {
			s.on(m, s.between(time.Millisecond, 100*time.Millisecond), func() {
				m.killed[ref] = true
				if m.lead != nil {
					m.lead.Killed(ref)
					m.planSoon(0)
				}
			})
		}
	}
	s.after(down, func() {
		if !n.alive {
			n.boot()
		}
	})
}

// Isolate cuts a node off from the others, but not from Discord.
func (s *Sim) Isolate(id string, d Time) {
	n := s.node(id)
	s.tracef("%s is cut off for %v", n.ref, d)
	n.isolated = true
	s.after(d, func() { n.heal() })
}

// Unplug cuts a node off Discord, but not from the other nodes.
func (s *Sim) Unplug(id string, d Time) {
	n := s.node(id)
	s.tracef("%s doesn't reach Discord for %v", n.ref, d)
	n.offline = max(n.offline, s.now+d)
	for _, c := range s.discord.conns {
		if c.up && c.n == n {
			c.black = true
		}
	}
}

func (n *node) heal() {
	if n.isolated {
		n.s.tracef("%s is back in the network", n.ref)
		n.isolated = false
		n.applySoon()
	}
}

// Move has an operator want a shard on a node, "" for where it belongs.
func (s *Sim) Move(k int, to string) {
	leader := s.raft.leader
	if leader == nil || !leader.alive {
		return
	}
	var rev uint64
	leader.view(func(_ *fsm.State, b *fsm.Bot) {
		if b != nil {
			rev = b.PinRev
		}
	})
	pin := &fsm.Pin{Bot: botName, Rev: rev, To: to, Why: fsm.WhyHandoff, Layout: uint32(s.knobs.Shards), Shards: []uint32{uint32(k)}}
	leader.propose(pin, leader.generation(), func(r fsm.Result, unknown bool) {
		if !unknown && r.Code == fsm.OK {
			s.stats.Moves++
			s.tracef("shard %d is pinned to %q", k, to)
		}
	})
}

func (s *Sim) drain(n *node) {
	leader := s.raft.leader
	if leader == nil || !leader.alive {
		return
	}
	on := s.chance(0.5)
	leader.propose(&fsm.Drain{ID: n.ref.ID, On: on}, leader.generation(), func(fsm.Result, bool) {})
	n.leaving = n.leaving || s.chance(0.2)
}

// reconfigure changes the intents of the bot, as an operator does.
func (s *Sim) reconfigure() {
	n := s.raft.leader
	if n == nil || !n.alive {
		return
	}
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		if b == nil {
			return // a leader that has yet to apply the first entry
		}
		c := &fsm.Configure{Bot: botName, Rev: b.ConfigRev, Config: s.modelConfig(b.Config.Intents + 1)}
		n.propose(c, n.generation(), func(fsm.Result, bool) {})
	})
}

// modelConfig is the bot's configuration with these intents.
func (s *Sim) modelConfig(intents uint64) []byte {
	return fmt.Appendf(nil,
		`{"max_attempts":6,"identify_reserve":0,"retain_bytes":4000,"placement":%q,"failback":%t,"failback_after_ms":300,"intents":%d}`,
		s.knobs.Placement, s.knobs.Failback, intents)
}

// discordFault does something to a connection that is up.
func (s *Sim) discordFault() {
	var up []*dconn
	for _, c := range s.discord.conns {
		if c.up && !c.gone {
			up = append(up, c)
		}
	}
	if len(up) == 0 {
		return
	}
	c := up[s.rng.IntN(len(up))]
	switch s.rng.IntN(6) {
	case 0:
		c.toClient(shard.ReconnectAsked{Conn: c.id})
	case 1:
		c.toClient(shard.Invalidated{Conn: c.id, Resumable: true})
	case 2:
		if c.sess != nil {
			c.sess.ended = true
		}
		c.toClient(shard.Invalidated{Conn: c.id})
	case 3:
		c.close(discord.VerdictResume)
	case 4:
		if c.sess != nil {
			c.sess.ended = true
		}
		c.close(discord.VerdictNewSession)
	case 5:
		c.black = true
	}
}

// calm ends all faults.
func (s *Sim) calm() {
	s.tracef("---- all is quiet from here on ----")
	s.faults = false
	s.discord.outage = 0
	s.discord.remaining += 1000
	for _, n := range s.nodes {
		n.heal()
		if n.ref.ID != s.knobs.Unplugged {
			n.offline = 0
		}
		if !n.alive {
			n.boot()
		}
		n.leaving = false
	}
	for k := range s.knobs.Shards {
		s.discord.happen(k)
	}
	s.reconnect()
	if s.knobs.Rules && len(s.clients) > 0 {
		s.putKey(fsm.RightEvents | fsm.RightREST)
	}
	for _, n := range s.nodes {
		s.on(n, time.Second, func() {
			n.propose(&fsm.Drain{ID: n.ref.ID}, n.generation(), func(fsm.Result, bool) {})
		})
	}
}
