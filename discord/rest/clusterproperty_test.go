package rest

import (
	"context"
	"errors"
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
	flaps   bool          // a process joins and dies at once, which not all nodes see
	cuts    int           // percent of the messages between nodes that are lost, or whose answers are
	stalls  int           // percent that come late, with all after them
	pause   time.Duration // a node stands still for so long; 0: none does
}

func drawClusterWorld(t *rapid.T) clusterWorld {
	return clusterWorld{
		world:   drawWorld(t),
		between: time.Duration(rapid.IntRange(1, 5).Draw(t, "between")) * time.Millisecond,
		delay:   time.Duration(rapid.IntRange(1, 40).Draw(t, "delay")) * time.Millisecond,
		kills:   rapid.Bool().Draw(t, "kills"),
		joins:   rapid.Bool().Draw(t, "joins"),
		flaps:   rapid.Bool().Draw(t, "flaps"),
		cuts:    rapid.SampledFrom([]int{0, 0, 1, 10}).Draw(t, "cuts"),
		stalls:  rapid.SampledFrom([]int{0, 0, 1, 10}).Draw(t, "stalls"),
		pause:   time.Duration(max(rapid.IntRange(-10, 10).Draw(t, "pause"), 0)) * time.Second,
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
	defer time.Sleep(w.pause) // or messages are left over in the network
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
	learnt := len(api.hits)
	api.forget()
	if w.cuts+w.stalls > 0 {
		m.mu.Lock()
		m.harm = &harm{rng: rand.New(rand.NewPCG(w.seed, 3)), cuts: w.cuts, stall: w.stalls}
		m.mu.Unlock()
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := map[*meshNode]error{}
	rng := rand.New(rand.NewPCG(w.seed, 2))
	var victim *meshNode
	for i := range w.requests {
		if i == w.requests/3 && w.joins {
			nodes = append(nodes, late)
			m.show(see, nodes...)
		}
		if i == w.requests/2 && w.kills {
			victim = nodes[rng.IntN(len(nodes))]
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
		if i == 2*w.requests/3 && w.flaps {
			m.flap(see, nodes, func() bool { return rng.IntN(2) == 0 })
		}
		if i == w.requests/4 && w.pause > 0 {
			nodes[rng.IntN(len(nodes))].stop(w.pause, append(nodes, late))
		}
		node := nodes[rng.IntN(len(nodes))]
		routes := routesOf(rng.IntN(len(w.limits)))
		path := channel(1+rng.IntN(w.majors), routes[rng.IntN(2)])
		wg.Go(func() {
			if _, err := send(t.Context(), node.rt, http.MethodGet, path, ""); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[node] = err
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
	time.Sleep(w.pause + 5*time.Second) // what is told is heard
	burst := 0
	if w.pause > silentAfter {
		burst = 2 * w.perSec // what one that stood still had on the wire, and its places until it has asked
	}
	if api.globals > burst {
		return fmt.Sprintf("%d global 429s", api.globals)
	}
	for key, t := range api.tallies {
		if t.limited > w.forgiven(key, t.cuts) {
			return fmt.Sprintf("%d 429s of bucket %s with %d of its answers lost, %d of all", t.limited, key, t.cuts, api.limited)
		}
	}
	for node, err := range failed {
		if node != victim && !errors.Is(err, errCut) {
			return "a request failed: " + err.Error()
		}
	}
	arrived := len(api.hits) - learnt // a 429 whose answer is lost isn't repeated
	if victim == nil && (arrived < w.requests || arrived > w.requests+api.limited) {
		return fmt.Sprintf("%d of %d requests arrived", arrived, w.requests)
	}
	return w.leftOver(nodes)
}

// forgiven is how many 429s one bucket may get, with some of its answers lost.
// Without a death, and with a network and nodes that do what they should, none.
func (w clusterWorld) forgiven(key string, cuts int) int {
	routes := len(routesOf(0))
	n := 0
	if w.kills {
		// The first request after the death. Where the new home has just joined, or wasn't
		// told in time, it doesn't know that the routes share a bucket: the first of each.
		n += 1 + cuts // a first request whose answer is lost has told nothing
		if w.joins || w.cuts+w.stalls > 0 {
			n += routes - 1
		}
	}
	if w.flaps {
		n += routes + cuts // a death, of a home that kept the buckets for a moment
	}
	if w.joins && (w.cuts+w.stalls > 0 || w.pause > barrierTime) {
		n += routes + cuts // what a node has on the wire may be told too late
	}
	for _, l := range w.limits {
		if !strings.HasPrefix(key, l.hash+" ") {
			continue
		}
		if changes := w.joins || w.kills || w.flaps; w.pause > silentAfter || w.pause > barrierTime && changes {
			n += l.limit // what the node had been given it sends when it goes on
		}
		if w.pause > silentAfter {
			// Two count for themselves, one request at a time: the last of each may be too many
			// in a window.
			n += 2*(int(w.pause/l.window)+2) + cuts
		}
	}
	return n
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
