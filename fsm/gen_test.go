package fsm

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
)

// gen draws commands that a cluster might propose in the state s, some of them
// too late or too early. Sessions are never reused, as with Discord.
type gen struct {
	t        *rapid.T
	sessions int
	requests uint64
}

func (g *gen) n(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(g.t, name) }

func (g *gen) node() NodeRef {
	return NodeRef{ID: rapid.SampledFrom([]string{"joe", "mike", "robert"}).Draw(g.t, "id"), Inc: uint64(g.n("inc", 1, 3))}
}

func (g *gen) near(v uint64) uint64 {
	return uint64(max(0, int64(v)+int64(rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1}).Draw(g.t, "off"))))
}

func (g *gen) botName(s *State) string {
	return rapid.SampledFrom([]string{testBot, testBot, testBot, "two"}).Draw(g.t, "bot")
}

func (g *gen) command(s *State) Command {
	b := s.bots[g.botName(s)]
	if b == nil || g.n("what", 0, 5) == 0 {
		return g.rare(s)
	}
	sh := b.shards[ShardKey{Layout: 2, Index: uint32(g.n("shard", 0, 1))}]
	if sh == nil {
		return &Layout{Bot: b.Name, Total: 2, From: 0, To: uint32(g.n("to", 0, 1))}
	}
	if g.n("sweep", 0, 9) == 0 {
		return &Sweep{Bot: b.Name, Step: g.near(b.Sweeps), Most: uint32(g.n("most", 0, 3))}
	}
	switch g.n("kind", 0, 14) {
	case 14:
		return g.client(b)
	case 13:
		return g.manual(b, sh)
	case 11, 12:
		return g.chore(b)
	case 0:
		return &Grant{
			Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), To: g.node(),
			Adopt: rapid.Bool().Draw(g.t, "adopt"), Why: Why(g.n("why", 0, 3)), From: sh.Owner,
		}
	case 1:
		return g.session(b, sh)
	case 2, 3, 4:
		return g.events(b, sh)
	case 5:
		return g.permit(b, sh)
	case 6:
		to := rapid.SampledFrom([]string{"joe", "mike", "robert", "", "zoe"}).Draw(g.t, "pin")
		return &Pin{Bot: b.Name, Rev: g.near(b.PinRev), To: to, Why: Why(g.n("why", 0, 3)), Layout: 2, Shards: []uint32{0, 1}[:g.n("shards", 0, 2)]}
	default:
		return g.entry(b, sh)
	}
}

func (g *gen) rare(s *State) Command {
	bot := g.botName(s)
	switch g.n("rare", 0, 22) {
	case 20:
		return &Rules{N: uint64(g.n("rules", 1, KnownRules))}
	case 19:
		return &StateHash{HashPoint{Index: g.near(s.agreed.Index + 1), Digest: Digest{Lo: uint64(g.n("digest", 0, 3))}}}
	case 21, 22:
		return g.tokens(s)
	case 15, 16, 17, 18:
		return g.trust(s)
	case 10, 11:
		return &Program{Node: g.node(), Bots: []BotProgram{{Bot: testBot, Handlers: []Interest{
			{Type: "MESSAGE_CREATE", Handlers: []string{"log", "ping", "new"}[g.n("from", 0, 2):]},
		}}}}
	case 0:
		return &Down{Node: g.node()}
	case 1:
		return &Forget{ID: g.node().ID}
	case 2:
		return &Drain{ID: g.node().ID, On: rapid.Bool().Draw(g.t, "on")}
	case 3:
		return &Renew{Generation: g.near(s.Generation), KeepSessions: rapid.Bool().Draw(g.t, "keep")}
	case 4, 5:
		rev := uint64(0)
		if b := s.bots[bot]; b != nil {
			rev = g.near(b.ConfigRev)
		}
		return &Configure{Bot: bot, Rev: rev, Config: fmt.Appendf(nil, `{"retain_bytes":%d,"max_attempts":3,"intents":%d,"presence":{"x":%d},"caches":{"messages":{"mode":"bounded","max_count":%d,"filter":%q}}}`,
			rapid.SampledFrom([]int{0, 600, 1 << 20}).Draw(g.t, "retain"), g.n("intents", 0, 1), g.n("presence", 0, 1), g.n("messages", 1, 3),
			rapid.SampledFrom([]string{"", "id > 3", "author.bot == false"}).Draw(g.t, "filter"))}
	case 6, 7:
		in := &Interests{Bot: bot, List: []Interest{{Type: "MESSAGE_CREATE", Handlers: []string{"log", "ping"}[:g.n("handlers", 0, 2)]}, {Type: "GUILD_DELETE", Handlers: []string{"bye"}}}}
		if b := s.bots[bot]; b != nil {
			in.Rev = g.near(b.InterestsRev)
		}
		return in
	case 8:
		return &Budget{Bot: bot, Budget: IdentifyBudget{Remaining: g.n("left", 0, 20), Limit: 20}}
	case 9:
		return &Enlist{Node: g.node()}
	default:
		return &Up{Node: g.node(), Weight: uint32(g.n("weight", 0, 2)), MaxShards: uint32(g.n("most", 0, 2))}
	}
}

func (g *gen) session(b *Bot, sh *Shard) Command {
	if sh.SID != "" && g.n("again", 0, 2) == 0 {
		return &Reidentify{Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), SID: sh.SID}
	}
	if sh.SID != "" && g.n("lost", 0, 1) == 0 {
		return &Lost{Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), SID: sh.SID}
	}
	g.sessions++
	return &Ready{
		Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), SID: fmt.Sprintf("s%d", g.sessions), S: 1, After: g.near(sh.Sessions),
		Intents: uint64(g.n("intents", 0, 1)),
		Raw:     fmt.Appendf(nil, `{"user":{"id":"9"},"application":{"id":"9"},"guilds":[{"id":"%d","unavailable":true}]}`, g.n("guild", 1, 3)),
	}
}

// trust draws what becomes of certificates and secrets.
func (g *gen) trust(s *State) Command {
	t := s.Trust()
	id, token := g.node().ID, rapid.SampledFrom([]string{"t1", "t2"}).Draw(g.t, "token")
	newest := max(t.Epoch, t.Next)
	switch g.n("trust", 0, 7) {
	case 0:
		return &Charter{Node: id, Authority: Authority{Epoch: 1, Cert: []byte("c"), Key: []byte("k")}, NotAfter: 9}
	case 1:
		return &PutJoinToken{Rev: g.near(t.Rev), Token: JoinToken{ID: token, Hash: [32]byte{byte(g.n("hash", 1, 2))}, Expires: int64(g.n("expires", 0, 20))}, Now: int64(g.n("now", 0, 20))}
	case 2:
		return &DropJoinToken{ID: token}
	case 3, 4:
		return &Enrol{Token: token, Node: id, Enrolment: g.near(t.Enrolments + 1), Holds: newest, Cert: g.near(t.Epoch), NotAfter: 9, Now: int64(g.n("now", 0, 20))}
	case 5:
		return &Rotate{Rev: g.near(t.Rev), Authority: Authority{Epoch: t.Epoch + 1, Cert: []byte("n"), Key: []byte("k")}, Secret: SealedSecret{Epoch: t.Epoch + 1, Under: t.Epoch, Box: []byte("b")}}
	}
	m, _ := t.Member(id)
	return &Hold{Node: id, Enrolment: g.near(m.Enrolment), Holds: g.near(newest), Cert: g.near(newest), NotAfter: int64(g.n("after", 0, 20))}
}

// tokens draws what becomes of admin tokens and of bots' sealed tokens.
func (g *gen) tokens(s *State) Command {
	name, hash := rapid.SampledFrom([]string{"a", "b"}).Draw(g.t, "name"), [32]byte{byte(g.n("hash", 1, 2))}
	switch g.n("tokens", 0, 2) {
	case 0:
		return &PutAdminToken{Rev: g.near(s.AdminTokens().Rev), Token: AdminToken{Name: name, Hash: hash, Right: AdminRight(g.n("right", 1, 3)), Expires: int64(g.n("expires", 0, 1))}}
	case 1:
		return &DropAdminToken{Name: name, Hash: hash}
	}
	return &SetBotToken{Bot: testBot, Rev: g.near(s.BotToken(testBot).Rev), Epoch: g.near(s.Trust().Epoch), Box: []byte("bx")[:g.n("box", 0, 2)]}
}

// client draws what the proxy does for its clients.
func (g *gen) client(b *Bot) Command {
	name, sid := rapid.SampledFrom([]string{"web", "bot"}).Draw(g.t, "key"), rapid.SampledFrom([]string{"c1", "c2"}).Draw(g.t, "sid")
	hash := [32]byte{byte(g.n("hash", 1, 2))}
	var attach uint64
	if cs, ok := b.ClientSession(sid); ok {
		attach = g.near(cs.Attach)
	}
	switch g.n("client", 0, 8) {
	case 0, 1:
		return &PutClientKey{Bot: b.Name, Key: ClientKey{Name: name, Hash: hash, Rights: Rights(g.n("rights", 0, 7)), At: int64(g.n("at", 1, 3))}}
	case 2:
		return &DropClientKey{Bot: b.Name, Name: name, Hash: hash}
	case 3, 4:
		return &OpenClient{Bot: b.Name, Session: ClientSession{
			SID: sid, Key: name, Shard: uint32(g.n("of", 0, 2)), Shards: 2, Intents: uint64(g.n("intents", 0, 1<<10)),
			Node: g.node(), Until: int64(g.n("until", 0, 9)), Conn: uint64(g.n("conn", 1, 2)),
		}, Room: uint32(g.n("room", 0, 3)), Gaps: g.near(b.GapCount)}
	case 5:
		return &AttachClient{Bot: b.Name, SID: sid, Attach: attach, Conn: uint64(g.n("conn", 1, 2)), Seq: int64(g.n("seq", 0, 9)), Node: g.node(), Until: 9}
	case 6:
		return &TouchClient{Bot: b.Name, SID: sid, Attach: attach, Seq: int64(g.n("seq", 0, 9)), Through: int64(g.n("through", 0, 9)), Until: int64(g.n("until", 0, 9))}
	case 7:
		return &CloseClient{Bot: b.Name, SID: sid, Attach: attach}
	}
	return &ExpireClients{Bot: b.Name, Now: int64(g.n("now", 0, 9))}
}

// manual draws what an operator does to a shard by hand.
func (g *gen) manual(b *Bot, sh *Shard) Command {
	epoch := g.near(sh.Epoch)
	switch {
	case !sh.Parked:
		return &Disconnect{Bot: b.Name, Shard: sh.Key, Epoch: epoch}
	case g.n("import", 0, 1) == 0:
		guild := g.n("guild", 1, 3)
		return &Import{Bot: b.Name, Shard: sh.Key, Epoch: epoch, Evs: []Imported{
			{Type: "GUILD_CREATE", Raw: fmt.Appendf(nil, `{"id":"%d","name":"i","channels":[],"roles":[],"members":[]}`, guild)},
			{Type: "GUILD_MEMBERS_CHUNK", Raw: fmt.Appendf(nil, `{"guild_id":"%d","members":[{"user":{"id":"7"}}]}`, guild)},
		}}
	}
	c := &Connect{Bot: b.Name, Shard: sh.Key, Epoch: epoch, At: 5, Guilds: int64(g.n("guilds", 0, 3))}
	if g.n("to", 0, 1) == 0 {
		c.To = g.node()
	}
	switch g.n("session", 0, 2) {
	case 0:
		g.sessions++
		c.SID, c.URL, c.C = fmt.Sprintf("s%d", g.sessions), "u", int64(g.n("c", 1, 9))
	case 1:
		c.SID, c.URL, c.C = sh.SID, sh.URL, sh.C+int64(g.n("on", -1, 2))
	}
	return c
}

func (g *gen) events(b *Bot, sh *Shard) Command {
	c := &Events{
		Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), SID: sh.SID, At: 5, Jump: g.n("jump", 0, 5) == 0,
		Prev: sh.C + int64(rapid.SampledFrom([]int{0, 0, 0, -2, 1}).Draw(g.t, "prev")),
	}
	next := c.Prev
	for range g.n("events", 1, 4) {
		next += int64(g.n("skip", 1, 2))
		guild := discord.Snowflake(g.n("guild", 1, 3))
		switch g.n("type", 0, 4) {
		case 0:
			raw := fmt.Appendf(nil, `{"id":"%d","name":"n","channels":[{"id":"%d","type":0}],"roles":[],"members":[]}`, guild, guild+10)
			c.Evs = append(c.Evs, Event{S: next, Type: "GUILD_CREATE", Guild: guild, Lane: guild, Raw: raw})
		default:
			c.Evs = append(c.Evs, message(next, guild))
		}
	}
	return c
}

func (g *gen) permit(b *Bot, sh *Shard) Command {
	last, held := b.Permit(0)
	if held && g.n("clear", 0, 1) == 0 {
		return &Clear{Bot: b.Name, Shard: last.Shard, Epoch: last.Epoch, Ask: last.Ask}
	}
	return &Permit{Bot: b.Name, Shard: sh.Key, Epoch: g.near(sh.Epoch), Ask: g.near(last.Ask + 1)}
}

// failed draws which handlers of an entry failed, or none, as before it runs
// alone.
func (g *gen) failed(e *Entry) (out []HandlerError) {
	for _, h := range e.Handlers {
		if g.n("failed", 0, 2) > 0 {
			out = append(out, HandlerError{Handler: h, Err: "e", Limit: uint32(g.n("limit", 0, 4))})
		}
	}
	return out
}

// chore draws a command of schedules, locks, presences and expiry.
func (g *gen) chore(b *Bot) Command {
	name := rapid.SampledFrom([]string{"x", "y"}).Draw(g.t, "name")
	switch g.n("chore", 0, 4) {
	case 0:
		last, _ := b.LastTick(name)
		return &Tick{Bot: b.Name, Name: name, Due: last + int64(g.n("due", 0, 2)), At: 5, Quiet: g.n("quiet", 0, 3) == 0}
	case 1:
		return &Lock{Bot: b.Name, Name: name, Node: g.node()}
	case 2:
		l, _ := b.LockHolder(name)
		return &Unlock{Bot: b.Name, Name: name, Fence: g.near(l.Fence)}
	case 3:
		return &Presence{Bot: b.Name, Rev: g.near(b.PresenceRev()), Shard: rapid.SampledFrom([]uint32{0, 1, 7, AllShards}).Draw(g.t, "at"), Raw: []byte("{}")}
	default:
		return &Expire{Bot: b.Name, Now: int64(g.n("now", 0, 20))}
	}
}

// entry draws a command about an entry of the shard, or about the store.
func (g *gen) entry(b *Bot, sh *Shard) Command {
	key := rapid.SampledFrom([]string{"a", "b"}).Draw(g.t, "key")
	item, _ := b.KVGet(key)
	change := KVChange{Key: key, Value: []byte{byte(g.n("value", 0, 255))}, Delete: g.n("delete", 0, 3) == 0, Expires: int64(g.n("expires", 0, 20) * g.n("does", 0, 1))}
	if g.n("adds", 0, 3) == 0 {
		change = KVChange{Key: "n", Add: int64(g.n("add", -3, 3))}
	}
	if b.DeadCount() > 0 && g.n("dead", 0, 2) == 0 {
		return &Dead{Bot: b.Name, Pos: b.DeadLetters()[0].Entry.Pos, Retry: g.n("retry", 0, 2) > 0}
	}
	e := sh.Oldest()
	if e == nil || g.n("write", 0, 5) == 0 {
		g.requests++
		return &KVWrite{Bot: b.Name, ID: g.requests, Conditional: rapid.Bool().Draw(g.t, "if"), IfVersion: g.near(item.Version), Change: change}
	}
	runner := e.Runner
	if g.n("stranger", 0, 5) == 0 {
		runner = g.node()
	}
	if g.n("fail", 0, 2) == 0 {
		return &Fail{Bot: b.Name, Shard: sh.Key, Pos: e.Pos, Runner: runner, Attempts: e.Attempts, Retries: uint32(g.near(uint64(e.Retries))), Alone: g.n("alone", 0, 2) == 0, Failed: g.failed(e)}
	}
	return &Done{
		Bot: b.Name, Shard: sh.Key, Pos: e.Pos, Handler: rapid.SampledFrom([]string{"log", "ping", "bye"}).Draw(g.t, "handler"),
		Runner: runner, Reads: []KVRead{{Key: key, Version: g.near(item.Version)}}, Ranges: g.ranges(b), Writes: []KVChange{change},
	}
}

// ranges draws a listing of the store that is current, or one that is not.
func (g *gen) ranges(b *Bot) []KVRange {
	if g.n("lists", 0, 2) > 0 {
		return nil
	}
	var sum RangeSum
	for key, item := range b.KVScan("", "") {
		sum.Add(key, g.near(item.Version))
	}
	return []KVRange{{Sum: sum.Sum()}}
}
