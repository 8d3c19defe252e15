package sim

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// pingLoad sends "!ping N" and notes the span in which it ran.
func (s *Server) pingLoad(ctx context.Context, l Load) error {
	led := s.ledger
	led.mu.Lock()
	index := len(led.pings.spans)
	led.pings.spans = append(led.pings.spans, span{start: time.Now()})
	led.mu.Unlock()
	err := pace(ctx, l, func(i int) { s.ping(i) })
	led.mu.Lock()
	led.pings.spans[index].end = time.Now()
	led.mu.Unlock()
	return err
}

// Ping sends one "!ping N" to the next channel and returns N. It is outside any
// span of load, so that it doesn't count for the longest silence.
func (s *Server) Ping() int {
	s.ledger.mu.Lock()
	i := len(s.ledger.pings.list)
	s.ledger.mu.Unlock()
	return s.ping(i)
}

// ping sends the next ping to slot i. It is entered in the ledger before it is
// dispatched: the answer may come before deliver returns.
func (s *Server) ping(i int) int {
	w, led := s.world, s.ledger
	w.mu.Lock()
	defer w.mu.Unlock()
	g, channel := s.slot(i)
	if g == nil {
		return 0
	}
	t := s.template(g, channel, i)
	if t == nil {
		return 0
	}
	now := time.Now()
	led.mu.Lock()
	led.pings.list = append(led.pings.list, ping{at: now, channel: channel})
	n := len(led.pings.list)
	led.mu.Unlock()
	r := t.render(w.ids.next(), now, "!ping "+strconv.Itoa(n))
	if s.emitMessage(g.id, "MESSAGE_CREATE", r) == 0 {
		led.mu.Lock()
		led.pings.list[n-1].at = time.Time{}
		led.pings.undeliverable++
		led.mu.Unlock()
	}
	return n
}

// chatter is one ordinary message.
func (s *Server) chatter(i int) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g, channel := s.slot(i)
	if g == nil {
		return
	}
	if t := s.template(g, channel, i); t != nil {
		s.emitMessage(g.id, "MESSAGE_CREATE", t.render(w.ids.next(), time.Now(), "message "+strconv.Itoa(i)))
	}
}

// firehoseBatch is how many events are made under one hold of the lock, and
// firehoseAhead how many a connection may have queued.
const (
	firehoseBatch = 32
	firehoseAhead = 512
)

// firehose sends messages as fast as the sockets take them. A shard without a
// connection gets nothing: its replay buffer would only overflow.
func (s *Server) firehose(ctx context.Context, l Load) error {
	guilds := s.guildsOfShard(l.Shard)
	if len(guilds) == 0 {
		return fmt.Errorf("%w: the shard has no guild", ErrLoad)
	}
	for i := 0; l.N == 0 || i < l.N; {
		if ctx.Err() != nil {
			return nil
		}
		if !s.firehoseRoom(l.Shard) {
			s.sleep(5 * time.Millisecond)
			continue
		}
		n := firehoseBatch
		if l.N > 0 {
			n = min(n, l.N-i)
		}
		s.firehoseBurst(guilds, i, n)
		i += n
	}
	return nil
}

// guildsOfShard is the guilds of a shard of Options.Shards, or all.
func (s *Server) guildsOfShard(shard *int) []*guild {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	var out []*guild
	for _, g := range s.world.guilds {
		if shard == nil || int64(g.id>>22)%int64(s.opts.Shards) == int64(*shard) {
			out = append(out, g)
		}
	}
	return out
}

// firehoseRoom waits until every connection has room; false if there is none.
func (s *Server) firehoseRoom(shard *int) bool {
	room := false
	for _, sess := range s.hub.live(shardOf(shard)) {
		if c, _ := sess.current(); c != nil && c.waitRoom(firehoseAhead) {
			room = true
		}
	}
	return room
}

// firehoseBurst sends messages i to i+n.
func (s *Server) firehoseBurst(guilds []*guild, i, n int) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for at := i; at < i+n; at++ {
		g := guilds[at%len(guilds)]
		if len(g.text) == 0 || g.unavailable {
			continue
		}
		channel := g.text[at/len(guilds)%len(g.text)]
		if t := s.template(g, channel, at); t != nil {
			s.emitMessage(g.id, "MESSAGE_CREATE", t.render(w.ids.next(), now, strconv.Itoa(at)))
		}
	}
}
