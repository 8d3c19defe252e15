package discord

// groups says which intents bring an event: one of guild for an event of a
// guild, one of direct for an event of a private channel.
type groups struct{ guild, direct Intents }

// eventGroups is the list of events/gateway.mdx, "List of Intents". An event that
// isn't here comes whatever the intents are, and so does one that is unknown.
var eventGroups = func() map[string]groups {
	m := make(map[string]groups)
	add := func(guild, direct Intents, events ...string) {
		for _, e := range events {
			g := m[e]
			m[e] = groups{g.guild | guild, g.direct | direct}
		}
	}
	add(IntentGuilds, 0, EventGuildCreate, EventGuildUpdate, EventGuildDelete,
		EventGuildRoleCreate, EventGuildRoleUpdate, EventGuildRoleDelete,
		EventChannelCreate, EventChannelUpdate, EventChannelDelete, EventChannelPinsUpdate,
		EventThreadCreate, EventThreadUpdate, EventThreadDelete, EventThreadListSync,
		EventThreadMemberUpdate, EventThreadMembersUpdate,
		EventStageInstanceCreate, EventStageInstanceUpdate, EventStageInstanceDelete,
		EventVoiceChannelStatusUpdate, EventVoiceChannelStartTimeUpdate)
	add(IntentGuildMembers, 0, EventGuildMemberAdd, EventGuildMemberUpdate, EventGuildMemberRemove, EventThreadMembersUpdate)
	add(IntentGuildModeration, 0, EventGuildAuditLogEntryCreate, EventGuildBanAdd, EventGuildBanRemove)
	add(IntentGuildExpressions, 0, EventGuildEmojisUpdate, EventGuildStickersUpdate,
		EventGuildSoundboardSoundCreate, EventGuildSoundboardSoundUpdate,
		EventGuildSoundboardSoundDelete, EventGuildSoundboardSoundsUpdate)
	add(IntentGuildIntegrations, 0, EventGuildIntegrationsUpdate,
		EventIntegrationCreate, EventIntegrationUpdate, EventIntegrationDelete)
	add(IntentGuildWebhooks, 0, EventWebhooksUpdate)
	add(IntentGuildInvites, 0, EventInviteCreate, EventInviteDelete)
	add(IntentGuildVoiceStates, 0, EventVoiceStateUpdate, EventVoiceChannelEffectSend)
	add(IntentGuildPresences, 0, EventPresenceUpdate)
	add(IntentGuildMessages, 0, EventMessageDeleteBulk)
	add(IntentGuildMessages, IntentDirectMessages, EventMessageCreate, EventMessageUpdate, EventMessageDelete)
	add(0, IntentDirectMessages, EventChannelPinsUpdate)
	add(IntentGuildMessageReactions, IntentDirectMessageReactions, EventMessageReactionAdd, EventMessageReactionRemove,
		EventMessageReactionRemoveAll, EventMessageReactionRemoveEmoji)
	add(IntentGuildMessageTyping, IntentDirectMessageTyping, EventTypingStart)
	add(IntentGuildScheduledEvents, 0, EventGuildScheduledEventCreate, EventGuildScheduledEventUpdate,
		EventGuildScheduledEventDelete, EventGuildScheduledEventUserAdd, EventGuildScheduledEventUserRemove)
	add(IntentAutoModerationConfiguration, 0, EventAutoModerationRuleCreate, EventAutoModerationRuleUpdate,
		EventAutoModerationRuleDelete)
	add(IntentAutoModerationExecution, 0, EventAutoModerationActionExecution)
	add(IntentGuildMessagePolls, IntentDirectMessagePolls, EventMessagePollVoteAdd, EventMessagePollVoteRemove)
	return m
}()

// Brings reports whether a session with these intents is sent an event of a
// guild, or of a private channel. An event that no intent is about always comes,
// and so does one that this package doesn't know.
func (i Intents) Brings(event string, guild bool) bool {
	g, ok := eventGroups[event]
	switch {
	case !ok:
		return true
	case guild:
		return i&g.guild != 0
	}
	return i&g.direct != 0
}

// BringsAny reports whether a session with these intents may be sent events of a
// type, of guilds or of private channels. GUILD_MEMBER_UPDATE of the bot itself
// comes whatever they are (events/gateway.mdx, "List of Intents", the notes).
func (i Intents) BringsAny(event string) bool {
	return event == EventGuildMemberUpdate || i.Brings(event, true) || i.Brings(event, false)
}
