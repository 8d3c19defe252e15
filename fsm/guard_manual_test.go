package fsm

// manualCases are what an operator does to shards by hand.
func manualCases() []guardCase {
	off := &Disconnect{Bot: testBot, Shard: shard0, Epoch: 1}
	on := func(change func(*Connect)) *Connect {
		c := &Connect{Bot: testBot, Shard: shard0, Epoch: 2, At: 9}
		if change != nil {
			change(c)
		}
		return c
	}
	first := func(k ShardKey) *Connect {
		return &Connect{Bot: "two", Shard: k, SID: "away", URL: "u", C: 40, Guilds: 1, At: 9}
	}
	two := &Configure{Bot: "two", Config: []byte(`{"shards":"manual"}`)}
	guild := Imported{Type: "GUILD_CREATE", Raw: []byte(`{"id":"44","name":"g","members":[{"user":{"id":"7"}}]}`)}
	take := &Import{Bot: testBot, Shard: shard0, Epoch: 2, Evs: []Imported{guild}}
	event := events(1, 1, message(2, 40))
	other := &Disconnect{Bot: testBot, Shard: shard1, Epoch: 1}
	tick := &Tick{Bot: testBot, Name: "daily", Due: 200, At: 5}
	marked := &Tick{Bot: testBot, Name: "daily", Due: 100, At: 5}
	return []guardCase{
		{name: "tick goes to a shard that is connected", before: []Command{marked, off}, cmd: tick, holds: func(b *bench) bool {
			return b.shard(shard1).Oldest() != nil && b.bot().Serves()
		}},
		{name: "tick without such a shard", before: []Command{marked, off, other}, cmd: tick, code: Refused, msg: "connected"},
		{name: "disconnect", before: []Command{event}, cmd: off, holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.Parked && sh.Owner.None() && sh.From == joe && sh.Epoch == 2 && sh.SID == "s1" && sh.C == 2 && sh.Oldest().Runner == joe
		}},
		{name: "disconnect of an old epoch", cmd: &Disconnect{Bot: testBot, Shard: shard0}, code: Fenced},
		{name: "disconnect of what is parked", before: []Command{off}, cmd: &Disconnect{Bot: testBot, Shard: shard0, Epoch: 2}, code: Old},
		{name: "disconnect of no shard", cmd: &Disconnect{Bot: "x", Shard: shard0}, code: Refused, msg: "no such bot"},
		{name: "events of who was disconnected", before: []Command{off}, cmd: events(1, 1, message(2, 40)), code: Fenced},
		{name: "events under the epoch of the disconnect", before: []Command{off}, cmd: events(2, 1, message(2, 40)), code: Fenced},
		{name: "ready under the epoch of the disconnect", before: []Command{off}, cmd: &Ready{Bot: testBot, Shard: shard0, Epoch: 2, SID: "s2", After: 1}, code: Fenced},
		{name: "lost under the epoch of the disconnect", before: []Command{off}, cmd: &Lost{Bot: testBot, Shard: shard0, Epoch: 2, SID: "s1"}, code: Fenced},
		{
			name: "permit under the epoch of the disconnect", code: Fenced, before: []Command{&Disconnect{Bot: testBot, Shard: shard1, Epoch: 1}},
			cmd: &Permit{Bot: testBot, Shard: shard1, Epoch: 2, Ask: 1},
		},
		{
			name: "grant of a parked shard", before: []Command{event, off, &Down{Node: joe}},
			cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: mike, Adopt: true, Why: WhyFailover},
			holds: func(b *bench) bool {
				sh := b.shard(shard0)
				return sh.Parked && sh.Owner.None() && sh.Epoch == 3 && sh.Oldest().Runner == mike && sh.Oldest().Attempts == 1
			},
		},
		{
			name: "grant of who did not see the disconnect", before: []Command{off},
			cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Adopt: true}, code: Old,
		},
		{name: "connect", before: []Command{off}, cmd: on(nil), holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return !sh.Parked && sh.Owner.None() && sh.Epoch == 3 && sh.SID == "s1" && sh.C == 1 && sh.Sessions == 1 && b.bot().GapCount == 0
		}},
		{
			name: "connect to a node", before: []Command{event, off, &Down{Node: joe}},
			cmd: on(func(c *Connect) { c.To = mike }), holds: func(b *bench) bool {
				sh := b.shard(shard0)
				return sh.Owner == mike && sh.From.None() && sh.Oldest().Runner == mike && sh.Pin == "mike" && b.bot().PinRev == 1
			},
		},
		{
			name: "connect to a node that drains", before: []Command{off, &Drain{ID: "mike", On: true}},
			cmd: on(func(c *Connect) { c.To = mike }), holds: func(b *bench) bool {
				sh := b.shard(shard0)
				return sh.Owner == mike && sh.Pin == "" && b.bot().PinRev == 0
			},
		},
		{
			name: "connect leaves entries with who runs them", before: []Command{event, off},
			cmd: on(func(c *Connect) { c.To = mike }), holds: func(b *bench) bool {
				sh := b.shard(shard0)
				return sh.Owner == mike && sh.Oldest().Runner == joe
			},
		},
		{name: "connect to the dead", before: []Command{off, &Down{Node: mike}}, cmd: on(func(c *Connect) { c.To = mike }), code: Refused, msg: "not up"},
		{name: "connect of what is connected", cmd: on(func(c *Connect) { c.Epoch = 1 }), code: Refused, msg: "is connected"},
		{name: "connect of an old epoch", before: []Command{off}, cmd: on(func(c *Connect) { c.Epoch = 1 }), code: Fenced},
		{name: "connect with a session", before: []Command{off}, cmd: on(func(c *Connect) { c.SID, c.URL, c.C = "s9", "u9", 70 }), holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.SID == "s9" && sh.URL == "u9" && sh.C == 70 && sh.Sessions == 2 && b.bot().GapCount == 1 && b.bot().Gaps[0].Kind == "elsewhere"
		}},
		{name: "connect with its session", before: []Command{off}, cmd: on(func(c *Connect) { c.SID, c.C = "s1", 1 }), holds: func(b *bench) bool {
			return b.shard(shard0).C == 1 && b.shard(shard0).Sessions == 1 && b.bot().GapCount == 0
		}},
		{
			name: "connect with its session of before", before: []Command{event, off},
			cmd: on(func(c *Connect) { c.SID, c.C = "s1", 1 }), code: Refused, msg: "further on",
		},
		{name: "connect of a shard that comes", before: []Command{two}, cmd: first(ShardKey{4, 3}), holds: func(b *bench) bool {
			bot := b.state.Bot("two")
			sh := bot.shards[ShardKey{4, 3}]
			return bot.Layout == 4 && len(bot.shards) == 1 && sh.Epoch == 1 && sh.SID == "away" && sh.C == 40 && bot.Gaps[0].Kind == "state"
		}},
		{name: "connect outside of the layout", before: []Command{two}, cmd: first(ShardKey{4, 4}), code: Malformed},
		{name: "connect of another count", cmd: &Connect{Bot: testBot, Shard: ShardKey{4, 3}}, code: Refused, msg: "another shard count"},
		{name: "connect of an unknown shard's epoch", before: []Command{two}, cmd: &Connect{Bot: "two", Shard: ShardKey{4, 3}, Epoch: 2}, code: Fenced},
		{name: "connect of no bot", cmd: &Connect{Bot: "x", Shard: shard0}, code: Refused, msg: "no such bot"},
		{name: "import", before: []Command{off}, cmd: take, holds: func(b *bench) bool {
			_, ok := b.bot().cache.Member(44, 7)
			return ok && b.bot().LastPos == 0
		}},
		{name: "import before the shard is known", before: []Command{two}, cmd: &Import{Bot: "two", Shard: ShardKey{4, 0}, Evs: []Imported{guild}}, holds: func(b *bench) bool {
			sh := b.state.Bot("two").shards[ShardKey{4, 0}]
			return sh.Parked && sh.Epoch == 0 && b.state.Bot("two").cache.GuildCount(0, 4) == 1
		}},
		{name: "import into what is connected", cmd: &Import{Bot: testBot, Shard: shard0, Epoch: 1, Evs: take.Evs}, code: Refused, msg: "is connected"},
		{name: "import after the connect", before: []Command{off, on(nil)}, cmd: take, code: Fenced},
		{
			name: "import of a message", before: []Command{off}, code: Refused, msg: "only users",
			cmd: &Import{Bot: testBot, Shard: shard0, Epoch: 2, Evs: []Imported{{Type: "MESSAGE_CREATE", Raw: []byte(`{}`)}}},
		},
		{name: "import of no bot", cmd: &Import{Bot: "x", Shard: shard0}, code: Refused},
	}
}
