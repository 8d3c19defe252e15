package proxy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

const bedIntents = discord.IntentGuilds | discord.IntentGuildMessages | discord.IntentMessageContent

func TestReadyAndGuilds(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 5, members: 3})
	for _, compress := range []string{"none", "zlib-stream", "zstd-stream"} {
		t.Run(compress, func(t *testing.T) {
			c := b.nodes[0].connect("v=10&encoding=json&compress=" + compress)
			if compress != "none" {
				c.inflated(compress)
			}
			if m := c.next(); m.Op != discord.OpHello {
				t.Fatalf("%+v", m)
			}
			c.send(discord.OpHeartbeat, "null")
			if m := c.next(); m.Op != discord.OpHeartbeatACK {
				t.Fatalf("a heartbeat before IDENTIFY: %+v", m)
			}
			c.identify(bedIntents, `,"shard":[1,2]`)
			r := c.isReady()
			if r.V != 10 || r.User.ID != "99" || r.Application.Flags != 5 || fmt.Sprint(r.Shard) != "[1 2]" || len(r.Guilds) != 2 ||
				!r.Guilds[0].Unavailable || r.URL != "ws://"+b.nodes[0].server.Addr().String() || c.seq != 1 {
				t.Errorf("READY under %d: %+v", c.seq, r)
			}
			for i, id := range []int{1, 3} {
				m := c.event(discord.EventGuildCreate)
				var g struct {
					ID       string            `json:"id"`
					Channels []json.RawMessage `json:"channels"`
					Members  []struct {
						User struct{ Username string }
					} `json:"members"`
				}
				if err := json.Unmarshal(m.D, &g); err != nil {
					t.Fatal(err)
				}
				if g.ID != guildID(id).String() || len(g.Channels) != 1 || len(g.Members) != 4 || g.Members[1].User.Username != "user0" {
					t.Errorf("guild %d: %s", i, m.D)
				}
			}
			before := c.seq
			b.say(guildID(0), "for shard 0")
			b.say(guildID(3), "for shard 1 "+compress)
			if m := c.event(discord.EventMessageCreate); m.content() != "for shard 1 "+compress || *m.S != before+2 {
				t.Errorf("%d after %d: %s", *m.S, before, m.D)
			}
			if err := c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), deadline()); err != nil {
				t.Fatal(err)
			}
			await(t, "the session's end", func() bool { return len(b.nodes[0].sessions()) == 0 })
		})
	}
}

func TestNothingButReadyWithoutIntents(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 2})
	c := b.nodes[0].dial("")
	if r := c.begun(0, ""); len(r.Guilds) != 2 || r.Shard != nil || c.seq < spareRoom {
		t.Errorf("READY under %d: %+v", c.seq, r)
	}
	b.say(guildID(0), "no")
	b.emit(discord.EventInteractionCreate, guildID(1), []byte(`{"id":"1"}`))
	c.event(discord.EventInteractionCreate)
}

// Any node goes on with a session, even one that has not heard of it yet.
func TestResumeOnAnotherNode(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	first, second := b.nodes[0], b.nodes[1]
	second.setLag(true)
	c := first.dial("v=9")
	if r := c.begun(bedIntents, ""); r.V != 9 {
		t.Errorf("v %d", r.V)
	}
	b.say(guildID(0), "one")
	c.event(discord.EventMessageCreate)
	c.drop()
	b.say(guildID(0), "two")
	b.say(guildID(0), "three")
	d := second.dial("")
	d.resume(c.sid, c.seq)
	equal(t, "replayed", d.replayed(), []string{"two", "three"})
	if d.seq != c.seq+2 {
		t.Errorf("RESUMED under %d after %d", d.seq, c.seq)
	}
	second.setLag(false)
	b.say(guildID(0), "four")
	if m := d.event(discord.EventMessageCreate); m.content() != "four" {
		t.Errorf("%s", m.D)
	}
	// And back again while the first connection is still there: it is replaced.
	e := first.dial("")
	e.resume(c.sid, d.seq)
	equal(t, "replayed", e.replayed(), nil)
	if code, reason := d.closed(); code != 4000 {
		t.Errorf("the connection before: %d %s", code, reason)
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, intents: discord.IntentGuilds | discord.IntentGuildMessages})
	n := b.nodes[0]
	identify := func(format string, a ...any) string { return `{"op":2,"d":` + fmt.Sprintf(format, a...) + `}` }
	for name, tc := range map[string]struct {
		send []string
		want int
		says string
	}{
		"a wrong token":           {[]string{identify(`{"token":"x.y.z","intents":0}`)}, 4004, "no client key"},
		"no token":                {[]string{identify(`{"intents":0}`)}, 4004, ""},
		"a shard above":           {[]string{identify(`{"token":%q,"intents":0,"shard":[2,2]}`, b.key)}, 4010, ""},
		"a shard of three":        {[]string{identify(`{"token":%q,"intents":0,"shard":[0,1,2]}`, b.key)}, 4010, ""},
		"no intents":              {[]string{identify(`{"token":%q}`, b.key)}, 4013, ""},
		"an intent too many":      {[]string{identify(`{"token":%q,"intents":128}`, b.key)}, 4013, "guild_voice_states"},
		"a privileged intent":     {[]string{identify(`{"token":%q,"intents":33282}`, b.key)}, 4014, "guild_members,message_content"},
		"shapeless":               {[]string{identify(`[]`)}, 4002, ""},
		"no JSON":                 {[]string{`{"op":2,`}, 4002, ""},
		"no op":                   {[]string{`{}`}, 4002, ""},
		"too long":                {[]string{`{"op":1,"d":"` + strings.Repeat("x", maxFrame) + `"}`}, 4002, ""},
		"an unknown opcode":       {[]string{`{"op":99,"d":{}}`}, 4001, ""},
		"a command before":        {[]string{`{"op":8,"d":{}}`}, 4003, ""},
		"twice":                   {[]string{identify(`{"token":%q,"intents":0}`, b.key), identify(`{"token":%q,"intents":0}`, b.key)}, 4005, ""},
		"too often":               {slicesRepeat(`{"op":1,"d":null}`, maxSends+1), 4008, ""},
		"a RESUME ahead of all":   {[]string{`{"op":6,"d":{"token":"` + b.key + `","session_id":"%SID%","seq":100000}}`}, 4007, ""},
		"a RESUME of another key": {[]string{`{"op":6,"d":{"token":"nobody","session_id":"%SID%","seq":1}}`}, 4004, ""},
		"a presence of no shape":  {[]string{identify(`{"token":%q,"intents":0}`, b.key), `{"op":3,"d":{"status":"gone"}}`}, 4002, "presence"},
	} {
		t.Run(name, func(t *testing.T) {
			o := n.dial("")
			o.begun(0, "")
			o.drop()
			c := n.dial("v=10")
			for _, s := range tc.send {
				c.raw(strings.ReplaceAll(s, "%SID%", o.sid))
			}
			if code, reason := c.closed(); code != tc.want || !strings.Contains(reason, tc.says) {
				t.Errorf("%d %q, want %d %q", code, reason, tc.want, tc.says)
			}
		})
	}
	for query, want := range map[string]int{"v=8": 4012, "v=x": 4012, "encoding=etf": 4002, "compress=lzma": 4002} {
		if code, reason := n.connect(query).closed(); code != want || reason == "" {
			t.Errorf("%s: %d %q, want %d", query, code, reason, want)
		}
	}
}

func slicesRepeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}
