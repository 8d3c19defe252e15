package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// Where a session goes on, or why it doesn't.
func TestResumeAt(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, retain: 2000})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	begun := c.seq // of the last guild
	for i := range 20 {
		b.say(guildID(0), fmt.Sprint("message ", i))
	}
	b.nodes[0].ViewState(func(st *fsm.State) {
		bot := st.Bot(bedBot)
		cs, _ := bot.ClientSession(c.sid)
		last, first := int64(bot.LastPos)-cs.Base, int64(bot.RetainedFirst())-cs.Base
		if first <= begun+1 || first >= last {
			t.Fatalf("numbers %d to %d are retained, the session began with %d", first, last, begun)
		}
		for name, tc := range map[string]struct {
			s, through, confirmed int64
			next                  int64
			verdict               fsm.ResumePlace
		}{
			"all was read":               {last, 0, 0, last + 1, fsm.ResumeGoesOn},
			"the oldest comes next":      {first - 1, 0, 0, first, fsm.ResumeGoesOn},
			"the one before it is gone":  {first - 2, 0, 0, 0, fsm.ResumeLost},
			"what is gone was confirmed": {first - 2, first + 1, first - 2, first + 2, fsm.ResumeGoesOn},
			"what is there was, too":     {first, first + 1, first, first + 1, fsm.ResumeGoesOn},
			"not all of it was":          {first - 5, first - 3, first - 5, 0, fsm.ResumeLost},
			"more was confirmed before":  {first - 3, first + 1, first - 2, 0, fsm.ResumeLost},
			"in the middle of the begin": {1, 0, 0, 0, fsm.ResumeLost},
			"confirmed in the middle":    {1, last, 1, 0, fsm.ResumeLost},
			"below":                      {-1, 0, 0, 0, fsm.ResumeBadSeq},
			"above":                      {last + 1, 0, 0, 0, fsm.ResumeBadSeq},
		} {
			cs.Seq, cs.Through = tc.confirmed, tc.through
			next, verdict := bot.ResumeClient(&cs, tc.s)
			if verdict != tc.verdict || verdict == fsm.ResumeGoesOn && int64(next)-cs.Base != tc.next {
				t.Errorf("%s: %d, %d", name, int64(next)-cs.Base, verdict)
			}
		}
	})
}

// A heartbeat confirms what it names, and what was passed over behind it.
func TestTouched(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, tc := range map[string]struct {
		d             string
		want, through int64
	}{
		"nothing":              {"null", 0, 0},
		"no number":            {`"5"`, 0, 0},
		"an older event":       {"70", 70, 0},
		"the last event":       {"80", 80, 95},
		"one that wasn't sent": {"96", 0, 0},
		"below 0":              {"-4", 0, 0},
	} {
		s := &session{base: 5, first: 66, next: 101, lastS: 80}
		got := s.touched([]byte(tc.d), now)
		if got == nil || got.seq != tc.want || got.through != tc.through || got.until != now.Add(sessionLife).UnixMilli() {
			t.Errorf("%s: %+v, want %d", name, got, tc.want)
		}
		if s.touched([]byte(tc.d), now.Add(touchEvery-1)) != nil || s.touched([]byte(tc.d), now.Add(touchEvery)) == nil {
			t.Errorf("%s: not once in %v", name, touchEvery)
		}
	}
	begun := &session{base: 5, first: 66, next: 101, lastS: 3}
	if got := begun.touched([]byte("3"), now); got.seq != 3 || got.through != 0 {
		t.Errorf("in the middle of the begin: %+v", got)
	}
}

// Wrong keys of an address are answered ever later; those of others aren't.
func TestAttempts(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	for i := range 100 {
		d := a.wrong("a", now)
		if i < freeAttempts && d != 0 || i == freeAttempts && d != attemptStep || i > 50 && d != mostDelay {
			t.Errorf("attempt %d waits %v", i, d)
		}
	}
	if d := a.wrong("b", now); d != 0 {
		t.Errorf("another address waits %v", d)
	}
	if d := a.wrong("a", now.Add(attemptMemory+1)); d != 0 {
		t.Errorf("after a long while: %v", d)
	}
	for i := range 2 * maxAddrs {
		a.wrong(fmt.Sprint(i), now)
	}
	if len(a.byAddr) > maxAddrs {
		t.Errorf("%d addresses are kept", len(a.byAddr))
	}
}

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "pipe": "pipe",
	} {
		if got := peer(remote); got != want {
			t.Errorf("%s: %s", remote, got)
		}
	}
}

func TestSends(t *testing.T) {
	var s sends
	now := time.Unix(1000, 0)
	for i := range maxSends {
		if !s.another(now) {
			t.Fatalf("%d are too many", i+1)
		}
	}
	if s.another(now.Add(sendWindow - 1)) {
		t.Error("one too many")
	}
	if !s.another(now.Add(sendWindow)) {
		t.Error("the next minute")
	}
}
