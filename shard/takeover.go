package shard

import (
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// Takeover describes the last time that a shard came to this node.
type Takeover struct {
	Why      fsm.Why
	From     fsm.NodeRef
	Gap      time.Duration // from the applied Grant to the first event or READY
	Replayed int           // events that came before RESUMED
	At       time.Time
}

// takeoverRecorder measures take-overs of one shard.
type takeoverRecorder struct {
	epoch uint64
	since Time
	wait  bool
	why   fsm.Why
	from  fsm.NodeRef
	count int
	last  *Takeover
}

// applied notes a Grant to this node.
func (t *takeoverRecorder) applied(now Time, v View, self fsm.NodeRef, _ Phase) {
	if v.Epoch <= t.epoch {
		return
	}
	t.epoch = v.Epoch
	t.wait = v.Owner == self
	t.since, t.count, t.why, t.from = now, 0, v.Why, v.From
}

func (t *takeoverRecorder) waiting() bool { return t.wait }

func (t *takeoverRecorder) event(Time) { t.count++ }

// live notes that events flow again, and returns the take-over that ends with
// it, nil if the shard was live before.
func (t *takeoverRecorder) live(now Time, log *zap.Logger) *Takeover {
	if !t.wait {
		return nil
	}
	t.wait = false
	t.last = &Takeover{Why: t.why, From: t.from, Gap: now - t.since, Replayed: t.count, At: time.Now()}
	log.Info("shard is live", zap.Uint64("epoch", t.epoch), zap.Stringer("why", t.why),
		zap.Stringer("from", t.from), zap.Duration("gap", t.last.Gap))
	return t.last
}
