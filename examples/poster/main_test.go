package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
)

// Tips are due while leaders die: each channel that has subscribed has each tip
// once, in order, and the others have none.
func TestEachTipOnceInEachChannel(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	var channels []discord.Snowflake
	for _, guild := range tb.Guilds() {
		for _, id := range tb.Channels(guild)[:2] {
			tb.CommandIn(id, "tips", map[string]any{"on": map[string]any{}}).Expect("A tip comes here every morning.")
			channels = append(channels, id)
		}
	}
	tb.Settle() // an answer shows before what its handler wrote is committed
	const mornings = 6
	for day := range mornings {
		tip := tb.Tick("tip")
		if day%2 == 0 {
			dead := tb.KillLeader() // while the tip is being written
			tb.Settle()
			tb.Restart(dead)
		}
		for range channels {
			tip.Expect(text(day + 1))
		}
		tip.ExpectNone()
	}
	for _, id := range channels {
		want := []string{"A tip comes here every morning."}
		for day := range mornings {
			want = append(want, text(day+1))
		}
		if got := tb.Shown(id); !slices.Equal(got, want) {
			t.Errorf("channel %d shows %q, want %q", id, got, want)
		}
	}
	if got := tb.KV("tips"); got != fmt.Sprint(mornings) {
		t.Errorf("%s tips are counted, want %d", got, mornings)
	}
	if got := tb.Shown(tb.Channels(tb.Guilds()[0])[2]); len(got) > 0 {
		t.Errorf("a channel that has not subscribed shows %q", got)
	}
}

func TestSubscriptionsEnd(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	on, off := map[string]any{"on": map[string]any{}}, map[string]any{"off": map[string]any{}}
	tb.Command("tips", on).Expect("A tip comes here every morning.")
	tb.KillLeader()
	tb.Command("tips", on).Expect("This channel has tips already.")
	tb.Settle() // an answer shows before what its handler wrote is committed
	tb.Tick("tip").Expect(text(1))
	tb.Command("tips", off).Expect("No more tips here.")
	tb.Settle()
	tb.Tick("tip").ExpectNone()
}

// text is what the bot writes as tip n.
func text(n int) string { return fmt.Sprintf("Tip %d: %s", n, tips[(n-1)%len(tips)]) }
