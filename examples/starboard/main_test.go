package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
)

// Five members star each of four messages, and the leader dies in the middle:
// each message has one post, with the right number of stars.
func TestOnePostForEachMessageWhateverDies(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	guild := tb.Guilds()[0]
	talk, board, users := tb.Channels(guild)[0], tb.Channels(guild)[1], tb.Members(guild)[:5]
	tb.CommandIn(board, "starboard", nil).Expect("Messages with enough stars are shown here.")

	const messages = 4
	var said []*botnodetest.Sent
	for i := range messages {
		said = append(said, tb.SayIn(talk, fmt.Sprintf("joke %d", i)))
	}
	for k, user := range users {
		for i, message := range said {
			if k == enough-1 && i == messages/2 { // between the posts of two messages
				tb.KillLeader()
			}
			tb.React(message, user, star)
			tb.React(message, user, "👍") // isn't a star
		}
	}
	tb.Settle()
	if got, want := shown(tb, board), posts(messages, len(users)); !slices.Equal(got, want) {
		t.Errorf("the board shows %q, want %q", got, want)
	}
	for i, message := range said {
		if got := tb.KV(fmt.Sprintf("post/%d", message.ID())); got == "" {
			t.Errorf("the post of message %d isn't noted", i)
		}
	}
	if got := len(tb.Messages()); got != messages+1 { // and the answer to the command
		t.Errorf("the bot has written %d messages: %q", got, tb.Messages())
	}

	// A star that is taken back is gone, one that is given twice counts once.
	for _, message := range said {
		tb.Unreact(message, users[0], star)
		tb.React(message, users[1], star)
	}
	tb.Settle()
	if got, want := shown(tb, board), posts(messages, len(users)-1); !slices.Equal(got, want) {
		t.Errorf("the board shows %q, want %q", got, want)
	}
}

func TestNoPostWithTooFewStarsOrWithoutABoard(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newBot)
	users := tb.Members(tb.Guilds()[0])
	board := tb.Channels(tb.Guilds()[0])[1]
	first := tb.Say("before there is a board")
	for _, user := range users[:enough] {
		tb.React(first, user, star)
	}
	tb.Settle()
	tb.CommandIn(board, "starboard", nil).Answer()
	second := tb.Say("hardly funny")
	for range 2 { // each counts once
		for _, user := range users[:enough-1] {
			tb.React(second, user, star)
		}
	}
	tb.Settle()
	if got := shown(tb, board); len(got) > 0 {
		t.Errorf("the board shows %q", got)
	}
}

// shown is what the board shows besides the answer to /starboard, sorted.
func shown(tb *botnodetest.Cluster, board discord.Snowflake) []string {
	return slices.Sorted(slices.Values(tb.Shown(board)[1:]))
}

// posts are those of messages with a number of stars.
func posts(messages, stars int) (want []string) {
	for i := range messages {
		want = append(want, fmt.Sprintf("%s %d user1: joke %d", star, stars, i))
	}
	return want
}
