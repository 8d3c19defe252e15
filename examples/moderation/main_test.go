package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

// Ten warnings, of which the leader dies in the middle: each is answered once,
// with its own number, and the store has ten.
func TestWarningsSurviveTheLeader(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	guild := tb.Guilds()[0]
	user := tb.Members(guild)[4]
	const n = 10
	var sent []*botnodetest.Sent
	for i := range n {
		if i == n/2 {
			tb.KillLeader()
		}
		sent = append(sent, tb.Command("warn", map[string]any{"user": user, "reason": fmt.Sprintf("reason %d", i+1)}))
	}
	for i, s := range sent {
		want := fmt.Sprintf("%s has warning %d: reason %d", name(t, tb, guild, user), i+1, i+1)
		if (i+1)%tolerance == 0 {
			want += "; silenced for 1h0m0s"
		}
		s.Expect(want)
		s.ExpectNone() // and no second answer
	}
	if got := tb.KV(fmt.Sprintf("warnings/%d/%d", guild, user)); got != fmt.Sprint(n) {
		t.Errorf("%s warnings are counted, want %d", got, n)
	}
	if got := len(tb.Messages()); got != n {
		t.Errorf("%d messages for %d warnings: %q", got, n, tb.Messages())
	}
	until := silenced(t, tb, guild, user)
	if left := time.Until(until); left < penalty-time.Minute || left > penalty {
		t.Errorf("silenced for %v more, want %v", left, penalty)
	}
	list := tb.Command("warnings", map[string]any{"user": user}).Answer()
	for i := range n {
		if line := fmt.Sprintf("%d. reason %d", i+1, i+1); !slices.Contains(lines(list), line) {
			t.Errorf("%q isn't in the list %q", line, list)
		}
	}
}

// A time-out and a kick whose node dies are done all the same, and their answers
// come once.
func TestTimeoutAndKickSurviveTheLeader(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	guild := tb.Guilds()[0]
	loud, spammer, good := tb.Members(guild)[3], tb.Members(guild)[5], tb.Members(guild)[6]
	silence := tb.Command("timeout", map[string]any{"user": loud, "minutes": 10})
	dead := tb.KillLeader()
	kick := tb.Command("kick", map[string]any{"user": spammer})
	silence.Expect(name(t, tb, guild, loud) + " is silenced for 10m0s").ExpectNone()
	kick.Answer()
	kick.ExpectNone()
	if slices.Contains(tb.Members(guild), spammer) {
		t.Error("who was kicked is still there")
	}
	if !slices.Contains(tb.Members(guild), loud) {
		t.Error("who was silenced is gone")
	}
	if left := time.Until(silenced(t, tb, guild, loud)); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("silenced for %v more, want 10m", left)
	}
	tb.Restart(dead)
	tb.Command("warnings", map[string]any{"user": good}).Expect(name(t, tb, guild, good) + " has no warnings")
}

// member reads what Discord has of a member.
func member(t *testing.T, tb *botnodetest.Cluster, guild, user discord.Snowflake) (m struct {
	User  struct{ Username string } `json:"user"`
	Until *time.Time                `json:"communication_disabled_until"`
}) {
	t.Helper()
	truth, _ := tb.Discord().Truth(sim.ID(guild))
	if err := json.Unmarshal(truth.Members[sim.ID(user)], &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func name(t *testing.T, tb *botnodetest.Cluster, guild, user discord.Snowflake) string {
	t.Helper()
	return member(t, tb, guild, user).User.Username
}

func silenced(t *testing.T, tb *botnodetest.Cluster, guild, user discord.Snowflake) time.Time {
	t.Helper()
	until := member(t, tb, guild, user).Until
	if until == nil {
		t.Fatal("nobody is silenced")
	}
	return *until
}

func lines(text string) []string { return strings.Split(text, "\n") }
