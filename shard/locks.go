package shard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/botnode/botnode/fsm"
)

// ErrLockLost ends the context of a lock that another process may hold now.
var ErrLockLost = errors.New("the lock is no longer this process's")

// errReleased is the cause of a lock's end when its holder released it.
var errReleased = errors.New("the lock was released")

// lockLook is how often held and awaited locks are looked at without being
// told: a node that has lost its leader is told nothing, and must know within
// the quarter of Fresh that the leader waits longer.
const lockLook = 50 * time.Millisecond

// lockID names a lock of a bot.
type lockID struct{ bot, name string }

// Held is a named lock that this process holds. Its context ends when the lock
// is lost or released.
type Held struct {
	// Fence is the number of this acquisition: see fsm.LockState.
	Fence uint64

	id     lockID
	t      *lockTable
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// Context ends, with its cause, when this process must no longer act as the
// holder.
func (h *Held) Context() context.Context { return h.ctx }

// Release gives the lock back. It may be called more than once.
func (h *Held) Release() {
	h.t.mu.Lock()
	if h.t.held[h.id] == h {
		delete(h.t.held, h.id)
	}
	h.t.mu.Unlock()
	h.cancel(errReleased)
	h.t.poke()
}

// lockTable brings what this process wants of locks in line with the applied
// state. It is level-triggered: a lock that the state gives to this process and
// that nobody here wants, as after a proposal that was repeated, is given back.
type lockTable struct {
	m    *Manager
	wake chan struct{} // holds a token if there may be something to do

	mu      sync.Mutex // guards what follows
	held    map[lockID]*Held
	waiting map[lockID][]chan *Held // in order; each has room for one
	sent    map[string]Time         // proposals of late, by what they are for
	given   map[lockID]uint64       // the fence that was given out last: never again
}

func newLockTable(m *Manager) *lockTable {
	return &lockTable{
		m: m, wake: make(chan struct{}, 1),
		held: make(map[lockID]*Held), waiting: make(map[lockID][]chan *Held), sent: make(map[string]Time),
		given: make(map[lockID]uint64),
	}
}

func (t *lockTable) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Lock waits until this process holds a named lock of a bot.
func (m *Manager) Lock(ctx context.Context, bot, name string) (*Held, error) {
	t, id, ch := m.locks, lockID{bot, name}, make(chan *Held, 1)
	t.mu.Lock()
	t.waiting[id] = append(t.waiting[id], ch)
	t.mu.Unlock()
	t.poke()
	var err error
	select {
	case h := <-ch:
		return h, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-m.ctx.Done():
		err = errStopping
	}
	t.forget(id, ch)
	select {
	case h := <-ch: // in the same moment
		h.Release()
	default:
	}
	return nil, err
}

func (t *lockTable) forget(id lockID, ch chan *Held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []chan *Held
	for _, w := range t.waiting[id] {
		if w != ch {
			left = append(left, w)
		}
	}
	t.waiting[id] = left
	if len(left) == 0 {
		delete(t.waiting, id)
	}
}

func (t *lockTable) run() {
	timer := time.NewTimer(lockLook)
	defer timer.Stop()
	for {
		select {
		case <-t.m.ctx.Done():
			t.mu.Lock()
			for _, h := range t.held {
				h.cancel(errStopping)
			}
			t.mu.Unlock()
			return
		case <-t.wake:
		case <-timer.C:
		}
		wait := time.Second
		if t.look() {
			wait = lockLook
		}
		timer.Reset(wait)
	}
}

// lockView is what the applied state says of locks.
type lockView struct {
	generation uint64
	mine       map[lockID]uint64 // fences of the locks that are this process's
	taken      map[lockID]bool   // whoever holds them
}

// view reads the state of this process's locks, and of those that it awaits.
func (t *lockTable) view() lockView {
	v := lockView{mine: make(map[lockID]uint64), taken: make(map[lockID]bool)}
	t.m.o.Machine.View(func(_ uint64, s *fsm.State) {
		v.generation = s.Generation
		for _, bot := range s.BotNames() {
			s.Bot(bot).Locks(func(name string, l fsm.LockState) {
				id := lockID{bot, name}
				v.taken[id] = true
				if l.Holder == t.m.o.Self {
					v.mine[id] = l.Fence
				}
			})
		}
	})
	return v
}

// look does what is to be done. It reports whether anything is held or awaited.
func (t *lockTable) look() bool {
	// Freshness first: it says that what is read after it holds nothing that was
	// taken from this node while it was silent.
	fresh, now := t.m.Fresh(), t.m.now()
	v := t.view()
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, h := range t.held {
		switch {
		case !fresh:
			h.cancel(ErrNotFresh)
		case v.mine[id] != h.Fence:
			h.cancel(ErrLockLost)
		default:
			continue
		}
		delete(t.held, id)
	}
	for id, fence := range v.mine {
		switch {
		case t.held[id] != nil:
		case fresh && len(t.waiting[id]) > 0 && t.given[id] != fence:
			t.give(id, fence)
		default:
			t.propose(now, v.generation, "unlock "+id.bot+"/"+id.name, &fsm.Unlock{Bot: id.bot, Name: id.name, Fence: fence})
		}
	}
	for id, fence := range t.given {
		if v.mine[id] != fence && t.held[id] == nil {
			delete(t.given, id) // it is spent: fences only rise
		}
	}
	for id := range t.waiting {
		if !v.taken[id] && fresh {
			t.propose(now, v.generation, "lock "+id.bot+"/"+id.name, &fsm.Lock{Bot: id.bot, Name: id.name, Node: t.m.o.Self})
		}
	}
	return len(t.held)+len(t.waiting)+len(v.mine) > 0
}

// give hands a lock to the first who waits for it.
func (t *lockTable) give(id lockID, fence uint64) {
	ctx, cancel := context.WithCancelCause(t.m.ctx)
	h := &Held{Fence: fence, id: id, t: t, ctx: ctx, cancel: cancel}
	t.held[id], t.given[id] = h, fence
	ch := t.waiting[id][0]
	if t.waiting[id] = t.waiting[id][1:]; len(t.waiting[id]) == 0 {
		delete(t.waiting, id)
	}
	ch <- h
}

// propose proposes a command, unless it was proposed of late. What is lost is
// proposed again.
func (t *lockTable) propose(now Time, generation uint64, key string, cmd fsm.Command) {
	for k, at := range t.sent {
		if now >= at+t.m.o.Timing.Retry {
			delete(t.sent, k)
		}
	}
	if _, of := t.sent[key]; of {
		return
	}
	t.sent[key] = now
	t.m.submit(fsm.Encode(generation, cmd), func(fsm.Result, error) {
		t.mu.Lock()
		delete(t.sent, key)
		t.mu.Unlock()
		// Not at once after an error: the loop looks again in a moment.
	})
}
