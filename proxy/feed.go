package proxy

import (
	"context"
	"sync"

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

// deflation is a body that is compressed once for all that want it.
type deflation struct {
	once sync.Once
	z    []byte
	err  error
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

	mu        sync.Mutex // guards what follows
	items     []*item    // consecutive; the last one is before next
	bytes     int        // of their payloads
	next      uint64     // the position to read next
	wake      chan struct{}
	followers map[*follower]struct{}
}

// follower is a connection that serves a session as long as the state says so.
type follower struct {
	sid    string
	attach uint64
	end    func(*ending)
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
		for f.read() {
			if ctx.Err() != nil {
				return
			}
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
	watched := make([]*follower, 0, len(f.followers))
	for w := range f.followers {
		watched = append(watched, w)
	}
	next := f.next
	f.mu.Unlock()
	var entries []*fsm.Entry
	last := next - 1
	ends := make(map[*follower]*ending)
	f.s.o.Backend.ViewState(func(st *fsm.State) {
		b := st.Bot(f.bot)
		for _, w := range watched {
			if e := w.judge(b); e != nil {
				ends[w] = e
			}
		}
		if b == nil {
			return
		}
		last = b.LastPos
		if last >= next {
			entries = page(b, next)
		}
	})
	for w, e := range ends {
		e.of = w
		w.end(e)
	}
	return f.take(entries, last)
}

// judge returns why a connection may not go on, or nil.
func (w *follower) judge(b *fsm.Bot) *ending {
	if b == nil {
		return invalid()
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

// take adds what was read; last is the newest position.
func (f *feed) take(entries []*fsm.Entry, last uint64) (more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(entries) == 0 {
		if last+1 != f.next { // the state was replaced
			f.items, f.bytes, f.next = nil, 0, last+1
			f.broadcast()
		}
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
// let go of the position.
func (f *feed) after(next uint64) (items []*item, wake <-chan struct{}, lost bool) {
	f.mu.Lock()
	items, wake, behind := f.items, f.wake, next < f.next
	if behind && len(items) > 0 && next >= items[0].Pos {
		items = items[next-items[0].Pos:]
		f.mu.Unlock()
		return items[:min(len(items), feedPage)], wake, false
	}
	f.mu.Unlock()
	if !behind {
		return nil, wake, false
	}
	items, lost = f.lagging(next)
	return items, wake, lost
}

// lagging reads for one connection alone.
func (f *feed) lagging(next uint64) (items []*item, lost bool) {
	var entries []*fsm.Entry
	f.s.o.Backend.ViewState(func(st *fsm.State) {
		b := st.Bot(f.bot)
		if lost = b == nil || !has(b, next); !lost {
			entries = page(b, next)
		}
	})
	for i, e := range entries {
		if e.Pos != next+uint64(i) {
			return items, i == 0
		}
		items = append(items, &item{Entry: e})
	}
	return items, lost
}

// has reports whether a reader can go on at a position: the journal has all
// from there on.
func has(b *fsm.Bot, next uint64) bool {
	if next > b.LastPos {
		return next == b.LastPos+1
	}
	first := b.RetainedFirst()
	return first != 0 && first <= next
}
