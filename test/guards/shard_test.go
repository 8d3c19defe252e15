package guards

// shardGuards are those of a node's own decisions: what it may do on the state that
// it has applied, which may be an old one.
func shardGuards() []guard {
	return []guard{
		{
			name: "fencing/owner", protects: "A node that sees another epoch lets go of its connection, whoever is the owner now.",
			file: "shard/owner.go",
			cut:  "case c.gen != o.view.Generation, o.view.Epoch > c.epoch, c.bound && !o.Mine():",
			with: "case c.gen != o.view.Generation, c.bound && !o.Mine():",
			test: "TestOwnerIsFenced",
		},
		{
			name: "fencing/leader-term", protects: "What one leader decides isn't carried into the log by its next term.",
			file: "node/wiring.go",
			cut:  "if leads, ok := r.Established(); !ok || leads != term {",
			with: "if _, ok := r.Established(); !ok {",
			test: "TestDecisionsStayInTheirTerm",
		},
		{
			name: "fencing/cancelled", protects: "A handler whose entry is another node's sends nothing to Discord any more.",
			file: "shard/execution.go",
			cut:  "func (x *execution) gate() error {\n\tif x.ctx.Err() != nil {",
			with: "func (x *execution) gate() error {\n\tif false {",
			test: "TestGateOfAnExecution",
		},
		{
			name: "stranded/outage", protects: "Where no node reaches Discord, shards stay where they are.",
			file: "shard/leader_stranded.go",
			cut:  "l.avoided, l.detours = make(map[string]bool), false",
			with: "l.avoided, l.detours = make(map[string]bool), true",
			test: "TestLeaderLeavesShardsInAnOutage",
		},
		{
			name: "stranded/word", protects: "Only the owner in force, in its epoch, can have its shard moved because it doesn't reach Discord.",
			file: "shard/leader_stranded.go",
			cut:  "ok && w.by == sh.Owner && w.epoch == sh.Epoch",
			with: "ok && w.epoch > 0",
			test: "TestLeaderTakesOnlyTheWordOfTheOwner",
		},
		{
			name: "stranded/again", protects: "At the end of an outage of Discord the shards stay with their owners, though others dial sooner.",
			file: "shard/leader_stranded.go",
			cut:  "return l.stranded[shardID{b.Name, sh.Key}].at >= m.tried+2*l.Timing.Ask",
			with: "return true",
			test: "TestShardsStayAtTheEndOfAnOutage",
		},
		{
			name: "freshness/gate", protects: "A handler's write to Discord is refused while no leader answers its node.",
			file: "shard/execution.go",
			cut:  "if !x.d.m.Fresh() {",
			with: "if false {",
			test: "TestGateOfAnExecution",
		},
		{
			name: "freshness/rest", protects: "No write of any kind goes to Discord while no leader answers the node.",
			file: "node/bot.go",
			cut:  "if !rt.n.manager.Fresh() {",
			with: "if rt.n.manager == nil {",
			test: "TestNoWritesWithoutALeader",
		},
		{
			name: "freshness/speak", protects: "A node that no leader answers writes no RESUME and no IDENTIFY.",
			file: "shard/owner_hello.go",
			cut:  "if !o.Mine() || o.conn.epoch != o.view.Epoch || !o.fresh(now) {",
			with: "if !o.Mine() || o.conn.epoch != o.view.Epoch {",
			test: "TestOwnerIsQuietUnlessFresh",
		},
		{
			name: "freshness/handlers", protects: "A node that no leader answers starts no handler.",
			file: "shard/dispatcher.go",
			cut:  "if !d.m.Fresh() {\n\t\treturn\n\t}",
			with: "",
			test: "TestNoHandlerStartsWithoutALeader",
		},
		{
			name: "freshness/sent", protects: "Freshness counts from when the question was sent, not from when its answer came.",
			file: "shard/fresh.go",
			cut:  "m.fresh.Store(int64(sent + m.o.Timing.Fresh))",
			with: "m.fresh.Store(int64(sent - sent + m.now() + m.o.Timing.Fresh))",
			test: "TestFreshFromWhenItAsked",
		},
		{
			name: "freshness/caught-up", protects: "A node that comes back acts only once it has applied what the leader had when it answered.",
			file: "shard/fresh.go",
			cut:  "if err == nil && !m.Fresh() {",
			with: "if err == nil && m.Fresh() {",
			test: "TestFreshOnlyWhenCaughtUp",
		},
		{
			name: "freshness/verified", protects: "Who answers that it leads has shown it to a majority since it was asked.",
			file: "shard/leaderloop.go",
			cut:  "if err := l.m.o.Cluster.Verify(ctx); err != nil {",
			with: "if err := ctx.Err(); err != nil {",
			test: "TestFreshTakesAVerifiedLeader",
		},
		{
			name: "permits/pace", protects: "Identifies of one key are five seconds apart, as Discord's max_concurrency wants.",
			file: "shard/leader_permits.go",
			cut:  "ks.used, ks.free = false, now+l.Timing.Identify",
			with: "ks.used, ks.free = false, now",
			test: "TestLeaderPacesPermits",
		},
		{
			name: "permits/lost-owner", protects: "The permit of an owner that is lost is kept from others until it can't be used any more.",
			file: "shard/leader_permits.go",
			cut:  "if held && now >= ks.since+l.Timing.Permit+l.Timing.Identify {",
			with: "if held && now >= ks.since {",
			test: "TestLeaderClearsWhatIsNotReported",
		},
		{
			name: "close-codes/drop", protects: "A shard that moves, or whose node stops, leaves its session alive at Discord.",
			file: "shard/runner.go",
			cut:  "\tdefault:\n\t\tc.Drop()\n\t}\n}",
			with: "\tdefault:\n\t\tc.CloseSession()\n\t}\n}",
			test: "TestDroppedConnectionsKeepTheirSession",
		},
	}
}
