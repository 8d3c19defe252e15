package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// delegate is Membership as memberlist sees it. memberlist holds its own lock
// while it calls most of these: none may call memberlist back.
type delegate Membership

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.EventDelegate    = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.PingDelegate     = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
)

// NodeMeta returns this node's facts.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.encoded
}

// NotifyAlive keeps out what can't be a node of ours.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return err
	}
	if meta.name() != n.Name {
		return fmt.Errorf("%w: %q claims to be %q", errMetaSyntax, n.Name, meta.name())
	}
	return nil
}

// NotifyJoin records a node that came, or came back.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.NotifyUpdate(n) }

// NotifyUpdate records changed facts.
func (d *delegate) NotifyUpdate(n *memberlist.Node) {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return // NotifyAlive refused it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.table.alive(meta, time.Now()) {
		d.checkLocked(c)
	}
	(*Membership)(d).signal()
}

// NotifyLeave records a node that died or left.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if id, incarnation, ok := splitName(n.Name); ok {
		(*Membership)(d).gone(id, incarnation)
	}
}

// suspected records a probe without an answer.
func (d *delegate) suspected(name string) { d.probed(name, true) }

// NotifyPingComplete records a probe with an answer.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	d.probed(n.Name, false)
}

func (d *delegate) probed(name string, failed bool) {
	id, incarnation, ok := splitName(name)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.table.suspect(id, incarnation, failed, time.Now()) {
		(*Membership)(d).signal()
	}
}

// NotifyConflict can only mean a copied data directory that was started twice
// within the same microsecond; it is reported like any other conflict.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	a, errA := decodeMeta(existing.Meta)
	b, errB := decodeMeta(other.Meta)
	if errA != nil || errB != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checkLocked(Conflict{ID: a.ID, Older: a, Newer: b})
}

// AckPayload is unused.
func (d *delegate) AckPayload() []byte { return nil }

// NotifyMsg is unused: nothing is told by gossip but Meta.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts is unused.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is unused.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState is unused.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// checkLocked finds out whether both of a pair live, once.
func (d *delegate) checkLocked(c Conflict) {
	key := pair{id: c.ID, older: c.Older.Incarnation, newer: c.Newer.Incarnation}
	if d.o.Probe == nil || d.closed || d.ctx.Err() != nil || d.checked[key] {
		return
	}
	d.checked[key] = true
	d.wg.Go(func() { (*Membership)(d).check(key, c) })
}

// check asks both ends. If the older one doesn't answer as itself, it is gone:
// gossip will find out later, the view needn't wait.
func (m *Membership) check(key pair, c Conflict) {
	if !m.answers(c.Older) {
		m.gone(c.ID, c.Older.Incarnation)
		m.uncheck(key)
		return
	}
	if !m.answers(c.Newer) {
		m.uncheck(key)
		return
	}
	m.o.Logger.Warn("node id used twice", zap.String("code", "duplicate-id"), zap.String("node", c.ID),
		zap.String("older", c.Older.ClusterAddr), zap.String("newer", c.Newer.ClusterAddr))
	if m.o.OnConflict != nil {
		m.o.OnConflict(c)
	}
}

func (m *Membership) uncheck(key pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.checked, key)
}

// answers reports whether the process that x describes lives.
func (m *Membership) answers(x Meta) bool {
	if x.name() == m.o.Meta.name() {
		return true
	}
	ctx, cancel := context.WithTimeout(m.ctx, time.Second)
	defer cancel()
	id, incarnation, err := m.o.Probe(ctx, x.ClusterAddr)
	return err == nil && id == x.ID && incarnation == x.Incarnation
}

func (m *Membership) gone(id string, incarnation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.gone(id, incarnation, time.Now())
	m.signal()
}
