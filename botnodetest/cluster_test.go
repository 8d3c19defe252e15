package botnodetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"go.uber.org/goleak"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/faket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is what the bots below read of one.
type message struct {
	Content string `json:"content"`
	Author  struct {
		Bot bool `json:"bot"`
	} `json:"author"`
}

func read(c *botnode.Context) (m message, err error) {
	err = json.Unmarshal(c.Raw(), &m)
	return m, err
}

// newPing answers "!ping X" with "pong X" and counts what it has answered.
func newPing() *botnode.Bot {
	b := botnode.New()
	botnode.OnRaw(b, "ping", discord.EventMessageCreate, func(c *botnode.Context) error {
		m, err := read(c)
		rest, ok := strings.CutPrefix(m.Content, "!ping")
		if err != nil || !ok || m.Author.Bot {
			return err
		}
		if err := c.KV().Add("pings", 1); err != nil {
			return err
		}
		return c.Reply("pong" + rest)
	})
	return b
}

func TestPingIsAnswered(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing)
	tb.Say("!ping").Expect("pong")
	tb.Say("nothing").ExpectNone()
	if got := tb.KV("pings"); got != "1" {
		t.Errorf("%s pings counted", got)
	}
	if got := tb.KV("absent"); got != "" {
		t.Errorf("an absent key holds %q", got)
	}
}

// What was said before, during and after the death of the leader is answered
// once, and counted once.
func TestKillLeaderLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing, botnodetest.Nodes(3))
	var sent []*botnodetest.Sent
	var want []string
	say := func(n int) {
		for range n {
			text := fmt.Sprintf(" %d", len(sent))
			sent, want = append(sent, tb.Say("!ping"+text)), append(want, "pong"+text)
		}
	}
	say(10)
	dead := tb.KillLeader()
	say(10)
	if leader := tb.Leader(); leader == dead {
		t.Errorf("%s leads after its death", leader)
	}
	say(10)
	for i, s := range sent {
		s.Expect(want[i])
	}
	if n := tb.KV("pings"); n != "30" {
		t.Errorf("%s pings counted, want 30", n)
	}
	got := tb.Messages()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the bot has written %v", got)
	}
	if sum := tb.Discord().Ledger().Summary(); sum.Identifies != 1 {
		t.Errorf("%d IDENTIFYs: the session was not resumed", sum.Identifies)
	}
}

// A node that was killed starts again with what it had, and catches up: it can
// then stand in for each of the others.
func TestRestartedNodeCatchesUp(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]botnodetest.Option{
		"memory": {botnodetest.Nodes(3)}, "disk": {botnodetest.Nodes(3), botnodetest.OnDisk()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := botnodetest.Start(t, newPing, opts...)
			n := 0
			for range 4 {
				dead := tb.KillLeader()
				n++
				tb.Say("!ping").Expect("pong")
				tb.Restart(dead)
			}
			if got := tb.KV("pings"); got != fmt.Sprint(n) {
				t.Errorf("%s pings counted, want %d", got, n)
			}
		})
	}
}

// The only node of a cluster comes back with its state and its session.
func TestTheOnlyNodeComesBack(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing)
	tb.Say("!ping 1").Expect("pong 1")
	tb.Kill("node1")
	s := tb.Say("!ping 2") // Discord keeps it
	tb.Restart("node1")
	s.Expect("pong 2")
	if got := tb.KV("pings"); got != "2" {
		t.Errorf("%s pings counted, want 2", got)
	}
	if sum := tb.Discord().Ledger().Summary(); sum.Identifies != 1 || sum.ResumesOK != 1 {
		t.Errorf("%d IDENTIFYs, %d RESUMEs", sum.Identifies, sum.ResumesOK)
	}
}

// All nodes die, and come back.
func TestAllNodesComeBack(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing, botnodetest.Nodes(3))
	tb.Say("!ping 1").Expect("pong 1")
	for _, id := range tb.Nodes() {
		tb.Kill(id)
	}
	for _, id := range tb.Nodes() {
		tb.Restart(id)
	}
	tb.Say("!ping 2").Expect("pong 2")
	if got := tb.KV("pings"); got != "2" {
		t.Errorf("%s pings counted, want 2", got)
	}
}

func TestShardsMoveAndNodesStop(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing, botnodetest.Nodes(3), botnodetest.Shards(3))
	for shard, guild := range tb.Guilds() {
		from := tb.Owner(shard)
		to := tb.Nodes()[0]
		if to == from {
			to = tb.Nodes()[1]
		}
		tb.MoveShard(shard, to)
		if owner := tb.Owner(shard); owner != to {
			t.Errorf("shard %d is owned by %s, want %s", shard, owner, to)
		}
		tb.SayIn(tb.Channels(guild)[1], "!ping").Expect("pong")
	}
	leader := tb.Leader()
	tb.Stop(leader)
	tb.Say("!ping").Expect("pong")
	tb.Restart(leader)
	tb.Say("!ping").Expect("pong")
}

// No effect of a killed node reaches anybody: its handler goes on, since nothing
// in Go can stop it, but Discord hears nothing and the store learns nothing.
func TestKilledNodeHasNoEffects(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	tb := botnodetest.Start(t, func() *botnode.Bot {
		b := botnode.New()
		botnode.OnRaw(b, "stubborn", discord.EventMessageCreate, func(c *botnode.Context) error {
			m, err := read(c)
			if err != nil || m.Author.Bot {
				return err
			}
			first := runs.Add(1) == 1
			if first {
				close(began)
				<-release // whatever becomes of the context
			}
			if kerr := c.KV().Add("runs", 1); kerr != nil {
				return kerr
			}
			if first {
				err = c.Reply("from the dead")
				ended <- err
				return err
			}
			return c.Reply("from the living")
		})
		return b
	}, botnodetest.Nodes(3))
	s := tb.Say("go")
	<-began
	tb.Kill(tb.Owner(0))
	s.Expect("from the living")
	close(release)
	if err := <-ended; err == nil {
		t.Error("a killed node has written to Discord")
	}
	s.ExpectNone()
	if got := tb.KV("runs"); got != "1" {
		t.Errorf("the store has %s runs, want 1", got)
	}
}

func TestCommandsAndEvents(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, func() *botnode.Bot {
		b := botnode.New()
		botnode.OnRaw(b, "ban", discord.EventInteractionCreate, func(c *botnode.Context) error {
			var x struct {
				ID    string `json:"id"`
				Token string `json:"token"`
				Data  struct {
					Name    string            `json:"name"`
					Options []json.RawMessage `json:"options"`
				} `json:"data"`
			}
			if err := json.Unmarshal(c.Raw(), &x); err != nil {
				return err
			}
			rest, err := c.REST()
			if err != nil {
				return err
			}
			return respond(rest, x.ID, x.Token, fmt.Sprintf("%s %s", x.Data.Name, x.Data.Options))
		})
		botnode.OnRaw(b, "join", discord.EventGuildMemberAdd, func(c *botnode.Context) error {
			return c.KV().Put("joined", []byte(c.Guild().String()))
		})
		b.Intents = discord.IntentsAll
		return b
	})
	tb.Command("ban", map[string]any{
		"user": discord.Snowflake(7), "days": 3, "why": map[string]any{"loud": true, "text": "spam"},
	}).Expect(`ban [{"name":"days","type":4,"value":3} {"name":"user","type":6,"value":"7"} ` +
		`{"name":"why","options":[{"name":"loud","type":5,"value":true},{"name":"text","type":3,"value":"spam"}],"type":1}]`)
	guild := tb.Guilds()[1]
	tb.Emit(discord.EventGuildMemberAdd, map[string]any{
		"guild_id": guild, "user": map[string]any{"id": "5", "username": "ada"}, "roles": []string{}, "joined_at": "2026-01-02T03:04:05Z",
	}).ExpectNone()
	if got := tb.KV("joined"); got != guild.String() {
		t.Errorf("joined %q, want %v", got, guild)
	}
}

func TestWorldAndStoreAreTheTests(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, newPing, botnodetest.Discord(func(o *sim.Options) { o.Guilds = 5; o.Channels = 2 }))
	if n := len(tb.Guilds()); n != 5 {
		t.Errorf("%d guilds, want 5", n)
	}
	if n := len(tb.Channels(tb.Guilds()[4])); n != 2 {
		t.Errorf("%d channels, want 2", n)
	}
	tb.PutKV("pings", "41")
	tb.Say("!ping").Expect("pong")
	if got := tb.KV("pings"); got != "42" {
		t.Errorf("%s pings counted, want 42", got)
	}
	seen := 0
	tb.Wait("the condition was looked at three times", func() bool { seen++; return seen == 3 })
}

// Reactions, commands in a channel, extra times of a schedule, and what is shown
// in the end: what bots that edit and delete are tested with.
func TestReactionsSchedulesAndWhatIsShown(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, func() *botnode.Bot {
		b := botnode.New()
		for _, event := range []string{discord.EventMessageReactionAdd, discord.EventMessageReactionRemove} {
			botnode.OnRaw(b, event, event, func(c *botnode.Context) error {
				var e struct {
					User    discord.Snowflake `json:"user_id"`
					Message discord.Snowflake `json:"message_id"`
					Emoji   struct{ Name string }
				}
				if err := json.Unmarshal(c.Raw(), &e); err != nil {
					return err
				}
				return c.Reply(fmt.Sprintf("%s %s by %d at %d", event, e.Emoji.Name, e.User, e.Message))
			})
		}
		b.Command(dgo.SlashCommandCreate{Name: "who", Description: "Who is it"}, func(i *botnode.Interaction) error {
			o := i.Options()
			return i.Reply(fmt.Sprintf("%s of %d", o.User("user").Username, len(o.Resolved.Members)))
		})
		b.Every("hourly", time.Hour, func(c *botnode.Context) error { return c.KV().Add("hours", 1) })
		return b
	})
	guild := tb.Guilds()[1]
	channel, users := tb.Channels(guild)[1], tb.Members(guild)
	if len(users) != 9 || !slices.IsSorted(users) {
		t.Errorf("%d members beside the bot, want 9 in order: %v", len(users), users)
	}
	said := tb.SayIn(channel, "joke")
	add := fmt.Sprintf("MESSAGE_REACTION_ADD 👍 by %d at %d", users[3], said.ID())
	tb.React(said, users[3], "👍").Expect(add)
	remove := fmt.Sprintf("MESSAGE_REACTION_REMOVE 👍 by %d at %d", users[3], said.ID())
	tb.Unreact(said, users[3], "👍").Expect(remove)
	who := tb.CommandIn(channel, "who", map[string]any{"user": users[0]}).Answer()
	if !strings.HasSuffix(who, " of 1") || len(who) == len(" of 1") {
		t.Errorf("the command's user came as %q", who)
	}
	if got, want := tb.Shown(channel), []string{"joke", add, remove, who}; !slices.Equal(got, want) {
		t.Errorf("the channel shows %q, want %q", got, want)
	}
	for range 3 {
		tb.Tick("hourly").ExpectNone()
	}
	if got := tb.KV("hours"); got != "3" {
		t.Errorf("%s hours, want 3", got)
	}
}

// A test may want its handler to fail.
func TestDeadLettersAreShown(t *testing.T) {
	t.Parallel()
	tb := botnodetest.Start(t, func() *botnode.Bot {
		b := botnode.New()
		botnode.OnRaw(b, "broken", discord.EventMessageCreate, func(*botnode.Context) error { return errors.New("out of paper") })
		return b
	})
	tb.Say("print")
	if got := tb.DeadLetters(); len(got) != 1 || got[0] != "MESSAGE_CREATE: handler broken: out of paper" {
		t.Errorf("%q", got)
	}
	tb.Settle() // they are known by now
}

// A test that fails says what was missing, and what the cluster looked like.
func TestFailuresAreExplained(t *testing.T) {
	t.Parallel()
	failing := func() *botnode.Bot {
		b := newPing()
		botnode.OnRaw(b, "broken", discord.EventGuildMemberAdd, func(*botnode.Context) error { return errors.New("out of paper") })
		botnode.OnRaw(b, "slow", discord.EventGuildBanAdd, func(c *botnode.Context) error {
			<-c.Done()
			return c.Err()
		})
		b.Intents = discord.IntentsAll
		return b
	}
	short := botnodetest.Timeout(2 * time.Second)
	for name, tt := range map[string]struct {
		test func(*botnodetest.Cluster)
		want []string
	}{
		"another answer": {
			func(tb *botnodetest.Cluster) { tb.Say("!ping 1").Expect("pong 2") },
			[]string{`the answer "pong 2" to the message "!ping 1" didn't come`, `the bot has written "pong 1"`, "1 IDENTIFYs", "node1 leads", "shard is live"},
		},
		"none": {
			func(tb *botnodetest.Cluster) { tb.Say("hello").Answer() },
			[]string{`an answer to the message "hello" didn't come`, "the bot has written nothing"},
		},
		"one too many": {
			func(tb *botnodetest.Cluster) { tb.Say("!ping").ExpectNone() },
			[]string{`the message "!ping" has the answer "pong"`},
		},
		"a handler that fails": {
			func(tb *botnodetest.Cluster) {
				tb.Emit(discord.EventGuildMemberAdd, map[string]any{"guild_id": tb.Guilds()[0], "user": map[string]any{"id": "5"}}).ExpectNone()
			},
			[]string{"handlers gave up on events: GUILD_MEMBER_ADD: handler broken: out of paper", "dead letter: "},
		},
		"a handler that hangs": {
			func(tb *botnodetest.Cluster) {
				tb.Emit(discord.EventGuildBanAdd, map[string]any{"guild_id": tb.Guilds()[0], "user": map[string]any{"id": "5"}}).Expect("x")
			},
			[]string{`the answer "x" to the event GUILD_BAN_ADD didn't come within 2s`, "[slow] wait"},
		},
		"no quorum": {
			func(tb *botnodetest.Cluster) { tb.Kill("node1"); tb.Leader() },
			[]string{"waiting for a leader", "node1 is down"},
		},
		"unknown node":  {func(tb *botnodetest.Cluster) { tb.Kill("node9") }, []string{`no node "node9" is up`}},
		"unknown guild": {func(tb *botnodetest.Cluster) { tb.Emit("GUILD_BAN_ADD", map[string]any{"guild_id": "1"}) }, []string{"the bot isn't in"}},
		"bad option":    {func(tb *botnodetest.Cluster) { tb.Command("x", map[string]any{"n": nil}) }, []string{"option n"}},
		"no schedule":   {func(tb *botnodetest.Cluster) { tb.Tick("x") }, []string{`running the schedule "x"`, `no schedule "x" has begun`}},
		"no message": {
			func(tb *botnodetest.Cluster) { tb.React(tb.Command("x", nil), 1, "👍") }, []string{"reacting to the command /x, which is no message"},
		},
		"its own check": {func(tb *botnodetest.Cluster) { tb.Wait("pigs fly", func() bool { return false }) }, []string{"waiting until pigs fly"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ft := &faket.T{Quiet: true}
			ft.Run(func() { tt.test(botnodetest.Start(ft, failing, short)) })
			if !ft.Failed() {
				t.Fatal("the test did not fail")
			}
			for _, want := range tt.want {
				if !strings.Contains(ft.Noted(), want) {
					t.Errorf("%q isn't in:\n%s", want, ft.Noted())
				}
			}
		})
	}
}
