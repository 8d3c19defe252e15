package cache

import (
	"encoding/binary"
	"math"
)

// sweep brings the objects of a kind in line with a policy that has changed, in
// steps of bounded work: first a walk over all of them, which drops what the
// policy doesn't keep and enters the rest into the order of writes, then the
// eviction of the oldest. Until its end the kind isn't evicted from otherwise.
type sweep struct {
	active bool
	walked bool // the walk is over, only eviction is left
	at     key  // the walk goes on here
}

// firstSteps is how many objects SetPolicies looks at by itself, so that the
// caches of a small bot follow a change at once.
const firstSteps = 1000

// SetPolicies changes the policies. New writes follow them at once; what is
// cached already follows in steps, of which the first is part of this call:
// see Sweep.
func (c *Cache) SetPolicies(p Policies) { c.setPolicies(p, firstSteps) }

// setPolicies is SetPolicies with another size of its first step.
func (c *Cache) setPolicies(p Policies, first int) {
	for i := range c.tables {
		c.setPolicy(&c.tables[i], p[i])
	}
	c.Sweep(first)
}

func (c *Cache) setPolicy(t *table, p Policy) {
	old := t.policy
	t.policy = p
	if old.equal(p) {
		return
	}
	if p.Mode != Bounded || old.Mode != Bounded {
		t.order = tree[uint64]{epoch: t.order.epoch}
	}
	s := t.sweep
	switch {
	case t.recs.n == 0:
		s = sweep{}
	case p.Mode == Off, p.Mode == Bounded && old.Mode != Bounded, p.Filter != nil && p.Filter.String() != old.Filter.String(),
		s.active && !s.walked && (p.Mode == Bounded || p.Filter != nil):
		// The last: a walk that built the order, or looked for what the filter
		// doesn't keep, isn't over, and what it was for still has to be done.
		s = sweep{active: true}
	case p.exceeded(t.recs.n, t.bytes):
		s = sweep{active: true, walked: true}
	default:
		s = sweep{}
	}
	c.setSweep(t, s)
}

// Sweeping reports whether there is anything for Sweep to do.
func (c *Cache) Sweeping() bool {
	for i := range c.tables {
		if c.tables[i].sweep.active {
			return true
		}
	}
	return false
}

// Sweep goes on with what changes of policies have begun: it looks at most at
// so many objects, and drops those that aren't kept any more.
func (c *Cache) Sweep(most int) {
	for i := range c.tables {
		if t := &c.tables[i]; t.sweep.active && most > 0 {
			most -= c.sweepStep(t, most)
		}
	}
}

// sweepStep does so much of one kind's sweep and returns how many objects it
// looked at.
func (c *Cache) sweepStep(t *table, most int) int {
	s := t.sweep
	done := 0
	if !s.walked {
		done = c.walk(t, &s, most)
	}
	for s.walked && done < most && t.exceeds() {
		c.discard(t, t.oldest())
		done++
	}
	if s.walked && !t.exceeds() {
		s = sweep{}
	}
	c.setSweep(t, s)
	return done
}

// walk is the first half of a sweep.
func (c *Cache) walk(t *table, s *sweep, most int) int {
	type object struct {
		k key
		r rec
	}
	var objects []object
	t.recs.ascend(s.at, func(k key, r rec) bool {
		objects = append(objects, object{k, r})
		return len(objects) < most
	})
	for _, o := range objects {
		switch {
		case t.policy.Mode == Off || !c.admits(t, o.k, raw(o.r.raw)):
			c.discard(t, o.k)
		case t.policy.Mode == Bounded:
			t.order.set(key{o.r.seq, o.k.a}, o.k.b)
		}
	}
	s.walked = len(objects) < most
	if n := len(objects); n > 0 {
		s.at = objects[n-1].k.next()
		s.walked = s.walked || s.at == key{}
	}
	return len(objects)
}

// next returns the key after k, or the first one after the last.
func (k key) next() key {
	if k.b < math.MaxUint64 {
		return key{k.a, k.b + 1}
	}
	return key{k.a + 1, 0} // zero after the last of all
}

// exceeds reports whether the kind has more than its policy allows and something
// can be done about it.
func (t *table) exceeds() bool { return t.policy.exceeded(t.recs.n, t.bytes) && t.order.n > 0 }

// discard drops an object because of the policy.
func (c *Cache) discard(t *table, k key) {
	if t.recs.has(k) {
		c.drop(t.kind, k)
		t.evicted++
	}
}

// setSweep stores how far a sweep is. That is part of the state: what later
// steps drop depends on it.
func (c *Cache) setSweep(t *table, s sweep) {
	k := key{uint64(t.kind), 0}
	if t.sweep.active {
		c.unhash(tagSweep, k, t.sweep.encode())
	}
	t.sweep = s
	if s.active {
		c.hash(tagSweep, k, s.encode())
	}
}

// encode returns a sweep's bytes in digests and snapshots.
func (s sweep) encode() string {
	b := []byte{0}
	if s.walked {
		b[0] = 1
	}
	return string(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, s.at.a), s.at.b))
}

// decodeSweep is the inverse of encode for a sweep that is active.
func decodeSweep(val string) (sweep, bool) {
	if len(val) != 17 || val[0] > 1 {
		return sweep{}, false
	}
	b := []byte(val[1:])
	return sweep{active: true, walked: val[0] == 1, at: key{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}}, true
}
