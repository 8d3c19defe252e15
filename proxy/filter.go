package proxy

import (
	"strings"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// filter says which events a session gets.
type filter struct {
	shard, shards int
	intents       discord.Intents
	self          discord.Snowflake // the bot's own user
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
	}
	if strings.HasPrefix(e.Type, "BOTNODE_") || !f.owns(e.Guild) {
		return false
	}
	if f.intents.Brings(e.Type, e.Guild != 0) {
		return true
	}
	// What happens to the bot itself as a member comes without the intent
	// (events/gateway.mdx, "Gateway Intents", the notes below the list).
	return e.Type == discord.EventGuildMemberUpdate && f.self != 0 &&
		jsonscan.ID(jsonscan.Get(jsonscan.Get(e.Raw, "user"), "id")) == uint64(f.self)
}

// forRequester reports whether an event answers somebody's request.
func forRequester(event string) bool {
	return event == discord.EventGuildMembersChunk || event == discord.EventRateLimited
}
