package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// busy is an API whose one bucket has no room for five seconds after the first request.
func busy(t testing.TB) *script {
	t.Helper()
	return &script{replies: []func(*http.Request) (*http.Response, error){status(200, bucketHeaders("0"))}}
}

// major is the top-level resource of a channel of the tests.
func major(n int) string { return fmt.Sprintf("channels/%d", n) }

// begin sends a request that will wait, and returns its outcome.
func begin(ctx context.Context, n *meshNode, path string) <-chan error {
	got := make(chan error, 1)
	go func() {
		_, err := send(ctx, n.rt, "GET", path, "")
		got <- err
	}()
	return got
}

// queued returns how many wait in a node's books.
func queued(n *meshNode) int {
	n.c.here.mu.Lock()
	defer n.c.here.mu.Unlock()
	return len(n.c.guests)
}

func TestNodesShareABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := busy(t)
		_, nodes := trio(t, Options{}, api)
		mustSend(t, nodes[0].rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		mustSend(t, nodes[1].rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited < 4900*time.Millisecond || waited > 5100*time.Millisecond {
			t.Errorf("another node waited %s for the bucket that the first one used up", waited)
		}
		start = time.Now()
		mustSend(t, nodes[2].rt, "GET", "/channels/2/x")
		if waited := time.Since(start); waited > 100*time.Millisecond {
			t.Errorf("another bucket waited %s", waited)
		}
	})
}

func TestCancelledRequestsLeaveTheHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, busy(t))
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		got := begin(ctx, other, "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		if n := queued(home); n != 1 {
			t.Fatalf("%d requests at the home", n)
		}
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		if n := queued(home); n != 0 {
			t.Errorf("%d requests at the home after the only one was cancelled", n)
		}
	})
}

// A question may overtake what its node was about to tell: what that doesn't
// speak of is then on its way, and not lost.
func TestAQuestionMayOvertakeWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, busy(t))
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Second) // the bucket has room again
		key := guestKey{other.member, 1000}
		c := home.c
		c.here.mu.Lock()
		defer c.here.mu.Unlock()
		now, r := time.Now(), Request{Route: "GET /channels/{id}/x", Major: major(1), Identity: IdentityNone}
		c.admit(key, r, time.Time{}, now, func(error) {})
		b := c.here.find(r)
		told := &inform{view: c.view.stamp, newest: 999}
		c.informed(other.member, told, now)
		if b.inflight != 1 || len(b.lost) != 0 || c.guests[key] == nil {
			t.Errorf("a newer request was given up: %d in flight, %d lost", b.inflight, len(b.lost))
		}
		told.newest = 1000
		c.informed(other.member, told, now)
		if b.inflight != 0 || len(b.lost) != 1 || c.guests[key] != nil {
			t.Errorf("one that is spoken of no more is still there: %d in flight, %d lost", b.inflight, len(b.lost))
		}
	})
}

func TestRefusalCrossesTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, busy(t))
		_, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := send(ctx, other.rt, "GET", "/channels/1/x", "")
		var limited *RateLimitError
		if !errors.As(err, &limited) || limited.RetryAfter < 4*time.Second || limited.Route != "/channels/{id}/x" || limited.Scope != ScopeUser {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited > 10*time.Millisecond {
			t.Errorf("it took %s to say so", waited)
		}
	})
}

// TestWaitersFollowTheirBucket kills the home of a bucket while requests wait in
// it, in the order of their ages; the next home serves them in that order.
func TestWaitersFollowTheirBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := busy(t)
		m, nodes := trio(t, Options{}, api)
		home, _ := homeOf(nodes, major(1))
		left := without(nodes, home)
		const route = "/channels/1/messages/2/reactions/"
		one := bucketHeaders("0")
		one["X-RateLimit-Limit"] = "1"
		one["X-RateLimit-Reset"] = "1470173099.123"
		api.replies = append(api.replies, status(200, one), status(200, one), status(200, one), status(200, one))
		mustSend(t, left[0].rt, "GET", route+"0")
		time.Sleep(10 * time.Millisecond)
		var waiting []<-chan error
		for i := range 4 {
			waiting = append(waiting, begin(t.Context(), left[i%2], route+string(rune('a'+i))))
			time.Sleep(10 * time.Millisecond)
		}
		home.kill()
		m.show(atOnce, left...)
		for _, w := range waiting {
			if err := <-w; err != nil {
				t.Error(err)
			}
		}
		api.mu.Lock()
		defer api.mu.Unlock()
		for i, p := range api.paths[1:] {
			if want := "/api/v10" + route + string(rune('a'+i)); p != want {
				t.Errorf("request %d was %s, want %s", i, p, want)
			}
		}
	})
}

// TestNewHomeAsksWithOneRequest: after a death nobody knows what the dead one has
// used of the window.
func TestNewHomeAsksWithOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &gauge{}
		m, nodes := trio(t, Options{}, api)
		home, other := homeOf(nodes, major(1))
		mustSend(t, other.rt, "GET", "/channels/1/x")
		home.kill()
		m.show(atOnce, without(nodes, home)...)
		start := time.Now()
		if n := api.atATime(t, other); n != 1 {
			t.Errorf("%d requests at a time while something of the dead may be on its way", n)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("they took %s, though the bucket had room", took)
		}
		time.Sleep(flightTime)
		mustSend(t, other.rt, "GET", "/channels/1/x")
		time.Sleep(10 * time.Millisecond)
		if n := api.atATime(t, other); n < 3 {
			t.Errorf("%d requests at a time when all is known", n)
		}
	})
}

func TestNodeWithoutViewCountsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, atOnce)
		n := m.start("joe", 1, Options{}, &script{})
		start := time.Now()
		mustSend(t, n.rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited < aloneTime || waited > aloneTime+100*time.Millisecond {
			t.Errorf("it waited %s", waited)
		}
		start = time.Now()
		mustSend(t, n.rt, "POST", "/interactions/1/tok/callback")
		if time.Since(start) != 0 {
			t.Errorf("an interaction waited %s", time.Since(start))
		}
	})
}

// TestHomeOutOfReach: the cluster counts it among the living, and it doesn't answer.
func TestHomeOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, &script{})
		home, other := homeOf(nodes, major(1))
		other.c.SetReachable(home.member.ID, false)
		start := time.Now()
		mustSend(t, other.rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited < aloneTime || waited > 3*aloneTime {
			t.Errorf("it waited %s", waited)
		}
		other.c.SetReachable(home.member.ID, true)
		start = time.Now()
		mustSend(t, other.rt, "GET", "/channels/1/x")
		if waited := time.Since(start); waited > 2*aloneTime {
			t.Errorf("it waited %s for a home in reach", waited)
		}
	})
}

func TestGlobalLimitIsTheClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{}
		_, nodes := trio(t, Options{GlobalPerSecond: 10}, api)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() { _, _ = send(t.Context(), nodes[i%3].rt, "GET", fmt.Sprintf("/channels/%d/x", i), "") })
		}
		wg.Wait()
		if took := time.Since(start); took > 7*time.Second {
			t.Errorf("60 requests at 10 a second took %s", took)
		}
		for i, at := range api.at {
			if i >= 10 && at.Sub(api.at[i-10]) < time.Second {
				t.Fatalf("11 requests within %s", at.Sub(api.at[i-10]))
			}
		}
	})
}

// TestClustersLimitChangesLive raises and lowers the limit of three nodes.
func TestClustersLimitChangesLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{}
		_, nodes := trio(t, Options{GlobalPerSecond: 6}, api)
		burst := func(n int) time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { _, _ = send(t.Context(), nodes[i%3].rt, "GET", fmt.Sprintf("/guilds/%d", i+1), "") })
			}
			wg.Wait()
			return time.Since(start)
		}
		set := func(n int) {
			for _, node := range nodes {
				node.c.SetGlobalPerSecond(n)
			}
		}
		if took := burst(24); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("24 requests took %v under a limit of 6", took)
		}
		time.AfterFunc(500*time.Millisecond, func() { set(100) })
		if took := burst(24); took > 2*time.Second {
			t.Errorf("24 requests took %v after the limit had risen", took)
		}
		set(3)
		time.Sleep(3 * time.Second)
		if took := burst(9); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("9 requests took %v under a limit of 3", took)
		}
	})
}

func TestGlobalLimitedIsToldToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{replies: []func(*http.Request) (*http.Response, error){status(429, limitedBy("global", "3"))}}
		_, nodes := trio(t, Options{}, api)
		got := begin(t.Context(), nodes[0], "/channels/1/x")
		time.Sleep(100 * time.Millisecond)
		for _, n := range nodes[1:] {
			checkWaits(t, n.rt, "/channels/2/x", true)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

func TestInvalidRequestsAreCountedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{}
		for range 4 {
			api.replies = append(api.replies, status(403, nil))
		}
		_, nodes := trio(t, Options{InvalidLimit: 4}, api)
		for i := range 4 {
			mustSend(t, nodes[i%2].rt, "GET", fmt.Sprintf("/channels/%d/x", i))
		}
		time.Sleep(2 * invalidEvery)
		for _, n := range nodes {
			if s := n.rt.Stats(); s.Invalid+s.Others != 4 {
				t.Errorf("%s counts %d and %d of others", n.member.ID, s.Invalid, s.Others)
			}
			if _, err := send(t.Context(), n.rt, "GET", "/channels/9/x", ""); !errors.Is(err, ErrInvalidLimit) {
				t.Errorf("%s: %v", n.member.ID, err)
			}
		}
		time.Sleep(12 * time.Minute)
		mustSend(t, nodes[2].rt, "GET", "/channels/9/x")
	})
}

func TestMessagesThatNobodyCanReadAreRefused(t *testing.T) {
	c := NewCluster(ClusterOptions{Self: Member{ID: "joe"}})
	defer c.Close()
	var got error
	c.Handle(Member{ID: "mike"}, []byte{99}, func(_ []byte, err error) { got = err })
	if !errors.Is(got, errMessage) {
		t.Errorf("got %v", got)
	}
}
