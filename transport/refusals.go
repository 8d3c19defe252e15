package transport

import (
	"errors"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// refusalAgain is how long a refusal that was logged isn't logged again: who is refused knocks several times a second.
	refusalAgain = time.Minute
	// refusalLasts is how long an address has to refuse this node before that is logged: a node that has just joined may
	// be unknown to others for a moment.
	refusalLasts = 3 * time.Second
	// refusalsTold bounds what is logged in a minute: a stranger chooses some of the words that he is refused with.
	refusalsTold = 256
	// refusalHolds is how long a refusal says something about the present.
	refusalHolds = 15 * time.Second
)

// refusals remembers who was refused in handshakes, to tell of it once and not at each attempt. The zero value is ready.
type refusals struct {
	mu   sync.Mutex
	told map[string]time.Time // what was logged, and when
	by   map[string]*refusing // by the address that was dialled
}

// refusing is why an address and this node don't speak to each other.
type refusing struct {
	cause       *RefusedError
	since, last time.Time
}

// tell reports whether something is to be logged, which it then was.
func (r *refusals) tell(what string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.told, func(_ string, at time.Time) bool { return now.Sub(at) >= refusalAgain })
	if _, told := r.told[what]; told || len(r.told) >= refusalsTold {
		return false
	}
	if r.told == nil {
		r.told = make(map[string]time.Time)
	}
	r.told[what] = now
	return true
}

// dialled notes how a handshake with an address ended, and returns a refusal that lasts.
func (r *refusals) dialled(addr string, err error, now time.Time) (lasting *RefusedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause, refused := errors.AsType[*RefusedError](err)
	if !refused {
		if err == nil {
			delete(r.by, addr)
		}
		return nil
	}
	was := r.by[addr]
	if was == nil || now.Sub(was.last) >= refusalHolds {
		maps.DeleteFunc(r.by, func(_ string, old *refusing) bool { return now.Sub(old.last) >= refusalHolds })
		was = &refusing{since: now}
		if r.by == nil {
			r.by = make(map[string]*refusing)
		}
		r.by[addr] = was
	}
	was.cause, was.last = cause, now
	if now.Sub(was.since) < refusalLasts {
		return nil
	}
	return cause
}

// present returns why an address and this node don't speak, if that is so.
func (r *refusals) present(addr string, now time.Time) *RefusedError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.by[addr]; was != nil && now.Sub(was.last) < refusalHolds {
		return was.cause
	}
	return nil
}

// Refusal returns why this node and what answers at an address don't speak to each other: one of the two has refused the
// other in each handshake of late. It is nil where none was refused.
func (t *Transport) Refusal(addr string) error {
	if cause := t.refusals.present(addr, time.Now()); cause != nil {
		return cause
	}
	return nil
}

// noteDialled keeps what came of a handshake, and warns about a refusal that lasts.
func (t *Transport) noteDialled(addr string, err error) {
	cause := t.refusals.dialled(addr, err, time.Now())
	if cause != nil && t.refusals.tell("by "+addr+" "+cause.text(), time.Now()) {
		t.log.Warn("this node and another don't speak: one of them refuses", zap.String("addr", addr), zap.String("code", "node_refused"),
			zap.String("error", cause.text()))
	}
}
