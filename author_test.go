package botnode_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

// fleet makes a node's instances of a bot and remembers them.
type fleet struct {
	mu   sync.Mutex
	bots []*botnode.Bot
	make func(i int, b *botnode.Bot)
}

func (f *fleet) new() *botnode.Bot {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := botnode.New()
	b.Intents = discord.IntentsAll
	f.make(len(f.bots), b)
	f.bots = append(f.bots, b)
	return b
}

func echo(c *botnode.Context, e gateway.EventMessageCreate) error {
	if e.Author.Bot {
		return nil
	}
	return c.Reply("echo " + e.Content)
}

// within bounds a test's own calls.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestStartsSayWhy(t *testing.T) {
	t.Parallel()
	type started struct {
		node int
		botnode.Start
	}
	var mu sync.Mutex
	var starts []started
	var stops atomic.Int32
	f := &fleet{make: func(i int, b *botnode.Bot) {
		botnode.On(b, "echo", echo)
		b.OnStart(func(_ *botnode.Task, s botnode.Start) error {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, started{i, s})
			return nil
		})
		b.OnStop(func(*botnode.Task, botnode.Stop) error {
			stops.Add(1)
			return nil
		})
	}}
	tb := botnodetest.Start(t, f.new, botnodetest.Nodes(3))
	last := func() started {
		mu.Lock()
		defer mu.Unlock()
		return starts[len(starts)-1]
	}
	count := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(starts) == n
		}
	}
	tb.Say("one").Expect("echo one")
	tb.Wait("the first start", count(1))
	if s := last(); s.Reason != botnode.Normal || s.From != "" || s.Shards != 1 {
		t.Errorf("at first: %+v", s)
	}
	from := tb.Owner(0)
	to := tb.Nodes()[0]
	if to == from {
		to = tb.Nodes()[1]
	}
	tb.MoveShard(0, to)
	tb.Wait("the start after the move", count(2))
	if s := last(); s.Reason != botnode.Handoff || s.From != from {
		t.Errorf("after a move from %s: %+v", from, s)
	}
	tb.Wait("the stop before it", func() bool { return stops.Load() >= 1 })
	tb.Kill(to)
	tb.Say("two").Expect("echo two")
	tb.Wait("the start after the death", count(3))
	if s := last(); s.Reason != botnode.Failover || s.From != to || s.Gap <= 0 {
		t.Errorf("after the death of %s: %+v", to, s)
	}
}

// Each time of a schedule has one turn in the cluster, whoever dies meanwhile.
func TestSchedulesRunOnce(t *testing.T) {
	t.Parallel()
	f := &fleet{make: func(_ int, b *botnode.Bot) {
		botnode.On(b, "echo", echo)
		b.Every("tick", time.Second, func(c *botnode.Context) error {
			at := c.Scheduled()
			if at.IsZero() || at.UnixMilli()%1000 != 0 {
				return fmt.Errorf("run for %v", at)
			}
			first, err := c.KV().PutIfAbsent(fmt.Sprintf("at/%d", at.Unix()), []byte(c.Key()))
			if err != nil {
				return err
			}
			if !first {
				return errors.New("this time was acknowledged before")
			}
			return c.KV().Add("ticks", 1)
		})
	}}
	tb := botnodetest.Start(t, f.new, botnodetest.Nodes(3))
	ticks := func() int {
		n, _ := strconv.Atoi(tb.KV("ticks"))
		return n
	}
	tb.Wait("two ticks", func() bool { return ticks() >= 2 })
	tb.KillLeader()
	tb.Wait("two more", func() bool { return ticks() >= 4 })
	keys := 0
	for range f.bots[len(f.bots)-1].Store(t.Context()).List("at/") {
		keys++
	}
	if n := ticks(); keys > n || keys < n-1 {
		t.Errorf("%d ticks at %d times", n, keys)
	}
}

// Work for one node runs on one, and on another one when that is gone.
func TestLeaderOnlyMovesOn(t *testing.T) {
	t.Parallel()
	runs := make(chan int, 10)
	f := &fleet{make: func(i int, b *botnode.Bot) {
		b.LeaderOnly("job", func(task *botnode.Task) error {
			runs <- i
			if err := task.Store().Add("runs", 1); err != nil {
				return err
			}
			<-task.Done()
			return context.Cause(task)
		})
	}}
	tb := botnodetest.Start(t, f.new, botnodetest.Nodes(3))
	run := func() int {
		t.Helper()
		select {
		case i := <-runs:
			return i
		case <-time.After(20 * time.Second):
			t.Fatal("nobody does it")
			return 0
		}
	}
	first := run()
	tb.Wait("the first run's write", func() bool { return tb.KV("runs") == "1" })
	tb.Kill(tb.Nodes()[first])
	if second := run(); second == first {
		t.Errorf("node %d does it still", first)
	}
	tb.Wait("the second run's write", func() bool { return tb.KV("runs") == "2" })
	if len(runs) > 0 {
		t.Error("a third one does it too")
	}
}

// What is read and written under a lock is nobody else's meanwhile, although
// each write commits by itself.
func TestWithLockExcludes(t *testing.T) {
	t.Parallel()
	f := &fleet{make: func(int, *botnode.Bot) {}}
	tb := botnodetest.Start(t, f.new, botnodetest.Nodes(3))
	ctx := within(t, 30*time.Second)
	const each = 10
	var wg sync.WaitGroup
	for _, b := range f.bots {
		for range 2 {
			wg.Go(func() {
				for range each {
					err := b.WithLock(ctx, "counter", func(task *botnode.Task) error {
						n := 0
						v, err := task.Store().Get("n")
						if err == nil {
							n, err = strconv.Atoi(string(v))
						}
						if err != nil && !errors.Is(err, botnode.ErrNotFound) {
							return err
						}
						return task.Store().Put("n", strconv.AppendInt(nil, int64(n+1), 10))
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	want := strconv.Itoa(len(f.bots) * 2 * each)
	tb.Wait("the count is "+want, func() bool { return tb.KV("n") == want })
}

// A handler that fails for good is a dead letter by itself; the others of the
// event run once. Filters and middleware see each turn.
func TestOptionsOfHandlers(t *testing.T) {
	t.Parallel()
	var wrapped, broken atomic.Int32
	f := &fleet{make: func(_ int, b *botnode.Bot) {
		b.Use(func(next botnode.HandlerFunc) botnode.HandlerFunc {
			return func(c *botnode.Context) error {
				wrapped.Add(1)
				return next(c)
			}
		})
		mine := botnode.Filter(func(raw []byte) bool { return strings.Contains(string(raw), "!break") })
		botnode.OnRaw(b, "broken", discord.EventMessageCreate, func(*botnode.Context) error {
			broken.Add(1)
			return errors.New("no")
		}, mine, botnode.Retries(2, time.Millisecond))
		botnode.OnRaw(b, "counts", discord.EventMessageCreate, func(c *botnode.Context) error {
			return c.KV().Add("counted", 1)
		}, mine)
		botnode.OnRaw(b, "replies", discord.EventMessageCreate, func(c *botnode.Context) error {
			return c.Reply("still here")
		}, mine, botnode.Timeout(time.Minute))
	}}
	tb := botnodetest.Start(t, f.new)
	tb.Say("nothing").ExpectNone()
	if wrapped.Load() != 0 {
		t.Error("a filtered event has a turn")
	}
	tb.Say("!break").Expect("still here")
	tb.Wait("a dead letter", func() bool { return len(tb.DeadLetters()) == 1 })
	if n := broken.Load(); n != 3 {
		t.Errorf("the broken handler ran %d times", n)
	}
	if got := tb.KV("counted"); got != "1" {
		t.Errorf("counted %s times", got)
	}
	if n := wrapped.Load(); n != 5 {
		t.Errorf("%d turns went through the middleware, want 3 and 2", n)
	}
}

// OnUpdate has what was there before, as the cache held it.
func TestOnUpdateHasTheOldObject(t *testing.T) {
	t.Parallel()
	changes := make(chan string, 10)
	f := &fleet{make: func(_ int, b *botnode.Bot) {
		botnode.OnUpdate(b, "roles", func(_ *botnode.Context, old *dgo.Role, e gateway.EventGuildRoleUpdate) error {
			if old == nil {
				changes <- "? > " + e.Role.Name
				return nil
			}
			changes <- old.Name + " > " + e.Role.Name
			return nil
		})
	}}
	tb := botnodetest.Start(t, f.new)
	guild := tb.Guilds()[0]
	role := func(name string) map[string]any {
		return map[string]any{"guild_id": guild.String(), "role": map[string]any{"id": "77", "name": name, "permissions": "0"}}
	}
	tb.Emit("GUILD_ROLE_CREATE", role("red"))
	tb.Emit("GUILD_ROLE_UPDATE", role("green"))
	tb.Emit("GUILD_ROLE_UPDATE", role("blue"))
	for _, want := range []string{"red > green", "green > blue"} {
		select {
		case got := <-changes:
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no change: want %s", want)
		}
	}
}

// Members are requested, presences set and voice channels joined from any node.
func TestGatewayFromAnyNode(t *testing.T) {
	t.Parallel()
	f := &fleet{make: func(_ int, b *botnode.Bot) { botnode.On(b, "echo", echo) }}
	tb := botnodetest.Start(t, f.new, botnodetest.Nodes(3), botnodetest.Shards(2), botnodetest.Discord(func(o *sim.Options) { o.Members, o.MemberRequestWindow = 30, 300*time.Millisecond }))
	ctx := within(t, 30*time.Second)
	guild := snowflake.ID(tb.Guilds()[0])
	for i, b := range f.bots {
		members, err := b.RequestMembers(ctx, guild, botnode.MemberQuery{})
		if err != nil {
			t.Fatal(err)
		}
		// After the first one Discord puts each off: it was asked a moment ago.
		if len(members) < 30 {
			t.Errorf("node %d got %d members", i, len(members))
		}
		status := []dgo.OnlineStatus{dgo.OnlineStatusDND, dgo.OnlineStatusIdle, dgo.OnlineStatusOnline}[i]
		if err := b.SetPresence(ctx, gateway.MessageDataPresenceUpdate{Status: status}); err != nil {
			t.Fatal(err)
		}
		tb.Wait("both sessions show "+string(status), func() bool {
			shown := 0
			for _, s := range tb.Discord().Ledger().Sessions() {
				if slices.ContainsFunc(s.Notes, func(n sim.Note) bool { return n.What == "presence" && n.More == string(status) }) {
					shown++
				}
			}
			return shown == 2
		})
	}
	if err := f.bots[0].SetPresence(ctx, gateway.MessageDataPresenceUpdate{Status: "sleeping"}); err == nil {
		t.Error("a status that Discord doesn't have is taken")
	}
}

func TestStoreWatch(t *testing.T) {
	t.Parallel()
	f := &fleet{make: func(int, *botnode.Bot) {}}
	botnodetest.Start(t, f.new, botnodetest.Nodes(3))
	ctx, cancel := context.WithCancel(within(t, 30*time.Second))
	defer cancel()
	writer, reader := f.bots[0].Store(ctx), f.bots[2].Store(ctx)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(writer.Put("w/a", []byte("1")))
	var seen []string
	step := 0
	for ch := range reader.Watch(ctx, "w/") {
		if ch.Deleted {
			seen = append(seen, ch.Key+" gone")
		} else {
			seen = append(seen, ch.Key+"="+string(ch.Value))
		}
		switch step++; step {
		case 1:
			check(writer.Put("other", []byte("x")))
			check(writer.Put("w/b", []byte("2")))
		case 2:
			check(writer.Add("w/a", 4))
		case 3:
			check(writer.Delete("w/b"))
		case 4:
			check(writer.PutFor("w/short", []byte("3"), 300*time.Millisecond))
		case 6:
			cancel()
		}
	}
	if want := []string{"w/a=1", "w/b=2", "w/a=5", "w/b gone", "w/short=3", "w/short gone"}; !slices.Equal(seen, want) {
		t.Errorf("%v, want %v", seen, want)
	}
	if _, err := f.bots[1].Store(t.Context()).CompareAndSwap("w/a", []byte("4"), []byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := botnode.Update(f.bots[1].Store(t.Context()), "score", func(n *int) error { *n += 2; return nil }); err != nil || n != 2 {
		t.Errorf("update: %d, %v", n, err)
	}
}
