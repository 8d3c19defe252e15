package sim

import (
	"net"
	"time"
)

// Options says what the simulated Discord looks like. The zero value of every
// field is a usable default; negative numbers switch a limit off.
type Options struct {
	// Addr is the listen address; default a free loopback port.
	Addr string
	// Listener is used in place of Addr if it is set; Close closes it.
	Listener net.Listener
	// Token is the bot token without "Bot "; default one derived from the
	// application id, as real ones are, since some libraries decode it.
	Token string

	// Guilds is the number of guilds; default 2.
	Guilds int
	// Members is the number of members of each guild, the bot included; default 50.
	Members int
	// GuildSizes overrides Members for the first guilds.
	GuildSizes []int
	// Channels is the number of text channels of each guild; default 4.
	Channels int
	// VoiceChannels is the number of voice channels of each guild; default 1.
	VoiceChannels int
	// Roles is the number of roles of each guild, @everyone included; default 5.
	Roles int
	// Emojis is the number of custom emojis of each guild; default 2.
	Emojis int
	// Threads is the number of active threads of each guild; default 1.
	Threads int
	// Presences is the number of members of each guild that are online; default 5.
	Presences int
	// Seed makes the world and its random changes repeatable; default 1.
	Seed int64

	// Shards is what GET /gateway/bot recommends; default 1.
	Shards int
	// ShardMultiple, above 1, closes with 4010 when a shard count isn't a
	// multiple of it, as for large bots.
	ShardMultiple int
	// MaxGuildsPerShard closes with 4011 above it; default 2,500.
	MaxGuildsPerShard int
	// MaxConcurrency is the number of identify keys; default 1.
	MaxConcurrency int
	// IdentifyWindow is the time between two IDENTIFYs of a key; default 5 s.
	IdentifyWindow time.Duration
	// SessionStarts is the daily budget of IDENTIFYs; default 1,000.
	SessionStarts int
	// SessionStartsUsed is how many of them are gone at the start.
	SessionStartsUsed int
	// DisallowedIntents closes with 4014 when one of its bits is asked for.
	DisallowedIntents int64

	// HeartbeatInterval is sent in HELLO; default 41.25 s.
	HeartbeatInterval time.Duration
	// HeartbeatTolerance is how long after the interval a beat may come before
	// the connection is closed; default half an interval.
	HeartbeatTolerance time.Duration
	// ResumeWindow is how long a session without a connection lives; default 3 min.
	ResumeWindow time.Duration
	// ReplayBuffer is the number of events kept for replay. The default is the
	// formula Discord published in 2016: max(100, min(3500, 75 x guilds)).
	// Negative means unbounded.
	ReplayBuffer int
	// CommandLimit is the number of payloads a connection may send in 60 s; default 120.
	CommandLimit int
	// MemberRequestWindow is the time between two requests for all members of one
	// guild; default 30 s.
	MemberRequestWindow time.Duration

	// GlobalLimit is the number of REST requests per second; default 50.
	GlobalLimit int
	// Limits overrides the limit of buckets by name, e.g. "messages.create".
	Limits map[string]Limit
	// NoRouteLimits switches the limits of all buckets off (headers stay, with a
	// limit nobody reaches).
	NoRouteLimits bool
	// InvalidLimit is the number of 401, 403 and 429 in InvalidWindow after which
	// an address is banned; default 10,000 in 10 min.
	InvalidLimit int
	// InvalidWindow is the window of InvalidLimit and the length of the ban.
	InvalidWindow time.Duration
	// NonceWindow is how long nonces are remembered; default 5 min.
	NonceWindow time.Duration
	// AckWindow is the time to answer an interaction; default 3 s.
	AckWindow time.Duration
	// TokenWindow is the life of an interaction's token; default 15 min.
	TokenWindow time.Duration

	// PadMessages is the size in bytes that message events are padded to.
	PadMessages int
	// KeepSent is the number of events, made and sent, that the ledger keeps for each
	// session; default 1<<20. Counts go on above it.
	KeepSent int

	// Switches are the behaviours that Discord doesn't document.
	Switches
}

// Switches are the behaviours of Discord that its documents leave open, or that
// a test wants otherwise. False and zero are what the project assumes.
type Switches struct {
	// SeqHoles is the percentage of events before which a sequence number is skipped.
	SeqHoles int
	// SeqRepeats is the percentage of events that are written twice, with the
	// same sequence number.
	SeqRepeats int
	// TrimOnHeartbeat lets the sequence in a heartbeat trim the replay buffer.
	TrimOnHeartbeat bool
	// SilentTruncate replays what is left of a buffer that has lost events,
	// instead of refusing the RESUME with op 9.
	SilentTruncate bool
	// ResumedNotBuffered keeps RESUMED out of later replays, which then show a hole.
	ResumedNotBuffered bool
	// ExpiredCode, if set, closes a RESUME of an unknown session with it (4009)
	// instead of answering op 9 false.
	ExpiredCode int
	// HeartbeatCode closes a connection that missed its beats; default 4000.
	HeartbeatCode int
	// ReplacedCode closes the old connection of a resumed session; default 4000,
	// negative drops TCP.
	ReplacedCode int
	// RefusedIdentifyFree doesn't count refused IDENTIFYs against the budget.
	RefusedIdentifyFree bool
	// NoTokenReset only refuses IDENTIFYs above the budget, instead of ending all
	// sessions and resetting the token.
	NoTokenReset bool
	// GuildCreateUnavailable sends each guild first as an unavailable GUILD_CREATE.
	GuildCreateUnavailable bool
	// NoEcho sends no MESSAGE_CREATE for the bot's own messages.
	NoEcho bool
	// NonceOff ignores enforce_nonce.
	NonceOff bool
	// NoncePerChannel makes nonces unique in a channel instead of an author.
	NoncePerChannel bool
	// DeletedNonceFree lets a nonce whose message was deleted create a new one.
	DeletedNonceFree bool
	// ThreadDeletes sends THREAD_DELETE for the threads of a deleted channel.
	ThreadDeletes bool
}

// Limit is a number of requests in a window.
type Limit struct {
	// Requests is the number allowed in a window; negative is no limit.
	Requests int
	// Window is the length of a window, which starts at its first request.
	Window time.Duration
}

func orInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

func orDur(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}

// withDefaults fills the zero fields.
func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Token == "" {
		o.Token = defaultToken()
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&o.Guilds, 2}, {&o.Members, 50}, {&o.Channels, 4}, {&o.VoiceChannels, 1},
		{&o.Roles, 5}, {&o.Emojis, 2}, {&o.Threads, 1}, {&o.Presences, 5},
		{&o.Shards, 1}, {&o.MaxGuildsPerShard, 2500}, {&o.MaxConcurrency, 1},
		{&o.SessionStarts, 1000}, {&o.CommandLimit, 120}, {&o.GlobalLimit, 50},
		{&o.InvalidLimit, 10_000}, {&o.KeepSent, 1 << 20},
		{&o.HeartbeatCode, 4000}, {&o.ReplacedCode, 4000},
	} {
		orInt(f.v, f.def)
	}
	orDur(&o.IdentifyWindow, 5*time.Second)
	orDur(&o.HeartbeatInterval, 41250*time.Millisecond)
	orDur(&o.HeartbeatTolerance, o.HeartbeatInterval/2)
	orDur(&o.ResumeWindow, 3*time.Minute)
	orDur(&o.MemberRequestWindow, 30*time.Second)
	orDur(&o.InvalidWindow, 10*time.Minute)
	orDur(&o.NonceWindow, 5*time.Minute)
	orDur(&o.AckWindow, 3*time.Second)
	orDur(&o.TokenWindow, 15*time.Minute)
	return o
}

// replaySize is the bound of the replay buffer of a session with n guilds: the
// formula is Discord's of 2016 (discord/discord-api-docs issue 24).
func (o *Options) replaySize(n int) int {
	switch {
	case o.ReplayBuffer < 0:
		return 1 << 62
	case o.ReplayBuffer > 0:
		return o.ReplayBuffer
	}
	return max(100, min(3500, 75*n))
}
