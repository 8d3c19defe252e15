package botnodetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node/lab"
)

// Sent is a message, a command or an event that the bot was sent, and the way to
// its answers. Each message of the bot is an answer once: of ten messages that
// were said, each finds its own.
type Sent struct {
	c    *Cluster
	what string // for messages of failure
	from int    // the bot's messages before it
	own  func(sim.Posted) bool

	id, channel discord.Snowflake // of the message or interaction
}

// ID returns the id of the message that was said, or of the command's
// interaction; 0 for an event.
func (s *Sent) ID() discord.Snowflake { return s.id }

// Say has a user write a message in the first channel of the first guild.
func (c *Cluster) Say(content string) *Sent {
	c.t.Helper()
	return c.SayIn(0, content)
}

// SayIn has a user write a message in a channel; 0 is the first channel of the
// first guild.
func (c *Cluster) SayIn(channel discord.Snowflake, content string) *Sent {
	c.t.Helper()
	s := c.sending(fmt.Sprintf("the message %q", content))
	m, err := c.Discord().Say(sim.Say{Channel: sim.ID(channel), Content: content})
	switch {
	case err != nil:
		c.fail("saying %q in channel %d: %v", content, channel, err)
	case m.Delivered == 0:
		c.fail("nobody received the message %q: do the bot's Intents include those of guild messages?", content)
	}
	s.id, s.channel = discord.Snowflake(m.ID), discord.Snowflake(m.Channel)
	s.own = func(p sim.Posted) bool { return p.Channel == m.Channel }
	return s
}

// Command has a user run a slash command, with options by name: strings, bools,
// integers and floats, a discord.Snowflake for a user, or a map of options for a
// subcommand. Answers are what the bot makes of the interaction's token.
//
//	tb.Command("ban", map[string]any{"user": id, "days": 7}).Expect("banned")
func (c *Cluster) Command(name string, options map[string]any) *Sent {
	c.t.Helper()
	return c.CommandIn(0, name, options)
}

// CommandIn has a user run a slash command in a channel, as Command does; 0 is
// the first channel of the first guild.
func (c *Cluster) CommandIn(channel discord.Snowflake, name string, options map[string]any) *Sent {
	c.t.Helper()
	s := c.sending(fmt.Sprintf("the command /%s", name))
	list, err := lab.CommandOptions(options)
	if err != nil {
		c.fail("the command /%s: %v", name, err)
	}
	x, err := c.Discord().Interact(sim.Interact{Channel: sim.ID(channel), Name: name, Options: list})
	switch {
	case err != nil:
		c.fail("running /%s: %v", name, err)
	case x.Delivered == 0:
		c.fail("nobody received the command /%s", name)
	}
	s.id = discord.Snowflake(x.ID)
	s.own = func(p sim.Posted) bool { return p.Interaction == x.ID }
	return s
}

// Emit sends the bot an event of any type, such as "GUILD_MEMBER_ADD". data is
// encoded as JSON and goes to the shard of the guild in its guild_id, or to shard
// 0 without one; it is up to the test to have it look like Discord's. Answers are
// whatever the bot writes, in any channel.
//
// The guild itself stays as it is. To have it change as well, use Discord: Mutate
// has members join and leave, and more.
func (c *Cluster) Emit(event string, data any) *Sent {
	c.t.Helper()
	s := c.sending("the event " + event)
	n, err := c.lab.Emit(event, data)
	switch {
	case errors.Is(err, sim.ErrUnknown):
		c.fail("the event %s names a guild that the bot isn't in: Guilds lists them", event)
	case err != nil:
		c.fail("sending the event %s: %v", event, err)
	case n == 0:
		c.fail("nobody received the event %s: do the bot's Intents include those of it?", event)
	}
	s.own = func(sim.Posted) bool { return true }
	return s
}

// sending notes what is about to be sent.
func (c *Cluster) sending(what string) *Sent {
	s := &Sent{c: c, what: what, from: len(c.Discord().Ledger().PostedFrom(0))}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, what)
	return s
}

// Expect waits for an answer of this text. It doesn't mind others, which may be
// expected as well.
func (s *Sent) Expect(content string) *Sent {
	s.c.t.Helper()
	s.await(fmt.Sprintf("the answer %q to %s", content, s.what), func(p sim.Posted) bool { return p.Content == content })
	return s
}

// Answer waits for the next answer and returns its text.
func (s *Sent) Answer() string {
	s.c.t.Helper()
	return s.await("an answer to "+s.what, func(sim.Posted) bool { return true })
}

// ExpectNone waits until everything that was sent so far has been handled, and
// fails if there is an answer that nobody expected.
func (s *Sent) ExpectNone() {
	s.c.t.Helper()
	s.c.Settle()
	if _, content, found := s.find(func(sim.Posted) bool { return true }); found {
		s.c.fail("%s has the answer %q: none was expected", s.what, content)
	}
}

// grace is how long an answer may come after everything has been handled: from a
// goroutine that a handler has left behind.
const grace = 250 * time.Millisecond

func (s *Sent) await(what string, match func(sim.Posted) bool) string {
	s.c.t.Helper()
	ctx, cancel := s.c.deadline()
	defer cancel()
	settled := time.Time{}
	for {
		err := s.c.lab.Settled()
		if i, content, found := s.find(match); found {
			s.c.mu.Lock()
			s.c.taken[i] = true
			s.c.mu.Unlock()
			return content
		}
		switch {
		case err != nil:
			settled = time.Time{}
		case settled.IsZero():
			settled = time.Now()
		case time.Since(settled) > grace:
			s.c.fail("%s didn't come, and all events have been handled%s", what, s.instead())
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			s.c.fail("%s didn't come within %v%s", what, s.c.o.timeout, s.instead())
		}
	}
}

// find looks for an answer that wasn't taken before.
func (s *Sent) find(match func(sim.Posted) bool) (index int, content string, found bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for i, p := range s.c.Discord().Ledger().PostedFrom(s.from) {
		if !p.Deduped && !s.c.taken[s.from+i] && s.own(p) && match(p) {
			return s.from + i, p.Content, true
		}
	}
	return 0, "", false
}

// instead says what was answered in place of what was waited for.
func (s *Sent) instead() string {
	var got []string
	for _, p := range s.c.Discord().Ledger().PostedFrom(s.from) {
		if !p.Deduped && s.own(p) {
			got = append(got, fmt.Sprintf("%q", p.Content))
		}
	}
	if len(got) == 0 {
		return "; the bot has written nothing"
	}
	return "; the bot has written " + strings.Join(got, ", ")
}

// Tick has a schedule of Bot.Every or Bot.Cron run now, besides its own times:
// tests need not wait for the morning. Answers are whatever the bot writes, in
// any channel.
func (c *Cluster) Tick(schedule string) *Sent {
	c.t.Helper()
	s := c.sending("the schedule " + schedule)
	s.own = func(sim.Posted) bool { return true }
	ctx, cancel := c.deadline()
	defer cancel()
	if err := c.lab.RunSchedule(ctx, schedule); err != nil {
		c.fail("running the schedule %q: %v", schedule, err)
	}
	return s
}
