package lab

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart(t *testing.T) {
	start := time.Now()
	lap := func(what string) { t.Log(what, time.Since(start)); start = time.Now() }
	l, err := New(Options{
		Discord: sim.Options{NoRouteLimits: true, GlobalLimit: -1},
		Program: func(string) Program { return Program{Intents: discord.IntentsDefault} },
		Fatal:   func(id string, err error) { t.Errorf("%s: %v", id, err) },
		Logger:  func(id string) *zap.Logger { return zaptest.NewLogger(t) },
	})
	if err != nil {
		t.Fatal(err)
	}
	lap("sim")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	for _, id := range []string{"node1", "node2", "node3"} {
		if err := l.Add(ctx, id); err != nil {
			t.Fatal(err)
		}
		lap(id)
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Error(err)
	}
	lap("settled")
	leader, _ := l.WaitLeader(ctx)
	l.Kill(leader)
	if err := l.WaitSettled(ctx); err != nil {
		t.Error(err)
	}
	lap("killed")
	if err := l.Restart(ctx, leader); err != nil {
		t.Error(err)
	}
	lap("restarted")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	lap("closed")
}
