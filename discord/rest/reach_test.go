package rest

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// without returns the nodes but one.
func without(nodes []*meshNode, not *meshNode) []*meshNode {
	var out []*meshNode
	for _, n := range nodes {
		if n != not {
			out = append(out, n)
		}
	}
	return out
}

// roomy is an API of one bucket, which a request leaves room for four more in.
func roomy() *strictAPI {
	return &strictAPI{
		windows: map[string]*fakeWindow{}, perSec: 1000, there: atOnce, back: atOnce,
		limits: map[string]fakeLimit{"GET /channels/{id}/x": {"hash", 5, time.Second}},
	}
}

// learnt starts three nodes of which one knows the first channel's bucket, which
// nobody has used for long enough.
func learnt(t *testing.T) (*mesh, []*meshNode, *strictAPI) {
	api := roomy()
	m, nodes := trio(t, Options{GlobalPerSecond: 1000}, api)
	home, _ := homeOf(nodes, major(1))
	mustSend(t, home.rt, "GET", "/channels/1/x")
	time.Sleep(2 * time.Second)
	return m, nodes, api
}

// inflight is how many requests a node counts as under way in its buckets.
func inflight(n *meshNode) int {
	n.c.here.mu.Lock()
	defer n.c.here.mu.Unlock()
	sum := 0
	for _, b := range n.c.here.buckets {
		sum += b.inflight
	}
	return sum
}

// acquire gets a permit for a request to the first channel.
func acquire(t *testing.T, n *meshNode) Permit {
	t.Helper()
	p, err := n.c.Acquire(t.Context(), firstChannel())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// firstChannel is such a request.
func firstChannel() Request {
	return Request{Route: "GET /channels/{id}/x", Major: major(1), Identity: IdentityNone, Since: time.Now()}
}

// A node that goes out of reach with places in a bucket stays in the view, maybe
// for ever. The others get these places.
func TestPlacesOfASilentNodeAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes, _ := learnt(t)
		home, silent := homeOf(nodes, major(1))
		for range 5 {
			acquire(t, silent)
		}
		m.sever(silent)
		start := time.Now()
		mustSend(t, home.rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited > 5*time.Second {
			t.Errorf("another node waited %s for places that nobody gives back", waited)
		}
	})
}

// The same for the places of the global limit.
func TestLeasesOfASilentNodeAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{}
		m, nodes := trio(t, Options{GlobalPerSecond: 40}, api)
		home := laneHome(nodes)
		silent := without(nodes, home)[0]
		burst(t, 120, silent) // it has all places now
		time.Sleep(5 * time.Second)
		m.sever(silent)
		time.Sleep(5 * time.Second)
		if took := burst(t, 90, without(nodes, silent)...); took > 8*time.Second {
			t.Errorf("90 requests of the others took %s under a limit of 40 a second", took)
		}
		silent.c.here.mu.Lock()
		defer silent.c.here.mu.Unlock()
		now := time.Now()
		lease := silent.c.leases[IdentityNone]
		lease.look(now)
		if lease.lane.limit > 10 {
			t.Errorf("the node that was cut off goes on using %d places", lease.lane.limit)
		}
	})
}

// The same where the home of the lane dies while that node is out of reach.
func TestANewLedgerFreesTheLeasesOfASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{GlobalPerSecond: 40}, &script{})
		home := laneHome(nodes)
		silent, last := without(nodes, home)[0], without(nodes, home)[1]
		burst(t, 120, silent)
		m.sever(silent)
		time.Sleep(2 * aloneTime)
		home.kill()
		m.show(atOnce, silent, last)
		time.Sleep(5 * time.Second)
		if took := burst(t, 120, last); took > 6*time.Second {
			t.Errorf("120 requests took %s under a limit of 40 a second, of which it has at least 26", took)
		}
	})
}

// A process that stood still doesn't know of it: when it is back it is asked what it
// holds.
func TestANodeThatIsBackIsAskedWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{GlobalPerSecond: 40}, &script{})
		home := laneHome(nodes)
		back := without(nodes, home)[0]
		burst(t, 120, back)
		home.c.SetReachable(back.member.ID, false)
		time.Sleep(2 * aloneTime)
		held := func() int {
			home.c.here.mu.Lock()
			defer home.c.here.mu.Unlock()
			return home.c.ledgers[IdentityNone].holder(back.member).held
		}
		if n := held(); n != 10 {
			t.Fatalf("the home counts on %d places of a node that is out of reach", n)
		}
		home.c.SetReachable(back.member.ID, true)
		time.Sleep(10 * time.Millisecond)
		back.c.here.mu.Lock()
		holds := back.c.leases[IdentityNone].held
		back.c.here.mu.Unlock()
		if n := held(); n != holds {
			t.Errorf("the home counts on %d places of a node that holds %d", n, holds)
		}
	})
}

// burst sends requests to as many channels, by these nodes in turn, and returns how
// long it took.
func burst(t *testing.T, count int, on ...*meshNode) time.Duration {
	t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { _, _ = send(t.Context(), on[i%len(on)].rt, "GET", "/"+major(i), "") })
	}
	wg.Wait()
	return time.Since(start)
}

// What a node has used of a bucket while its home was out of reach is told to it.
func TestAHomeThatIsBackHearsWhatWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes, api := learnt(t)
		api.limits["GET /channels/{id}/x"] = fakeLimit{"hash", 5, 20 * time.Second}
		home, other := homeOf(nodes, major(1))
		m.sever(home)
		for range 5 {
			mustSend(t, other.rt, "GET", "/channels/1/x")
		}
		m.mend(home)
		time.Sleep(100 * time.Millisecond)
		api.forget()
		mustSend(t, home.rt, "GET", "/channels/1/x")
		if n := api.refused(); n > 0 {
			t.Errorf("%d 429s of a home that doesn't know what was used", n)
		}
	})
}

// So is what it had on the wire when the home came back.
func TestAHomeThatIsBackHearsOfTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes, _ := learnt(t)
		home, other := homeOf(nodes, major(1))
		m.sever(home)
		p := acquire(t, other)
		m.mend(home)
		time.Sleep(100 * time.Millisecond)
		p.Done(Answer{Status: 200, Bucket: "hash", Limit: 5, Reset: 1 << 50, ResetAfter: time.Minute})
		time.Sleep(10 * time.Millisecond)
		home.c.here.mu.Lock()
		defer home.c.here.mu.Unlock()
		if n := home.c.here.find(firstChannel()).available(time.Now()); n > 0 {
			t.Errorf("the home believes in %d places of a bucket that has none", n)
		}
	})
}

// A node that isn't in the view any more doesn't wait for the answers of those who are.
func TestANodeOutsideTheViewCountsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{}, busy(t))
		home, other := homeOf(nodes, major(1))
		mustSend(t, home.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		got := begin(t.Context(), other, "/channels/1/x") // it waits at the home, for five seconds
		time.Sleep(10 * time.Millisecond)
		other.c.SetView(m.view(without(nodes, other)...))
		if err := <-got; err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > 2*aloneTime {
			t.Errorf("it waited %s", waited)
		}
	})
}

// laneHome returns the node that hands out the places of the lane of the tests.
func laneHome(nodes []*meshNode) *meshNode {
	for _, n := range nodes {
		n.c.here.mu.Lock()
		at := n.c.view.homeOfLane(IdentityNone)
		n.c.here.mu.Unlock()
		if at == n.member {
			return n
		}
	}
	return nil
}

// Requests that are counted by their own node while the home is out of reach go to
// the home when it is back, and not on besides it; and until then the nodes go one
// at a time each, or each of them would use up the window.
func TestNodesThatCountAloneComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes, api := learnt(t)
		home, _ := homeOf(nodes, major(1))
		m.sever(home)
		api.there = func() time.Duration { return 20 * time.Millisecond }
		api.forget()
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() { _, _ = send(t.Context(), without(nodes, home)[i%2].rt, "GET", "/channels/1/x", "") })
		}
		time.Sleep(4 * time.Second)
		if n := api.refused(); n > 8 {
			t.Errorf("%d 429s in 4 windows while two nodes count for themselves", n)
		}
		m.mend(home)
		time.Sleep(time.Second)
		api.forget()
		wg.Wait()
		if n := api.refused(); n > 0 {
			t.Errorf("%d 429s after the home was back", n)
		}
	})
}

// A request that waits in the queue of its home, after a try that failed, hasn't
// been without a home all the time.
func TestWaitingAtAHomeIsNotBeingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := busy(t)
		m, nodes := trio(t, Options{}, api)
		home, other := homeOf(nodes, major(1))
		mustSend(t, home.rt, "GET", "/channels/1/x")
		m.sever(home)
		got := begin(t.Context(), other, "/channels/1/x")
		time.Sleep(100 * time.Millisecond)
		m.mend(home)
		time.Sleep(2 * time.Second) // it waits in the home's queue
		home.kill()
		time.Sleep(100 * time.Millisecond)
		api.mu.Lock()
		sent := len(api.at)
		api.mu.Unlock()
		if sent != 1 {
			t.Errorf("it was sent without asking the next home")
		}
		m.show(atOnce, without(nodes, home)...)
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// A node that sees a view for long that is over for the home, or one that the home
// doesn't see, has no home to ask.
func TestANodeThatIsBehindCountsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{}, &script{})
		home, other := homeOf(nodes, major(1))
		v := m.view(nodes...)
		v.Members = append(v.Members, stranger(nodes))
		home.c.SetView(v)
		start := time.Now()
		mustSend(t, other.rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited < aloneTime || waited > 3*aloneTime {
			t.Errorf("it waited %s", waited)
		}
	})
}
