package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// sessionLife is how long a session without a heartbeat can be resumed.
const sessionLife = 10 * time.Minute

// touchEvery is how often a session's heartbeats reach the cluster at most.
const touchEvery = 15 * time.Second

// session is what a connection knows of the session that it serves.
type session struct {
	follower
	filter
	client Client
	feed   *feed

	base   int64
	first  int64  // a client that has a lower number is in the middle of what the session began with
	next   uint64 // the position to look at next
	lastS  int64  // the number that was sent last
	replay bool   // RESUMED is due once next is above upTo
	upTo   uint64

	touch time.Time // when the cluster was last told that it lives
}

// newSID draws the id of a session.
func newSID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// checkShard returns the shard of an IDENTIFY: [0, 1] if it names none.
func checkShard(pair []int64) (shard, shards uint32, refusal *ending) {
	if len(pair) == 0 {
		return 0, 1, nil
	}
	const most = 1 << 20 // no bot has as many guilds
	if len(pair) != 2 || pair[0] < 0 || pair[0] >= pair[1] || pair[1] > most {
		return 0, 0, closing(discord.CloseInvalidShard, "shard is [i, n] with 0 <= i < n")
	}
	return uint32(pair[0]), uint32(pair[1]), nil
}

// checkIntents compares what a client wants with what the bot itself is sent.
func checkIntents(want *int64, has discord.Intents) (discord.Intents, *ending) {
	if want == nil || *want < 0 {
		return 0, closing(discord.CloseInvalidIntents, "intents are a number of 0 or more")
	}
	in := discord.Intents(*want)
	missing := in &^ has
	switch {
	case missing == 0:
		return in, nil
	case missing&discord.IntentsPrivileged != 0:
		return 0, closing(discord.CloseDisallowedIntents, fmt.Sprintf("the bot's own session has not: %v", missing&discord.IntentsPrivileged))
	}
	return 0, closing(discord.CloseInvalidIntents, fmt.Sprintf("the bot's own session has not: %v", missing))
}

// seq is the number of a position.
func (s *session) seq(pos uint64) int64 { return int64(pos) - s.base }

// touched returns what a heartbeat says of a session, nil if the cluster has
// been told of late. d is the heartbeat's.
//
// A client that has confirmed the last event that it was sent has everything up
// to the position that was looked at last.
func (s *session) touched(d []byte, now time.Time) *touch {
	if now.Sub(s.touch) < touchEvery {
		return nil
	}
	s.touch = now
	t := &touch{bot: s.client.Bot, sid: s.sid, attach: s.attach, until: now.Add(sessionLife).UnixMilli()}
	if n, ok := jsonscan.Int(d); ok && n > 0 && n <= s.lastS && !s.replay {
		t.seq = n
		if n == s.lastS && n >= s.first {
			t.through = s.seq(s.next - 1)
		}
	}
	return t
}

// quoted is a snowflake as JSON.
func quoted(id discord.Snowflake) string { return `"` + strconv.FormatUint(uint64(id), 10) + `"` }
