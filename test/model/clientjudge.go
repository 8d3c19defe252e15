package model

import (
	"fmt"
	"slices"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// commit is one thing that the cluster has committed and that clients are to be
// told of, in the order of the log: an event, or a gap of one of the bot's shards.
type commit struct {
	gap   bool
	k     fsm.ShardKey
	sid   string
	s     int64
	event string
	guild discord.Snowflake
}

// committed returns how much was committed, in its generation, once an entry of
// the log was applied.
func (o *oracle) committed(index int) int { return o.ends[index] }

// noteEnd notes how much is committed after an entry of the log.
func (o *oracle) noteEnd() { o.ends = append(o.ends, len(o.commits[o.m.generation()])) }

func (o *oracle) commit(c commit) {
	if len(o.s.clients) > 0 {
		gen := o.m.generation()
		o.commits[gen] = append(o.commits[gen], c)
	}
}

// clientKeyed is a session of a client in a generation.
type clientKeyed struct {
	generation uint64
	sid        string
}

// opening is what became of a session of a client.
type opening struct {
	ended  bool
	counts bool // its end, or its last, came under rules that remember it
	again  bool // it was opened after its end
}

// rulesOpenOnce are the rules from which on no session of a client is opened again after its end.
const rulesOpenOnce = 3

// judgeOpen: a late repeat of an OpenClient doesn't open a session again that is over (I10). One that ended under older
// rules may be, and the client that resumes it is sent other events under its numbers; nothing is asked of it then.
func (o *oracle) judgeOpen(c *fsm.OpenClient, pre sight) {
	if pre.open {
		return // a repeat of what holds
	}
	key := clientKeyed{pre.gen, c.Session.SID}
	was := o.opened[key]
	if was == nil {
		o.opened[key] = &opening{}
		return
	}
	if was.counts {
		o.s.fail("I10", "%s is opened again after its end", c.Session.SID)
	}
	was.ended, was.again = false, true
}

// noteEnded notes which sessions of clients a command has ended.
func (o *oracle) noteEnded(gen uint64) {
	if !o.changes.Clients {
		return
	}
	o.m.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(botName)
		for key, was := range o.opened {
			if _, open := b.ClientSession(key.sid); !open && !was.ended && key.generation == gen {
				was.ended, was.counts = true, s.Rules >= rulesOpenOnce
			}
		}
	})
}

// spoilt reports whether the client's session was opened again after its end.
func (c *client) spoilt() bool {
	was := c.s.oracle.opened[clientKeyed{c.gen, c.sid}]
	return was != nil && was.again
}

// wants says what a client is due by its shard and intents, in the words of
// Discord's documents and not of the proxy's code.
func (c *client) wants(e *commit) bool {
	if int(uint64(e.guild)>>22)%c.n != c.i {
		return false
	}
	switch e.event {
	case discord.EventGuildCreate, discord.EventGuildDelete:
		return c.intents.Has(discord.IntentGuilds)
	case discord.EventMessageCreate, discord.EventMessageUpdate:
		return c.intents.Has(discord.IntentGuildMessages)
	case discord.EventTypingStart:
		return c.intents.Has(discord.IntentGuildMessageTyping)
	case discord.EventInteractionCreate:
		return true
	}
	return false
}

// due returns the place of the next thing that a client has to be told of, before
// the end; a gap of a shard that may have its guilds is one.
func (c *client) due(end int) (at int, e *commit) {
	list := c.s.oracle.commits[c.gen]
	for at = c.at; at < min(end, len(list)); at++ {
		if e := &list[at]; e.gap && e.k.Shares(uint32(c.i), uint32(c.n)) || !e.gap && c.wants(e) {
			return at, e
		}
	}
	return at, nil
}

// got judges an event that a client is sent: it is the next that it is due (I10).
func (c *client) got(e *fsm.Entry, seq int64) {
	if seq <= c.seq {
		c.s.fail("I10", "%s is sent number %d after %d", c, seq, c.seq)
	}
	at, want := c.due(1 << 62)
	switch {
	case c.spoilt():
		at = c.placeOf(e, at)
	case want == nil:
		c.s.fail("I10", "%s is sent event %d of %s, and is due none", c, e.S, e.SID)
	case want.gap:
		c.s.fail("I10", "%s goes on in %s behind a gap of shard %v, and wasn't told", c, c.sid, want.k)
	case want.sid != e.SID || want.s != e.S:
		c.s.fail("I10", "%s is sent event %d of %s, and is due %d of %s", c, e.S, e.SID, want.s, want.sid)
	}
	c.at, c.seq = at+1, seq
	c.s.stats.Sent++
}

// placeOf returns where an event is among what is committed, or a place if it is not there.
func (c *client) placeOf(e *fsm.Entry, or int) int {
	at := slices.IndexFunc(c.s.oracle.commits[c.gen], func(have commit) bool { return !have.gap && have.sid == e.SID && have.s == e.S })
	if at < 0 {
		return or
	}
	return at
}

// hasResumed judges RESUMED: nothing is missing that was committed before, and
// what was of another generation doesn't count (I10).
func (c *client) hasResumed(seq int64, index int, gen uint64) {
	if gen != c.gen {
		c.s.fail("I10", "%s goes on in generation %d with a session of generation %d", c, gen, c.gen)
		return
	}
	switch _, want := c.due(c.s.oracle.committed(index)); {
	case c.spoilt():
		c.at = c.s.oracle.committed(index)
	case want != nil:
		c.s.fail("I10", "%s has resumed %s up to %d without %+v", c, c.sid, seq, *want)
	}
	if seq < c.seq {
		c.s.fail("I10", "RESUMED of %s has number %d after %d", c, seq, c.seq)
	}
	c.seq = max(c.seq, seq)
}

// unserved says what a client still waits for (I9).
func (c *client) unserved() string {
	switch _, want := c.due(1 << 62); {
	case !c.live():
		return c.String() + " has no connection"
	case c.sid == "":
		return c.String() + " has no session"
	case want != nil && want.gap:
		return fmt.Sprintf("%s wasn't told of a gap of shard %v", c, want.k)
	case want != nil:
		return c.String() + " has still to be sent events"
	}
	return ""
}
