package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// freshUntil returns the end of the time in which this node may act. Only
// answers to questions for freshness count: the leader notes those, and by
// them it judges when a node that has fallen silent has stopped acting. The
// answer to a proposal shows that a leader leads, too, but no leader notes it.
func (m *Manager) freshUntil() Time {
	if m.quiet.Load() {
		return 0
	}
	return Time(m.fresh.Load())
}

// Quiet has this node act no more, whatever a leader answers: it is never fresh
// again. It doesn't block.
func (m *Manager) Quiet() { m.quiet.Store(true) }

// Fresh reports whether a leader has answered this node of late. A node that
// is not fresh writes nothing to Discord and starts no handler.
func (m *Manager) Fresh() bool { return m.now() < m.freshUntil() }

// freshLoop asks the leader five times per Fresh whether it leads, and ten times
// as often while this node isn't fresh and so can do nothing. What counts is when
// the question was sent, not when the answer came. A question to a leader that is
// being replaced is taken back, since it may hang.
func (m *Manager) freshLoop() {
	for {
		ctx, cancel := context.WithTimeout(m.ctx, m.o.Timing.Fresh/2)
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			m.askFresh(ctx)
		}()
		again := false
		select {
		case <-asked:
		case <-m.lead.changed:
			again = true
		}
		cancel()
		<-asked
		if again {
			continue
		}
		wait := m.o.Timing.Fresh / 5
		if !m.Fresh() {
			wait /= 10
		}
		select {
		case <-time.After(wait):
		case <-m.lead.changed:
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Manager) askFresh(ctx context.Context) {
	before := m.Fresh()
	sent := m.now()
	answer, err := m.send(ctx, "", message{Kind: msgFresh, Node: m.o.Self, Leaving: m.leaving.Load()})
	if err == nil && !m.Fresh() {
		err = m.catchUp(ctx, answer)
	}
	if err != nil {
		if before && !m.Fresh() {
			m.log.Warn("no leader answers; this node is quiet until one does", zap.String("code", "not_fresh"), zap.Error(err))
		}
		return
	}
	m.heardLeader(answer)
	was := m.Fresh() // it may have ended while the question was on its way
	m.fresh.Store(int64(sent + m.o.Timing.Fresh))
	if !was {
		m.log.Info("this node is fresh")
		m.wakeAll()
	}
}

// heardLeader takes what a leader's answer says beside its index: the nodes that
// the bots' first start waits for.
func (m *Manager) heardLeader(answer []byte) {
	m.lead.heard()
	_, n := binary.Uvarint(answer)
	if n <= 0 {
		return
	}
	var waiting []string
	if rest := string(answer[n:]); rest != "" {
		waiting = strings.Split(rest, ",")
	}
	m.setWaiting(waiting)
}

// setWaiting notes the nodes that the bots' first start waits for.
func (m *Manager) setWaiting(ids []string) { m.waiting.Store(&ids) }

// Waiting returns the nodes that the bots' first start waits for, as the leader
// last said; none once it has begun.
func (m *Manager) Waiting() []string {
	if ids := m.waiting.Load(); ids != nil {
		return *ids
	}
	return nil
}

// catchUp waits until this node has applied what the leader had when it
// answered. A node that was stopped and goes on is answered before it has heard
// of what was granted meanwhile: on its old state it would resume sessions that
// are another's. While a node is fresh nothing is granted behind its back, so
// that one is not asked for it again.
func (m *Manager) catchUp(ctx context.Context, answer []byte) error {
	index, n := binary.Uvarint(answer)
	if n <= 0 {
		return errors.New("the leader's answer can't be read")
	}
	for {
		changed := m.o.Machine.Changed()
		if m.o.Machine.Index() >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not caught up with the leader: %w", context.Cause(ctx))
		}
	}
}

// wakeAll has everybody look again who may have waited for freshness.
func (m *Manager) wakeAll() {
	m.disp.mail.poke()
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.runners {
		r.touch()
	}
}
