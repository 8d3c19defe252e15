package consensus

import "time"

// Riders are commands that are in no hurry: they wait for a batch to ride in,
// at most ProposerOptions.Linger. An acknowledgement that nobody waits for
// costs no entry of its own that way, which on a bot with few events halves
// the writes to the disk.

// SubmitRider queues a command that may wait for others. Its order against
// commands of Submit is not kept. It never blocks; done is as for Submit.
func (p *Proposer) SubmitRider(cmd []byte, done func(res []byte, err error)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.deliver.add(func() { done(nil, ErrClosed) })
		return
	}
	if err := p.fits(cmd); err != nil {
		p.mu.Unlock()
		p.deliver.add(func() { done(nil, err) })
		return
	}
	p.riders = append(p.riders, command{cmd, done, time.Now()})
	if len(p.riders) == 1 {
		p.linger.Reset(p.o.Linger)
	}
	p.mu.Unlock()
}

// FlushRiders sends what lingers with the next batch, which may be theirs alone.
func (p *Proposer) FlushRiders() {
	p.mu.Lock()
	p.due = len(p.riders) > 0
	due := p.due
	p.mu.Unlock()
	if due {
		p.poke()
	}
}

func (p *Proposer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// board adds riders to a batch of so many bytes. Without a batch to ride in
// they go only once their time is due. The lock is held.
func (p *Proposer) board(batch []command, size int) []command {
	if len(p.riders) == 0 || (len(batch) == 0 && !p.due) {
		return batch
	}
	n := 0
	for n < len(p.riders) && (len(batch)+n == 0 || size+len(p.riders[n].bytes) <= p.o.MaxBatchBytes) {
		size += len(p.riders[n].bytes)
		n++
	}
	batch = append(batch, p.riders[:n]...)
	clear(p.riders[:n])
	p.riders = p.riders[n:]
	if len(p.riders) == 0 {
		p.riders, p.due = nil, false
	}
	return batch
}

// failRiders takes the riders that waited since before a moment, or all if it
// is zero. The lock is held.
func (p *Proposer) failRiders(before time.Time) []command {
	n := 0
	for n < len(p.riders) && (before.IsZero() || p.riders[n].at.Before(before)) {
		n++
	}
	out := append([]command(nil), p.riders[:n]...)
	p.riders = p.riders[n:]
	return out
}
