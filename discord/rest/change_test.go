package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stranger returns a process that would keep the first channel's buckets if it
// joined.
func stranger(nodes []*meshNode) Member {
	for i := 0; ; i++ {
		x := Member{fmt.Sprint("x", i), 1}
		if newViewState(x, View{Members: append(members(nodes), x)}).homeOf(major(1), IdentityNone) == x {
			return x
		}
	}
}

func members(nodes []*meshNode) []Member {
	var out []Member
	for _, n := range nodes {
		out = append(out, n.member)
	}
	return out
}

// flap shows two nodes a view of other members, then the one before again. The
// third applies both changes at a time, as one that was behind does: to it, nothing
// has happened.
func flap(m *mesh, nodes []*meshNode, third *meshNode, between []Member) {
	all := members(nodes)
	number := m.view().Number
	m.view()
	for _, n := range without(nodes, third) {
		n.c.SetView(View{Number: number, Members: between})
		n.c.SetView(View{Number: number + 1, Members: all})
	}
	third.c.SeenUpTo(number + 1)
}

// A home that lost its buckets for a moment has let go of all that it had granted.
// A node that saw nothing of it tells it what it has on the wire.
func TestANodeMissesAView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{GlobalPerSecond: 1000}, roomy())
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(2 * time.Second)
		p := acquire(t, other)
		flap(m, nodes, other, append(members(nodes), stranger(nodes)))
		time.Sleep(2 * time.Second)
		if n := inflight(home); n != 1 {
			t.Errorf("the home counts %d requests under way, and there is one", n)
		}
		if home.c.here.blind {
			t.Error("the home waits for somebody to tell, and all have")
		}
		p.Done(Answer{Status: 200})
		time.Sleep(10 * time.Millisecond)
		if n := inflight(home) + queued(home); n != 0 {
			t.Errorf("%d requests are left over", n)
		}
	})
}

// A place that was granted before that, and heard of after, isn't used.
func TestAGrantFromBeforeAViewIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{GlobalPerSecond: 1000}, roomy())
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(2 * time.Second)
		got := make(chan Permit, 1)
		go func() {
			p, _ := other.c.Acquire(t.Context(), firstChannel())
			got <- p
		}()
		time.Sleep(time.Millisecond / 2)
		m.slow.Store(int64(100 * time.Millisecond))
		time.Sleep(time.Millisecond)
		m.slow.Store(0)
		flap(m, nodes, other, append(members(nodes), stranger(nodes)))
		p := <-got
		time.Sleep(time.Second)
		if n := inflight(home); n != 1 {
			t.Errorf("the home counts %d requests under way, and there is one", n)
		}
		p.Done(Answer{Status: 200})
	})
}

// A process that was taken for gone and lives hears of it that its requests have
// to ask again.
func TestParkedRequestsOutliveAView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{}, busy(t))
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got := begin(ctx, other, "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		flap(m, nodes, other, members(without(nodes, other)))
		if err := <-got; err != nil {
			t.Errorf("the request of a node that was out of the view for a moment: %v", err)
		}
		time.Sleep(time.Second)
		if n := inflight(home) + queued(home); n != 0 {
			t.Errorf("%d requests are left over", n)
		}
	})
}

// What such a process is told is numbered on: it would take a message that begins
// anew for one that it has heard.
func TestNumbersGoOnAfterAView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{GlobalPerSecond: 1000}, roomy())
		home, other := homeOf(nodes, major(1))
		for range 5 { // the home has heard some messages of the other
			mustSend(t, other.rt, "GET", "/channels/1/x")
			time.Sleep(300 * time.Millisecond)
		}
		flap(m, nodes, home, members(without(nodes, home)))
		time.Sleep(time.Second)
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(time.Second)
		if n := inflight(home) + queued(home); n != 0 {
			t.Errorf("%d requests are under way for ever: the home doesn't hear of their end", n)
		}
	})
}

// gauge is an API that says how many requests it has at a time.
type gauge struct {
	mu             sync.Mutex
	inflight, most int
}

func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.inflight++
	g.most = max(g.most, g.inflight)
	g.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	g.mu.Lock()
	g.inflight--
	g.mu.Unlock()
	return reply(r, 200, bucketHeaders("4")), nil
}

// atATime is how many of four requests are on the wire at a time.
func (g *gauge) atATime(t *testing.T, n *meshNode) int {
	t.Helper()
	g.mu.Lock()
	g.most = 0
	g.mu.Unlock()
	var waiting []<-chan error
	for range 4 {
		waiting = append(waiting, begin(t.Context(), n, "/channels/1/x"))
	}
	for _, w := range waiting {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// A new home sends one request at a time while a node that lives hasn't told what
// it has on the wire, and longer if that one dies without having told.
func TestNewHomeIsBlindUntilAllHaveTold(t *testing.T) {
	for _, dies := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			api := &gauge{}
			m, nodes := trio(t, Options{}, api)
			_, silent := homeOf(nodes, major(1))
			x := stranger(nodes)
			mustSend(t, nodes[0].rt, "GET", "/channels/1/x")
			time.Sleep(time.Second)
			joiner := m.start(x.ID, x.Inc, Options{}, api)
			m.sever(silent)
			m.show(atOnce, append(nodes, joiner)...)
			time.Sleep(2 * barrierTime)
			if n := api.atATime(t, joiner); n != 1 {
				t.Errorf("%d requests at a time while a node hasn't told what it has on the wire", n)
			}
			if dies {
				silent.kill()
				m.show(atOnce, append(without(nodes, silent), joiner)...)
				time.Sleep(10 * time.Millisecond)
				if n := api.atATime(t, joiner); n != 1 {
					t.Errorf("%d requests at a time right after it died", n)
				}
				time.Sleep(flightTime)
				mustSend(t, joiner.rt, "GET", "/channels/1/x")
			} else {
				m.mend(silent)
			}
			time.Sleep(3 * time.Second)
			if n := api.atATime(t, joiner); n < 3 {
				t.Errorf("%d requests at a time when all is known", n)
			}
		})
	}
}

// A new home waits for those who haven't told, and not for one that goes out of
// reach meanwhile.
func TestNobodyWaitsForWhatASilentNodeKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, o := &gauge{}, Options{GlobalPerSecond: Unlimited}
		m, nodes := trio(t, o, api)
		_, silent := homeOf(nodes, major(1))
		x := stranger(nodes)
		joiner := m.start(x.ID, x.Inc, o, api)
		m.mu.Lock()
		silent.severed = true
		m.mu.Unlock()
		m.show(atOnce, append(nodes, joiner)...)
		start := time.Now()
		got := begin(t.Context(), joiner, "/channels/1/x")
		time.Sleep(barrierTime / 2)
		if n := inflight(joiner); n != 0 {
			t.Error("a request is sent before all have told what they have on the wire")
		}
		joiner.c.SetReachable(silent.member.ID, false)
		if err := <-got; err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > barrierTime/2+110*time.Millisecond { // with the API's latency
			t.Errorf("it waited %s", waited)
		}
	})
}

// What a home told before a death, and a joiner hears after, doesn't have what the
// dead one had on the wire.
func TestAJoinerHearsOfADeathAfterTheBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &gauge{}
		m, nodes := trio(t, Options{}, api)
		home, victim := homeOf(nodes, major(1))
		x := stranger(nodes)
		mustSend(t, home.rt, "GET", "/channels/1/x")
		time.Sleep(time.Second)
		joiner := m.start(x.ID, x.Inc, Options{}, api)
		victim.kill()
		joined := m.view(append(nodes, joiner)...)
		left := append(without(nodes, victim), joiner)
		died := m.view(left...)
		for _, n := range without(left, joiner) {
			n.c.SetView(joined)
			n.c.SetView(died)
		}
		joiner.c.SetView(died)
		time.Sleep(10 * time.Millisecond)
		if n := api.atATime(t, joiner); n != 1 {
			t.Errorf("%d requests at a time right after the death", n)
		}
	})
}

// A bucket that nobody living knows is probed after a death as well: what the dead
// one has sent may arrive after the first answer.
func TestUnknownBucketsAreProbedAfterADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &gauge{}
		m, nodes := trio(t, Options{}, api)
		home, other := homeOf(nodes, major(1))
		mustSend(t, home.rt, "GET", "/channels/1/x")
		home.kill()
		m.show(atOnce, without(nodes, home)...)
		time.Sleep(10 * time.Millisecond)
		if n := api.atATime(t, other); n != 1 {
			t.Errorf("%d requests at a time right after the death", n)
		}
	})
}

// A grant of places that was on its way when the view changed doesn't count: the
// home may have begun its books anew in between.
func TestPlacesGrantedBeforeAViewAreVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{}, &script{})
		home := laneHome(nodes)
		n := without(nodes, home)[0]
		l := n.c.leases[IdentityNone]
		n.c.here.mu.Lock()
		l.poked = true
		n.c.here.mu.Unlock()
		_, q, _, _ := l.question()
		n.c.SetView(m.view(n, home)) // of which it stays the home
		l.answered(q.seq, laneAns{code: ansGranted, held: 30, target: 30}, nil)
		n.c.here.mu.Lock()
		defer n.c.here.mu.Unlock()
		if l.held != 0 {
			t.Errorf("it uses %d places", l.held)
		}
	})
	l, a := newLedger(50), Member{ID: "a"}
	l.ask(a, laneMsg{seq: 2, held: 5}, time.Unix(100, 0), func(laneAns) {})
	l.ask(a, laneMsg{seq: 1}, time.Unix(100, 0), func(laneAns) {})
	if n := l.holder(a).held; n != 5 {
		t.Errorf("a question that was overtaken says that %d places are held", n)
	}
}

// What a node tells of an older view doesn't say what it has on the wire in this one.
func TestABarrierWaitsForThePresentView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, &script{})
		c, other := nodes[0].c, nodes[1].member
		c.here.mu.Lock()
		defer c.here.mu.Unlock()
		c.raise(time.Now())
		c.informed(other, &inform{view: stamp{digest: 1}}, time.Now())
		if !slices.Contains(c.barrier.missing, other) {
			t.Error("it waits no more for a node that has told of an older view only")
		}
	})
}

// A home asks a node for its places once. That one answers, though its first
// answer is lost, or the view changes before it is given.
func TestAPokeIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, &script{})
		l := without(nodes, laneHome(nodes))[0].c.leases[IdentityNone]
		l.c.here.mu.Lock()
		l.poked = true
		l.c.here.mu.Unlock()
		_, q, _, ok := l.question()
		if !ok {
			t.Fatal("a node that was asked says nothing")
		}
		l.answered(q.seq, laneAns{}, errMesh)
		l.c.here.mu.Lock()
		defer l.c.here.mu.Unlock()
		if !l.poked {
			t.Error("its answer is lost, and it doesn't give another")
		}
	})
	a, b, now := Member{ID: "a"}, Member{ID: "b"}, time.Unix(100, 0)
	l := newLedger(10)
	l.begin(nil, time.Time{}, now)
	l.ask(a, laneMsg{seq: 1, want: 10}, now, func(laneAns) {})
	l.allocate(now)
	l.ask(b, laneMsg{seq: 1, want: 5}, now, func(laneAns) {})
	if poke, _ := l.allocate(now); len(poke) != 1 {
		t.Fatalf("asked: %v", poke)
	}
	l.inform(a, laneHeld{seq: 2, held: 10}, now)
	if poke, _ := l.allocate(now); len(poke) != 1 {
		t.Errorf("asked after a change of the view: %v", poke)
	}
}
