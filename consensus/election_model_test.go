package consensus

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// electionModel runs the rule on every voter of a cluster whose leader has died, as
// elector does, in a time of its own: each voter notices the death, has its log
// final a while later, tells the others, takes their own reports as answers, and
// stands when the rule says so.
type electionModel struct {
	t      *rapid.T
	voters []string
	nodes  map[string]*modelVoter
	down   map[string]bool // died with the leader
	queue  []modelEvent
	now    time.Duration
	fired  map[string]time.Duration
	grace  bool // somebody stood because a grace was over
}

// modelVoter is a voter that lives.
type modelVoter struct {
	id        string
	own       report
	told      bool
	lost      bool // it has noticed
	reports   map[string]report
	held      bool
	stood     uint64
	knownDown map[string]bool
}

type modelEvent struct {
	at time.Duration
	fn func()
}

func (m *electionModel) after(d time.Duration, fn func()) {
	m.queue = append(m.queue, modelEvent{m.now + d, fn})
}

func (m *electionModel) run() {
	for len(m.queue) > 0 {
		i := 0
		for j := range m.queue {
			if m.queue[j].at < m.queue[i].at {
				i = j
			}
		}
		e := m.queue[i]
		m.queue = slices.Delete(m.queue, i, i+1)
		m.now = e.at
		e.fn()
	}
}

// step is elector's.
func (m *electionModel) step(n *modelVoter, graceOver bool) {
	if !n.lost {
		clear(n.reports) // what comes before its own loss may be about another
		return
	}
	v := view{
		Self: n.id, Leader: "L", Term: 7, Follower: true, Voters: m.voters,
		Reports: n.reports, Down: n.knownDown, Fired: n.stood,
	}
	switch decide(v) {
	case fire:
		m.fire(n)
	case hold:
		if graceOver {
			m.grace = true
			m.fire(n)
		} else if !n.held {
			n.held = true
			m.after(drainMost+noticeSkew, func() {
				if n.held {
					n.held = false
					m.step(n, true)
				}
			})
		}
	case wait:
		n.held = false
	}
}

func (m *electionModel) fire(n *modelVoter) {
	if _, again := m.fired[n.id]; again {
		m.t.Fatalf("%s stands twice in one term", n.id)
	}
	n.stood, n.held = 7, false
	m.fired[n.id] = m.now
}

// tell sends a voter's final report to the others, and brings back theirs.
func (m *electionModel) tell(n *modelVoter, delay func() (time.Duration, bool)) {
	n.told = true
	n.reports[n.id] = n.own
	for _, id := range m.voters {
		to := m.nodes[id]
		d, arrives := delay()
		if to == nil || to == n || !arrives {
			continue
		}
		m.after(d, func() {
			to.reports[n.id] = n.own
			m.step(to, false)
			if back, arrives := delay(); to.told && arrives {
				m.after(back, func() {
					n.reports[to.id] = to.own
					m.step(n, false)
				})
			}
		})
	}
	m.step(n, false)
}

// newElectionModel draws a cluster whose leader L has died, some voters with it.
// It returns the index that was committed: a majority, the leader counted, has it.
func newElectionModel(t *rapid.T) (m *electionModel, committed uint64) {
	m = &electionModel{t: t, nodes: make(map[string]*modelVoter), down: map[string]bool{}, fired: make(map[string]time.Duration), voters: []string{"L"}}
	size := rapid.SampledFrom([]int{3, 4, 5, 7}).Draw(t, "voters")
	for i := range size - 1 {
		m.voters = append(m.voters, fmt.Sprint("v", i))
	}
	indexes := []uint64{9}
	for _, id := range m.voters[1:] {
		index := rapid.Uint64Range(5, 9).Draw(t, "index of "+id)
		indexes = append(indexes, index)
		if rapid.IntRange(0, 5).Draw(t, id+" dies") == 0 {
			m.down[id] = true
			continue
		}
		m.nodes[id] = &modelVoter{
			id: id, own: report{Leader: "L", Term: 7, Voter: id, LastTerm: 7, LastIndex: index},
			reports: make(map[string]report), knownDown: map[string]bool{},
		}
	}
	slices.SortFunc(indexes, func(a, b uint64) int { return cmp.Compare(b, a) })
	return m, indexes[size/2]
}

// start has every voter notice the deaths, and tell when its log is final.
func (m *electionModel) start(notice, drain time.Duration, delay func() (time.Duration, bool)) {
	draw := func(most time.Duration, what string) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(most)).Draw(m.t, what))
	}
	for _, id := range m.voters {
		n := m.nodes[id]
		if n == nil {
			continue
		}
		for _, dead := range m.voters[1:] {
			if m.down[dead] {
				m.after(draw(notice, "notice of "+dead), func() {
					n.knownDown[dead] = true
					m.step(n, false)
				})
			}
		}
		m.after(draw(notice, "notice"), func() {
			m.step(n, false)
			n.lost = true
			m.after(draw(drain, "drain"), func() { m.tell(n, delay) })
		})
	}
}

// judge: who stands has all that was committed, and no two stand but by a grace.
func (m *electionModel) judge(committed uint64) {
	for id := range m.fired {
		if n := m.nodes[id]; n.own.LastIndex < committed {
			m.t.Fatalf("%s stands at %d, committed is %d", id, n.own.LastIndex, committed)
		}
	}
	if len(m.fired) > 1 && !m.grace {
		m.t.Fatalf("several stand, and none of them after a grace: %v", m.fired)
	}
	if len(m.nodes) < len(m.voters)/2+1 && len(m.fired) > 0 {
		m.t.Fatalf("%v stand, and %d of %d voters live", m.fired, len(m.nodes), len(m.voters))
	}
}

// TestElectionInTime: while all is as fast as documented, exactly one stands, the
// one that is bound to win.
func TestElectionInTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, committed := newElectionModel(t)
		m.start(48*time.Millisecond, drainMost, func() (time.Duration, bool) {
			return time.Duration(rapid.Int64Range(0, int64(time.Millisecond)).Draw(t, "delay")), true
		})
		m.run()
		m.judge(committed)
		if len(m.nodes) < len(m.voters)/2+1 {
			return
		}
		if len(m.fired) != 1 {
			t.Fatalf("%v stand", m.fired)
		}
		for id := range m.fired {
			for _, n := range m.nodes {
				if n.own.above(m.nodes[id].own) {
					t.Fatalf("%s stands, and %s is bound to win", id, n.id)
				}
			}
		}
	})
}

// TestElectionOutOfTime: whatever is lost or late, none stands without what was
// committed, nor beside another but for a grace that was too short.
func TestElectionOutOfTime(t *testing.T) {
	t.Parallel()
	several := 0
	rapid.Check(t, func(t *rapid.T) {
		m, committed := newElectionModel(t)
		m.start(time.Second, time.Second, func() (time.Duration, bool) {
			return time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "delay")), rapid.IntRange(0, 3).Draw(t, "lost") > 0
		})
		m.run()
		m.judge(committed)
		if len(m.fired) > 1 {
			several++
		}
	})
	t.Logf("several stood in %d histories", several)
}
