package discord

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestVerdicts(t *testing.T) {
	tests := []struct {
		want  Verdict
		codes []CloseCode
	}{
		{VerdictFatal, []CloseCode{4004, 4010, 4011, 4012, 4013, 4014}},
		{VerdictNewSession, []CloseCode{4001, 4003, 4007, 4009}},
		{VerdictResume, []CloseCode{
			0, 1000, 1001, 1002, 1005, 1006, 1009, 1011, 1012,
			4000, 4002, 4005, 4006, 4008, 4015, 4200, 4999,
		}},
	}
	for _, tt := range tests {
		for _, c := range tt.codes {
			if got := c.Verdict(); got != tt.want {
				t.Errorf("%v: verdict %v, want %v", c, got, tt.want)
			}
		}
	}
}

func TestOnlyTwoCodesEndASession(t *testing.T) {
	for c := range CloseCode(5000) {
		if got, want := c.EndsSession(), c == 1000 || c == 1001; got != want {
			t.Errorf("%v.EndsSession() = %v", c, got)
		}
	}
}

func TestStrings(t *testing.T) {
	tests := []struct{ got, want string }{
		{CloseCode(4004).String(), "4004 authentication failed"},
		{CloseCode(4006).String(), "4006"},
		{CloseAbnormal.String(), "1006 abnormal closure"},
		{OpDispatch.String(), "dispatch"},
		{OpRequestChannelInfo.String(), "request channel info"},
		{Opcode(99).String(), "op 99"},
		{VerdictResume.String(), "resume"},
		{VerdictNewSession.String(), "new session"},
		{VerdictFatal.String(), "fatal"},
		{Verdict(9).String(), "verdict 9"},
		{UserAgent("1.2.3"), "DiscordBot (https://github.com/botnode/botnode, 1.2.3)"},
		{UserAgent(""), "DiscordBot (https://github.com/botnode/botnode, dev)"},
		{Intents(0).String(), "none"},
		{(IntentGuilds | IntentGuildMessages).String(), "guilds,guild_messages"},
		{(IntentGuilds | 1<<17 | 1<<40).String(), "guilds,1099511758848"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestEveryOpcodeAndCloseCodeIsNamedOnce(t *testing.T) {
	seen := map[string]int{}
	for o := range Opcode(64) {
		if n := o.String(); !strings.HasPrefix(n, "op ") {
			seen[n]++
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d opcodes have names: %v", len(seen), seen)
	}
	clear(seen)
	for c := range CloseCode(5000) {
		if m := c.meaning(); m != "" {
			seen[m]++
		}
	}
	if len(seen) != 22 {
		t.Errorf("%d close codes have meanings: %v", len(seen), seen)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("%q names %d codes", n, times)
		}
	}
}

func TestParseIntents(t *testing.T) {
	tests := []struct {
		in   string
		want Intents
		ok   bool
	}{
		{"guilds,guild_messages", 513, true},
		{" GUILDS , Guild-Messages ", 513, true},
		{"513", 513, true},
		{"guilds,512", 513, true},
		{"all", IntentsAll, true},
		{"default", IntentsDefault, true},
		{"default,message_content", IntentsDefault | IntentMessageContent, true},
		{"all,-guild_presences", IntentsAll &^ IntentGuildPresences, true},
		{"all,-privileged", IntentsDefault, true},
		{"none", 0, true},
		{"0", 0, true},
		{"", 0, false},
		{"guilds,", 0, false},
		{"guild", 0, false},
		{"-", 0, false},
		{"1.5", 0, false},
		{"18446744073709551616", 0, false},
	}
	for _, tt := range tests {
		got, err := ParseIntents(tt.in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseIntents(%q) = %d, %v", tt.in, got, err)
		}
		if err != nil && !errors.Is(err, ErrIntents) {
			t.Errorf("ParseIntents(%q): error %v", tt.in, err)
		}
	}
}

func TestIntentSets(t *testing.T) {
	// The documented bits; 53608447 is the well-known number of all of them.
	if IntentsAll != 53608447 {
		t.Errorf("IntentsAll = %d", IntentsAll)
	}
	if IntentsDefault&IntentsPrivileged != 0 || IntentsDefault|IntentsPrivileged != IntentsAll {
		t.Errorf("IntentsDefault = %d", IntentsDefault)
	}
	if !IntentsAll.Has(IntentGuilds|IntentMessageContent) || IntentsDefault.Has(IntentGuilds|IntentMessageContent) {
		t.Error("Has is wrong")
	}
}

func TestIntentsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Intents(rapid.Uint64().Draw(t, "intents"))
		if got, err := ParseIntents(want.String()); err != nil || got != want {
			t.Fatalf("%s: %d, %v", want, got, err)
		}
	})
}

func TestAllEvents(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	seen := map[string]bool{}
	for _, name := range AllEvents() {
		if !form.MatchString(name) || seen[name] {
			t.Errorf("bad or repeated name %q", name)
		}
		seen[name] = true
	}
	if len(seen) != 79 || !seen[EventReady] || !seen[EventMessageCreate] || !seen[EventWebhooksUpdate] {
		t.Errorf("%d names", len(seen))
	}
	AllEvents()[0] = "changed"
	if AllEvents()[0] != EventReady {
		t.Error("callers share one slice")
	}
}

func TestShardOf(t *testing.T) {
	tests := []struct {
		guild Snowflake
		total int
		want  int
	}{
		{41771983423143937, 1, 0},
		{41771983423143937, 0, 0},
		{41771983423143937, -3, 0},
		{0, 16, 0},
		{1 << 22, 16, 1},
		{17 << 22, 16, 1},
		{17<<22 | (1<<22 - 1), 16, 1},
		{1<<64 - 1, 3, (1<<42 - 1) % 3},
	}
	for _, tt := range tests {
		if got := ShardOf(tt.guild, tt.total); got != tt.want {
			t.Errorf("ShardOf(%d, %d) = %d, want %d", tt.guild, tt.total, got, tt.want)
		}
	}
}

func TestIdentifyKey(t *testing.T) {
	for _, tt := range []struct{ shard, concurrency, want int }{
		{0, 16, 0}, {15, 16, 15}, {16, 16, 0}, {31, 16, 15}, {7, 1, 0}, {7, 0, 0},
	} {
		if got := IdentifyKey(tt.shard, tt.concurrency); got != tt.want {
			t.Errorf("IdentifyKey(%d, %d) = %d, want %d", tt.shard, tt.concurrency, got, tt.want)
		}
	}
}
