package proxy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// The sizes of a feed: entries that are read while the state is held still, and
// those that are kept for all, in number and in bytes. Whoever is behind these
// reads the journal, so that more would save little.
const (
	feedPage  = 256
	feedKeep  = 4096
	feedBytes = 4 << 20
)

// deflation is a body that is compressed once for all that want it, in each of
// the two ways.
type deflation struct {
	zlib sync.Once
	z    []byte
	err  error

	zstd   sync.Once
	blocks []byte
}

// item is a journal entry with what its readers share.
type item struct {
	*fsm.Entry
	deflation deflation
}

// feed reads a bot's journal once for all connections of this node, and tells
// them of it. One that lags behind what is kept reads the journal by itself.
type feed struct {
	s      *Server
	bot    string
	cancel context.CancelFunc
	users  int // guarded by Server.mu

	judged verdict // run's own: when all followers were judged last

	mu         sync.Mutex // guards what follows
	items      []*item    // consecutive; the last one is before next
	bytes      int        // of their payloads
	next       uint64     // the position to read next
	generation uint64     // in which the positions count
	wake       chan struct{}
	followers  map[*follower]struct{}
}

// verdict names a state of all clients' sessions.
type verdict struct{ generation, rev uint64 }

// follower is a connection that serves a session as long as the state says so.
type follower struct {
	sid        string
	attach     uint64
	key        [32]byte // the hash of its client key
	generation uint64   // in which its positions count
	end        func(*ending)
	// ended is why the connection may not go on. It is set before anything that was
	// committed later can be read from the feed, and read after that.
	ended atomic.Pointer[ending]
}

// finish has the connection end.
func (w *follower) finish(e *ending) {
	e.of = w
	w.ended.Store(e)
	w.end(e)
}

// follow returns the bot's feed; leave gives it back.
func (s *Server) follow(bot string) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.feeds[bot]
	if f == nil {
		ctx, cancel := context.WithCancel(s.ctx)
		f = &feed{s: s, bot: bot, cancel: cancel, wake: make(chan struct{}), followers: make(map[*follower]struct{})}
		s.o.Backend.ViewState(func(st *fsm.State) {
			f.judged, f.generation = verdict{st.Generation, st.ClientsRev()}, st.Generation
			if b := st.Bot(bot); b != nil {
				f.next = b.LastPos + 1
			}
		})
		s.feeds[bot] = f
		s.wg.Go(func() { f.run(ctx) })
	}
	f.users++
	return f
}

func (s *Server) leave(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users == 0 {
		f.cancel()
		delete(s.feeds, f.bot)
	}
}

func (f *feed) add(w *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers[w] = struct{}{}
}

func (f *feed) remove(w *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, w)
}

// run reads the journal until ctx ends.
func (f *feed) run(ctx context.Context) {
	for {
		changed := f.s.o.Backend.Changed() // before the look, so that nothing is missed
		for again := true; again; {
			if ctx.Err() != nil {
				return
			}
			again = f.read()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// read takes the next page and looks who may go on. It reports whether there
// may be more.
func (f *feed) read() bool {
	f.mu.Lock()
	next := f.next
	f.mu.Unlock()
	var entries []*fsm.Entry
	last := next - 1
	replaced := false // the state by another, in which positions mean something else
	now := f.judged
	f.s.o.Backend.ViewState(func(st *fsm.State) {
		now = verdict{st.Generation, st.ClientsRev()}
		b := st.Bot(f.bot)
		if b == nil {
			return
		}
		last = b.LastPos
		replaced = now.generation != f.judged.generation || last+1 < next
		if last >= next && !replaced {
			entries = page(b, next)
		}
	})
	if replaced || last >= next && len(entries) == 0 {
		f.restart(last+1, now.generation)
	}
	if now != f.judged || replaced {
		f.judge(replaced)
		f.judged = now
	}
	return f.take(entries)
}

// restart forgets what was read: the positions are those of another state.
func (f *feed) restart(next, generation uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items, f.bytes, f.next, f.generation = nil, 0, next, generation
	f.broadcast()
}

// judge ends the connections that may not go on: all whose numbers went back.
// It is called only when something has changed for them; one that comes later
// judges itself.
func (f *feed) judge(rewound bool) {
	f.mu.Lock()
	watched := slices.Collect(maps.Keys(f.followers))
	f.mu.Unlock()
	ends := make(map[*follower]*ending)
	f.s.o.Backend.ViewState(func(st *fsm.State) {
		for _, w := range watched {
			if e := w.judge(st, f.bot); e != nil {
				ends[w] = e
			} else if rewound {
				ends[w] = invalid()
			}
		}
	})
	for w, e := range ends {
		w.finish(e)
	}
}

// judge returns why a connection may not go on, or nil.
func (w *follower) judge(st *fsm.State, bot string) *ending {
	b := st.Bot(bot)
	if b == nil || st.Generation != w.generation {
		return invalid()
	}
	if k, ok := b.ClientKeyOf(w.key); !ok || !k.Rights.Has(fsm.RightEvents) {
		return closing(discord.CloseAuthenticationFailed, "the client key was revoked, or has lost its right to events")
	}
	switch cs, ok := b.ClientSession(w.sid); {
	case !ok:
		return invalid()
	case cs.Attach != w.attach:
		return dropped("the session goes on at another connection")
	}
	return nil
}

// page returns entries from a position on, a page at most. The state is held still.
func page(b *fsm.Bot, from uint64) []*fsm.Entry {
	var entries []*fsm.Entry
	for e := range b.RetainedFrom(from) {
		entries = append(entries, e)
		if len(entries) == feedPage {
			break
		}
	}
	return entries
}

// take adds what was read.
func (f *feed) take(entries []*fsm.Entry) (more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(entries) == 0 {
		return false
	}
	for _, e := range entries {
		if e.Pos != f.next {
			f.items, f.bytes = nil, 0 // a hole: whoever is before it finds it in the journal
		}
		f.items = append(f.items, &item{Entry: e})
		f.bytes += len(e.Raw)
		f.next = e.Pos + 1
	}
	f.trim()
	f.broadcast()
	return len(entries) == feedPage
}

// trim lets go of the older half of what is kept once that is too much.
func (f *feed) trim() {
	if len(f.items) <= feedKeep && f.bytes <= feedBytes {
		return
	}
	from, bytes := 0, f.bytes
	for from < len(f.items) && (len(f.items)-from > feedKeep/2 || bytes > feedBytes/2) {
		bytes -= len(f.items[from].Raw)
		from++
	}
	// Into a new array: readers hold parts of the old one.
	f.items, f.bytes = append([]*item(nil), f.items[from:]...), bytes
}

func (f *feed) broadcast() {
	close(f.wake)
	f.wake = make(chan struct{})
}

// after returns the entries from a position on, as far as they are known, and a
// channel that is closed when there are more. lost means that the journal has
// let go of the position, or that it is one of another generation.
func (f *feed) after(w *follower, next uint64) (items []*item, wake <-chan struct{}, lost bool) {
	f.mu.Lock()
	items, wake, behind := f.items, f.wake, next < f.next
	if w.generation != f.generation {
		f.mu.Unlock()
		return nil, wake, w.generation < f.generation // else the feed is about to see it
	}
	if behind && len(items) > 0 && next >= items[0].Pos {
		items = items[next-items[0].Pos:]
		f.mu.Unlock()
		return items[:min(len(items), feedPage)], wake, false
	}
	f.mu.Unlock()
	if !behind {
		return nil, wake, false
	}
	items, lost = f.lagging(w, next)
	return items, wake, lost
}

// lagging reads for one connection alone, which may not go on with what it finds:
// the state may be ahead of the feed.
func (f *feed) lagging(w *follower, next uint64) (items []*item, lost bool) {
	var entries []*fsm.Entry
	var over *ending
	f.s.o.Backend.ViewState(func(st *fsm.State) {
		if over = w.judge(st, f.bot); over != nil {
			return
		}
		b := st.Bot(f.bot)
		if lost = !b.HasFrom(next); !lost {
			entries = page(b, next)
		}
	})
	if over != nil {
		w.finish(over)
	}
	for i, e := range entries {
		if e.Pos != next+uint64(i) {
			return items, i == 0
		}
		items = append(items, &item{Entry: e})
	}
	return items, lost
}
