package cache

import (
	"strconv"

	"github.com/botnode/botnode/discord"
)

// exportPage is how many members a chunk of an Export has, as Discord's have.
const exportPage = 1000

// Export makes the events that bring a guild, as it is cached here, into another
// cache: what a session would begin with, had it seen what this one has seen.
// Messages are not part of it. The guild must not change between two calls of
// Next; the cache's lock need not be held from one to the other.
//
// What the other cache had of the guild is replaced: the members come as the
// answer to a request that verifies, whose last chunk drops all others.
type Export struct {
	guild  uint64
	stage  exportStage
	from   uint64 // the next member or presence
	chunk  int
	chunks int
	nonce  string
	marked bool // the guild has members that may have left unseen
}

// exportStage is what an Export has still to make.
type exportStage uint8

const (
	exportGuild    exportStage = iota
	exportMembers              // all of them
	exportAgain                // the guild once more, which marks every member as unverified
	exportVerified             // those that aren't
	exportPresences
	exportOutage
	exportDone
)

// NewExport begins to export a guild.
func NewExport(guild discord.Snowflake) *Export { return &Export{guild: uint64(guild)} }

// Next returns the next event: its type and its d, which is the caller's. It
// returns false after the last.
func (x *Export) Next(c *Cache) (name string, d []byte, more bool) {
	switch x.stage {
	case exportGuild:
		x.next(exportPresences)
		if c.tables[Members].policy.Mode != Off {
			x.begin(c)
		}
		return "GUILD_CREATE", c.guildCreated(x.guild), true
	case exportMembers:
		d, last := x.page(c, Members)
		switch {
		case last && x.marked:
			x.next(exportAgain)
		case last:
			x.next(exportPresences)
		}
		return "GUILD_MEMBERS_CHUNK", d, true
	case exportAgain:
		x.nonce = ""
		x.next(exportVerified)
		return "GUILD_CREATE", c.guildCreated(x.guild), true
	case exportVerified:
		d, last := x.page(c, Members)
		if last {
			x.next(exportPresences)
		}
		return "GUILD_MEMBERS_CHUNK", d, true
	case exportPresences:
		x.nonce = ""
		if c.tables[Presences].recs.ids(x.guild) == nil {
			x.next(exportOutage)
			return x.Next(c)
		}
		d, last := x.page(c, Presences)
		if last {
			x.next(exportOutage)
		}
		return "GUILD_MEMBERS_CHUNK", d, true
	case exportOutage:
		x.next(exportDone)
		if h, ok := c.stores.homes.get(key{x.guild, 0}); ok && h.unavailable {
			return "GUILD_CREATE", []byte(`{"id":"` + strconv.FormatUint(x.guild, 10) + `","unavailable":true}`), true
		}
	}
	return "", nil, false
}

func (x *Export) next(s exportStage) { x.stage, x.from = s, 0 }

// begin counts what the chunks will have.
func (x *Export) begin(c *Cache) {
	x.next(exportMembers)
	x.nonce = VerifyNonce + "-export"
	x.chunks = max(1, (len(c.tables[Members].recs.ids(x.guild))+exportPage-1)/exportPage)
	k, _, found := c.stores.unverified.first(key{x.guild, 0})
	x.marked = found && k.a == x.guild
}

// page makes the next chunk of members or presences, and reports whether it is
// the last. The second time, members are left out that are unverified.
func (x *Export) page(c *Cache, kind Kind) (d []byte, last bool) {
	d = append(d, `{"guild_id":"`+strconv.FormatUint(x.guild, 10)+`"`...)
	if x.nonce != "" {
		d = append(d, `,"chunk_index":`+strconv.Itoa(x.chunk)+`,"chunk_count":`+strconv.Itoa(x.chunks)+`,"nonce":"`+x.nonce+`"`...)
		x.chunk++
	}
	if kind == Presences {
		d = append(d, `,"members":[]`...)
	}
	d = append(d, `,"`+kind.String()+`":[`...)
	n, last := 0, true
	c.tables[kind].recs.ascend(key{x.guild, x.from}, func(k key, r rec) bool {
		if k.a != x.guild {
			return false
		}
		if n == exportPage {
			x.from, last = k.b, false
			return false
		}
		n++
		switch {
		case kind == Presences:
			d = appendElement(d, raw(r.raw))
		case x.stage == exportMembers || !c.stores.unverified.has(k):
			d = appendElement(d, c.withUser(raw(r.raw), k.b))
		}
		return true
	})
	return append(d, "]}"...), last
}

// appendElement appends an element to a list that is open.
func appendElement(list, element []byte) []byte {
	if list[len(list)-1] != '[' {
		list = append(list, ',')
	}
	return append(list, element...)
}

// exported are the lists of a GUILD_CREATE, by the names that it has for them.
// Members and presences come in chunks: there may be very many of both.
var exported = []struct {
	name string
	kind Kind
}{
	{"channels", Channels}, {"threads", Threads}, {"roles", Roles}, {"emojis", Emojis}, {"stickers", Stickers},
	{"voice_states", VoiceStates}, {"stage_instances", StageInstances}, {"guild_scheduled_events", ScheduledEvents},
	{"soundboard_sounds", SoundboardSounds},
}

// guildCreated returns the d of a guild's GUILD_CREATE. A list of a kind that is
// not kept here is left out, since its emptiness would say nothing.
func (c *Cache) guildCreated(guild uint64) []byte {
	out := c.openGuild(nil, guild, func(kind Kind) show {
		if c.tables[kind].policy.Mode == Off {
			return showNot
		}
		return showAll
	})
	if c.tables[Presences].policy.Mode != Off {
		out = append(out, `,"presences":[]`...)
	}
	return append(out, `,"members":[]}`...)
}
