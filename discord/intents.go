package discord

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// ErrIntents is returned for a text that names no set of intents.
var ErrIntents = errors.New("not a set of intents")

// Intents is the set of event groups that IDENTIFY asks for
// (events/gateway.mdx, "List of Intents").
type Intents uint64

// The intents. GuildMembers, GuildPresences and MessageContent are privileged.
const (
	IntentGuilds                      Intents = 1 << 0
	IntentGuildMembers                Intents = 1 << 1
	IntentGuildModeration             Intents = 1 << 2
	IntentGuildExpressions            Intents = 1 << 3
	IntentGuildIntegrations           Intents = 1 << 4
	IntentGuildWebhooks               Intents = 1 << 5
	IntentGuildInvites                Intents = 1 << 6
	IntentGuildVoiceStates            Intents = 1 << 7
	IntentGuildPresences              Intents = 1 << 8
	IntentGuildMessages               Intents = 1 << 9
	IntentGuildMessageReactions       Intents = 1 << 10
	IntentGuildMessageTyping          Intents = 1 << 11
	IntentDirectMessages              Intents = 1 << 12
	IntentDirectMessageReactions      Intents = 1 << 13
	IntentDirectMessageTyping         Intents = 1 << 14
	IntentMessageContent              Intents = 1 << 15
	IntentGuildScheduledEvents        Intents = 1 << 16
	IntentAutoModerationConfiguration Intents = 1 << 20
	IntentAutoModerationExecution     Intents = 1 << 21
	IntentGuildMessagePolls           Intents = 1 << 24
	IntentDirectMessagePolls          Intents = 1 << 25
)

// Sets of intents.
const (
	// IntentsPrivileged need a switch in the developer portal; asking for one
	// without it ends the connection with 4014.
	IntentsPrivileged = IntentGuildMembers | IntentGuildPresences | IntentMessageContent
	// IntentsAll is every documented intent.
	IntentsAll Intents = 1<<17 - 1 | IntentAutoModerationConfiguration | IntentAutoModerationExecution |
		IntentGuildMessagePolls | IntentDirectMessagePolls
	// IntentsDefault is every intent that any bot may ask for.
	IntentsDefault = IntentsAll &^ IntentsPrivileged
)

// intentName names one bit, or "" for a bit without a name.
func intentName(bit int) string {
	switch Intents(1) << bit {
	case IntentGuilds:
		return "guilds"
	case IntentGuildMembers:
		return "guild_members"
	case IntentGuildModeration:
		return "guild_moderation"
	case IntentGuildExpressions:
		return "guild_expressions"
	case IntentGuildIntegrations:
		return "guild_integrations"
	case IntentGuildWebhooks:
		return "guild_webhooks"
	case IntentGuildInvites:
		return "guild_invites"
	case IntentGuildVoiceStates:
		return "guild_voice_states"
	case IntentGuildPresences:
		return "guild_presences"
	case IntentGuildMessages:
		return "guild_messages"
	case IntentGuildMessageReactions:
		return "guild_message_reactions"
	case IntentGuildMessageTyping:
		return "guild_message_typing"
	case IntentDirectMessages:
		return "direct_messages"
	case IntentDirectMessageReactions:
		return "direct_message_reactions"
	case IntentDirectMessageTyping:
		return "direct_message_typing"
	case IntentMessageContent:
		return "message_content"
	case IntentGuildScheduledEvents:
		return "guild_scheduled_events"
	case IntentAutoModerationConfiguration:
		return "auto_moderation_configuration"
	case IntentAutoModerationExecution:
		return "auto_moderation_execution"
	case IntentGuildMessagePolls:
		return "guild_message_polls"
	case IntentDirectMessagePolls:
		return "direct_message_polls"
	}
	return ""
}

// Has tells whether every intent of want is in the set.
func (i Intents) Has(want Intents) bool { return i&want == want }

// String lists the names, in the order of their bits, joined by commas; bits
// without a name follow as one number. ParseIntents reads it back.
func (i Intents) String() string {
	if i == 0 {
		return "none"
	}
	var names []string
	var rest Intents
	for v := uint64(i); v != 0; v &= v - 1 {
		bit := bits.TrailingZeros64(v)
		if n := intentName(bit); n != "" {
			names = append(names, n)
		} else {
			rest |= 1 << bit
		}
	}
	if rest != 0 {
		names = append(names, strconv.FormatUint(uint64(rest), 10))
	}
	return strings.Join(names, ",")
}

// ParseIntents reads a list of names, sets ("all", "default", "privileged",
// "none") and numbers, joined by commas, in any case; dashes count as
// underscores. A name after a "-" is taken out of what stands before it:
// "all,-guild_presences". The empty text is an error, since a set
// that was forgotten is not the empty set.
func ParseIntents(s string) (Intents, error) {
	var set Intents
	for part := range strings.SplitSeq(s, ",") {
		name := strings.ToLower(strings.TrimSpace(part))
		bare, minus := strings.CutPrefix(name, "-")
		one, err := parseIntent(strings.ReplaceAll(bare, "-", "_"))
		if err != nil {
			return 0, err
		}
		if minus {
			set &^= one
		} else {
			set |= one
		}
	}
	return set, nil
}

func parseIntent(name string) (Intents, error) {
	switch name {
	case "all":
		return IntentsAll, nil
	case "default":
		return IntentsDefault, nil
	case "privileged":
		return IntentsPrivileged, nil
	case "none":
		return 0, nil
	case "":
		return 0, fmt.Errorf("%w: empty", ErrIntents)
	}
	for bit := range 64 {
		if intentName(bit) == name {
			return 1 << bit, nil
		}
	}
	v, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: unknown name %q", ErrIntents, clip(name))
	}
	return Intents(v), nil
}
