package rest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// world is one drawn case of the property below.
type world struct {
	limits   []fakeLimit
	majors   int
	requests int
	perSec   int
	latency  time.Duration
	losses   bool
	seed     uint64
}

// drawWorld draws one.
func drawWorld(t *rapid.T) world {
	w := world{
		majors:   rapid.IntRange(1, 4).Draw(t, "majors"),
		requests: rapid.IntRange(1, 120).Draw(t, "requests"),
		perSec:   rapid.IntRange(3, 50).Draw(t, "global"),
		latency:  time.Duration(rapid.IntRange(1, 400).Draw(t, "latency")) * time.Millisecond,
		losses:   rapid.Bool().Draw(t, "losses"),
		seed:     rapid.Uint64().Draw(t, "seed"),
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "buckets") {
		w.limits = append(w.limits, fakeLimit{
			hash:   fmt.Sprintf("hash%d", i),
			limit:  rapid.IntRange(1, 6).Draw(t, "limit"),
			window: time.Duration(rapid.IntRange(100, 3000).Draw(t, "window")) * time.Millisecond,
		})
	}
	return w
}

// routesOf gives each bucket two routes, so that some share one.
func routesOf(bucket int) []string {
	return []string{fmt.Sprintf("/a%d", bucket), fmt.Sprintf("/b%d", bucket)}
}

// TestNoLimitIsExceeded is the property that the package is for: however many
// requests there are at once, with latencies that vary and answers that get
// lost, no bucket and no second ever sees one too many once the buckets are known.
func TestNoLimitIsExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		var failure string
		synctest.Test(t, func(t *testing.T) { failure = w.run(t) })
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// run plays a world and returns what went wrong.
func (w world) run(t *testing.T) string {
	api, cut := w.api()
	rt := newTest(t, Options{Transport: api, GlobalPerSecond: w.perSec, MaxRetries: -1})
	for b := range w.limits {
		for n := range w.majors {
			for _, route := range routesOf(b) {
				if _, err := send(t.Context(), rt, http.MethodGet, channel(1+n, route), ""); err != nil {
					return err.Error()
				}
			}
		}
	}
	*cut = w.losses
	learnt, before := len(api.hits), api.limited
	var wg sync.WaitGroup
	rng := rand.New(rand.NewPCG(w.seed, 2))
	for range w.requests {
		routes := routesOf(rng.IntN(len(w.limits)))
		path := channel(1+rng.IntN(w.majors), routes[rng.IntN(2)])
		wg.Go(func() { _, _ = send(t.Context(), rt, http.MethodGet, path, "") })
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	}
	wg.Wait()
	switch s := rt.Stats(); {
	case api.limited > before:
		return fmt.Sprintf("%d 429s", api.limited-before)
	case len(api.hits)-learnt != w.requests:
		return fmt.Sprintf("%d of %d requests arrived", len(api.hits)-learnt, w.requests)
	case s.Waiting != 0 || s.Inflight != 0:
		return fmt.Sprintf("left over: %+v", s)
	}
	return ""
}

// api returns the world's API, and the switch of its losses.
func (w world) api() (*strictAPI, *bool) {
	rng := rand.New(rand.NewPCG(w.seed, 1))
	var mu sync.Mutex
	losses := false
	latency := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rng.Int64N(int64(w.latency)))
	}
	api := &strictAPI{
		windows: map[string]*fakeWindow{}, limits: map[string]fakeLimit{}, perSec: w.perSec,
		there: latency, back: latency,
		cut: func() bool {
			mu.Lock()
			defer mu.Unlock()
			return losses && rng.IntN(10) == 0
		},
	}
	for b, l := range w.limits {
		for _, route := range routesOf(b) {
			api.limits["GET /channels/{id}"+route] = l
		}
	}
	return api, &losses
}
