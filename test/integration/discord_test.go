//go:build unix

package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

// waitFatal waits until a node tells why Discord refuses the bot.
func (c *cluster) waitFatal(id, want string) {
	c.t.Helper()
	c.poll("the refusal shows", 20*time.Second, func() error {
		st, err := c.Status(id)
		if err != nil {
			return err
		}
		for _, b := range st.Bots {
			if strings.Contains(b.Fatal, want) {
				return nil
			}
		}
		return yes(false, "bots %+v, problems %+v", st.Bots, st.Problems)
	})
	st, err := c.Status(id)
	if err != nil {
		c.t.Fatal(err)
	}
	named := false
	for _, p := range st.Problems {
		named = named || p.Code == "bot_refused" && p.Hint != ""
	}
	if !named {
		c.t.Errorf("no problem says that discord refuses the bot: %+v", st.Problems)
	}
	if err := c.request(http.MethodGet, id, "/livez", nil, nil); err != nil {
		c.t.Errorf("the process doesn't live: %v", err)
	}
}

func TestDiscordRefusesTheToken(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	right := c.token
	c.Start("joe", "--bootstrap")
	c.WaitReady()
	c.Kill9("joe")
	c.token = right + "x"
	c.Restart("joe")
	c.waitFatal("joe", "4004")
	if out := c.OK("joe", "status"); !strings.Contains(out, "4004") {
		t.Errorf("`botnode status` doesn't tell: %s", out)
	}
	if log := c.nodes["joe"].proc.Log(); strings.Contains(log, right) {
		t.Error("the token is in the log")
	}
	if s := c.brief(); s.Resumes > 2 || s.Identifies > 1 {
		t.Errorf("a refused bot goes on trying: %+v", s)
	}
	c.Kill9("joe")
	c.token = right
	c.Restart("joe")
	c.WaitReady()
	c.Load(roundPings/6, func() {})
}

func TestDiscordRefusesAWrongTokenFromTheStart(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	c.token += "x"
	c.Start("joe", "--bootstrap")
	c.waitFatal("joe", "401")
}

func TestDiscordRefusesTheIntents(t *testing.T) {
	parallel(t)
	o := simOptions(1)
	o.DisallowedIntents = int64(discord.IntentGuildPresences)
	c := newCluster(t, o)
	c.Start("joe", "--bootstrap", "--intents", "all")
	c.waitFatal("joe", "4014")
	if s := c.brief(); s.Identifies > 1 {
		t.Errorf("%d IDENTIFYs: a refused bot goes on trying", s.Identifies)
	}
}

// TestDiscordIsUnreachable cuts Discord off for a while that its sessions
// outlive. Messages wait at Discord, answers at the node.
func TestDiscordIsUnreachable(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three()
	c.Load(2*roundPings, func() {
		c.inject(sim.Fault{Kind: "outage", MS: 3000})
	})
	c.WaitReady()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
}
