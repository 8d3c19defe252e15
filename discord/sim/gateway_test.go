package sim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

func TestReadyThenGuilds(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 3})
	c := dial(t, srv.GatewayURL(), "").hello()
	c.send(2, identify(srv.Token(), all))
	var d struct {
		Guilds []struct {
			ID          sim.ID `json:"id"`
			Unavailable bool   `json:"unavailable"`
		} `json:"guilds"`
	}
	f := c.ready()
	want(t, "first s", *f.S, 1)
	if err := json.Unmarshal(f.D, &d); err != nil || len(d.Guilds) != 3 {
		t.Fatalf("guilds of READY: %v %v", d.Guilds, err)
	}
	for i, g := range d.Guilds {
		if !g.Unavailable {
			t.Errorf("guild %s is available in READY", g.ID)
		}
		var created struct {
			ID      sim.ID            `json:"id"`
			Members []json.RawMessage `json:"members"`
			Count   int               `json:"member_count"`
		}
		f := c.event("GUILD_CREATE")
		if err := json.Unmarshal(f.D, &created); err != nil {
			t.Fatal(err)
		}
		want(t, "guild", created.ID, g.ID)
		want(t, "s", *f.S, int64(i)+2)
		want(t, "member_count", created.Count, 50)
		want(t, "members", len(created.Members), 50)
	}
}

func TestCloseCodes(t *testing.T) {
	srv := start(t, sim.Options{
		Guilds: 4, MaxGuildsPerShard: 2, Shards: 2, ShardMultiple: 2, DisallowedIntents: 1 << 8,
		IdentifyWindow: time.Nanosecond, CommandLimit: 20,
	})
	tok := srv.Token()
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	for _, x := range []struct {
		name string
		do   func(*client)
		code int
	}{
		{"unknown op", func(c *client) { c.send(99, nil) }, 4001},
		{"not json", func(c *client) { _ = c.ws.WriteMessage(1, []byte("{")) }, 4002},
		{"too long", func(c *client) { c.send(1, string(long)) }, 4002},
		{"before identify", func(c *client) { c.send(3, m{"status": "idle"}) }, 4003},
		{"bad token", func(c *client) { c.send(2, identify("wrong", 1, 0, 2)) }, 4004},
		{"bad token in resume", func(c *client) { c.send(6, m{"token": "wrong", "session_id": "x", "seq": 1}) }, 4004},
		{"twice", func(c *client) {
			c.send(2, identify(tok, 1, 0, 2))
			c.ready()
			c.send(2, identify(tok, 1, 0, 2))
		}, 4005},
		{"too fast", func(c *client) {
			for range 21 {
				c.send(1, nil)
			}
		}, 4008},
		{"shard out of range", func(c *client) { c.send(2, identify(tok, 1, 2, 2)) }, 4010},
		{"not a multiple", func(c *client) { c.send(2, identify(tok, 1, 0, 3)) }, 4010},
		{"no intents", func(c *client) { c.send(2, m{"token": tok, "shard": []int{0, 2}}) }, 4013},
		{"unknown intents", func(c *client) { c.send(2, identify(tok, 1<<40, 0, 2)) }, 4013},
		{"disallowed intents", func(c *client) { c.send(2, identify(tok, 1<<8, 0, 2)) }, 4014},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := dial(t, srv.GatewayURL(), "").hello()
			x.do(c)
			want(t, "close code", c.closed(), x.code)
		})
	}
	t.Run("sharding required", func(t *testing.T) {
		srv := start(t, sim.Options{Guilds: 3, MaxGuildsPerShard: 2})
		c := dial(t, srv.GatewayURL(), "").hello()
		c.send(2, identify(srv.Token(), 1))
		want(t, "close code", c.closed(), 4011)
	})
	t.Run("version", func(t *testing.T) {
		c := dial(t, srv.GatewayURL()+"/?v=3&x=", "")
		want(t, "close code", c.closed(), 4012)
	})
}

func TestIdentifyConcurrency(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 4, Shards: 4, MaxConcurrency: 2, IdentifyWindow: time.Hour, SessionStarts: 10})
	login(t, srv, 1, 0, 4)
	login(t, srv, 1, 1, 4) // another key
	c := dial(t, srv.GatewayURL(), "").hello()
	c.send(2, identify(srv.Token(), 1, 2, 4)) // the key of shard 0
	want(t, "d of op 9", string(c.op(9).D), "false")
	a := call(t, srv, "GET", "/gateway/bot", nil)
	limit, _ := a.body["session_start_limit"].(m)
	want(t, "remaining", limit["remaining"].(float64), 7)
	want(t, "max_concurrency", limit["max_concurrency"].(float64), 2)
	want(t, "shards", a.body["shards"].(float64), 4)
	ids := srv.Ledger().Identifies()
	want(t, "third", ids[2].Result, "rate_limited")
	want(t, "first", ids[0].Result, "ok")
}

func TestBudgetResetsToken(t *testing.T) {
	srv := start(t, sim.Options{SessionStarts: 1, IdentifyWindow: time.Nanosecond})
	a := login(t, srv, 1)
	b := dial(t, srv.GatewayURL(), "").hello()
	b.send(2, identify(srv.Token(), 1))
	want(t, "one too many", b.closed(), 4004)
	want(t, "the other session", a.closed(), 4004)
	want(t, "REST", call(t, srv, "GET", "/users/@me", nil).status, 401)
}

func TestHeartbeat(t *testing.T) {
	srv := start(t, sim.Options{HeartbeatInterval: 60 * time.Millisecond, HeartbeatTolerance: 40 * time.Millisecond})
	c := login(t, srv, 1)
	c.send(1, c.seq)
	c.op(11)
	if err := srv.Inject(sim.Fault{Kind: "heartbeat"}); err != nil {
		t.Fatal(err)
	}
	c.op(1)
	want(t, "missed", c.closed(), 4000)
	beats := srv.Ledger().Sessions()[0].Beats
	if len(beats) != 1 || beats[0].Seq == nil {
		t.Errorf("beats: %v", beats)
	}
	// A missed heartbeat doesn't cost the session.
	c.again(srv.Token(), c.seq).event("RESUMED")
}

func TestIntents(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, IdentifyWindow: time.Nanosecond})
	with, without := login(t, srv, all).guilds(1), login(t, srv, 1|1<<9).guilds(1)
	if err := srv.Mutate("presence", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Say(sim.Say{Content: "hello"}); err != nil {
		t.Fatal(err)
	}
	want(t, "presence first", with.next().T, "PRESENCE_UPDATE")
	want(t, "content", text(with.event("MESSAGE_CREATE")), "hello")
	f := without.next()
	want(t, "no presence", f.T, "MESSAGE_CREATE")
	want(t, "no content", text(f), "")
}

func TestShardRouting(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 6, Shards: 3, MaxConcurrency: 3})
	for shard := range 3 {
		c := login(t, srv, all, shard, 3).guilds(2)
		for _, g := range srv.GuildIDs() {
			if _, err := srv.Say(sim.Say{Guild: g, Content: g.String()}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			f := c.event("MESSAGE_CREATE")
			want(t, "shard", int(sim.ParseID(text(f))>>22%3), shard)
		}
	}
}

func TestMemberChunks(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, Members: 2500})
	c := login(t, srv, all).guilds(1)
	g := srv.GuildIDs()[0]
	c.send(8, m{"guild_id": g, "query": "", "limit": 0, "presences": true, "nonce": "n1"})
	seen := map[sim.ID]bool{}
	for i := range 3 {
		var d struct {
			Members []struct {
				User struct {
					ID sim.ID `json:"id"`
				} `json:"user"`
			} `json:"members"`
			Index int    `json:"chunk_index"`
			Count int    `json:"chunk_count"`
			Nonce string `json:"nonce"`
		}
		if err := json.Unmarshal(c.event("GUILD_MEMBERS_CHUNK").D, &d); err != nil {
			t.Fatal(err)
		}
		want(t, "index", d.Index, i)
		want(t, "count", d.Count, 3)
		want(t, "nonce", d.Nonce, "n1")
		for _, x := range d.Members {
			seen[x.User.ID] = true
		}
	}
	want(t, "members", len(seen), 2500)
	c.send(8, m{"guild_id": g, "query": "", "limit": 0, "nonce": "n2"})
	mustHave(t, string(c.event("RATE_LIMITED").D), `"nonce":"n2"`)
	c.send(8, m{"guild_id": g, "user_ids": []string{sim.BotID.String(), "1"}})
	d := string(c.event("GUILD_MEMBERS_CHUNK").D)
	mustHave(t, d, `"not_found":["1"]`)
	mustHave(t, d, sim.BotID.String())
}

func TestVoiceAndPresence(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1})
	c := login(t, srv, all).guilds(1)
	g := srv.GuildIDs()[0]
	truth, _ := srv.Truth(g)
	var voice sim.ID
	for id, r := range truth.Channels {
		var ch struct {
			Type int `json:"type"`
		}
		if json.Unmarshal(r, &ch) == nil && ch.Type == 2 {
			voice = id
		}
	}
	c.send(4, m{"guild_id": g, "channel_id": voice, "self_mute": true, "self_deaf": false})
	mustHave(t, string(c.event("VOICE_STATE_UPDATE").D), c.sid)
	mustHave(t, string(c.event("VOICE_SERVER_UPDATE").D), `"endpoint"`)
	truth, _ = srv.Truth(g)
	want(t, "in voice", len(truth.VoiceStates), 1)
	c.send(4, m{"guild_id": g, "channel_id": nil})
	mustHave(t, string(c.event("VOICE_STATE_UPDATE").D), `"channel_id":null`)
	c.send(3, m{"since": nil, "activities": []any{}, "status": "dnd", "afk": false})
	mustHave(t, string(c.event("PRESENCE_UPDATE").D), `"dnd"`)
}
