package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ProposerOptions configure a proposer.
type ProposerOptions struct {
	// Raft is this node. It tells who leads, and takes the batches if it leads itself.
	Raft *Raft
	// Caller reaches Acceptor.Handle of other nodes.
	Caller Caller
	// Encode builds one log entry from commands.
	Encode func(cmds [][]byte) []byte
	// EncodeResult encodes what the machine answered to such an entry; the leader's acceptor uses the same function.
	EncodeResult func(any) []byte
	// SplitResults splits an encoded result into one result for each of the n commands.
	SplitResults func(res []byte, n int) ([][]byte, error)
	// MaxCommandBytes bounds one command, before Encode packs it (0: only by what it is packed to).
	MaxCommandBytes int
	// MaxBatchBytes closes a batch (default 256 KiB). A larger command goes alone; a command is never split.
	MaxBatchBytes int
	// MaxInFlight is how many batches may be on their way (default 4).
	MaxInFlight int
	// QueueBytes bounds what waits to be sent (default 8 MiB).
	QueueBytes int
	// Linger is how long a rider waits for a batch to ride in (default 4 ms).
	Linger time.Duration
	// CallTimeout bounds one batch (default 5 s); then its outcome is unknown.
	CallTimeout time.Duration
	// HoldTimeout is how long a command waits for a leader to be known (default 1 s), before it fails with ErrNoLeader.
	HoldTimeout time.Duration
	// Logger defaults to a silent one.
	Logger *zap.Logger
}

// Proposer gathers this node's commands into entries and brings them to the leader, wherever it is.
//
// Batches form by themselves while earlier ones are on their way; an idle proposer sends a command at once and has no
// timer. Commands are applied in the order of Submit, within and across batches, until an error occurs: after that,
// later commands may be applied although an earlier one wasn't, so the commands must say what they build on.
type Proposer struct {
	o       ProposerOptions
	session uint64

	mu     sync.Mutex
	queue  []command
	queued int // bytes in queue
	riders []command
	due    bool        // the riders have waited long enough
	linger *time.Timer // sets due
	// space is closed and replaced when the queue shrinks.
	space    chan struct{}
	closed   bool
	verified time.Time

	// wake holds a token if the queue may have grown.
	wake chan struct{}
	// stop is closed when Close begins, stopped when run has ended.
	stop, stopped chan struct{}
	startOnce     sync.Once
	stopOnce      sync.Once
	deliver       *deliverer
}

// command waits in the queue.
type command struct {
	bytes []byte
	done  func(res []byte, err error)
	at    time.Time
}

// NewProposer makes a proposer; Start starts it.
func NewProposer(o ProposerOptions) *Proposer {
	defaultTo(&o.MaxBatchBytes, 256<<10)
	defaultTo(&o.MaxInFlight, 4)
	defaultTo(&o.QueueBytes, 8<<20)
	defaultTo(&o.CallTimeout, 5*time.Second)
	defaultTo(&o.Linger, 4*time.Millisecond)
	defaultTo(&o.HoldTimeout, time.Second)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	p := &Proposer{
		o: o, session: rand.Uint64(), space: make(chan struct{}), wake: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}), deliver: newDeliverer(),
	}
	p.linger = time.AfterFunc(time.Hour, p.FlushRiders)
	p.linger.Stop()
	return p
}

// Start starts the proposer's goroutines.
func (p *Proposer) Start() {
	p.startOnce.Do(func() {
		go p.deliver.run()
		go p.run()
	})
}

// Close fails what is queued with ErrClosed and what is on its way with ErrUnknownOutcome, and returns when every done
// was called. It is idempotent. It must not be called by a done.
func (p *Proposer) Close() error {
	p.stopOnce.Do(func() {
		p.mu.Lock()
		p.closed = true
		p.linger.Stop()
		p.mu.Unlock()
		close(p.stop)
		p.startOnce.Do(func() { // never started: there is nothing to wait for
			close(p.stopped)
			go p.deliver.run()
		})
		<-p.stopped
		p.failQueue(ErrClosed, time.Time{})
		p.deliver.close()
	})
	<-p.deliver.ended
	return nil
}

// Submit queues a command. It blocks while the queue is full: that is the back-pressure. done is called exactly once,
// in the order of outcomes, on a goroutine that all of them share: it must not block for long. cmd must not be changed.
func (p *Proposer) Submit(cmd []byte, done func(res []byte, err error)) {
	if err := p.SubmitContext(context.Background(), cmd, done); err != nil {
		done(nil, err)
	}
}

// SubmitContext is Submit with an end to the wait for space. If it returns an error, the command wasn't queued and done
// won't be called.
func (p *Proposer) SubmitContext(ctx context.Context, cmd []byte, done func(res []byte, err error)) error {
	for {
		space, err := p.enqueue(cmd, done)
		if !errors.Is(err, ErrBusy) {
			return err
		}
		select {
		case <-space:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
		case <-p.stop:
			return ErrClosed
		}
	}
}

// TrySubmit is Submit, but for returning ErrBusy instead of waiting.
func (p *Proposer) TrySubmit(cmd []byte, done func(res []byte, err error)) error {
	_, err := p.enqueue(cmd, done)
	return err
}

// enqueue returns, with ErrBusy, a channel that is closed when there may be space.
func (p *Proposer) enqueue(cmd []byte, done func([]byte, error)) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if err := p.fits(cmd); err != nil {
		return nil, err
	}
	if p.queued > 0 && p.queued+len(cmd) > p.o.QueueBytes {
		return p.space, ErrBusy
	}
	p.queue = append(p.queue, command{cmd, done, time.Now()})
	p.queued += len(cmd)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil, nil
}

// fits returns nil for a command that may be proposed, else ErrTooLarge.
func (p *Proposer) fits(cmd []byte) error {
	if most := p.o.MaxCommandBytes; most > 0 && len(cmd) > most {
		return fmt.Errorf("%w: a command of %d bytes, at most %d are allowed", ErrTooLarge, len(cmd), most)
	}
	return nil
}

// takeBatch removes the commands of the next batch from the queue; none if it is empty.
func (p *Proposer) takeBatch() []command {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, 0
	for n < len(p.queue) && (n == 0 || size+len(p.queue[n].bytes) <= p.o.MaxBatchBytes) {
		size += len(p.queue[n].bytes)
		n++
	}
	return p.board(p.remove(n), size)
}

// remove takes the first n commands off the queue and wakes who waits for space. The lock is held.
func (p *Proposer) remove(n int) []command {
	if n == 0 {
		return nil
	}
	out := append([]command(nil), p.queue[:n]...)
	clear(p.queue[:n]) // let go of the commands, the array lives on
	p.queue = p.queue[n:]
	for _, c := range out {
		p.queued -= len(c.bytes)
	}
	close(p.space)
	p.space = make(chan struct{})
	return out
}

// failQueue fails the commands that were queued before the moment given, or all if it is zero. It returns when the
// oldest that is left was queued.
func (p *Proposer) failQueue(err error, before time.Time) (oldest time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.queue) && (before.IsZero() || p.queue[n].at.Before(before)) {
		n++
	}
	out := append(p.remove(n), p.failRiders(before)...)
	if len(p.queue) > 0 {
		oldest = p.queue[0].at
	}
	p.mu.Unlock()
	for _, c := range out {
		p.deliver.add(func() { c.done(nil, err) })
	}
	return oldest
}

// LastVerified returns when the last request that a leader answered with success was sent: an entry that is committed
// after it proves that the leader led then. It is zero if there was none.
func (p *Proposer) LastVerified() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verified
}

func (p *Proposer) setVerified(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sent.After(p.verified) {
		p.verified = sent
	}
}
