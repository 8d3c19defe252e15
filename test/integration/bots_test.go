//go:build unix

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

// newBots starts a simulated Discord for each of two bots, "one" at the
// cluster's own and "two" at the one returned, and makes the file that all nodes
// start with. tokenTwo is appended to the second bot's token.
func newBots(t *testing.T, shards int, tokenTwo string) (*cluster, *sim.Server) {
	t.Helper()
	c := newCluster(t, simOptions(shards))
	o := simOptions(shards)
	o.Token = "dHdv.second.bot-s-own-token"
	two := sim.New(o)
	if err := two.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(two.Close)
	c.config = c.file("bots.yaml", fmt.Sprintf(`bots:
  one:
    token_file: %s
    discord_api: %s
  two:
    token_file: %s
    discord_api: %s
    caches: {emojis: off}
    max_attempts: 9
`, c.file("one.token", c.token), c.sim.APIURL(), c.file("two.token", two.Token()+tokenTwo), two.APIURL()))
	return c, two
}

// judgeBot waits until every ping of a Discord has one answer, and asserts that
// none has two.
func (c *cluster) judgeBot(name string, s *sim.Server) sim.Summary {
	c.t.Helper()
	c.poll("every ping of "+name+" is answered", 30*time.Second, func() error {
		left := s.Ledger().Summary().Unanswered
		return yes(len(left) == 0, "%d are not", len(left))
	})
	sum := s.Ledger().Summary()
	if len(sum.Duplicated) > 0 || sum.Strays > 0 || sum.Undeliverable > 0 {
		c.t.Errorf("%s: doubled %v, strays %d, undeliverable %d", name, sum.Duplicated, sum.Strays, sum.Undeliverable)
	}
	return sum
}

// TestTwoBots runs two bots, each with its own Discord and token, on three nodes
// and kills the leader under the load of both.
func TestTwoBots(t *testing.T) {
	parallel(t)
	const shards = 3
	c, two := newBots(t, shards, "")
	c.Three()
	both := map[string]*sim.Server{"one": c.sim, "two": two}
	for range rounds(t) {
		leader := c.Leader()
		load := two.StartLoad(sim.Load{Kind: "ping", Rate: pingRate, N: roundPings})
		c.Load(roundPings, func() { c.Kill9(leader) })
		if err := load.Wait(); err != nil {
			t.Fatal(err)
		}
		c.Restart(leader)
		c.WaitReady()
	}
	for name, s := range both {
		sum := c.judgeBot(name, s)
		if sum.Identifies != shards {
			t.Errorf("%s: %d IDENTIFYs for %d shards", name, sum.Identifies, shards)
		}
		t.Logf("FIGURE two bots, kill -9 of the leader: bot %s: %d pings, %d lost, %d doubled, %d IDENTIFYs, %d RESUMEs, longest silence %.0f ms",
			name, sum.Sent, len(sum.Unanswered), len(sum.Duplicated), sum.Identifies, sum.Resumes, sum.LongestSilenceMS)
	}
	c.Emptied()
	c.SameDigests()
	c.apart(c.Leader())
}

// apart asserts that commands and requests reach one bot and never the other.
func (c *cluster) apart(id string) {
	c.t.Helper()
	for _, args := range [][]string{
		{"config", "show"}, {"kv", "list"}, {"kv", "put", "k", "v"}, {"events"}, {"cache", "stats"}, {"dead-letter", "list"},
		{"shard", "show", "0"}, {"shard", "move", "0", "--to", id}, {"takeover", "--to", id}, {"cache", "guild", "1"},
	} {
		c.refused(id, 2, []string{"one, two", "--bot"}, args...)
		c.refused(id, 1, []string{"no such bot: three", "one, two"}, append(slices.Clone(args), "--bot", "three")...)
	}
	if err := c.request(http.MethodGet, id, "/v1/kv", nil, nil); err == nil || !strings.Contains(err.Error(), "bot_required") {
		c.t.Errorf("no bot is named: %v", err)
	}
	c.OK(id, "--bot", "one", "kv", "put", "greeting", "of one")
	c.OK(id, "--bot", "two", "kv", "put", "greeting", "of two")
	for _, bot := range []string{"one", "two"} {
		if got := c.OK(id, "--bot", bot, "kv", "get", "greeting"); got != "of "+bot+"\n" {
			c.t.Errorf("%s: %q", bot, got)
		}
		var stats []admin.CacheStats
		if err := c.request(http.MethodGet, id, "/v1/cache/stats?bot="+bot, nil, &stats); err != nil {
			c.t.Fatal(err)
		}
		for _, s := range stats {
			if s.Bot != bot || s.Kind == "emojis" && (s.Policy == "off") != (bot == "two") {
				c.t.Errorf("%+v", s)
			}
		}
	}
	// Configuration: one bot's file section, with its name or with --bot.
	c.OK(id, "config", "apply", c.file("just-two.yaml", "bots: {two: {max_attempts: 7}}\n"))
	if out := c.OK(id, "--bot", "two", "config", "show"); !strings.Contains(out, "max_attempts: 7") || !strings.Contains(out, "# revision 2") {
		c.t.Errorf("two: %s", out)
	}
	if out := c.OK(id, "--bot", "one", "config", "show"); !strings.Contains(out, "max_attempts: 5") || !strings.Contains(out, "# revision 1") {
		c.t.Errorf("one: %s", out)
	}
	if out := c.OK(id, "--bot", "two", "shard", "list"); strings.Contains(out, "one") {
		c.t.Errorf("the shards of two: %s", out)
	}
	c.OK(id, "--bot", "two", "takeover", "--to", id)
}

// TestWrongTokenOfOneBot leaves the other serving, through the death of the
// leader too.
func TestWrongTokenOfOneBot(t *testing.T) {
	parallel(t)
	c, two := newBots(t, 2, "x")
	for _, id := range []string{"joe", "mike", "robert"} {
		c.Start(id)
	}
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	serving := func() {
		t.Helper()
		c.poll("bot one is ready and two refused", 30*time.Second, func() error {
			st := c.status()
			for _, b := range st.Bots {
				switch {
				case b.Name == "one" && (b.Fatal != "" || b.ShardsByState["ready"] != 2):
					return yes(false, "%+v", b)
				case b.Name == "two" && !strings.Contains(b.Fatal, "401"):
					return yes(false, "%+v", b)
				}
			}
			return yes(len(st.Bots) == 2, "%d bots", len(st.Bots))
		})
	}
	serving()
	leader := c.Leader()
	c.Load(roundPings, func() { c.Kill9(leader) })
	c.Restart(leader)
	serving()
	sum := c.judgeBot("one", c.sim)
	if s := two.Ledger().Summary(); s.IdentifiesOK > 0 || len(two.LiveSessions()) > 0 {
		t.Errorf("two: %+v", s)
	}
	for id, n := range c.nodes {
		if log := n.proc.Log(); strings.Contains(log, two.Token()) || strings.Contains(log, c.token) {
			t.Errorf("%s: a token is in the log", id)
		}
	}
	t.Logf("FIGURE wrong token of one of two bots: the other: %d pings, %d lost, %d doubled, longest silence %.0f ms over a kill -9 of the leader",
		sum.Sent, len(sum.Unanswered), len(sum.Duplicated), sum.LongestSilenceMS)
}

// TestTokenOfOneBotIsRevoked has the gateway refuse one bot's token (4004) when
// its session is to be resumed: the other bot of the same process serves on.
func TestTokenOfOneBotIsRevoked(t *testing.T) {
	parallel(t)
	c, two := newBots(t, 1, "")
	c.Start("joe", "--bootstrap")
	c.WaitReady()
	c.file("two.token", two.Token()+"x")
	c.Kill9("joe")
	c.Restart("joe")
	c.waitFatal("joe", "4004")
	for _, b := range c.status().Bots {
		if (b.Name == "two") != (b.Fatal != "") {
			t.Errorf("%+v", b)
		}
	}
	c.Load(roundPings/2, func() {})
	sum := c.judgeBot("one", c.sim)
	if sum.Identifies != 1 {
		t.Errorf("one: %+v", sum)
	}
	c.file("two.token", two.Token())
	c.Kill9("joe")
	c.Restart("joe")
	c.WaitReady()
	t.Logf("FIGURE revoked token of one of two bots: the other: %d pings, %d lost, %d doubled", sum.Sent, len(sum.Unanswered), len(sum.Duplicated))
}
