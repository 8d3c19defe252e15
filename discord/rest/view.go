package rest

import (
	"cmp"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/internal/rendezvous"
)

// Member is one process of the cluster.
type Member struct {
	ID  string
	Inc uint64 // tells the processes of one node apart; rises
}

// View is which processes are alive, as the replicated state has it: so all
// nodes see the same views in the same order, only not at the same time.
type View struct {
	// Number is the log index at which the node saw the set change: of two views
	// with different members the one with the higher number is newer.
	Number uint64
	// Members are those processes, in any order.
	Members []Member
}

// stamp names a view in a message. A node that restored a snapshot knows the
// members but not since which index, so the digest says whether two are equal.
type stamp struct{ number, digest uint64 }

// viewState is a view that is made ready to be asked who keeps what.
type viewState struct {
	stamp
	self    Member
	members []Member
	ids     []string // of members, in their order
}

// newViewState orders the members and takes their digest.
func newViewState(self Member, v View) *viewState {
	s := &viewState{self: self, members: slices.Clone(v.Members)}
	s.number = v.Number
	slices.SortFunc(s.members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Inc, b.Inc))
	})
	var b []byte
	for _, m := range s.members {
		s.ids = append(s.ids, m.ID)
		b = appendMember(b, m)
	}
	s.digest = xxh3.Hash(b)
	return s
}

// has is true if a process is alive in the view.
func (v *viewState) has(m Member) bool { return slices.Contains(v.members, m) }

// home returns who keeps a key. In a view without this process it keeps its own.
func (v *viewState) home(key []byte) Member {
	if !v.has(v.self) {
		return v.self
	}
	return v.members[rendezvous.Best(v.ids, key)]
}

// homeOf returns who keeps the buckets of a top-level resource. The bucket's
// name isn't in the key: routes that share a bucket, and nodes that don't know
// it yet, must find the same home.
func (v *viewState) homeOf(major string, identity Identity) Member {
	return v.home(append(append(make([]byte, 0, 64), 'b', byte(identity)), major...))
}

// homeOfLane returns who hands out the places of a lane.
func (v *viewState) homeOfLane(identity Identity) Member { return v.home([]byte{'l', byte(identity)}) }

// behind is true if a message of view s was sent after a change that v lacks.
func (v *viewState) behind(s stamp) bool { return s.digest != v.digest && s.number > v.number }
