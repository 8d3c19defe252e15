package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"

	"go.uber.org/zap"
)

// TestSealedBotToken: nodes without a token of their own serve the bot by the
// cluster's, a new one is in use at once, a rotation seals it anew, and it is
// nowhere in clear.
func TestSealedBotToken(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	l, err := lab.New(lab.Options{
		TLS:     true,
		Discord: sim.Options{GlobalLimit: -1, NoRouteLimits: true, Shards: 2, MaxConcurrency: 2},
		Program: func(string) node.Program { return node.Program{Intents: discord.IntentsDefault} },
		Fatal:   func(id string, err error) { t.Errorf("%s: %v", id, err) },
		Logger:  func(string) *zap.Logger { return zap.New(core) },
		Tune: func(id string, o *node.Options) {
			if id != name(0) {
				o.Bots[0].Token = ""
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	first := l.Discord().Token()
	if err := l.Add(ctx, name(0)); err != nil {
		t.Fatal(err)
	}
	one := l.Node(name(0))
	if s := one.BotToken("default"); s.Sealed || s.Uses != "own" {
		t.Errorf("before there is one: %+v", s)
	}

	// The second waits: it is a member, and counts for nothing until there is a token.
	added := make(chan error, 1)
	go func() { added <- l.Add(ctx, name(1)) }()
	until(ctx, t, "the second says what it waits for", func() bool {
		return logs.FilterField(zap.String("code", "no_bot_token")).Len() > 0
	})
	two := l.Node(name(1))
	if two.Registered() || two.BotToken("default").Uses != "none" {
		t.Error("a node without a token is counted on")
	}
	setToken(ctx, t, one, first)
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	if err := l.Add(ctx, name(2)); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	l.Kill(name(0))
	until(ctx, t, "the others serve the bot", func() bool { return l.Settled() == nil })

	// Discord gives the bot another token: the old one is refused, and the new one heals it.
	account, _, _ := strings.Cut(first, ".")
	second := account + ".second-token.of-the-bot"
	sessions := len(l.Discord().Ledger().Sessions())
	l.Discord().ReplaceToken(second)
	until(ctx, t, "Discord refuses the bot", func() bool { return logs.FilterField(zap.String("code", "bot_refused")).Len() >= 2 })
	if err := two.SetBotToken(ctx, "default", "abc 123"); !errors.Is(err, admin.ErrBadRequest) || strings.Contains(err.Error(), "123") {
		t.Errorf("no token: %v", err)
	}
	if err := two.SetBotToken(ctx, "default", "MTIz.token.of-another-bot"); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("the token of another account: %v", err)
	}
	setToken(ctx, t, two, second)
	until(ctx, t, "the bot is back", func() bool { return l.Settled() == nil })
	if n := len(l.Discord().Ledger().Sessions()); n != sessions {
		t.Errorf("%d sessions, %d before: they were to be resumed", n, sessions)
	}

	// A new one that is set before Discord refuses the old one is tried without a word.
	third := account + ".third-token.of-the-bot"
	refused := logs.FilterField(zap.String("code", "bot_refused")).Len()
	setToken(ctx, t, two, third)
	until(ctx, t, "every node has it", func() bool {
		return l.Node(name(1)).BotToken("default").Revision == 3 && l.Node(name(2)).BotToken("default").Revision == 3
	})
	resumes := len(l.Discord().Ledger().Resumes())
	l.Discord().ReplaceToken(third)
	until(ctx, t, "the shards resume with it", func() bool { return len(l.Discord().Ledger().Resumes()) >= resumes+2 && l.Settled() == nil })
	if n := logs.FilterField(zap.String("code", "bot_refused")).Len(); n != refused {
		t.Errorf("%d refusals, though there was another token to try", n-refused)
	}

	// A rotation seals it anew. It waits for the node that is down, whose own token is the old one.
	if err := l.Restart(ctx, name(0)); err != nil {
		t.Fatal(err)
	}
	one = l.Node(name(0))
	until(ctx, t, "the first says that its own token is another", func() bool {
		return one.BotToken("default").Differs && logs.FilterField(zap.String("code", "bot_token_differs")).Len() > 0
	})
	if err := two.RotateTLS(ctx); err != nil {
		t.Fatal(err)
	}
	for _, id := range l.Living() {
		until(ctx, t, "the token is sealed anew at "+id, func() bool {
			s := l.Node(id).BotToken("default")
			return rotated(l.Node(id), 2)() && s.Epoch == 2 && s.Uses == "sealed"
		})
	}
	var snap bytes.Buffer
	if err := two.SaveSnapshot(ctx, &snap); err != nil {
		t.Fatal(err)
	}
	shown := snap.String()
	for _, e := range logs.All() {
		shown += fmt.Sprint(e.Message, e.ContextMap())
	}
	for _, token := range []string{first, second, third} {
		for _, form := range []string{token, base64.StdEncoding.EncodeToString([]byte(token))} {
			if strings.Contains(shown, form) {
				t.Errorf("%s is in the log or in a snapshot", form)
			}
		}
	}
	if err := two.DropBotToken(ctx, "default"); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "it is dropped everywhere", func() bool {
		return one.BotToken("default").Uses == "own" && two.BotToken("default").Uses == "none"
	})
}

// setToken gives the cluster a token and waits for it everywhere.
func setToken(ctx context.Context, t *testing.T, n *node.Node, token string) {
	t.Helper()
	if err := n.SetBotToken(ctx, "default", token); err != nil {
		t.Fatal(err)
	}
	var s fsm.BotToken
	n.State(func(st *fsm.State) { s = st.BotToken("default") })
	if len(s.Box) == 0 || bytes.Contains(s.Box, []byte(token)) {
		t.Fatalf("the state has %q", s.Box)
	}
}

// TestBotTokenWithoutTLS: a token isn't put where it could be read.
func TestBotTokenWithoutTLS(t *testing.T) {
	n, err := node.New(node.Options{
		ID: "joe", Memory: node.NewMemory(), ClusterAddr: "127.0.0.1:0", Bootstrap: true,
		Bots: []*node.Bot{{Name: "default", Token: "t"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetBotToken(t.Context(), "default", "t"); !errors.Is(err, admin.ErrRefused) || !strings.Contains(admin.Hint(err), "--cluster-tls") {
		t.Errorf("%v (%s)", err, admin.Hint(err))
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := node.New(node.Options{
		ID: "joe", Memory: node.NewMemory(), ClusterAddr: "127.0.0.1:0", Bots: []*node.Bot{{Name: "default"}},
	}); !errors.Is(err, node.ErrNoToken) {
		t.Errorf("without a token and without TLS: %v", err)
	}
}
