package proxy

import (
	"context"
	"time"

	"github.com/botnode/botnode/fsm"
)

// touch says that a session lives.
type touch struct {
	bot, sid string
	attach   uint64
	seq      int64
	through  int64
	until    int64
}

// The bounds of toucher: what waits, and how many are on their way.
const (
	touchQueue   = 1024
	touchWorkers = 8
	touchTimeout = 5 * time.Second
)

// toucher tells the cluster of heartbeats. What doesn't fit is left to the next
// heartbeat: a session lives for many of them.
type toucher struct{ queue chan *touch }

func (t *toucher) add(x *touch) {
	if x == nil {
		return
	}
	select {
	case t.queue <- x:
	default:
	}
}

// startTouches starts the workers; they end with the server.
func (s *Server) startTouches() {
	s.touches.queue = make(chan *touch, touchQueue)
	for range touchWorkers {
		s.wg.Go(func() {
			for {
				select {
				case t := <-s.touches.queue:
					s.tell(t)
				case <-s.ctx.Done():
					return
				}
			}
		})
	}
}

func (s *Server) tell(t *touch) {
	ctx, cancel := context.WithTimeout(s.ctx, touchTimeout)
	defer cancel()
	// An answer would change nothing: whether the session still is this
	// connection's is seen in the state.
	_, _ = s.o.Backend.ProposeState(ctx, func(*fsm.State) fsm.Command {
		return &fsm.TouchClient{Bot: t.bot, SID: t.sid, Attach: t.attach, Seq: t.seq, Through: t.through, Until: t.until}
	})
}

// endSession tells the cluster of a client that has closed its session for good.
func (c *conn) endSession(e *ending) {
	if c.sess == nil || !e.quiet || !e.code.EndsSession() {
		return
	}
	cmd := &fsm.CloseClient{Bot: c.sess.client.Bot, SID: c.sess.sid, Attach: c.sess.attach}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), touchTimeout)
	defer cancel()
	// Without an answer the session ends when its time is over.
	_, _ = c.s.o.Backend.ProposeState(ctx, func(*fsm.State) fsm.Command { return cmd })
}
