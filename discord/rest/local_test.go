package rest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleBucketsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := scripted(t, Options{})
		for i := range firstSweep + 10 {
			mustSend(t, rt, "POST", fmt.Sprintf("/interactions/1/tok%d/callback", i))
			if i == firstSweep-2 {
				time.Sleep(2 * time.Minute)
			}
		}
		if got := rt.Stats().Buckets; got > 20 {
			t.Errorf("%d buckets are kept", got)
		}
	})
}

func TestLearntRoutesAreBounded(t *testing.T) {
	l := newLocalLimiter(50)
	for i := range maxRoutes + 10 {
		r := Request{Route: strconv.Itoa(i)}
		b := l.find(r)
		if got := l.learn(b, r, "h"+strconv.Itoa(i), time.Now()); got != b && len(l.routes) < maxRoutes {
			t.Fatal("the route's bucket was not renamed in place")
		}
	}
	if len(l.routes) != maxRoutes {
		t.Errorf("%d routes learnt", len(l.routes))
	}
}

// TestRoutesOfOneBucketShareIt shows that requests of two routes, on the way
// before either is known, are counted together after.
func TestRoutesOfOneBucketShareIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		rt := newTest(t, Options{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return reply(r, 200, bucketHeaders("0")), nil
		})})
		start := time.Now()
		var wg sync.WaitGroup
		for _, path := range []string{"/channels/1/a", "/channels/1/b", "/channels/1/a", "/channels/1/b"} {
			wg.Go(func() { _, _ = send(t.Context(), rt, "GET", path, "") })
		}
		wg.Wait()
		early := 0
		for _, a := range at {
			if a.Sub(start) < 5*time.Second {
				early++
			}
		}
		if early != 2 || rt.Stats().Buckets != 1 {
			t.Errorf("%d requests before the reset, want the 2 that were on the way; %d buckets", early, rt.Stats().Buckets)
		}
	})
}

func TestDeletesAreToldApartByAge(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]string{time.Second: " (new)", time.Hour: "", 15 * 24 * time.Hour: " (old)"} {
		path := fmt.Sprintf("/channels/1/messages/%d", uint64(now.Add(-age).UnixMilli()-discordEpoch)<<22)
		if got := ageClass(ParseRoute("DELETE", path), path, now); got != want {
			t.Errorf("age %s: %q, want %q", age, got, want)
		}
		if got := ageClass(ParseRoute("GET", path), path, now); got != "" {
			t.Errorf("GET: %q", got)
		}
	}
}

// central is a Limiter of another make.
type central struct{ asked, done []string }

func (c *central) Acquire(_ context.Context, r Request) (Permit, error) {
	c.asked = append(c.asked, r.Route+" "+r.Major)
	return c, nil
}

func (c *central) Done(a Answer) { c.done = append(c.done, a.Bucket) }

func TestLimiterCanBeReplaced(t *testing.T) {
	c := &central{}
	rt, _ := scripted(t, Options{Limiter: c}, status(200, bucketHeaders("1")))
	mustSend(t, rt, "GET", "/channels/1/x")
	if fmt.Sprint(c.asked, c.done) != "[GET /channels/{id}/x channels/1] [h]" {
		t.Errorf("asked %v, done %v", c.asked, c.done)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	rt := newTest(b, Options{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, nil), nil
	}), GlobalPerSecond: 1 << 30})
	for b.Loop() {
		if _, err := send(b.Context(), rt, "GET", "/channels/1/messages", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// TestGlobalLimitChangesWhileRequestsWait raises and lowers the limit.
func TestGlobalLimitChangesWhileRequestsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := scripted(t, Options{GlobalPerSecond: 2})
		burst := func(n int) time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { mustSend(t, rt, "GET", fmt.Sprintf("/guilds/%d", i+1)) })
			}
			wg.Wait()
			return time.Since(start)
		}
		if took := burst(8); took < 3*time.Second {
			t.Errorf("8 requests took %v under a limit of 2", took)
		}
		go func() {
			time.Sleep(500 * time.Millisecond)
			rt.SetGlobalPerSecond(100)
		}()
		if took := burst(8); took > time.Second {
			t.Errorf("8 requests took %v after the limit had risen", took)
		}
		time.Sleep(2 * time.Second)
		rt.SetGlobalPerSecond(1)
		if took := burst(4); took < 3*time.Second {
			t.Errorf("4 requests took %v under a limit of 1", took)
		}
	})
}

// Requests that wait for the end of a 429 aren't forgotten when their bucket turns
// out to be one that is known, and idle.
func TestWaitersOfABucketThatIsAbsorbedGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash := bucketHeaders("4")
		limited := map[string]string{"Retry-After": "5", "X-RateLimit-Scope": "user"}
		api := &script{replies: []func(*http.Request) (*http.Response, error){
			status(200, hash), status(429, limited), status(200, hash),
		}}
		rt := newTest(t, Options{Transport: api})
		mustSend(t, rt, "GET", "/channels/2/a") // the bucket is known for channel 2
		waiting := make(chan error, 1)
		go func() {
			_, err := send(t.Context(), rt, "GET", "/channels/2/b", "")
			waiting <- err
		}()
		synctest.Wait()                         // its route isn't, and it waits for five seconds
		mustSend(t, rt, "GET", "/channels/1/b") // now it is
		select {
		case err := <-waiting:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("a request waits for ever")
		}
	})
}
