package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/proxy"
	"github.com/botnode/botnode/shard"
)

// stuck is a bot whose handlers don't return before they are told to.
type stuck struct{ end chan struct{} }

func (s stuck) Handle(ctx context.Context, _ shard.Delivery) shard.Outcome {
	select {
	case <-s.end:
		return shard.Outcome{}
	case <-ctx.Done():
		return shard.Outcome{Err: ctx.Err()}
	}
}

func (stuck) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{Timeout: time.Hour} }

// soonGivesUp has a node leave that can't, and wants to be told soon.
func soonGivesUp(ctx context.Context, t *testing.T, n *node.Node, leaving func(), words string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- n.Leave(ctx) }()
	leaving()
	begun := time.Now()
	err := <-done
	if !errors.Is(err, admin.ErrNoQuorum) || !strings.Contains(err.Error(), words) || admin.Hint(err) == "" {
		t.Errorf("%v, hint %q", err, admin.Hint(err))
	}
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := n.Serving(); errors.Is(err, proxy.ErrLeaving) {
		t.Errorf("it still thinks so: %v", err)
	}
}

// stuckLab is a cluster of two in which a handler runs on n until end is closed.
func stuckLab(t *testing.T) (l *lab.Lab, ctx context.Context, n *node.Node, other string, end chan struct{}) {
	t.Helper()
	end = make(chan struct{})
	l, err := lab.New(lab.Options{
		Discord: sim.Options{GlobalLimit: -1, NoRouteLimits: true},
		Program: func(string) node.Program {
			return node.Program{
				Intents: discord.IntentsDefault, Handlers: stuck{end},
				Interests: []fsm.Interest{{Type: discord.EventMessageCreate, Handlers: []string{"stuck"}}},
			}
		},
		Fatal: func(id string, err error) { t.Errorf("%s: %v", id, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	for i := range 2 {
		if err := l.Add(ctx, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	id, err := l.Owner(0)
	if err != nil {
		t.Fatal(err)
	}
	n, other = l.Node(id), name(0)
	if other == id {
		other = name(1)
	}
	if _, err := l.Discord().Say(sim.Say{Content: "x"}); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "a handler runs", func() (ok bool) {
		n.State(func(s *fsm.State) {
			sh := s.Bot("default").Shards()[0]
			ok = sh.RunBy(n.Self()) > 0
		})
		return ok
	})
	return l, ctx, n, other, end
}

// TestLeavingWithoutAQuorum ends soon and says what was done, whether the quorum is
// missing from the beginning or is lost in the middle.
func TestLeavingWithoutAQuorum(t *testing.T) {
	l, ctx, n, other, _ := stuckLab(t)
	soonGivesUp(ctx, t, n, func() {
		until(ctx, t, "it is leaving", func() bool { return errors.Is(n.Serving(), proxy.ErrLeaving) })
		l.Kill(other)
	}, "shards that it has handed over")
	soonGivesUp(ctx, t, n, func() {}, "nothing was done")
	if err := l.Restart(ctx, other); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitServing(ctx); err != nil {
		t.Error(err)
	}
}

// TestTheOnlyVoterStays: a node that nobody else could lead after is told so, rather
// than hand its shards over and wait for ever.
func TestTheOnlyVoterStays(t *testing.T) {
	l, ctx := cluster(t, "joe", "mike")
	id, err := l.WaitLeader(ctx)
	must(t, err)
	n, other := l.Node(id), someFollower(t, ctx, l)
	must(t, n.SetVoter(ctx, other.Self().ID, false))
	if err := n.Leave(ctx); !errors.Is(err, admin.ErrRefused) || admin.Hint(err) == "" {
		t.Errorf("the only voter leaves: %v", err)
	}
	if err := n.Serving(); errors.Is(err, proxy.ErrLeaving) {
		t.Error("it thinks that it leaves")
	}
	must(t, n.SetVoter(ctx, other.Self().ID, true))
	must(t, n.Leave(ctx))
	must(t, other.Sync(ctx))
}

// stubborn is a leadership that fails to go somewhere else a few times.
type stubborn struct {
	leader   string
	failures int
}

func (s *stubborn) Leader() consensus.Leader {
	return consensus.Leader{ID: s.leader, Known: s.leader != ""}
}

func (s *stubborn) TransferLeadership(context.Context, string) error {
	if s.failures--; s.failures >= 0 {
		return consensus.ErrRestoring
	}
	s.leader = "mike"
	return nil
}

// TestALeaderThatLeavesTriesAgain: that its leadership can't go for the moment, since
// it restores or since the others lag, is no reason to wait until somebody takes it.
func TestALeaderThatLeavesTriesAgain(t *testing.T) {
	s := &stubborn{leader: "joe", failures: 2}
	if err := node.Abdicate(t.Context(), "joe", s); err != nil || s.leader != "mike" {
		t.Errorf("%s leads: %v", s.leader, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := node.Abdicate(ctx, "joe", &stubborn{leader: "joe", failures: 1}); !errors.Is(err, context.Canceled) || !errors.Is(err, consensus.ErrRestoring) {
		t.Errorf("it gave up: %v", err)
	}
}

// TestALeaveBesideAnother: one that is given up, as by its time, doesn't have the node
// take back what another, begun later, is handing over.
func TestALeaveBesideAnother(t *testing.T) {
	_, ctx, n, _, end := stuckLab(t)
	first, giveUp := context.WithCancel(ctx)
	leaves := make(chan error, 2)
	leave := func(ctx context.Context, of int32) {
		go func() { leaves <- n.Leave(ctx) }()
		until(ctx, t, "it is leaving", func() bool { return n.Leaves() == of })
	}
	leave(first, 1)
	leave(ctx, 2)
	giveUp()
	if err := <-leaves; err == nil {
		t.Error("the leave that was given up has left")
	}
	if err := n.Serving(); !errors.Is(err, proxy.ErrLeaving) {
		t.Errorf("it leaves no more: %v", err)
	}
	close(end)
	if err := <-leaves; err != nil {
		t.Errorf("the other: %v", err)
	}
}
