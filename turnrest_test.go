package botnode

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	disgorest "github.com/disgoorg/disgo/rest"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/shard"
)

// answerWith answers an interaction as a handler of the raw event would.
func answerWith(c *Context, e gateway.EventInteractionCreate, content string) error {
	client, err := c.REST()
	if err != nil {
		return err
	}
	return client.CreateInteractionResponse(e.ID(), e.Token(), dgo.InteractionResponse{
		Type: dgo.InteractionResponseTypeCreateMessage, Data: dgo.MessageCreate{Content: content},
	})
}

// turns runs a handler of interactions on a node and one interaction, and
// returns the score when the handler has ended well.
func turns(t *testing.T, prepare func(*sim.Server), handle func(c *Context, turn int, e gateway.EventInteractionCreate) error) (int, sim.InteractionSummary) {
	t.Helper()
	s := smallSim(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var count atomic.Int64
	done := make(chan int, 1)
	b := New()
	On(b, "answer", func(c *Context, e gateway.EventInteractionCreate) error {
		turn := int(count.Add(1))
		err := handle(c, turn, e)
		if err == nil {
			done <- turn
		}
		return err
	})
	n := startBot(t, s, b, "joe", t.TempDir(), zaptest.NewLogger(t), node.Options{Bootstrap: true})
	defer kill(t, n)
	waitGuilds(t, ctx, n, s)
	prepare(s)
	if _, err := s.Interact(sim.Interact{Name: "ping"}); err != nil {
		t.Fatal(err)
	}
	select {
	case turn := <-done:
		sum := s.Ledger().Summary().Interactions
		t.Logf("%d turns; %+v", turn, sum)
		return turn, sum
	case <-ctx.Done():
		t.Fatalf("not handled after %d turns: %+v", count.Load(), s.Ledger().Summary().Interactions)
	}
	return 0, sim.InteractionSummary{}
}

// A handler that runs again, as after a death, has its answer accepted.
func TestSecondTurnsAnswerSucceeds(t *testing.T) {
	turn, sum := turns(t, func(*sim.Server) {}, func(c *Context, turn int, e gateway.EventInteractionCreate) error {
		if err := answerWith(c, e, "hello"); err != nil {
			return err
		}
		if turn == 1 {
			return errors.New("dies after its answer")
		}
		return nil
	})
	if turn != 2 || sum.Acked != 1 || sum.Again != 1 {
		t.Errorf("%d turns, %+v", turn, sum)
	}
}

// An answer whose connection breaks is repeated within the turn.
func TestAnswerOfUnknownOutcomeIsRepeated(t *testing.T) {
	turn, sum := turns(t, func(s *sim.Server) {
		if err := s.Inject(sim.Fault{Kind: "rest_cut", Bucket: "interactions.callback", After: true}); err != nil {
			t.Fatal(err)
		}
	}, func(c *Context, _ int, e gateway.EventInteractionCreate) error { return answerWith(c, e, "hello") })
	if turn != 1 || sum.Acked != 1 || sum.Again != 1 {
		t.Errorf("%d turns, %+v", turn, sum)
	}
}

// A handler that answers twice hears of it.
func TestSecondAnswerOfATurnFails(t *testing.T) {
	var second error
	_, sum := turns(t, func(*sim.Server) {}, func(c *Context, _ int, e gateway.EventInteractionCreate) error {
		if err := answerWith(c, e, "hello"); err != nil {
			return err
		}
		second = answerWith(c, e, "hello again")
		return nil
	})
	var refused *disgorest.Error
	if !errors.As(second, &refused) || refused.Response.StatusCode != http.StatusBadRequest || int(refused.Code) != codeAcknowledged {
		t.Errorf("the second answer: %v", second)
	}
	if sum.Acked != 1 || sum.Again != 1 {
		t.Errorf("%+v", sum)
	}
}

// A handler that fails since Discord finds the interaction too old is not run
// again: it would hold up its guild.
func TestHandlerThatCameTooLateIsNotRepeated(t *testing.T) {
	s := sim.New(sim.Options{GlobalLimit: -1, NoRouteLimits: true, AckWindow: time.Nanosecond})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var runs atomic.Int64
	b := New()
	On(b, "answer", func(c *Context, e gateway.EventInteractionCreate) error {
		runs.Add(1)
		return answerWith(c, e, "hello")
	})
	skips := &skipCounter{Meter: admin.NewMeter()}
	n := startBot(t, s, b, "joe", t.TempDir(), zaptest.NewLogger(t), node.Options{Bootstrap: true, Metrics: skips})
	defer kill(t, n)
	waitGuilds(t, ctx, n, s)
	for range 3 {
		if _, err := s.Interact(sim.Interact{Name: "ping"}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, ctx, "three are skipped", func() bool { return skips.n.Load() == 3 })
	if sum := s.Ledger().Summary().Interactions; sum.Late != 3 || runs.Load() != 3 {
		t.Errorf("%d runs, %+v", runs.Load(), sum)
	}
}

// skipCounter counts the interactions that were skipped.
type skipCounter struct {
	*admin.Meter
	n atomic.Int64
}

func (s *skipCounter) InteractionSkipped(string, string) { s.n.Add(1) }

func TestCallbacksAreRecognised(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"POST /api/v10/interactions/1/token/callback": true,
		"POST /interactions/1/token/callback":         true,
		"GET /interactions/1/token/callback":          false,
		"POST /webhooks/1/token":                      false,
		"POST /callback":                              false,
	} {
		method, p, _ := strings.Cut(path, " ")
		req, err := http.NewRequest(method, "http://localhost"+p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := isCallback(req); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// Interactions that are too old to be answered don't reach handlers that
// haven't asked for them.
func TestLateInteractionsAreSkipped(t *testing.T) {
	t.Parallel()
	var ran []string
	b := New()
	for _, name := range []string{"plain", "patient"} {
		OnRaw(b, name, discord.EventInteractionCreate, func(*Context) error {
			ran = append(ran, name)
			return nil
		})
	}
	OnRaw(b, "talk", discord.EventMessageCreate, func(*Context) error {
		ran = append(ran, "talk")
		return nil
	})
	b.LateInteractions("patient")
	rt := newRuntime(b, "default")
	turn := func(event, handler string, age time.Duration) shard.Outcome {
		return rt.Handle(t.Context(), shard.Delivery{Handler: handler, Entry: &fsm.Entry{
			Bot: "default", Type: event, At: time.Now().Add(-age).UnixMilli(), Raw: []byte("{}"),
		}})
	}
	for _, tt := range []struct {
		event, handler string
		age            time.Duration
		late           bool
	}{
		{discord.EventInteractionCreate, "plain", time.Second, false},
		{discord.EventInteractionCreate, "plain", 4 * time.Second, true},
		{discord.EventInteractionCreate, "patient", 4 * time.Second, false},
		{discord.EventMessageCreate, "talk", time.Hour, false},
	} {
		ran = nil
		out := turn(tt.event, tt.handler, tt.age)
		if out.Err != nil || out.Late != tt.late || (len(ran) == 0) != tt.late {
			t.Errorf("%+v: %+v, ran %v", tt, out, ran)
		}
	}
}
