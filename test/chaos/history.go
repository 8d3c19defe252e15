//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/botnode/botnode/admin"
)

const (
	clients = 4
	// window is how long the clients write to the same keys: a short history is
	// checked soon, a long one with unknown outcomes never.
	window     = 4 * time.Second
	windowKeys = 2
	// clientPause is the mean time between two requests of a client.
	clientPause = 25 * time.Millisecond
	// patience is how long a client waits for an answer.
	patience = 3 * time.Second
	// historyPrefix is that of the clients' keys.
	historyPrefix = "history/"
)

// history is what clients of the store asked for and learned.
type history struct {
	r *run

	mu  sync.Mutex // guards ops
	ops []op
}

func newHistory(r *run) *history { return &history{r: r} }

// client asks for one thing after the other at nodes by chance, until the faults
// are over. It remembers the versions that it saw, for conditions.
func (h *history) client(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(h.r.o.seed, uint64(100+id)))
	seen := map[string]uint64{}
	for n := 1; wait(h.r.done, time.Duration(rng.Int64N(int64(2*clientPause)))); n++ {
		at := time.Since(h.r.started)
		o := op{client: id, key: fmt.Sprintf("%s%d/%d", historyPrefix, at/window, rng.IntN(windowKeys)), verb: get}
		if rng.IntN(2) == 0 {
			o.verb = put
			o.value = strconv.Itoa(id*1_000_000 + n)
			if rng.IntN(4) == 0 {
				o.verb = del
			}
			o.conditional, o.match = rng.IntN(2) == 0, seen[o.key]
		}
		if h.ask(ctx, &o, h.r.cluster.nodes[rng.IntN(len(h.r.cluster.nodes))]) {
			h.mu.Lock()
			h.ops = append(h.ops, o)
			h.mu.Unlock()
			if !o.unknown && !o.conflict {
				seen[o.key] = o.gotVersion
			}
		}
	}
}

// ask sends a request to a node, and returns false if it did certainly nothing.
func (h *history) ask(ctx context.Context, o *op, n *node) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var match *uint64
	if o.conditional {
		match = &o.match
	}
	var err error
	o.call = time.Since(h.r.started)
	switch o.verb {
	case get:
		var it admin.KVItem
		if it, err = n.client.KV(ctx, o.key, admin.Linearizable); err == nil {
			o.found, o.gotValue, o.gotVersion = true, string(it.Value), it.Version
		}
	case put:
		o.gotVersion, err = n.client.PutKV(ctx, o.key, []byte(o.value), match)
	case del:
		err = n.client.DeleteKV(ctx, o.key, match)
	}
	o.back = time.Since(h.r.started)
	return h.learn(o, err)
}

// nothing are the codes that say that nothing was changed (docs/errors.md): they
// are taken at their word, so that one that lies makes a history that can't be.
var nothing = []string{"no_quorum", "not_ready"}

// learn makes out of an error what the client knows.
func (*history) learn(o *op, err error) bool {
	answer, answered := errors.AsType[*admin.APIError](err)
	switch {
	case err == nil:
	case o.verb == get && answered && answer.Code == "not_found": // not unknown_bot: a node that has just started
	case answered && answer.Status == http.StatusPreconditionFailed:
		o.conflict = true
	case errors.Is(err, admin.ErrUnreachable), answered && slices.Contains(nothing, answer.Code):
		return false
	default:
		o.unknown = true
	}
	return true
}

// judge checks the history.
func (h *history) judge() (ops, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.ops {
		if o.unknown {
			unknown++
		}
	}
	ok, done, why := check(h.ops, checkLimit)
	if !ok {
		h.r.violate("%s", why)
	}
	if !done {
		h.r.o.logf("the check of the history was given up after %v", checkLimit)
	}
	return len(h.ops), unknown
}
