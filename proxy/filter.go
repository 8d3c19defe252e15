package proxy

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// filter says which events a session gets.
type filter struct {
	shard, shards int
	intents       discord.Intents
	self          discord.Snowflake // the bot's own user
	// teller is the bot's shard from which USER_UPDATE is taken.
	teller uint32
}

// owns reports whether events of a guild, or of none, go to the session's shard
// (events/gateway.mdx, "Sharding").
func (f *filter) owns(guild discord.Snowflake) bool {
	return discord.ShardOf(guild, f.shards) == f.shard
}

// passes reports whether the session gets an event. The answers to requests are
// not judged here: they go to whoever asked.
func (f *filter) passes(e *fsm.Entry) bool {
	switch e.Type {
	case discord.EventReady, discord.EventResumed:
		return false // of the bot's own sessions
	case fsm.EventTick:
		return false
	case discord.EventUserUpdate:
		// It is about no guild and about every shard: libraries show the bot's user by
		// it, each session apart. So each gets one, whether Discord sends it on one
		// shard or on all (no document says).
		return e.Shard.Index == f.teller
	}
	if !f.owns(e.Guild) {
		return false
	}
	if f.intents.Has(discord.IntentGuildMembers) {
		return f.intents.Brings(e.Type, e.Guild != 0)
	}
	// What happens to the bot itself as a member comes without the intent
	// (events/gateway.mdx, "List of Intents", the notes below the list).
	switch e.Type {
	case discord.EventGuildMemberUpdate:
		return f.isSelf(jsonscan.Get(jsonscan.Get(e.Raw, "user"), "id"))
	case discord.EventThreadMembersUpdate:
		return f.intents.Has(discord.IntentGuilds) && f.joinsOrLeaves(e.Raw)
	}
	return f.intents.Brings(e.Type, e.Guild != 0)
}

// isSelf reports whether an id is the bot's own.
func (f *filter) isSelf(id []byte) bool {
	return f.self != 0 && jsonscan.ID(id) == uint64(f.self)
}

// joinsOrLeaves reports whether a THREAD_MEMBERS_UPDATE is about the bot itself.
func (f *filter) joinsOrLeaves(d []byte) (yes bool) {
	_ = jsonscan.Elements(jsonscan.Get(d, "added_members"), func(m []byte) bool {
		yes = f.isSelf(jsonscan.Get(m, "user_id"))
		return !yes
	})
	if yes {
		return true
	}
	_ = jsonscan.Elements(jsonscan.Get(d, "removed_member_ids"), func(id []byte) bool {
		yes = f.isSelf(id)
		return !yes
	})
	return yes
}

// forRequester reports whether an event answers somebody's request.
func forRequester(event string) bool {
	return event == discord.EventGuildMembersChunk || event == discord.EventRateLimited
}
