package shard

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// freshUntil returns the end of the time in which this node may act.
func (m *Manager) freshUntil() Time {
	until := Time(m.fresh.Load())
	if at := m.o.Proposer.LastVerified(); !at.IsZero() {
		until = max(until, at.Sub(m.start)+time.Hour+m.o.Timing.Fresh)
	}
	return until
}

// Fresh reports whether a leader has answered this node of late. A node that
// is not fresh writes nothing to Discord and starts no handler.
func (m *Manager) Fresh() bool { return m.now() < m.freshUntil() }

// freshLoop asks the leader five times per Fresh whether it leads. What counts
// is when the question was sent, not when the answer came.
func (m *Manager) freshLoop() {
	tick := time.NewTicker(m.o.Timing.Fresh / 5)
	defer tick.Stop()
	for {
		m.askFresh()
		select {
		case <-tick.C:
		case <-m.lead.changed:
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Manager) askFresh() {
	ctx, cancel := context.WithTimeout(m.ctx, m.o.Timing.Fresh)
	defer cancel()
	was := m.Fresh()
	sent := m.now()
	_, err := m.send(ctx, "", message{Kind: msgFresh, Node: m.o.Self, Leaving: m.leaving.Load()})
	if err != nil {
		if was && !m.Fresh() {
			m.log.Warn("no leader answers; this node is quiet until one does", zap.String("code", "not_fresh"), zap.Error(err))
		}
		return
	}
	m.fresh.Store(int64(sent + m.o.Timing.Fresh))
	if !was {
		m.log.Info("this node is fresh")
		m.wakeAll()
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
