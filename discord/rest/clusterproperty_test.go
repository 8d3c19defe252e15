package rest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// clusterWorld is one drawn case: a world, and what happens to its nodes.
type clusterWorld struct {
	world
	between time.Duration // latency between nodes, at most
	delay   time.Duration // until a node sees a change of the view, at most
	kills   bool
	joins   bool
}

func drawClusterWorld(t *rapid.T) clusterWorld {
	return clusterWorld{
		world:   drawWorld(t),
		between: time.Duration(rapid.IntRange(1, 5).Draw(t, "between")) * time.Millisecond,
		delay:   time.Duration(rapid.IntRange(1, 40).Draw(t, "delay")) * time.Millisecond,
		kills:   rapid.Bool().Draw(t, "kills"),
		joins:   rapid.Bool().Draw(t, "joins"),
	}
}

// TestClusterExceedsNoLimit is the property of a cluster's limiter: three nodes
// that send as fast as they may, over a network and with views that are seen at
// different times, never ask for one too many of a bucket that is known; a death
// costs at most the first request of each bucket that the dead one kept; and the
// global limit is kept throughout.
func TestClusterExceedsNoLimit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawClusterWorld(rt)
		var failure string
		synctest.Test(t, func(t *testing.T) { failure = w.run(t) })
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// upTo draws durations below a bound, from several goroutines.
func upTo(seed uint64, d time.Duration) func() time.Duration {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 7))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rng.Int64N(int64(d)))
	}
}

// run plays a world and returns what went wrong.
func (w clusterWorld) run(t *testing.T) string {
	api, cut := w.api()
	m := newMesh(t, upTo(w.seed, w.between))
	o := Options{GlobalPerSecond: w.perSec, MaxRetries: -1}
	nodes := []*meshNode{m.start("joe", 1, o, api), m.start("mike", 1, o, api), m.start("robert", 1, o, api)}
	late := nodes[2]
	if w.joins {
		nodes = nodes[:2]
	}
	see := upTo(w.seed+1, w.delay)
	m.show(see, nodes...)
	time.Sleep(2 * barrierTime)
	for b := range w.limits {
		for n := range w.majors {
			for _, route := range routesOf(b) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := send(ctx, nodes[n%2].rt, http.MethodGet, channel(1+n, route), "")
				cancel()
				if err != nil {
					return err.Error() + w.dump(nodes)
				}
			}
		}
	}
	time.Sleep(4 * w.between) // the buckets' homes have heard of it
	*cut = w.losses
	learnt, before, globals := len(api.hits), api.limited, api.globals
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := map[*meshNode]int{}
	rng := rand.New(rand.NewPCG(w.seed, 2))
	moved, victim := 0, (*meshNode)(nil)
	for i := range w.requests {
		if i == w.requests/3 && w.joins {
			nodes = append(nodes, late)
			m.show(see, nodes...)
		}
		if i == w.requests/2 && w.kills {
			victim = nodes[rng.IntN(len(nodes))]
			moved = len(w.limits) * w.kept(victim, nodes, late)
			if w.joins {
				// Any bucket may be moving for the join just then. What the victim has on
				// the wire in it is told by nobody, and each move has its first request.
				moved = 2 * len(w.limits) * w.majors
			}
			victim.kill()
			var left []*meshNode
			for _, n := range nodes {
				if n != victim {
					left = append(left, n)
				}
			}
			nodes = left
			m.show(see, nodes...)
		}
		node := nodes[rng.IntN(len(nodes))]
		routes := routesOf(rng.IntN(len(w.limits)))
		path := channel(1+rng.IntN(w.majors), routes[rng.IntN(2)])
		wg.Go(func() {
			if _, err := send(t.Context(), node.rt, http.MethodGet, path, ""); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[node]++
			}
		})
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	}
	all := make(chan struct{})
	go func() { wg.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(15 * time.Minute):
		failure := "requests wait for ever: " + w.dump(nodes)
		for _, n := range nodes {
			n.kill()
		}
		<-all
		return failure
	}
	time.Sleep(time.Second) // what is told is heard
	switch {
	case api.globals > globals:
		return fmt.Sprintf("%d global 429s", api.globals-globals)
	case moved > 0 && api.limited-before > moved+api.cuts: // a first request whose answer is lost has told nothing
		return fmt.Sprintf("%d 429s, and %d buckets moved by a death, %d answers lost", api.limited-before, moved, api.cuts)
	case moved == 0 && api.limited > before:
		return fmt.Sprintf("%d 429s, and %d buckets moved by a death", api.limited-before, moved)
	case victim == nil && len(api.hits)-learnt != w.requests+api.limited-before:
		return fmt.Sprintf("%d of %d requests arrived", len(api.hits)-learnt, w.requests)
	}
	return w.leftOver(nodes)
}

// kept counts the channels that a node keeps, as any of the nodes may see it: with
// or without the one that has just joined.
func (w clusterWorld) kept(n *meshNode, nodes []*meshNode, late *meshNode) int {
	var with, without []Member
	for _, o := range nodes {
		with = append(with, o.member)
		if o != late || !w.joins {
			without = append(without, o.member)
		}
	}
	count := 0
	for major := range w.majors {
		for _, members := range [][]Member{with, without} {
			v := newViewState(members[0], View{Members: members})
			if v.homeOf(fmt.Sprintf("channels/%d", 1+major), IdentityNone) == n.member {
				count++
				break
			}
		}
	}
	return count
}

// leftOver says what the nodes still hold though all is done.
func (w clusterWorld) leftOver(nodes []*meshNode) string {
	for _, n := range nodes {
		n.c.here.mu.Lock()
		waiting, out, early := len(n.c.guests), len(n.c.out), len(n.c.early)
		inflight := 0
		for _, b := range n.c.here.buckets {
			inflight += b.inflight
		}
		n.c.here.mu.Unlock()
		if waiting+out+early+inflight > 0 {
			return fmt.Sprintf("%s has left over: %d guests, %d permits, %d early messages, %d in flight", n.member.ID, waiting, out, early, inflight)
		}
	}
	return ""
}

// dump shows what waits where.
func (w clusterWorld) dump(nodes []*meshNode) string {
	var out strings.Builder
	for _, n := range nodes {
		n.c.here.mu.Lock()
		now := time.Now()
		fmt.Fprintf(&out, "\n%s: %d guests, %d permits, barrier %v, hold %v", n.member.ID, len(n.c.guests), len(n.c.out), n.c.barrier, n.c.here.hold)
		for key, b := range n.c.here.buckets {
			if len(b.queue) > 0 || b.inflight > 0 {
				fmt.Fprintf(&out, "\n  bucket %+v: queue %d inflight %d state %d remaining %d lost %d probe %v held %v room %d blocked %s", key, len(b.queue), b.inflight, b.state, b.remaining, len(b.lost), b.probe, b.held, b.room(now), b.blocked.Sub(now))
			}
		}
		l := n.c.leases[IdentityNone]
		fmt.Fprintf(&out, "\n  lease held %d target %d asking %v poked %v failing %v; lane limit %d used %d queue %d", l.held, l.target, l.asking, l.poked, l.failing, l.lane.limit, l.lane.used(now), len(l.lane.queue))
		if g := n.c.ledgers[IdentityNone]; g != nil {
			fmt.Fprintf(&out, "\n  ledger %+v", *g)
			for m, h := range g.holders {
				fmt.Fprintf(&out, "\n    %v %+v", m, *h)
			}
		}
		n.c.here.mu.Unlock()
	}
	return out.String()
}
