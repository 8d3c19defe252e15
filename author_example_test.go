package botnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/faket"
)

// A handler that looks at what was before: it notes who was called what.
func ExampleOnUpdate() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.Intents = botnode.DefaultIntents() | discord.IntentGuildMembers
		botnode.OnUpdate(bot, "renamed", func(c *botnode.Context, old *dgo.Member, e gateway.EventGuildMemberUpdate) error {
			if old == nil || old.EffectiveName() == e.EffectiveName() {
				return nil // it was not cached, or something else has changed
			}
			return c.KV().Put("renamed", fmt.Appendf(nil, "%s is %s now", old.EffectiveName(), e.EffectiveName()))
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	guild := tb.Guilds()[0]
	for _, nick := range []string{"ada", "grace"} { // of the first name nobody knows what was before
		tb.Emit(discord.EventGuildMemberUpdate, map[string]any{
			"guild_id": guild, "nick": nick, "roles": []string{}, "joined_at": "2026-01-02T03:04:05Z",
			"user": map[string]any{"id": tb.Members(guild)[0], "username": "user1"},
		})
	}
	fmt.Println(tb.KV("renamed"))
	// Output: ada is grace now
}

// A handler for one command in the text of messages is asked before anything is
// decoded: of most messages it never hears.
func ExampleFilter() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "roll", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			if e.Author.Bot {
				return nil
			}
			return c.Reply("You have rolled a 4.")
		}, botnode.Filter(func(raw []byte) bool { return bytes.Contains(raw, []byte(`"content":"!roll"`)) }))
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	tb.Say("hello").ExpectNone()
	fmt.Println(tb.Say("!roll").Answer())
	// Output: You have rolled a 4.
}

// A handler that calls a service which is down at times: three more attempts,
// after 10, 20 and 40 ms.
func ExampleRetries() {
	down := errors.New("the weather service is down")
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "weather", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			if e.Content != "!weather" {
				return nil
			}
			if c.Attempt() < 3 {
				return down
			}
			return c.Reply(fmt.Sprintf("Rain, says attempt %d.", c.Attempt()))
		}, botnode.Retries(3, 10*time.Millisecond))
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	fmt.Println(tb.Say("!weather").Answer())
	// Output: Rain, says attempt 3.
}

// A handler whose service may hang: its context ends after 20 ms.
func ExampleTimeout() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "ask", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			if e.Content != "!ask" {
				return nil
			}
			if c.Attempt() == 1 {
				<-c.Done() // stands for a call with the context c
				return context.Cause(c)
			}
			return c.Reply("42, at the second attempt")
		}, botnode.Timeout(20*time.Millisecond), botnode.Retries(1, time.Millisecond))
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	fmt.Println(tb.Say("!ask").Answer())
	// Output: 42, at the second attempt
}

// Middleware keeps events of blocked guilds from every handler. A turn that is
// skipped by nil is done; one that is refused by an error is tried again.
func ExampleBot_Use() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.Use(func(next botnode.HandlerFunc) botnode.HandlerFunc {
			return func(c *botnode.Context) error {
				_, err := c.KV().Get("blocked/" + c.Guild().String())
				switch {
				case errors.Is(err, botnode.ErrNotFound):
					return next(c)
				case err != nil:
					return err
				}
				return c.KV().Add("skipped", 1) // and nothing else
			}
		})
		botnode.On(bot, "echo", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			if e.Author.Bot {
				return nil
			}
			return c.Reply(e.Content)
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	good, bad := tb.Guilds()[0], tb.Guilds()[1]
	tb.PutKV("blocked/"+bad.String(), "")
	fmt.Println(tb.SayIn(tb.Channels(good)[0], "hello").Answer())
	tb.SayIn(tb.Channels(bad)[0], "hello").ExpectNone()
	fmt.Println("skipped:", tb.KV("skipped"))
	// Output:
	// hello
	// skipped: 1
}

// Once an hour, in the whole cluster, the bot counts the hours: a time is like an
// event, it is handled whatever dies, and its writes take effect once.
func ExampleBot_Every() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.Every("hours", time.Hour, func(c *botnode.Context) error { return c.KV().Add("hours", 1) })
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	tb.Tick("hours")
	tb.KillLeader()
	tb.Tick("hours")
	fmt.Println(tb.KV("hours"), "hours")
	// Output: 2 hours
}

// A greeting on Mondays at eight, in a channel that the store knows.
func ExampleBot_Cron() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.Cron("monday", "CRON_TZ=Europe/Berlin 0 8 * * mon", func(c *botnode.Context) error {
			value, err := c.KV().Get("channel")
			if err != nil {
				return err
			}
			channel, err := snowflake.Parse(string(value))
			if err != nil {
				return err
			}
			return c.Send(discord.Snowflake(channel), "A good week to all!")
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	tb.PutKV("channel", tb.Channels(tb.Guilds()[0])[1].String())
	fmt.Println(tb.Tick("monday").Answer())
	// Output: A good week to all!
}

// Work that one node of the cluster does, here to note that it does it: when that
// node dies, another one does.
func ExampleBot_LeaderOnly() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.LeaderOnly("feed", func(t *botnode.Task) error {
			if err := t.Store().Add("feed/readers", 1); err != nil {
				return err
			}
			<-t.Done() // a program would read a feed until then
			return context.Cause(t)
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	tb.Wait("somebody reads the feed", func() bool { return tb.KV("feed/readers") == "1" })
	fmt.Println("one of", len(tb.Nodes()), "nodes reads the feed")
	// Output: one of 3 nodes reads the feed
}

// Work that no two processes of the bot may do at a time. What is written under
// the lock is refused once the lock is another's.
func ExampleBot_WithLock() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "import", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			if e.Content != "!import" {
				return nil
			}
			err := bot.WithLock(c, "import", func(t *botnode.Task) error {
				return t.Store().Put("imported", fmt.Appendf(nil, "under lock number %d", min(t.Fence(), 1)))
			})
			if err != nil {
				return err
			}
			return c.Reply("imported")
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	fmt.Println(tb.Say("!import").Answer())
	fmt.Println(tb.KV("imported"))
	// Output:
	// imported
	// under lock number 1
}

// What bots set up on READY belongs here: a session that another node resumed
// gets no READY, but a start.
func ExampleBot_OnStart() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.OnStart(func(t *botnode.Task, s botnode.Start) error {
			return t.Store().Put("started", fmt.Appendf(nil, "shard %d of %d: %s", s.Shard, s.Shards, s.Reason))
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot, botnodetest.Nodes(3))
	tb.Wait("the hook has run", func() bool { return tb.KV("started") != "" })
	fmt.Println(tb.KV("started"))
	tb.Kill(tb.Owner(0))
	tb.Wait("it has run elsewhere", func() bool { return strings.HasSuffix(tb.KV("started"), "failover") })
	fmt.Println(tb.KV("started"))
	// Output:
	// shard 0 of 1: normal
	// shard 0 of 1: failover
}

// A list in JSON under one key, to which handlers of many guilds add at a time:
// on a conflict only the function runs again.
func ExampleUpdate() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "join", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			name, ok := strings.CutPrefix(e.Content, "!join ")
			if !ok {
				return nil
			}
			_, err := botnode.Update(c.KV(), "queue", func(queue *[]string) error {
				*queue = append(*queue, name)
				return nil
			})
			return err
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	tb.Say("!join ada")
	tb.Say("!join grace")
	fmt.Println(tb.KV("queue"))
	// Output: ["ada","grace"]
}

// Every node keeps a setting at hand, and hears of it when an operator changes it
// (`botnode kv put`).
func ExampleStore_Watch() {
	var greeting atomic.Value // of the only node here
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		bot.OnStart(func(t *botnode.Task, _ botnode.Start) error {
			for change := range t.Store().Watch(t, "config/") {
				if change.Key == "config/greeting" {
					greeting.Store(string(change.Value))
				}
			}
			return nil // the shard has gone
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	for _, text := range []string{"hello", "good morning"} {
		tb.PutKV("config/greeting", text)
		tb.Wait("the node has heard of it", func() bool { return greeting.Load() == text })
		fmt.Println(greeting.Load())
	}
	// Output:
	// hello
	// good morning
}

// A command that sets the bot's presence, on all shards and from any node. It
// outlives the sessions.
func ExampleBot_SetPresence() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "play", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			game, ok := strings.CutPrefix(e.Content, "!play ")
			if !ok {
				return nil
			}
			err := bot.SetPresence(c, gateway.MessageDataPresenceUpdate{
				Status: dgo.OnlineStatusOnline, Activities: []dgo.Activity{{Name: game, Type: dgo.ActivityTypeGame}},
			})
			if err != nil {
				return err
			}
			return c.Reply("I play " + game + " now.")
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot, botnodetest.Shards(2))
	fmt.Println(tb.Say("!play chess").Answer())
	// Output: I play chess now.
}

// A command that finds members who aren't cached: Discord is asked through the
// gateway, on the guild's shard, whichever node has that.
func ExampleBot_RequestMembers() {
	newBot := func() *botnode.Bot {
		bot := botnode.New()
		botnode.On(bot, "who", func(c *botnode.Context, e gateway.EventMessageCreate) error {
			prefix, ok := strings.CutPrefix(e.Content, "!who ")
			if !ok {
				return nil
			}
			found, err := bot.RequestMembers(c, *e.GuildID, botnode.MemberQuery{Query: prefix, Limit: 2})
			if err != nil {
				return err
			}
			var names []string
			for _, m := range found {
				names = append(names, m.EffectiveName())
			}
			return c.Reply(fmt.Sprintf("%d members, such as %s", len(found), strings.Join(names, " and ")))
		})
		return bot
	}

	t := faket.New() // in a test: its *testing.T
	defer t.End()
	tb := botnodetest.Start(t, newBot)
	fmt.Println(tb.Say("!who user").Answer())
	// Output: 2 members, such as User 1 and User 2
}
