package transport

import (
	"context"
	"io"
	"sync"
)

const (
	// softPending is the amount of unwritten bytes above which requests wait.
	softPending = 4 << 20
	// hardPending is the amount above which the connection is given up: answers
	// never wait, since whoever gives one (raft's apply loop, say) must not be
	// held up by a peer that doesn't read.
	hardPending = 4 * MaxMessage
	// keepBuffer is the capacity above which a buffer isn't kept for reuse, and
	// keepShare the share of a large one that must have been used.
	keepBuffer  = 8 << 20
	keepShare   = 16
	smallBuffer = 64 << 10
)

// frameWriter queues frames and writes them from one goroutine: all that came
// while a write was under way goes out with the next one, in order. An idle
// connection therefore costs one write a message, a busy one far less.
type frameWriter struct {
	w io.Writer

	mu      sync.Mutex // guards the fields below; not held while writing
	pending []byte
	spare   []byte
	queued  uint64        // bytes ever queued
	started uint64        // bytes ever handed to w; queued frames above it were never sent
	space   chan struct{} // closed when pending is taken by the writer; nil if nobody waits
	err     error         // set once; nothing is queued after it

	wake chan struct{} // capacity 1
	stop chan struct{} // closed with err
}

func newFrameWriter(w io.Writer) *frameWriter {
	return &frameWriter{w: w, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// request queues a frame and returns the stream offset of its first byte. It
// waits while too much is pending.
func (fw *frameWriter) request(ctx context.Context, h frameHeader, payload []byte) (uint64, error) {
	for {
		fw.mu.Lock()
		if fw.err != nil || len(fw.pending) < softPending {
			at, err := fw.appendLocked(h, payload)
			fw.mu.Unlock()
			return at, err
		}
		if fw.space == nil {
			fw.space = make(chan struct{})
		}
		space := fw.space
		fw.mu.Unlock()
		select {
		case <-space:
		case <-fw.stop:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// answer queues a frame without ever waiting.
func (fw *frameWriter) answer(h frameHeader, payload []byte) error {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	if len(fw.pending) > hardPending {
		return ErrTooLarge
	}
	_, err := fw.appendLocked(h, payload)
	return err
}

func (fw *frameWriter) appendLocked(h frameHeader, payload []byte) (uint64, error) {
	if fw.err != nil {
		return 0, fw.err
	}
	at, before := fw.queued, len(fw.pending)
	h.len = uint32(len(payload))
	fw.pending = h.append(fw.pending)
	fw.pending = append(fw.pending, payload...)
	fw.queued += uint64(len(fw.pending) - before)
	select {
	case fw.wake <- struct{}{}:
	default:
	}
	return at, nil
}

// sent reports whether any byte of the frame at offset at may have left.
func (fw *frameWriter) sent(at uint64) bool {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	return at < fw.started
}

// fail stops the writer; the first error stands.
func (fw *frameWriter) fail(err error) {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	if fw.err == nil {
		fw.err = err
		close(fw.stop)
	}
}

// run writes until fail is called or a write fails, and returns why.
func (fw *frameWriter) run() error {
	for {
		select {
		case <-fw.wake:
		case <-fw.stop:
			return fw.err
		}
		buf := fw.take()
		if len(buf) == 0 {
			continue
		}
		if _, err := fw.w.Write(buf); err != nil {
			return err
		}
		fw.recycle(buf)
	}
}

// take swaps the pending bytes for an empty buffer.
func (fw *frameWriter) take() []byte {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	buf := fw.pending
	fw.pending, fw.spare = fw.spare, nil
	fw.started = fw.queued
	if fw.space != nil {
		close(fw.space)
		fw.space = nil
	}
	return buf
}

func (fw *frameWriter) recycle(buf []byte) {
	if c := cap(buf); c > keepBuffer || (c > smallBuffer && len(buf) < c/keepShare) {
		return // after a burst an idle connection holds little
	}
	fw.mu.Lock()
	fw.spare = buf[:0]
	fw.mu.Unlock()
}
