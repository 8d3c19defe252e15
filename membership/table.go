package membership

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Status is how a member seems to be.
type Status uint8

// The statuses.
const (
	Alive   Status = iota + 1
	Suspect        // this node's last probe of it got no answer
	Dead           // gossip gave it up, or a newer incarnation took its place
	Left           // it said that it would leave, and is gone
)

// String names the status as `botnode status` shows it.
func (s Status) String() string {
	return [...]string{"unknown", "alive", "suspect", "dead", "left"}[s]
}

// Member is a node as this one sees it.
type Member struct {
	Meta
	Status Status
	Since  time.Time // when Status changed
}

// Conflict names two live processes that use one id.
type Conflict struct {
	ID           string
	Older, Newer Meta
}

// table is the view by id. Of each node only the newest incarnation is shown;
// older ones are kept as long as gossip calls them alive, since two living ones
// are a conflict. It is pure, and guarded by its owner.
type table struct {
	members map[string]*Member            // newest incarnation by id
	older   map[string]map[uint64]*Member // living older incarnations
}

func newTable() *table {
	return &table{members: make(map[string]*Member), older: make(map[string]map[uint64]*Member)}
}

// alive records that gossip calls m's incarnation alive. It returns the pairs
// that are now doubtful: two incarnations that both seem to live.
func (t *table) alive(m Meta, now time.Time) []Conflict {
	cur := t.members[m.ID]
	switch {
	case cur == nil || m.Incarnation == cur.Incarnation:
		t.put(m, now)
	case m.Incarnation > cur.Incarnation:
		t.put(m, now)
		if cur.Status == Alive || cur.Status == Suspect {
			t.keepOlder(cur)
		}
	default:
		t.keepOlder(&Member{Meta: m, Status: Alive, Since: now})
	}
	newest := t.members[m.ID]
	if newest.Status != Alive && newest.Status != Suspect {
		return nil
	}
	var pairs []Conflict
	for _, o := range t.older[m.ID] {
		pairs = append(pairs, Conflict{ID: m.ID, Older: o.Meta, Newer: newest.Meta})
	}
	return pairs
}

func (t *table) put(m Meta, now time.Time) {
	cur := t.members[m.ID]
	if cur != nil && cur.Incarnation == m.Incarnation && cur.Status == Alive {
		now = cur.Since
	}
	t.members[m.ID] = &Member{Meta: m, Status: Alive, Since: now}
}

func (t *table) keepOlder(m *Member) {
	if t.older[m.ID] == nil {
		t.older[m.ID] = make(map[uint64]*Member)
	}
	t.older[m.ID][m.Incarnation] = m
}

// gone records that gossip gave an incarnation up.
func (t *table) gone(id string, incarnation uint64, now time.Time) {
	delete(t.older[id], incarnation)
	if len(t.older[id]) == 0 {
		delete(t.older, id)
	}
	if cur := t.members[id]; cur != nil && cur.Incarnation == incarnation {
		status := Dead
		if cur.Flags.Has(Leaving) {
			status = Left
		}
		t.setStatus(cur, status, now)
	}
}

// suspect records an unanswered probe (yes) or an answered one (no). It reports
// whether anything changed.
func (t *table) suspect(id string, incarnation uint64, yes bool, now time.Time) bool {
	cur := t.members[id]
	from, to := Suspect, Alive
	if yes {
		from, to = Alive, Suspect
	}
	if cur == nil || cur.Incarnation != incarnation || cur.Status != from {
		return false
	}
	t.setStatus(cur, to, now)
	return true
}

func (t *table) setStatus(m *Member, s Status, now time.Time) {
	if m.Status != s {
		m.Status, m.Since = s, now
	}
}

// forget drops a member that isn't alive.
func (t *table) forget(id string) bool {
	cur := t.members[id]
	if cur == nil || cur.Status == Alive || cur.Status == Suspect {
		return false
	}
	delete(t.members, id)
	return true
}

// list returns copies, ordered by id.
func (t *table) list() []Member {
	out := make([]Member, 0, len(t.members))
	for _, m := range t.members {
		out = append(out, m.clone())
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (m *Member) clone() Member {
	c := *m
	c.Tags = maps.Clone(m.Tags)
	return c
}
