package netlab

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Link is what happens to the packets of one direction between two hosts. The
// zero value delivers all of them at once.
type Link struct {
	// Cut delivers nothing.
	Cut bool
	// Delay holds each packet back, and up to Jitter longer by chance. Packets
	// don't overtake each other.
	Delay, Jitter time.Duration
	// Loss is the share of packets that are lost, 0 to 1.
	Loss float64
	// Rate is how many bytes a second pass; 0 is no bound.
	Rate int
}

// and returns the link with the faults of both.
func (l Link) and(o Link) Link {
	l.Cut = l.Cut || o.Cut
	l.Delay, l.Jitter = l.Delay+o.Delay, l.Jitter+o.Jitter
	l.Loss = 1 - (1-l.Loss)*(1-o.Loss)
	if o.Rate > 0 && (l.Rate == 0 || o.Rate < l.Rate) {
		l.Rate = o.Rate
	}
	return l
}

// queued bounds the packets that a direction holds back; more are lost, as they
// are by a router's queue.
const queued = 4096

// late is a packet that is held back.
type late struct {
	due    time.Time
	packet []byte
}

// pipe is one direction between two hosts.
type pipe struct {
	deliver func(packet []byte)
	queue   chan late

	mu   sync.Mutex // guards what follows
	link Link
	rng  *rand.Rand
	last time.Time // when the newest packet of the queue is due
	lost int
}

func newPipe(seed1, seed2 uint64, deliver func([]byte)) *pipe {
	return &pipe{deliver: deliver, queue: make(chan late, queued), rng: rand.New(rand.NewPCG(seed1, seed2))}
}

// set changes the direction's faults. What is held back is delivered when it was
// due to be.
func (p *pipe) set(l Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link = l
}

// send delivers a packet, holds a copy of it back, or loses it.
func (p *pipe) send(packet []byte, now time.Time) {
	due, ok := p.judge(len(packet), now)
	switch {
	case !ok:
	case due.After(now):
		select {
		case p.queue <- late{due, append([]byte(nil), packet...)}:
		default:
			p.lose()
		}
	default:
		p.deliver(packet)
	}
}

func (p *pipe) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
}

// judge says when a packet is due, and false if it is lost.
func (p *pipe) judge(size int, now time.Time) (due time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.link
	if l.Cut || l.Loss > 0 && p.rng.Float64() < l.Loss {
		p.lost++
		return due, false
	}
	due = now.Add(l.Delay)
	if l.Jitter > 0 {
		due = due.Add(time.Duration(p.rng.Int64N(int64(l.Jitter))))
	}
	if due.Before(p.last) {
		due = p.last
	}
	if l.Rate > 0 {
		due = due.Add(time.Duration(size) * time.Second / time.Duration(l.Rate))
	}
	p.last = due
	return due, true
}

// run delivers what is held back, until done is closed.
func (p *pipe) run(done <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case x := <-p.queue:
			timer.Reset(time.Until(x.due))
			select {
			case <-timer.C:
			case <-done:
				return
			}
			p.deliver(x.packet)
		case <-done:
			return
		}
	}
}

// losses is how many packets the direction has lost.
func (p *pipe) losses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}
