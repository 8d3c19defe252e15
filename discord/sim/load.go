package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Load is events at a rate.
type Load struct {
	// Kind is "ping", "message", "firehose", "interaction", or a kind of Mutate.
	Kind string `json:"kind"`
	// Rate is events per second; it means nothing to a firehose.
	Rate float64 `json:"rate"`
	// Seconds is how long; 0 is until N, or until it is stopped.
	Seconds float64 `json:"seconds,omitempty"`
	// N is the number of events; 0 is no bound.
	N int `json:"n,omitempty"`
	// Shard limits a firehose to one shard of Options.Shards; nil is all.
	Shard *int `json:"shard,omitempty"`
}

// ErrLoad is returned for a load that can't run.
var ErrLoad = errors.New("sim: bad load")

// RunLoad makes load until it is done or the context is.
func (s *Server) RunLoad(ctx context.Context, l Load) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.closing(), cancel)
	defer stop()
	if l.Seconds > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, time.Duration(l.Seconds*float64(time.Second)))
		defer end()
	}
	switch l.Kind {
	case "firehose":
		return s.firehose(ctx, l)
	case "ping":
		return s.pingLoad(ctx, l)
	}
	step, err := s.loadStep(l.Kind)
	if err != nil {
		return err
	}
	return pace(ctx, l, step)
}

// closing is a context that ends when the server closes.
func (s *Server) closing() context.Context { return doneContext{s.done} }

// doneContext adapts the server's done channel.
type doneContext struct{ done <-chan struct{} }

func (d doneContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (d doneContext) Done() <-chan struct{}       { return d.done }
func (d doneContext) Value(any) any               { return nil }
func (d doneContext) Err() error {
	select {
	case <-d.done:
		return context.Canceled
	default:
		return nil
	}
}

// loadStep is what one event of a load does.
func (s *Server) loadStep(kind string) (func(i int), error) {
	switch kind {
	case "message":
		return func(i int) { s.chatter(i) }, nil
	case "interaction":
		return func(i int) { s.interactAt(i) }, nil
	}
	if _, ok := mutations[kind]; !ok && kind != "mixed" {
		return nil, fmt.Errorf("%w: kind %q", ErrLoad, kind)
	}
	return func(int) { _ = s.Mutate(kind, 1) }, nil
}

// pace calls step at an even rate. What is late is caught up with, so that the
// number of events doesn't depend on the scheduler.
func pace(ctx context.Context, l Load, step func(i int)) error {
	if l.Rate <= 0 {
		return fmt.Errorf("%w: rate %v", ErrLoad, l.Rate)
	}
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; l.N == 0 || i < l.N; i++ {
		due := start.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		step(i)
	}
	return nil
}

// Running is load in the background.
type Running struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the load has ended
	err    error         // set before done is closed
}

// Stop ends the load and waits for it.
func (r *Running) Stop() error {
	r.cancel()
	return r.Wait()
}

// Wait waits until the load has ended by itself.
func (r *Running) Wait() error {
	<-r.done
	return r.err
}

// StartLoad makes load in the background; Close ends it too.
func (s *Server) StartLoad(l Load) *Running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{cancel: cancel, done: make(chan struct{})}
	s.wg.Go(func() {
		defer close(r.done)
		defer cancel()
		r.err = s.RunLoad(ctx, l)
	})
	return r
}

// templates are the rendered authors of the text channels.
type templates struct {
	mu   sync.Mutex // guards the map; taken under the world's lock
	rows map[ID]*template
}

// slot is the guild and channel of event i: round robin over guilds, and so over
// shards, then over channels. The caller holds the world's lock.
func (s *Server) slot(i int) (*guild, ID) {
	w := s.world
	if len(w.guilds) == 0 {
		return nil, 0
	}
	g := w.at(i % len(w.guilds))
	if g == nil || len(g.text) == 0 {
		return nil, 0
	}
	return g, g.text[i/len(w.guilds)%len(g.text)]
}

// template returns the template of a channel, rendered anew when its author may
// have changed. The caller holds the world's lock.
func (s *Server) template(g *guild, channel ID, i int) *template {
	s.tmpl.mu.Lock()
	defer s.tmpl.mu.Unlock()
	t := s.tmpl.rows[channel]
	if t == nil || t.version != g.members.version {
		t = newTemplate(g, channel, g.members.author(i), s.opts.PadMessages)
		if t != nil {
			s.tmpl.rows[channel] = t
		}
	}
	return t
}

// runningLoads is the load started by the control API.
type runningLoads struct {
	mu   sync.Mutex // guards the list
	list []*Running
}
