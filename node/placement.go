package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
)

const (
	// placementCheck is how often a leader compares the placements with the members.
	placementCheck = time.Second
	// placementGrace is how long a placement may name a node that there isn't before
	// the leader says so: a cluster's nodes don't join all at once.
	placementGrace = 30 * time.Second
)

// strangers are the nodes that a placement names and the cluster doesn't have.
func strangers(placement string, member func(id string) bool) []string {
	p, err := fsm.ParsePlacement(placement)
	if err != nil {
		return nil // what a newer version takes, say
	}
	return slices.DeleteFunc(p.Names(), member)
}

// misplaced is a bot whose placement names strangers, with commas between them.
type misplaced struct{ bot, names string }

// followPlacement warns of placements that name nodes which there aren't, while
// this node leads: they have no effect, as a name with a slip in it has none.
func (n *Node) followPlacement(ctx context.Context) {
	since := make(map[misplaced]time.Time)
	every(ctx, placementCheck, func(now time.Time) {
		for _, m := range misplacedSince(since, n.misplaced(), now) {
			n.log.Warn("a bot's placement names nodes that the cluster doesn't have",
				zap.String("code", "placement_unknown_node"), zap.String("bot", m.bot), zap.String("nodes", m.names))
		}
	})
}

func (n *Node) misplaced() (out []misplaced) {
	servers := n.raft.Load().Servers()
	member := func(id string) bool {
		return slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == id })
	}
	n.State(func(s *fsm.State) {
		for _, name := range s.BotNames() {
			if names := strangers(s.Bot(name).Config.Placement, member); len(names) > 0 {
				out = append(out, misplaced{name, strings.Join(names, ", ")})
			}
		}
	})
	return out
}

// misplacedSince returns those that have been misplaced for the grace, each once.
// since is when each was first seen; the zero time marks what was told.
func misplacedSince(since map[misplaced]time.Time, have []misplaced, now time.Time) (due []misplaced) {
	for m := range since {
		if !slices.Contains(have, m) {
			delete(since, m)
		}
	}
	for _, m := range have {
		switch first, seen := since[m]; {
		case !seen:
			since[m] = now
		case !first.IsZero() && now.Sub(first) >= placementGrace:
			since[m] = time.Time{}
			due = append(due, m)
		}
	}
	return due
}
