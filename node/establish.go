package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// lead does what the programs want done by one node, once this one leads.
func (n *Node) lead(ctx context.Context, term uint64) {
	if !n.establish(term) {
		return
	}
	n.wg.Go(func() { n.followHashes(ctx) })
	n.wg.Go(func() { n.followRules(ctx) })
	n.wg.Go(func() { n.followPlacement(ctx) })
	n.wg.Go(func() { n.followEnrolments(ctx, term) })
	for _, b := range n.o.Bots {
		if b.Lead != nil {
			n.wg.Go(func() { b.Lead(ctx, n, n.log.With(zap.String("bot", b.Name))) })
		}
	}
}

// establish brings the cluster's settings in line with this node's program,
// once it leads: the cluster's id, the bots that don't exist yet, and what
// their handlers want to hear of.
func (n *Node) establish(term uint64) bool {
	ctx, cancel := context.WithTimeout(n.ctx, 10*time.Second)
	defer cancel()
	var clusterID string
	n.machine.View(func(_ uint64, s *fsm.State) { clusterID = s.ClusterID })
	if clusterID == "" {
		if _, err := n.propose(ctx, func(*fsm.State) fsm.Command { return &fsm.Init{ClusterID: n.ClusterID()} }); err != nil {
			n.log.Warn("cluster id not recorded", zap.String("code", "no_quorum"), zap.Error(err))
			return false
		}
	}
	n.raiseRules(ctx)
	if err := n.establishTrust(ctx); err != nil {
		n.log.Warn("the cluster's authority is not recorded; the next leader tries again", zap.String("code", "no_quorum"), zap.Error(err))
		return false
	}
	for _, b := range n.o.Bots {
		if err := n.establishBot(ctx, b); err != nil {
			n.log.Warn("bot not set up; the next leader tries again", zap.String("bot", b.Name), zap.String("code", "no_quorum"), zap.Error(err))
			return false
		}
	}
	n.log.Debug("established", zap.Uint64("term", term))
	return true
}

func (n *Node) establishBot(ctx context.Context, b *Bot) error {
	var current *fsm.Config
	n.machine.View(func(_ uint64, s *fsm.State) {
		if have := s.Bot(b.Name); have != nil {
			cfg := have.Config
			current = &cfg
		}
	})
	if current == nil {
		seed, err := json.Marshal(b.Seed)
		if err != nil {
			return err
		}
		if _, err := n.propose(ctx, func(*fsm.State) fsm.Command {
			return &fsm.Configure{Bot: b.Name, Config: seed}
		}); err != nil {
			return err
		}
	} else if !sameConfig(*current, b.Seed) {
		n.log.Warn("flags differ from the bot's replicated configuration, which holds; change it with `botnode config apply`",
			zap.String("bot", b.Name), zap.String("code", "config_differs"))
	}
	return n.establishInterests(ctx, b)
}

// establishInterests brings what the journal takes in line with this node's
// program and the replicated configuration.
func (n *Node) establishInterests(ctx context.Context, b *Bot) error {
	var have []fsm.Interest
	want := interestsOf(b.Seed.Journal)
	cmd := &fsm.Interests{Bot: b.Name}
	n.machine.View(func(_ uint64, s *fsm.State) {
		if bot := s.Bot(b.Name); bot != nil {
			have, cmd.Rev, want = bot.InterestList(), bot.InterestsRev, interestsOf(bot.Config.Journal)
		}
	})
	if reflect.DeepEqual(want, have) {
		return nil
	}
	cmd.List = want
	res, err := n.propose(ctx, func(*fsm.State) fsm.Command { return cmd })
	if err == nil && res.Code != fsm.OK {
		return fmt.Errorf("interests not recorded: %s", res.Msg) // somebody else was at it
	}
	return err
}

// sameConfig compares what two configurations say, however it is written.
func sameConfig(a, b fsm.Config) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

// interestsOf lists what the journal is to take for readers that follow: the
// configured types, else all but the two that are frequent and seldom wanted.
// What handlers want is said by the program of each node.
func interestsOf(configured []string) []fsm.Interest {
	types := slices.Clone(configured)
	if len(types) == 0 {
		for _, t := range discord.AllEvents() {
			if t != discord.EventTypingStart && t != discord.EventPresenceUpdate {
				types = append(types, t)
			}
		}
	}
	slices.Sort(types)
	var out []fsm.Interest
	for _, t := range slices.Compact(types) {
		out = append(out, fsm.Interest{Type: t})
	}
	return out
}

// every calls f every so often until ctx ends.
func every(ctx context.Context, period time.Duration, f func(now time.Time)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f(now)
		}
	}
}
