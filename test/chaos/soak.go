//go:build unix

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// soakEvery is how often resources are looked at.
const soakEvery = 5 * time.Second

// use is what a process uses at one time.
type use struct {
	life                    int // of the node: another is another process
	at                      time.Duration
	goroutines, files, heap float64
	resident                float64
}

// soak watches what the nodes' processes use.
type soak struct {
	r *run

	mu   sync.Mutex // guards uses
	uses map[string][]use
}

// sample looks at all nodes again and again, until ctx ends.
func (s *soak) sample(ctx context.Context) {
	s.uses = map[string][]use{}
	for wait(ctx.Done(), soakEvery) {
		for _, n := range s.r.cluster.nodes {
			u, err := n.use(ctx)
			if err != nil {
				continue // stopped, or down
			}
			u.at = time.Since(s.r.started)
			s.mu.Lock()
			s.uses[n.id] = append(s.uses[n.id], u)
			s.mu.Unlock()
		}
	}
}

var errGone = errors.New("the process is gone")

// use asks the kernel and the node itself.
func (n *node) use(ctx context.Context) (u use, err error) {
	pid := n.pid()
	if pid == 0 {
		return u, errGone
	}
	n.mu.Lock()
	u.life = n.lives
	n.mu.Unlock()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u, err
	}
	u.files = float64(len(files))
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)) // proc(5): the second field, in pages
	if err != nil {
		return u, err
	}
	if f := strings.Fields(string(b)); len(f) > 1 {
		pages, _ := strconv.ParseFloat(f[1], 64)
		u.resident = pages * float64(os.Getpagesize())
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return u, n.metrics(ctx, map[string]*float64{"go_goroutines": &u.goroutines, "go_memstats_heap_inuse_bytes": &u.heap})
}

// metrics reads some of /metrics.
func (n *node) metrics(ctx context.Context, want map[string]*float64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.client.BaseURL+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := n.client.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if v := want[name]; v != nil {
			*v, _ = strconv.ParseFloat(text, 64)
		}
	}
	return lines.Err()
}

// full is how long a run must be for its memory to be judged: before that the
// events that are retained for readers fill their bound.
const full = 20 * time.Minute

// judge compares the least that each process used in the second quarter of the
// run with the least in the last one: what grows without end has no such low.
func (s *soak) judge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, uses := range s.uses {
		for _, x := range []struct {
			what          string
			of            func(use) float64
			times, beside float64 // what it may grow to and by
			long          bool
		}{
			{"goroutines", func(u use) float64 { return u.goroutines }, 1.1, 20, false},
			{"files", func(u use) float64 { return u.files }, 1.1, 10, false},
			{"heap bytes", func(u use) float64 { return u.heap }, 1.3, 32 << 20, true},
			{"resident bytes", func(u use) float64 { return u.resident }, 1.3, 48 << 20, true},
		} {
			low := lows(uses, s.r.o.length, x.of)
			s.r.o.logf("SOAK %s: %s, least of each eighth: %.0f", id, x.what, low)
			early, late := min(low[2], low[3]), min(low[6], low[7])
			if late > early*x.times+x.beside && (!x.long || s.r.o.length >= full) {
				s.r.violate("%s: %s grow: at least %.0f in the second quarter, %.0f in the last", id, x.what, early, late)
			}
		}
	}
}

// lows are the least values of each eighth of the run, of the process that lived
// last; 0 where it has none.
func lows(uses []use, length time.Duration, of func(use) float64) (low [8]float64) {
	life := uses[len(uses)-1].life
	for _, u := range uses {
		i := min(int(u.at*8/length), 7)
		if v := of(u); u.life == life && (low[i] == 0 || v < low[i]) {
			low[i] = v
		}
	}
	return low
}
