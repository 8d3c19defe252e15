package shard

import (
	"maps"
	"slices"

	"github.com/botnode/botnode/fsm"
)

// heard reports whether a process is certain to have lived in this term.
func (l *Leader) heard(ref fsm.NodeRef) bool {
	_, ok := l.answered[ref]
	return ok || ref == l.Self
}

// begin reports whether shards may be granted, and enlists the processes that
// live in the run of the cluster. A run that has begun is known by a process
// that is enlisted and alive: what follows is a take-over, which waits for
// nobody.
func (l *Leader) begin(now Time, s *fsm.State, live map[string]liveNode) bool {
	if !l.Begun {
		l.waiting = l.missing(s, live)
		l.Begun = len(l.waiting) == 0 || now >= l.AwaitUntil
	}
	if !l.Begun {
		return false
	}
	l.waiting = nil
	for _, id := range slices.Sorted(maps.Keys(live)) {
		ref := live[id].ref
		if n, _ := s.Node(id); !n.Enlisted && l.heard(ref) {
			l.propose(now, s, "enlist "+ref.String(), &fsm.Enlist{Node: ref})
		}
	}
	return true
}

// missing returns those of the nodes to wait for that are not up, none if the
// run has begun.
func (l *Leader) missing(s *fsm.State, live map[string]liveNode) []string {
	for id, n := range live {
		if node, _ := s.Node(id); node.Enlisted && l.heard(n.ref) {
			return nil
		}
	}
	var out []string
	for _, id := range l.Await {
		if n, ok := live[id]; !ok || !l.heard(n.ref) {
			out = append(out, id)
		}
	}
	return out
}

// Waiting returns the nodes that the bots' first start waits for.
func (l *Leader) Waiting() []string { return l.waiting }
