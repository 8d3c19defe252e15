package proxy

import (
	"github.com/botnode/botnode/discord"
)

// sendEvents sends a page of what the session has still to get, and returns a
// channel to wait for.
func (c *conn) sendEvents() <-chan struct{} {
	s := c.sess
	if s.replay && s.next > s.upTo {
		s.replay = false
		s.lastS = max(s.lastS, s.seq(s.next-1))
		c.dispatch(discord.EventResumed, s.lastS, &body{d: []byte(`{"_trace":["botnode"]}`)})
	}
	items, wake, lost := s.feed.after(&s.follower, s.next)
	if e := s.ended.Load(); e != nil {
		c.end(e)
		return always
	}
	if lost {
		c.end(invalid())
		return always
	}
	if len(items) == 0 {
		return wake
	}
	c.batch(func() {
		n := 0 // heartbeats are answered between two batches
		for _, it := range items {
			if c.over != nil || s.replay && it.Pos > s.upTo || n >= burstSize {
				return
			}
			s.next = it.Pos + 1
			c.sendEvent(it)
			n += len(it.Raw)
		}
	})
	return always
}

// sendEvent sends an event, if the session gets it.
func (c *conn) sendEvent(it *item) {
	s := c.sess
	b := body{d: it.Raw, shared: &it.deflation}
	switch {
	case forRequester(it.Type):
		d, mine := c.asked.answer(it.Type, it.Raw)
		if !mine {
			return
		}
		b = body{d: d}
	case !s.passes(it.Entry):
		return
	default:
		if d, same := s.content(it.Entry); !same {
			b = body{d: d}
		}
	}
	s.lastS = s.seq(it.Pos)
	c.dispatch(it.Type, s.lastS, &b)
}
