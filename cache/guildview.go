package cache

import (
	"strconv"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// MemberChoice says which of the cached members of a guild are in a GuildCreate.
type MemberChoice uint8

// The choices. What Discord sends to whom is in events/gateway-events.mdx,
// "Request Guild Members".
const (
	NoMembers    MemberChoice = iota // an empty list
	MembersInUse                     // the bot's own, those in voice, those with a presence if presences are wanted
	AllMembers                       // all that are cached
)

// GuildView says what a GuildCreate shows of a guild besides the guild itself.
type GuildView struct {
	Members   MemberChoice
	Presences bool
	// VoiceStates: without it the list is empty.
	VoiceStates bool
}

// AppendGuildCreate appends the d of the GUILD_CREATE that brings a guild as it
// is cached. A list of a kind that is not kept is empty, since libraries want
// every list to be there.
func (c *Cache) AppendGuildCreate(dst []byte, guild discord.Snowflake, view GuildView) []byte {
	dst = c.openGuild(dst, uint64(guild), func(kind Kind) show {
		switch {
		case kind == VoiceStates && !view.VoiceStates, c.tables[kind].policy.Mode == Off:
			return showEmpty
		}
		return showAll
	})
	// discord.js takes a guild whose GUILD_CREATE doesn't say so for unavailable.
	dst = append(dst, `,"unavailable":false,"presences":[`...)
	if view.Presences {
		for _, o := range c.GuildPresences(guild) {
			dst = appendElement(dst, o)
		}
	}
	dst = append(dst, `],"members":[`...)
	switch view.Members {
	case AllMembers:
		for _, o := range c.GuildMembersWithUsers(guild, 0) {
			dst = appendElement(dst, o)
		}
	case MembersInUse:
		dst = c.appendInUse(dst, guild, view.Presences)
	case NoMembers:
	}
	return append(dst, "]}"...)
}

// appendInUse appends the members of MembersInUse to a list that is open.
func (c *Cache) appendInUse(dst []byte, guild discord.Snowflake, presences bool) []byte {
	seen := make(map[discord.Snowflake]bool)
	add := func(user discord.Snowflake) {
		if seen[user] {
			return
		}
		seen[user] = true
		if o, ok := c.MemberWithUser(guild, user); ok {
			dst = appendElement(dst, o)
		}
	}
	add(discord.Snowflake(idOf(c.Self())))
	for user := range c.GuildVoiceStates(guild) {
		add(user)
	}
	if presences {
		for user := range c.GuildPresences(guild) {
			add(user)
		}
	}
	return dst
}

// show says how much of a list a GUILD_CREATE has.
type show uint8

const (
	showNot show = iota
	showEmpty
	showAll
)

// openGuild appends a guild's object with the lists of exported, and leaves the
// object open.
func (c *Cache) openGuild(dst []byte, guild uint64, shows func(Kind) show) []byte {
	object, ok := c.Guild(discord.Snowflake(guild))
	if !ok || len(object) <= len("{}") {
		object = []byte(`{"id":"` + strconv.FormatUint(guild, 10) + `"}`)
	}
	dst = append(dst, object[:len(object)-1]...)
	for _, list := range exported {
		how := shows(list.kind)
		if how == showNot {
			continue
		}
		dst = append(dst, `,"`+list.name+`":[`...)
		if how == showAll {
			for _, o := range c.GuildList(list.kind, discord.Snowflake(guild), 0) {
				dst = appendElement(dst, o)
			}
		}
		dst = append(dst, ']')
	}
	return dst
}

// HomeGuilds walks the guilds that the bot is in, of all its shards, and says
// which of them Discord can't serve now.
func (c *Cache) HomeGuilds(yield func(guild discord.Snowflake, unavailable bool) bool) {
	c.stores.homes.ascend(key{}, func(k key, h home) bool { return yield(discord.Snowflake(k.a), h.unavailable) })
}

// Home reports whether the bot is in a guild, and whether Discord can't serve
// it now.
func (c *Cache) Home(guild discord.Snowflake) (unavailable, in bool) {
	h, in := c.stores.homes.get(key{uint64(guild), 0})
	return h.unavailable, in
}

// MembersComplete reports whether all members of a guild are cached: as many as
// the guild has, and none that may have left unseen.
func (c *Cache) MembersComplete(guild discord.Snowflake) bool {
	object, ok := c.Guild(guild)
	if !ok {
		return false
	}
	if k, _, found := c.stores.unverified.first(key{uint64(guild), 0}); found && k.a == uint64(guild) {
		return false
	}
	want, ok := memberCount(object)
	if !ok {
		return false
	}
	n := int64(0)
	c.tables[Members].recs.group(uint64(guild), func(uint64, rec) bool {
		n++
		return n <= want
	})
	return n == want
}

// memberCount reads how many members a guild has, as Discord last said and
// events have changed it since.
func memberCount(guild []byte) (n int64, ok bool) {
	return jsonscan.Int(jsonscan.Get(guild, "member_count"))
}
