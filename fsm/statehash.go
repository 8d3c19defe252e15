package fsm

import "fmt"

// HashPoint is the digest of the state after one entry.
type HashPoint struct {
	Index  uint64
	Digest Digest
}

const (
	// DefaultHashEvery is how many entries lie between two hash points.
	DefaultHashEvery = 10_000
	// keptHashes is how many of its own hash points a machine remembers.
	keptHashes = 16
)

// StateHash brings into the log the digest that a majority of the voters has at
// a hash point. Each node compares it with its own as it applies this: the one
// that differs stops.
//
// Guard: the hash point is newer than the one before.
type StateHash struct{ HashPoint }

// Kind implements Command.
func (*StateHash) Kind() Kind { return KindStateHash }

func (c *StateHash) encode(w *writer) { c.HashPoint.encode(w) }
func (c *StateHash) decode(r *reader) { c.HashPoint.decode(r) }

func (h *HashPoint) encode(w *writer) { w.uint(h.Index); w.uint(h.Digest.Hi); w.uint(h.Digest.Lo) }
func (h *HashPoint) decode(r *reader) {
	h.Index, h.Digest.Hi, h.Digest.Lo = r.uint(), r.uint(), r.uint()
}

func (c *StateHash) apply(s *State) Result {
	if c.Index <= s.agreed.Index {
		return Result{Code: Old}
	}
	s.agreed = c.HashPoint
	return Result{}
}

// Agreed returns the newest hash point that a majority agreed on; zero before
// the first.
func (s *State) Agreed() HashPoint { return s.agreed }

// DivergedError reports that this node's state differs from the majority's. The
// node has to stop, and its data is worth a look before it goes.
type DivergedError struct {
	Index       uint64
	Own, Agreed Digest
}

// Error implements error.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("fsm: at entry %d this node's state (digest %s) differs from the majority's (%s): it must not go on. "+
		"Keep its data directory for a report, start it with an empty one, and let it join again", e.Index, e.Own, e.Agreed)
}

// hashes are a machine's own hash points, the newest last.
type hashes struct {
	every  uint64
	points []HashPoint
}

// passed notes the digest if the entry is the first one at or behind a multiple
// of every. Which one that is follows from the log alone.
func (h *hashes) passed(before, index uint64, digest func() Digest) {
	if h.every == 0 || before/h.every == index/h.every {
		return
	}
	if len(h.points) == keptHashes {
		h.points = append(h.points[:0], h.points[1:]...)
	}
	h.points = append(h.points, HashPoint{index, digest()})
}

func (h *hashes) at(index uint64) (HashPoint, bool) {
	for _, p := range h.points {
		if p.Index == index {
			return p, true
		}
	}
	return HashPoint{}, false
}

// HashAt returns this machine's own hash point at an index, if it is one and is
// remembered.
func (m *Machine) HashAt(index uint64) (HashPoint, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.hashes.at(index)
}

// NewestHash returns this machine's newest hash point; zero before the first.
func (m *Machine) NewestHash() HashPoint {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if n := len(m.hashes.points); n > 0 {
		return m.hashes.points[n-1]
	}
	return HashPoint{}
}

// compare stops the machine if what the majority agreed on isn't what it has. A
// machine that came to its state by a snapshot since has nothing to compare.
func (m *Machine) compare() {
	agreed := m.state.agreed
	if own, ok := m.hashes.at(agreed.Index); ok && own.Digest != agreed.Digest {
		m.fatal(&DivergedError{Index: agreed.Index, Own: own.Digest, Agreed: agreed.Digest})
	}
}
