package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// errArgs says that there are arguments that aren't flags.
var errArgs = errors.New("unexpected argument")

// options reads the flags. The token isn't one: process lists show those.
func options(args []string) (o sim.Options, jsonLog bool, err error) {
	o.Token = os.Getenv("DISCORDSIM_TOKEN")
	f := flag.NewFlagSet("discordsim", flag.ContinueOnError)
	f.Usage = func() { usage(f) }
	ints := []struct {
		v          *int
		name, help string
	}{
		{&o.Guilds, "guilds", "number of guilds (default 2)"},
		{&o.Members, "members", "members of each guild (default 50)"},
		{&o.Channels, "channels", "text channels of each guild (default 4)"},
		{&o.VoiceChannels, "voice-channels", "voice channels of each guild (default 1)"},
		{&o.Roles, "roles", "roles of each guild (default 5)"},
		{&o.Shards, "shards", "recommended shards (default 1)"},
		{&o.ShardMultiple, "shard-multiple", "close with 4010 unless the shard count is a multiple"},
		{&o.MaxConcurrency, "max-concurrency", "identify keys (default 1)"},
		{&o.SessionStarts, "session-starts", "daily budget of IDENTIFYs (default 1000)"},
		{&o.SessionStartsUsed, "session-starts-used", "how many of them are gone"},
		{&o.ReplayBuffer, "replay-buffer", "events kept for replay; 0 is the formula of 2016, negative unbounded"},
		{&o.CommandLimit, "command-limit", "payloads a connection may send in 60 s (default 120)"},
		{&o.GlobalLimit, "global-limit", "REST requests a second (default 50), negative for none"},
		{&o.InvalidLimit, "invalid-limit", "invalid requests until an address is banned (default 10000)"},
		{&o.PadMessages, "pad", "size in bytes that message events are padded to"},
		{&o.SeqHoles, "seq-holes", "percentage of events before which a sequence is skipped"},
		{&o.SeqRepeats, "seq-repeats", "percentage of events that are written twice"},
		{&o.ExpiredCode, "expired-code", "close a RESUME of an unknown session with this code instead of op 9"},
		{&o.HeartbeatCode, "heartbeat-code", "close code for missed heartbeats (default 4000)"},
		{&o.ReplacedCode, "replaced-code", "close code for the old connection of a resumed session (default 4000)"},
	}
	for _, x := range ints {
		f.IntVar(x.v, x.name, 0, x.help)
	}
	for name, x := range map[string]*time.Duration{
		"identify-window": &o.IdentifyWindow, "heartbeat-interval": &o.HeartbeatInterval,
		"heartbeat-tolerance": &o.HeartbeatTolerance, "resume-window": &o.ResumeWindow, "nonce-window": &o.NonceWindow,
		"member-request-window": &o.MemberRequestWindow, "invalid-window": &o.InvalidWindow,
	} {
		f.DurationVar(x, name, 0, "see the option of the same name; 0 is Discord's value")
	}
	for name, x := range map[string]*bool{
		"no-route-limits": &o.NoRouteLimits, "trim-on-heartbeat": &o.TrimOnHeartbeat, "silent-truncate": &o.SilentTruncate,
		"resumed-not-buffered": &o.ResumedNotBuffered, "refused-identify-free": &o.RefusedIdentifyFree,
		"no-token-reset": &o.NoTokenReset, "guild-create-unavailable": &o.GuildCreateUnavailable, "no-echo": &o.NoEcho,
		"nonce-off": &o.NonceOff, "nonce-per-channel": &o.NoncePerChannel, "deleted-nonce-free": &o.DeletedNonceFree,
		"thread-deletes": &o.ThreadDeletes,
	} {
		f.BoolVar(x, name, false, "a behaviour of Discord, see the switch of the same name")
	}
	f.StringVar(&o.Addr, "addr", "127.0.0.1:0", "address to listen on")
	f.Int64Var(&o.Seed, "seed", 1, "seed of the random changes")
	f.Int64Var(&o.DisallowedIntents, "disallowed-intents", 0, "intents that close with 4014")
	f.BoolVar(&jsonLog, "log", false, "write JSON logs to standard error")
	if err := f.Parse(args); err != nil {
		return o, false, err
	}
	if f.NArg() > 0 {
		return o, false, fmt.Errorf("%w: %s", errArgs, f.Arg(0))
	}
	return o, jsonLog, nil
}

func usage(f *flag.FlagSet) {
	_, _ = io.WriteString(f.Output(), `discordsim is a simulated Discord on loopback. It prints the URL of its API and
serves until SIGTERM. DISCORDSIM_TOKEN sets the bot's token; GET /_sim/info tells it.

`)
	f.PrintDefaults()
}
