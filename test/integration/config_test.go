//go:build unix

package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
)

// file writes a configuration file.
func (c *cluster) file(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// cacheOf is a node's statistics of one kind of cached objects.
func (c *cluster) cacheOf(id, kind string) admin.CacheStats {
	c.t.Helper()
	var all []admin.CacheStats
	if err := c.request(http.MethodGet, id, "/v1/cache/stats", nil, &all); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all {
		if s.Kind == kind {
			return s
		}
	}
	c.t.Fatalf("no kind %s in %+v", kind, all)
	return admin.CacheStats{}
}

// TestConfigurationChangesWhileTheBotRuns applies files to a cluster of three
// under load: limits, cache policies and presence without a new session, intents
// by one new session of each shard after the other.
func TestConfigurationChangesWhileTheBotRuns(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three("--intents", "guilds,guild_messages,message_content,guild_members")
	id := c.follower()
	if out := c.OK(id, "config", "show"); !strings.Contains(out, "# revision 1") {
		t.Errorf("config show: %s", out)
	}

	// What can't change is refused as a whole.
	bad := c.file("shards.yaml", "bots: {default: {shards: 4, max_attempts: 9}}\n")
	c.refused(id, 1, []string{"shards: 0-2/3 are in force", "resharding is not in this version"}, "config", "apply", bad)
	c.refused(id, 2, []string{`did you mean "max_attempts"`}, "config", "apply", c.file("typo.yaml", "bots: {default: {max_atempts: 9}}\n"))
	if out := c.OK(id, "config", "show"); strings.Contains(out, "max_attempts: 9") || !strings.Contains(out, "# revision 1") {
		t.Errorf("a refused file has changed something: %s", out)
	}

	// Without a new session.
	before := c.cacheOf(id, "members")
	live := c.file("live.yaml", `bots:
  default:
    max_attempts: 9
    rest_per_second: 400
    presence: {status: dnd}
    caches: {members: {max: 7, filter: "user.bot == false"}, emojis: off}
`)
	c.Load(roundPings, func() {
		if out := c.OK(id, "config", "apply", live); !strings.Contains(out, "revision 2") || !strings.Contains(out, "+ max_attempts: 9") {
			t.Errorf("config apply: %s", out)
		}
	})
	for _, id := range c.alive() {
		c.poll("the caches follow", 20*time.Second, func() error {
			m, e := c.cacheOf(id, "members"), c.cacheOf(id, "emojis")
			return yes(m.Count == 7 && !m.Sweeping && e.Count == 0 && m.Evicted > 0, "%+v %+v", m, e)
		})
	}
	after := c.cacheOf(id, "members")
	if after.Bytes >= before.Bytes || before.Count <= 7 || after.Policy != "bounded 7 objects if user.bot == false" {
		t.Errorf("members: %+v, before %+v", after, before)
	}
	c.WaitPresence("dnd", 3)
	c.Unharmed() // no second IDENTIFY of any shard
	c.Emptied()

	// Intents: a new session of one shard after the other.
	intents := c.file("intents.yaml", "bots: {default: {intents: [guilds, guild_messages, message_content]}}\n")
	begun := time.Now()
	c.OK(id, "config", "apply", intents)
	want := int64(discord.IntentGuilds | discord.IntentGuildMessages | discord.IntentMessageContent)
	most := 0
	c.poll("every session has the new intents", time.Minute, func() error {
		without, have := 0, 0
		for _, sh := range c.status().Shards {
			if sh.State != "ready" {
				without++
			}
		}
		most = max(most, without)
		for _, s := range c.sim.LiveSessions() {
			if s.Connected && s.Intents == want {
				have++
			}
		}
		return yes(have == 3, "%d sessions of 3", have)
	})
	c.OneSessionEach() // Discord keeps none of the old ones
	c.WaitReady()
	took := time.Since(begun)
	bot := c.status().Bots[0]
	s := c.sim.Ledger().Summary()
	if bot.Gaps != 3 || s.Identifies != 6 || most > 1 {
		t.Errorf("%d gap records, %d IDENTIFYs; at most %d shards without a session at a time", bot.Gaps, s.Identifies, most)
	}
	c.Load(roundPings, func() {})
	c.SameDigests()
	// A node that comes later has the configuration, too, and its sessions the presence.
	c.Kill9(id)
	c.Restart(id)
	c.WaitReady()
	if out := c.OK(id, "config", "show"); !strings.Contains(out, "# revision 3") || !strings.Contains(out, "max_attempts: 9") {
		t.Errorf("after a restart: %s", out)
	}
	if s := c.sim.Ledger().Summary(); s.Identifies != 6 || len(s.Unanswered) > 0 || len(s.Duplicated) > 0 {
		t.Errorf("at the end: %+v", c.brief())
	}
	t.Logf("FIGURE configuration: members %d -> %d, %d -> %d bytes; three shards got new sessions one by one in %v, at most %d at a time; %d IDENTIFYs, %d planned gaps; %d pings: 0 lost 0 doubled",
		before.Count, after.Count, before.Bytes, after.Bytes, took.Round(time.Millisecond), most, s.Identifies, bot.Gaps, c.sim.Ledger().Summary().Sent)
}

// WaitPresence waits until n sessions that live were told of a status.
func (c *cluster) WaitPresence(status string, n int) {
	c.t.Helper()
	told := func() (count int) {
		for _, s := range c.sim.Ledger().Sessions() {
			for _, note := range s.Notes {
				if note.What == "presence" && note.More == status {
					count++
				}
			}
		}
		return count
	}
	c.poll("presences", 15*time.Second, func() error { return yes(told() >= n, "%d of %d", told(), n) })
	if told() != n {
		c.t.Errorf("%d presences were sent, want %d", told(), n)
	}
}

// TestIntentsThatDiscordRefusesCostOneShard changes to intents that the bot may
// not have: the first shard stops, the others serve; the way back mends it.
func TestIntentsThatDiscordRefusesCostOneShard(t *testing.T) {
	parallel(t)
	o := simOptions(2)
	o.DisallowedIntents = int64(discord.IntentGuildPresences)
	c := newCluster(t, o)
	c.Three("--intents", "guilds,guild_messages,message_content")
	id := c.Leader()
	c.OK(id, "config", "apply", c.file("wrong.yaml", "bots: {default: {intents: [guilds, guild_messages, message_content, guild_presences]}}\n"))
	c.waitFatal(id, "4014")
	ready := 0
	for _, sh := range c.status().Shards {
		if sh.State == "ready" {
			ready++
		}
	}
	if ready != 1 {
		t.Errorf("%d shards are ready, want one", ready)
	}
	c.OK(id, "config", "apply", c.file("right.yaml", "bots: {default: {intents: [guilds, guild_messages, message_content]}}\n"))
	c.WaitReady()
	c.Load(roundPings/2, func() {})
	s := c.sim.Ledger().Summary()
	if bot := c.status().Bots[0]; bot.Gaps != 1 || len(s.Duplicated) > 0 {
		t.Errorf("%d gaps, %+v", bot.Gaps, c.brief())
	}
}

// TestConfigIsComparedAndSet lets two operators change one revision over HTTP.
func TestConfigIsComparedAndSet(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	c.Start("joe", "--bootstrap")
	c.WaitReady()
	var first admin.BotConfig
	if err := c.request(http.MethodGet, "joe", "/v1/config", nil, &first); err != nil {
		t.Fatal(err)
	}
	put := func(change string, rev uint64) error {
		var config map[string]json.RawMessage
		if err := json.Unmarshal(first.Config, &config); err != nil {
			t.Fatal(err)
		}
		var one map[string]json.RawMessage
		if err := json.Unmarshal([]byte(change), &one); err != nil {
			t.Fatal(err)
		}
		maps.Copy(config, one)
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		return c.request(http.MethodPut, "joe", "/v1/config", admin.BotConfig{Revision: rev, Config: raw}, nil)
	}
	if err := put(`{"max_attempts":7}`, first.Revision); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		err  error
		want string
	}{
		"the second of two": {put(`{"max_attempts":8}`, first.Revision), "412"},
		"an unknown key":    {put(`{"max_atempts":8}`, first.Revision+1), `unknown field`},
		"a wrong filter":    {put(`{"caches":{"members":{"mode":"on","filter":"bot = 1"}}}`, first.Revision+1), "cache policy of members"},
		"other shards":      {put(`{"shards":"9"}`, first.Revision+1), "409"},
		"no address":        {put(`{"api":"discord.com"}`, first.Revision+1), "not an http or https address"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v", what, tt.err)
		}
	}
	var now admin.BotConfig
	if err := c.request(http.MethodGet, "joe", "/v1/config", nil, &now); err != nil || now.Revision != first.Revision+1 || !strings.Contains(string(now.Config), `"max_attempts":7`) {
		t.Errorf("%+v, %v", now, err)
	}
}

// TestJournalFollowsTheConfiguration changes which events readers that follow
// can see, while the handler goes on getting its own.
func TestJournalFollowsTheConfiguration(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	c.Start("joe", "--bootstrap", "--intents", "all")
	c.WaitReady()
	// taken reports whether a change of a channel gets a place in the journal.
	taken := func() bool {
		before := c.status().Bots[0].LastPos
		if err := c.sim.Mutate("channel", 1); err != nil {
			t.Fatal(err)
		}
		c.WaitRead()
		return c.status().Bots[0].LastPos > before
	}
	if !taken() {
		t.Fatal("by default the journal takes nearly everything")
	}
	for _, tt := range []struct {
		journal string
		want    bool
	}{{"[typing_start]", false}, {"[channel_create, channel_update, channel_delete]", true}, {"[guild_update]", false}} {
		c.OK("joe", "config", "apply", c.file("journal.yaml", "bots: {default: {journal: "+tt.journal+"}}\n"))
		c.poll("the journal takes "+tt.journal, 10*time.Second, func() error { return yes(taken() == tt.want, "%v", !tt.want) })
	}
	c.Load(roundPings/6, func() {})
	c.Unharmed()
}
