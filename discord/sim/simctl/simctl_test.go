package simctl_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/discord/sim/simctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestControl(t *testing.T) {
	srv := sim.New(sim.Options{Guilds: 2})
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c := simctl.New(srv.APIURL())
	info, err := c.Info(ctx)
	if err != nil || len(info.Guilds) != 2 || info.API != srv.APIURL() {
		t.Fatalf("info %+v: %v", info, err)
	}
	if r, err := c.Say(ctx, sim.Say{Content: "hi"}, 0); err != nil || r.ID == 0 || r.Delivered != 0 {
		t.Errorf("say %+v: %v", r, err)
	}
	if _, err := c.Say(ctx, sim.Say{Content: "hi"}, 10*time.Millisecond); !errors.Is(err, simctl.ErrRefused) {
		t.Errorf("an answer from nobody: %v", err)
	}
	id, err := c.AddGuild(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Mutate(ctx, "mixed", 50); err != nil {
		t.Error(err)
	}
	if tr, err := c.Truth(ctx, id); err != nil || len(tr.Members) != tr.MemberCount || len(tr.Channels) == 0 {
		t.Errorf("truth of %d members: %v", len(tr.Members), err)
	}
	if err := c.RemoveGuild(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := c.Truth(ctx, id); !errors.Is(err, simctl.ErrRefused) {
		t.Errorf("truth of a removed guild: %v", err)
	}
	if err := c.Inject(ctx, sim.Fault{Kind: "no such"}); !errors.Is(err, simctl.ErrRefused) {
		t.Errorf("unknown fault: %v", err)
	}
	if s, err := c.RunLoad(ctx, sim.Load{Kind: "ping", Rate: 1000, N: 3}); err != nil || s.Undeliverable != 3 {
		t.Errorf("load %+v: %v", s, err)
	}
	if err := c.StartLoad(ctx, sim.Load{Kind: "message", Rate: 10}); err != nil {
		t.Error(err)
	}
	if _, err := c.StopLoad(ctx); err != nil {
		t.Error(err)
	}
	if l, err := c.Ledger(ctx); err != nil || l.Summary.Undeliverable != 3 {
		t.Errorf("ledger %+v: %v", l, err)
	}
	if tl, err := c.Timeline(ctx, 50*time.Millisecond); err != nil || tl.BucketMS != 50 {
		t.Errorf("timeline %+v: %v", tl, err)
	}
	if _, err := c.Requests(ctx); err != nil {
		t.Error(err)
	}
}
