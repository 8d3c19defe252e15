package proxy

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// askTimeout bounds how long a refusal waits for the cluster's word: longer than
	// an election by raft's timers mostly takes.
	askTimeout = 2 * time.Second
	// askEvery is the least time between two questions of a node.
	askEvery = 50 * time.Millisecond
)

// errAskStops is what those are told who wait when the server ends.
var errAskStops = errors.New("the proxy stops")

// asker brings this node up to what the cluster has committed, before a client is
// refused for what the node doesn't know: a key may have been made at another node
// a moment ago, and libraries take a refusal for final.
//
// Anyone can show what nobody knows. So all who wait share a question, one is on
// its way at a time, and they are at least askEvery apart: a flood of wrong keys
// costs the leader no more than a few of them do.
type asker struct {
	wake chan struct{} // holds a token if there is a next question

	mu   sync.Mutex // guards next
	next *question  // that whoever comes now waits for; nil if nobody does
}

// question is one that is not on its way yet, or is, or has its answer.
type question struct {
	done chan struct{} // closed when err is final
	err  error
}

func newAsker() *asker { return &asker{wake: make(chan struct{}, 1)} }

// join returns the question that is asked next. One that is on its way proves
// nothing of what was committed since it was sent.
func (a *asker) join() *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = &question{done: make(chan struct{})}
		a.wake <- struct{}{} // there is room: take has emptied it, or nobody has filled it yet
	}
	return a.next
}

func (a *asker) take() *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.next
	a.next = nil
	return q
}

// run asks by sync until ctx ends.
func (a *asker) run(ctx context.Context, sync func(context.Context) error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
		pause.Reset(askEvery)
		q := a.take()
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		q.err = sync(asking)
		cancel()
		close(q.done)
	}
}

// ask waits until the state has what was committed before the call. It asks again
// while there is no answer, as during an election, for askTimeout in all.
func (s *Server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		q := s.asker.join()
		select {
		case <-q.done:
			if q.err == nil || ctx.Err() != nil {
				return q.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ctx.Done():
			return errAskStops
		}
	}
}

// surely reports whether look finds in the state what a client needs. That it
// doesn't counts only on a state that has what was committed before the call; an
// error means that there was none such in time, and nothing is sure.
func (s *Server) surely(ctx context.Context, look func() bool) (found bool, err error) {
	if look() {
		return true, nil
	}
	if err := s.ask(ctx); err != nil {
		return false, err
	}
	return look(), nil
}
