package botnode

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/snowflake/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

func panics(f func()) (said string) {
	defer func() {
		if p := recover(); p != nil {
			said = fmt.Sprint(p)
		}
	}()
	f()
	return ""
}

func TestPatternsOfCustomIDs(t *testing.T) {
	t.Parallel()
	b := New()
	var took string
	for _, p := range []string{"vote/{poll}/{choice}", "vote/{poll}/close", "{any}", "vote", "vote/7/{choice}"} {
		b.Component(p, func(*Interaction) error {
			took = p
			return nil
		})
	}
	for id, want := range map[string]string{
		"vote":            "vote",
		"other":           "{any} any=other",
		"vote/1/yes":      "vote/{poll}/{choice} choice=yes poll=1",
		"vote/1/close":    "vote/{poll}/close poll=1",
		"vote/7/yes":      "vote/7/{choice} choice=yes",
		"vote/7/close":    "vote/7/{choice} choice=close",
		"vote//yes":       "",
		"vote/1":          "",
		"vote/1/yes/more": "",
		"":                "",
	} {
		i := &Interaction{}
		took = ""
		if f := i.match(b.router.components, id); f != nil {
			_ = f(i)
			var vars []string
			for k, v := range i.vars {
				vars = append(vars, " "+k+"="+v)
			}
			slices.Sort(vars)
			took += strings.Join(vars, "")
		}
		if took != want {
			t.Errorf("%q: %q, want %q", id, took, want)
		}
	}
}

func TestRegistrationsThatCannotBeMeantPanic(t *testing.T) {
	t.Parallel()
	nop := func(*Interaction) error { return nil }
	config := dgo.SlashCommandCreate{Name: "config", Options: []dgo.ApplicationCommandOption{
		dgo.ApplicationCommandOptionSubCommand{Name: "set"},
		dgo.ApplicationCommandOptionSubCommandGroup{Name: "roles", Options: []dgo.ApplicationCommandOptionSubCommand{{Name: "add"}}},
	}}
	for what, f := range map[string]func(*Bot){
		"two commands are named": func(b *Bot) { b.Command(config, nil); b.Command(config, nil) },
		"needs a name":           func(b *Bot) { b.Command(dgo.SlashCommandCreate{}, nop) },
		"no registered command":  func(b *Bot) { b.Subcommand("config/set", nop) },
		`"config/get"`:           func(b *Bot) { b.Command(config, nil); b.Subcommand("config/get", nop) },
		"two functions handle":   func(b *Bot) { b.Command(config, nil); b.Subcommand("config/set", nop); b.Subcommand("config/set", nop) },
		"match the same":         func(b *Bot) { b.Modal("a/{x}", nop); b.Modal("a/{y}", nop) },
		"is empty":               func(b *Bot) { b.Modal("", nop) },
		"has the path":           func(b *Bot) { b.Autocomplete("config", nop) },
		"two functions complete": func(b *Bot) {
			b.Command(config, nil)
			b.Autocomplete("config/set", nop)
			b.Autocomplete("config/set", nop)
		},
		"two handlers are named ": func(b *Bot) { OnRaw(b, InteractionsHandler, "READY", nil); b.Component("a", nop) },
	} {
		if got := panics(func() { f(New()) }); !strings.Contains(got, what) {
			t.Errorf("%q: %q", what, got)
		}
	}
	if got := panics(func() {
		b := New()
		b.Command(config, nil)
		b.Subcommand("config/set", nop)
		b.Subcommand("config/roles/add", nop)
		b.Autocomplete("config/roles/add", nop)
		b.Command(dgo.UserCommandCreate{Name: "config"}, nop)
	}); got != "" {
		t.Errorf("good registrations: %s", got)
	}
}

// commandBot has a bit of everything.
func commandBot() *Bot {
	b := New()
	b.Command(dgo.SlashCommandCreate{Name: "greet", Description: "Greets", Options: []dgo.ApplicationCommandOption{
		dgo.ApplicationCommandOptionString{Name: "who", Description: "Whom", Required: true, Autocomplete: true},
		dgo.ApplicationCommandOptionInt{Name: "times", Description: "How often"},
	}}, func(i *Interaction) error {
		times, _ := i.Options().OptInt("times")
		return i.Reply(strings.TrimSpace(strings.Repeat("hello "+i.Options().String("who")+" ", max(1, times))))
	})
	b.Autocomplete("greet", func(i *Interaction) error {
		return i.Choices(dgo.AutocompleteChoiceString{Name: i.Completing().String("who") + "!", Value: "x"})
	})
	b.Command(dgo.SlashCommandCreate{Name: "config", Description: "Configures", Options: []dgo.ApplicationCommandOption{
		dgo.ApplicationCommandOptionSubCommand{Name: "set", Description: "Sets"},
	}}, nil)
	b.Subcommand("config/set", func(i *Interaction) error {
		if err := i.Defer(true); err != nil {
			return err
		}
		if err := i.KV().Put("configured", []byte(i.User().ID.String())); err != nil {
			return err
		}
		text := "set"
		if _, err := i.Edit(dgo.MessageUpdate{Content: &text}); err != nil {
			return err
		}
		_, err := i.FollowUp(dgo.MessageCreate{Content: "and more"})
		return err
	})
	b.Component("vote/{id}", func(i *Interaction) error { return i.Reply("vote " + i.Var("id")) })
	b.Modal("form/{id}", func(i *Interaction) error {
		return i.RespondEphemeral("form " + i.Var("id") + " " + i.Submitted().Text("name"))
	})
	return b
}

// Each kind of interaction reaches its function and is answered.
func TestInteractionsAreRouted(t *testing.T) {
	s := smallSim(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n := startBot(t, s, commandBot(), "joe", t.TempDir(), zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)), node.Options{Bootstrap: true})
	defer kill(t, n)
	waitGuilds(t, ctx, n, s)
	type d = map[string]any
	opt := func(name string, kind int, v any) d { return d{"name": name, "type": kind, "value": v} }
	for _, tt := range []struct {
		name string
		in   sim.Interact
		want string // of the answer; "" for none that is a message
	}{
		{"command", sim.Interact{Name: "greet", Options: []map[string]any{opt("who", 3, "ann"), opt("times", 4, 2)}}, "hello ann hello ann"},
		{"subcommand", sim.Interact{Name: "config", Options: []map[string]any{{"name": "set", "type": 1, "options": []any{}}}}, "set"},
		{"component", sim.Interact{Type: 3, Data: d{"custom_id": "vote/17", "component_type": 2}}, "vote 17"},
		{"modal", sim.Interact{Type: 5, Data: d{"custom_id": "form/3", "components": []any{
			d{"type": 18, "id": 1, "component": d{"type": 4, "id": 2, "custom_id": "name", "value": "ann"}},
		}}}, "form 3 ann"},
		{"unknown command", sim.Interact{Name: "gone"}, "This command isn't known"},
		{"unknown component", sim.Interact{Type: 3, Data: d{"custom_id": "old/1", "component_type": 2}}, "The bot doesn't know this any more"},
		{"autocomplete", sim.Interact{Type: 4, Data: d{"id": "1", "name": "greet", "type": 1, "options": []any{
			d{"name": "who", "type": 3, "value": "an", "focused": true},
		}}}, ""},
		{"unknown autocomplete", sim.Interact{Type: 4, Data: d{"id": "1", "name": "gone", "type": 1, "options": []any{}}}, ""},
	} {
		acked := s.Ledger().Summary().Interactions.Acked
		x, err := s.Interact(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if tt.want != "" {
			a, err := x.Answer(ctx)
			if err != nil || !strings.HasPrefix(a.Content, tt.want) {
				t.Fatalf("%s: %q, %v", tt.name, a.Content, err)
			}
		}
		until(t, ctx, tt.name+" is answered", func() bool { return s.Ledger().Summary().Interactions.Acked == acked+1 })
	}
	until(t, ctx, "the write of a command's handler is committed", func() bool {
		var ok bool
		_, _ = n.View("default", func(b *fsm.Bot, _ *cache.Cache) { _, ok = b.KVGet("configured") })
		return ok
	})
	sum := s.Ledger().Summary().Interactions
	t.Logf("%+v", sum)
	if sum.Acked != sum.Sent || sum.Again > 0 || sum.Late > 0 {
		t.Errorf("%+v", sum)
	}
}

// A bot that has another handler of interactions leaves to it what it can't route.
func TestUnroutedInteractionsAreLeftToOthers(t *testing.T) {
	t.Parallel()
	b := New()
	b.Component("vote", func(*Interaction) error { return nil })
	OnRaw(b, "other", "INTERACTION_CREATE", func(*Context) error { return nil })
	raw := []byte(`{"id":"1","type":3,"token":"t","data":{"custom_id":"x","component_type":2},"user":{"id":"2"}}`)
	c := &Context{rt: newRuntime(b, "default"), entry: &fsm.Entry{Raw: raw}}
	if err := b.route(c); err != nil { // an answer would fail: there is no node
		t.Error(err)
	}
	called := false
	b.Unrouted(func(i *Interaction) error {
		called = i.ID() == 1
		return nil
	})
	if err := b.route(c); err != nil || !called {
		t.Errorf("the function for the rest: called %v, %v", called, err)
	}
	c.entry.Raw = []byte(`{"id":"1","type":99,"token":"secret"}`)
	if err := b.route(c); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an interaction of an unknown type: %v", err)
	}
}

// puts counts the bulk overwrites that Discord took.
func puts(s *sim.Server) (paths []string) {
	for _, r := range s.Ledger().Requests() {
		if r.Method == "PUT" && strings.HasSuffix(r.Path, "/commands") && r.Status == 200 {
			paths = append(paths, strings.TrimPrefix(r.Path, "/api/v10"))
		}
	}
	return paths
}

// Three nodes register the commands once, and a new leader doesn't do it again;
// a changed definition is registered once, too.
func TestCommandsAreRegisteredOnce(t *testing.T) {
	s := smallSim(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	// The first attempts fail: it is done again.
	if err := s.Inject(sim.Fault{Kind: "rest_error", Bucket: "commands.put", Status: 500, Count: 4}); err != nil {
		t.Fatal(err)
	}
	nodes, dirs, addrs := map[string]*node.Node{}, map[string]string{}, map[string]string{}
	defer func() {
		for _, n := range nodes {
			kill(t, n)
		}
	}()
	start := func(b *Bot, id string, bootstrap bool) {
		t.Helper()
		if dirs[id] == "" {
			dirs[id] = t.TempDir()
		}
		nodes[id] = startBot(t, s, b, id, dirs[id], log, node.Options{Bootstrap: bootstrap, ClusterAddr: addrs[id]})
		addrs[id] = clusterAddrWhenKnown(t, ctx, nodes[id], id)
	}
	start(commandBot(), "joe", true)
	for _, id := range []string{"mike", "robert"} {
		dirs[id] = t.TempDir()
		nodes[id] = startBot(t, s, commandBot(), id, dirs[id], log, node.Options{})
		if _, err := nodes[id].Join(ctx, addrs["joe"], "", nil); err != nil {
			t.Fatal(err)
		}
		addrs[id] = clusterAddr(t, ctx, nodes[id], id)
	}
	noted := func(n *node.Node) (version uint64, scopes []string) {
		_, _ = n.View("default", func(b *fsm.Bot, _ *cache.Cache) {
			for key, item := range b.KVScan(commandsKey, "") {
				version, scopes = max(version, item.Version), append(scopes, strings.TrimPrefix(key, commandsKey))
			}
		})
		return version, scopes
	}
	until(t, ctx, "the commands are registered", func() bool { _, scopes := noted(nodes["mike"]); return len(scopes) == 1 })

	st, err := nodes["mike"].Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dead := st.Leader.ID
	apps := func() (n int) {
		for _, r := range s.Ledger().Requests() {
			if r.Bucket == "applications.me" && r.Status == 200 {
				n++
			}
		}
		return n
	}
	looked := apps()
	kill(t, nodes[dead])
	delete(nodes, dead)
	until(t, ctx, "the new leader has looked", func() bool { return apps() > looked })
	if got := puts(s); len(got) != 1 || got[0] != "/applications/"+sim.BotID.String()+"/commands" {
		t.Errorf("after the leader's death the commands were registered by %v", got)
	}
	t.Logf("bulk overwrites after three starts and a leader's death: %d", len(puts(s)))

	// A new version of the program, one node after the other.
	version, _ := noted(anyNode(nodes))
	for _, id := range []string{"joe", "mike", "robert"} {
		b := commandBot()
		b.CommandsIn(snowflake.ID(s.GuildIDs()[0]))
		if n := nodes[id]; n != nil {
			kill(t, n)
			delete(nodes, id)
		}
		start(b, id, false)
		waitReady(t, ctx, nodes[id])
	}
	until(t, ctx, "the new definitions are registered", func() bool {
		v, scopes := noted(anyNode(nodes))
		return v > version && slices.Equal(scopes, []string{s.GuildIDs()[0].String()})
	})
	// One for the guild, one that empties the global scope.
	if got := puts(s); len(got) != 3 {
		t.Errorf("after the upgrade: %v", got)
	}
	t.Logf("after the upgrade: %v", puts(s))
}

func anyNode(nodes map[string]*node.Node) *node.Node {
	for _, n := range nodes {
		return n
	}
	return nil
}

func clusterAddrWhenKnown(t *testing.T, ctx context.Context, n *node.Node, id string) (addr string) {
	t.Helper()
	until(t, ctx, id+" is in its cluster", func() bool {
		st, err := n.Status(ctx)
		if err != nil {
			return false
		}
		for _, other := range st.Nodes {
			if other.ID == id && other.ClusterAddr != "" {
				addr = other.ClusterAddr
			}
		}
		return addr != ""
	})
	return addr
}

func TestHashOfCommandsFollowsDefinitionsAndApplication(t *testing.T) {
	t.Parallel()
	hash := func(app snowflake.ID, b *Bot) string {
		h, err := commandsHash(app, b.commandSets()[globalScope])
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	one := hash(1, commandBot())
	if one != hash(1, commandBot()) {
		t.Error("equal definitions have different hashes")
	}
	if one == hash(2, commandBot()) {
		t.Error("two applications have one hash")
	}
	other := commandBot()
	other.Command(dgo.UserCommandCreate{Name: "who"}, nil)
	if one == hash(1, other) {
		t.Error("different definitions have one hash")
	}
	if b, err := json.Marshal(other.router.defined[2]); err != nil || !strings.Contains(string(b), `"type":2`) {
		t.Errorf("a user command: %s, %v", b, err)
	}
}

// Slash commands are all answered although the leader is killed under them, and
// a repeated answer is none; but those that a slow machine makes too late, which
// are counted.
func TestInteractionsSurviveTheLeader(t *testing.T) {
	s := smallSim(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	bot := func() *Bot {
		b := New()
		b.Command(dgo.SlashCommandCreate{Name: "ping", Description: "Answers"}, func(i *Interaction) error { return i.Reply("pong") })
		return b
	}
	skips := &skipCounter{Meter: admin.NewMeter()}
	nodes := map[string]*node.Node{}
	defer func() {
		for _, n := range nodes {
			kill(t, n)
		}
	}()
	nodes["joe"] = startBot(t, s, bot(), "joe", t.TempDir(), zap.NewNop(), node.Options{Bootstrap: true, Metrics: skips})
	peer := clusterAddrWhenKnown(t, ctx, nodes["joe"], "joe")
	for _, id := range []string{"mike", "robert"} {
		nodes[id] = startBot(t, s, bot(), id, t.TempDir(), zap.NewNop(), node.Options{Metrics: skips})
		if _, err := nodes[id].Join(ctx, peer, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	waitGuilds(t, ctx, nodes["mike"], s)
	score := func() sim.InteractionSummary { return s.Ledger().Summary().Interactions }
	load := s.StartLoad(sim.Load{Kind: "interaction", Rate: 100})
	until(t, ctx, "a hundred are answered", func() bool { return score().Acked > 100 })
	st, err := nodes["mike"].Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	kill(t, nodes[st.Leader.ID])
	delete(nodes, st.Leader.ID)
	sent := score().Sent
	until(t, ctx, "two hundred more are sent", func() bool { return score().Sent > sent+200 })
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "all are answered or skipped", func() bool { return len(score().Unacked) <= int(skips.n.Load()) })
	sum := score()
	t.Logf("%d interactions, %d answered, %d answers were repeats, %d were skipped as too late", sum.Sent, sum.Acked, sum.Again, skips.n.Load())
}
