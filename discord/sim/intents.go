package sim

// Gateway intents (events/gateway.mdx, "List of Intents").
const (
	intentGuilds       = 1 << 0
	intentMembers      = 1 << 1
	intentModeration   = 1 << 2
	intentExpressions  = 1 << 3
	intentIntegrations = 1 << 4
	intentWebhooks     = 1 << 5
	intentInvites      = 1 << 6
	intentVoice        = 1 << 7
	intentPresences    = 1 << 8
	intentMessages     = 1 << 9
	intentReactions    = 1 << 10
	intentTyping       = 1 << 11
	intentContent      = 1 << 15
	// The direct-message twin of a guild intent is three bits above it.
	dmShift = 3

	knownIntents = 1<<17 - 1 | 3<<20 | 3<<24
)

// intentOf is the intent that an event needs; events that aren't in it always come.
var intentOf = map[string]int64{
	"GUILD_CREATE": intentGuilds, "GUILD_UPDATE": intentGuilds, "GUILD_DELETE": intentGuilds,
	"GUILD_ROLE_CREATE": intentGuilds, "GUILD_ROLE_UPDATE": intentGuilds, "GUILD_ROLE_DELETE": intentGuilds,
	"CHANNEL_CREATE": intentGuilds, "CHANNEL_UPDATE": intentGuilds, "CHANNEL_DELETE": intentGuilds,
	"CHANNEL_PINS_UPDATE": intentGuilds,
	"THREAD_CREATE":       intentGuilds, "THREAD_UPDATE": intentGuilds, "THREAD_DELETE": intentGuilds,
	"THREAD_LIST_SYNC": intentGuilds, "THREAD_MEMBER_UPDATE": intentGuilds, "THREAD_MEMBERS_UPDATE": intentGuilds,
	"GUILD_MEMBER_ADD": intentMembers, "GUILD_MEMBER_UPDATE": intentMembers, "GUILD_MEMBER_REMOVE": intentMembers,
	"GUILD_BAN_ADD": intentModeration, "GUILD_BAN_REMOVE": intentModeration,
	"GUILD_EMOJIS_UPDATE": intentExpressions, "GUILD_STICKERS_UPDATE": intentExpressions,
	"GUILD_INTEGRATIONS_UPDATE": intentIntegrations, "WEBHOOKS_UPDATE": intentWebhooks,
	"INVITE_CREATE": intentInvites, "INVITE_DELETE": intentInvites,
	"VOICE_STATE_UPDATE": intentVoice, "PRESENCE_UPDATE": intentPresences,
	"MESSAGE_CREATE": intentMessages, "MESSAGE_UPDATE": intentMessages,
	"MESSAGE_DELETE": intentMessages, "MESSAGE_DELETE_BULK": intentMessages,
	"MESSAGE_REACTION_ADD": intentReactions, "MESSAGE_REACTION_REMOVE": intentReactions,
	"MESSAGE_REACTION_REMOVE_ALL": intentReactions, "MESSAGE_REACTION_REMOVE_EMOJI": intentReactions,
	"TYPING_START": intentTyping,
}

// needed is the intent of an event in a guild, or in a direct message.
func needed(kind string, dm bool) int64 {
	n := intentOf[kind]
	if !dm {
		return n
	}
	switch n {
	case intentMessages, intentReactions, intentTyping:
		return n << dmShift
	}
	return 0
}
