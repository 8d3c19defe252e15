package fsm

import (
	"slices"

	"github.com/botnode/botnode/cache"
)

// Renewal says how a state that was read from a file goes on in a cluster.
type Renewal struct {
	// ClusterID is the cluster that the state is to be of.
	ClusterID string
	// Generation begins; it is newer than the state's, and than any that the
	// cluster has had.
	Generation uint64
	// Index is that of the last command as far as readers are concerned, if it is
	// beyond the state's own: an index doesn't go back.
	Index uint64
	// Members are the nodes of the cluster; what is known of others is forgotten.
	Members []string
	// Alone makes the certificates of all other nodes void: the cluster that they
	// were of is no more.
	Alone bool
	// KeepSessions has the shards go on with the sessions on record.
	KeepSessions bool
}

// renewalRoom is what positions and versions leave out when a generation begins:
// more than were given after the state was saved, by whomever that is forgotten by
// now. A reader of the journal that goes on at its position, or a writer with
// If-Match, then never meets another event or value under a number that it knows.
const renewalRoom = 1 << 32

// Renew starts a new generation in a state that no machine has yet, and captures
// it. A snapshot of it begins the generation on every node at the moment at which
// the state is replaced: were Renew a command after that, what was proposed
// before would find its own generation in force until then.
func (s *State) Renew(index uint64, r Renewal) (*Capture, Result) {
	res := s.renew(r)
	if res.Code != OK {
		return nil, res
	}
	return s.capture(max(index, r.Index)), res
}

func (s *State) renew(r Renewal) Result {
	if res := (&Renew{Generation: r.Generation, KeepSessions: r.KeepSessions}).apply(s); res.Code != OK {
		return res
	}
	s.changes.reset()
	s.ClusterID = r.ClusterID
	if r.Alone {
		s.trust.keep(r.Members)
	}
	for _, b := range s.bots {
		b.LastPos += renewalRoom
		b.kv.rev += renewalRoom
	}
	for id := range s.nodes {
		if !slices.Contains(r.Members, id) {
			delete(s.nodes, id)
		}
	}
	return Result{}
}

// Renew is State.Renew for a machine that nothing is applied to any more.
func (m *Machine) Renew(r Renewal) Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = max(m.index, r.Index)
	return m.state.renew(r)
}

// Counts tell how much is in a state.
type Counts struct{ Bots, Shards, Guilds, Keys, Unacked, DeadLetters int }

// Counts returns how much is in the state.
func (s *State) Counts() Counts {
	c := Counts{Bots: len(s.bots)}
	for _, b := range s.bots {
		guilds, _ := b.cache.Count(cache.Guilds)
		unacked, _ := b.Pending()
		c.Shards += len(b.Shards())
		c.Guilds += guilds
		c.Keys += b.KVLen()
		c.Unacked += unacked
		c.DeadLetters += b.DeadCount()
	}
	return c
}

// Generation returns the generation of the captured state.
func (c *Capture) Generation() uint64 { return c.generation }

// Counts returns how much is in the captured state.
func (c *Capture) Counts() Counts { return c.counts }
