//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keep writes a secret into a file beside the nodes' directories, and returns its path.
func (c *cluster) keep(name, secret string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// Secure starts three nodes that speak TLS to each other. Only the first is given
// the bot's token; the others get it from the cluster. args are given to each by
// its id. It returns the join token.
func (c *cluster) Secure(args func(id string) []string) (joinToken string) {
	c.t.Helper()
	first := c.token
	c.Start("joe", append([]string{"--bootstrap", "--cluster-tls"}, args("joe")...)...)
	c.poll("a join token", 15*time.Second, func() error {
		res := c.CLI("joe", "join-token", "create")
		joinToken = strings.TrimSpace(res.Stdout)
		return yes(res.Code == 0, "%s", res.Stderr)
	})
	file := c.keep("join-token", joinToken)
	c.token = ""
	for _, id := range []string{"mike", "robert"} {
		c.Start(id, append([]string{"--join", c.nodes["joe"].cluster, "--join-token-file", file}, args(id)...)...)
	}
	c.OK("joe", "bot-token", "set", "--file", c.keep("first-token", first))
	c.WaitReady()
	return joinToken
}

// TestBotTokenFromTheCluster: nodes that were never given the bot's token serve it
// when the one that was is gone, and go on with another token that is set while
// they run, once Discord refuses the first.
func TestBotTokenFromTheCluster(t *testing.T) {
	c := newCluster(t, simOptions(3))
	first := c.token
	c.Secure(func(string) []string { return nil })
	c.Load(roundPings, func() { c.Kill9("joe") })
	c.waitAll("two nodes serve", c.served)
	account, _, _ := strings.Cut(first, ".")
	second := account + ".another-token.of-the-same-bot"
	file := c.keep("second-token", second)
	begun := time.Now()
	c.Load(roundPings, func() {
		c.sim.ReplaceToken(second)
		c.poll("discord refuses the bot", 10*time.Second, func() error {
			return yes(c.nodes["mike"].proc.Logged("bot_refused") || c.nodes["robert"].proc.Logged("bot_refused"), "not yet")
		})
		begun = time.Now()
		c.OK("mike", "bot-token", "set", "--file", file)
		c.waitAll("the bot is back", c.served)
		t.Logf("from `bot-token set` to all shards served: %v", time.Since(begun))
	})
	c.Restart("joe") // without a token of its own by now
	c.WaitReady()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	for id, n := range c.nodes {
		for _, token := range []string{first, second} {
			if strings.Contains(n.proc.Log(), token) {
				t.Errorf("a token is in %s's log", id)
			}
		}
	}
}
