package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

// show plays the scenes and notes what the ledger will be read for.
type show struct {
	srv    *sim.Server
	c      *cluster
	screen *screen
	load   *sim.Running
	res    result

	mu    sync.Mutex // guards marks, which the live area reads
	marks []mark
}

// play runs all scenes.
func (s *show) play(ctx context.Context) error {
	s.screen.print(intro(s.screen.p)...)
	for _, scene := range []func(context.Context) error{
		s.begin, s.join, s.settle, s.ping, s.kill, s.restart, s.move, s.finish,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin starts three nodes that know nothing of each other.
func (s *show) begin(ctx context.Context) error {
	s.screen.event(time.Now(), "discord", "simulated on %s: %d guilds, %d shards; it keeps the ledger",
		s.srv.Addr(), guilds, shards)
	for _, n := range s.c.nodes {
		if err := s.c.start(n); err != nil {
			return err
		}
		s.screen.event(time.Now(), n.id, "botnode start --builtin ping --id %s ...  %s", n.id, s.pid(n))
	}
	for _, n := range s.c.nodes {
		if _, err := s.c.waitStatus(ctx, n, n.id+" to start", func(*admin.Status) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) pid(n *node) string { return s.screen.p.dim("pid " + strconv.Itoa(n.proc.pid())) }

// join makes a cluster of them: the first is idle and makes one when asked.
func (s *show) join(ctx context.Context) error {
	first := s.c.nodes[0]
	for _, n := range s.c.nodes[1:] {
		start := time.Now()
		if _, err := s.c.client(n).Join(ctx, first.cluster, "", nil); err != nil {
			return fmt.Errorf("%s does not join %s: %w", n.id, first.id, err)
		}
		s.screen.event(time.Now(), n.id, "botnode join %s  (%s): a voter after %s", first.cluster, first.id, short(time.Since(start)))
	}
	return nil
}

// settle waits until every shard has a session, and sees to it that the leader
// owns one of them: it is to be missed.
func (s *show) settle(ctx context.Context) error {
	st, err := s.spread(ctx)
	if err != nil {
		return err
	}
	// Shards follow the nodes that joined; a cluster that has another idea of
	// how to place them is shown as it is.
	for end := time.Now().Add(spreading); !even(&st) && time.Now().Before(end); {
		if err := s.wait(ctx, bucket); err != nil {
			return err
		}
		if st, err = s.spread(ctx); err != nil {
			return err
		}
	}
	if leader := st.Leader.ID; len(owned(&st, leader)) == 0 {
		if err := s.c.client(s.c.nodes[0]).MoveShard(ctx, strconv.Itoa(st.Shards[0].ID), leader); err != nil {
			return fmt.Errorf("a shard for the leader: %w", err)
		}
		if st, err = s.spread(ctx); err != nil {
			return err
		}
	}
	s.screen.event(time.Now(), "cluster", "ready: %s leads; shards: %s", s.screen.p.bold(st.Leader.ID), s.owners(&st))
	return nil
}

// spread waits until all nodes see all shards ready.
func (s *show) spread(ctx context.Context) (st admin.Status, err error) {
	for _, n := range s.c.running() {
		st, err = s.c.waitStatus(ctx, n, "the shards", func(st *admin.Status) bool {
			return ready(st, len(s.c.nodes), shards)
		})
		if err != nil {
			return st, err
		}
	}
	return st, nil
}

// owners says who has which shards.
func (s *show) owners(st *admin.Status) string {
	var parts []string
	for _, n := range s.c.nodes {
		if list := owned(st, n.id); len(list) > 0 {
			parts = append(parts, n.id+" "+numbers(list))
		}
	}
	return strings.Join(parts, ", ")
}

// ping starts the load.
func (s *show) ping(ctx context.Context) error {
	s.res.load.from = time.Now()
	s.load = s.srv.StartLoad(sim.Load{Kind: "ping", Rate: rate})
	s.screen.event(s.res.load.from, "users", "write !ping N, %d a second, in all guilds; the bot answers pong N", rate)
	s.screen.show(s.area)
	return s.wait(ctx, calm)
}

// kill is kill -9 of the leader, and what the others make of it.
func (s *show) kill(ctx context.Context) error {
	st, err := s.c.waitStatus(ctx, s.c.nodes[0], "a quiet moment", func(st *admin.Status) bool {
		return ready(st, len(s.c.nodes), shards) && len(owned(st, st.Leader.ID)) > 0
	})
	if err != nil {
		return err
	}
	dead := s.c.byID(st.Leader.ID)
	k := &s.res.kill
	k.node, k.shards, k.window.from = dead.id, owned(&st, dead.id), time.Now()
	pid := dead.proc.pid()
	s.c.kill(dead)
	s.mark(k.window.from, "kill -9 "+dead.id)
	s.screen.event(k.window.from, dead.id, "%s %d: it was the leader and had %s", s.screen.p.red("kill -9"), pid, shardList(k.shards))
	other := s.c.running()[0]
	st, err = s.c.waitStatus(ctx, other, "a new leader", func(st *admin.Status) bool {
		return st.Leader != nil && st.Leader.ID != dead.id
	})
	if err != nil {
		return err
	}
	s.screen.event(time.Now(), st.Leader.ID, "leads now, seen %s after the kill", short(time.Since(k.window.from)))
	if err := s.takenOver(ctx, other, dead.id); err != nil {
		return err
	}
	return s.wait(ctx, time.Until(k.window.from.Add(down)))
}

// takenOver waits until others have resumed the shards of a dead node.
func (s *show) takenOver(ctx context.Context, ask *node, dead string) error {
	k := &s.res.kill
	resumed := func() (out []sim.Resume) {
		for _, r := range s.srv.Ledger().Resumes() {
			id := int(r.Shard[0])
			again := slices.ContainsFunc(out, func(o sim.Resume) bool { return o.Shard == r.Shard })
			if r.Result == "ok" && r.At.After(k.window.from) && slices.Contains(k.shards, id) && !again {
				out = append(out, r)
			}
		}
		return out
	}
	st, err := s.c.waitStatus(ctx, ask, "the shards of "+dead+" to be taken over", func(st *admin.Status) bool {
		for _, sh := range st.Shards {
			if sh.State != "ready" || sh.Owner == dead {
				return false
			}
		}
		return len(resumed()) == len(k.shards) || s.srv.Ledger().Summary().Identifies > shards
	})
	if err != nil {
		return err
	}
	for _, r := range resumed() {
		owner := ""
		for _, sh := range st.Shards {
			if sh.ID == int(r.Shard[0]) {
				owner = sh.Owner
			}
		}
		s.screen.event(r.At, owner, "resumes the session of shard %d, %s after the kill: Discord replays %s",
			r.Shard[0], s.screen.p.bold(short(r.At.Sub(k.window.from))), count(r.Replayed, "event"))
	}
	return nil
}

// restart starts the killed node again, out of its own folder.
func (s *show) restart(ctx context.Context) error {
	n := s.c.byID(s.res.kill.node)
	st, err := s.c.status(ctx, s.c.running()[0])
	if err != nil {
		return err
	}
	target := st.CommitIndex
	at := time.Now()
	s.res.kill.window.to = at
	if err := s.c.start(n); err != nil {
		return err
	}
	s.mark(at, n.id+" is back")
	s.screen.event(at, n.id, "botnode start, as before  %s", s.pid(n))
	_, err = s.c.waitStatus(ctx, n, n.id+" to catch up", func(st *admin.Status) bool {
		return st.State == "follower" && !st.Stale && st.AppliedIndex >= target
	})
	if err != nil {
		return err
	}
	s.screen.event(time.Now(), n.id, "a follower again, caught up %s after its start", short(time.Since(at)))
	return s.wait(ctx, time.Until(at.Add(rejoin)))
}

// move is a planned move of a shard, to the node that came back.
func (s *show) move(ctx context.Context) error {
	to := s.res.kill.node
	ask := s.c.byID(to)
	st, err := s.c.waitStatus(ctx, ask, "a quiet moment", func(st *admin.Status) bool {
		return ready(st, len(s.c.nodes), shards)
	})
	if err != nil {
		return err
	}
	m := &s.res.move
	for _, sh := range st.Shards {
		if sh.Owner != to && (len(m.shards) == 0 || slices.Contains(s.res.kill.shards, sh.ID)) {
			m.shards, m.from = []int{sh.ID}, sh.Owner
		}
	}
	if len(m.shards) == 0 {
		return errors.New("no shard is left to be moved: " + to + " has them all")
	}
	m.node, m.window.from = to, time.Now()
	s.mark(m.window.from, "move to "+to)
	if err := s.c.client(ask).MoveShard(ctx, strconv.Itoa(m.shards[0]), to); err != nil {
		return fmt.Errorf("the planned move: %w", err)
	}
	s.screen.event(time.Now(), to, "botnode shard move %d --to %s  (from %s): done after %s", m.shards[0], to, m.from,
		s.screen.p.bold(short(time.Since(m.window.from))))
	m.window.to = time.Now().Add(aftermath)
	return s.wait(ctx, after)
}

// finish ends the load and gives late and surplus answers time to come.
func (s *show) finish(ctx context.Context) error {
	if err := s.load.Stop(); err != nil {
		return err
	}
	s.res.load.to = time.Now()
	late, cancel := context.WithTimeout(ctx, grace)
	_ = s.srv.Ledger().WaitAnswered(late) // what is missing then is lost
	cancel()
	if err := s.wait(ctx, settled); err != nil {
		return err
	}
	s.screen.show(nil)
	return ctx.Err()
}

// wait lets time pass while it watches the nodes.
func (s *show) wait(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(max(0, d))
	defer end.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		if err := s.c.alive(); err != nil {
			return err
		}
		if err := s.screen.failed(); err != nil {
			return err
		}
		select {
		case <-end.C:
			return nil
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *show) mark(at time.Time, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, mark{at, text})
}
