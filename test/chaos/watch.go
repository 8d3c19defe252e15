//go:build unix

package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/botnode/botnode/admin"
)

const (
	digestEvery = 20 * time.Millisecond
	statusEvery = 100 * time.Millisecond
)

// seen is what the nodes said at all times: digests by index and owners by epoch,
// none of which may contradict another.
type seen struct {
	r *run

	mu      sync.Mutex // guards what follows
	digests map[uint64]told
	owners  map[place]told
	leaders map[string]string // by the node that says so
	shards  map[int]place     // the newest that was heard of
	seqs    map[string]int64  // committed, by session
	// compared counts the indexes at which several nodes told a digest.
	compared int
	answers  int
}

// told is what a node told first, and whether another has agreed.
type told struct {
	by, what string
	agreed   bool
}

// place is a shard in an epoch.
type place struct {
	shard int
	epoch uint64
}

func newSeen(r *run) *seen {
	return &seen{r: r, digests: map[uint64]told{}, owners: map[place]told{}, leaders: map[string]string{}, shards: map[int]place{}, seqs: map[string]int64{}}
}

// watchers are the functions that ask.
func (s *seen) watchers() (out []func(context.Context)) {
	for _, n := range s.r.cluster.nodes {
		out = append(out,
			func(ctx context.Context) {
				s.every(ctx, digestEvery, func(ctx context.Context) { s.askDigest(ctx, n) })
			},
			func(ctx context.Context) {
				s.every(ctx, statusEvery, func(ctx context.Context) { s.askStatus(ctx, n) })
			})
	}
	return out
}

// every calls f every so often until ctx ends. A node that is down doesn't answer,
// and one that is stopped not in time.
func (s *seen) every(ctx context.Context, period time.Duration, f func(context.Context)) {
	for wait(ctx.Done(), period) {
		once, cancel := context.WithTimeout(ctx, time.Second)
		f(once)
		cancel()
	}
}

func (s *seen) askDigest(ctx context.Context, n *node) {
	if d, err := n.client.Digest(ctx); err == nil {
		if err := s.digest(n.id, d); err != nil {
			s.r.violate("%v", err)
		}
	}
}

func (s *seen) askStatus(ctx context.Context, n *node) {
	st, err := n.client.Status(ctx, true)
	s.mu.Lock()
	if err != nil || st.Leader == nil {
		delete(s.leaders, n.id)
	} else {
		s.leaders[n.id] = st.Leader.ID
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	for _, sh := range st.Shards {
		if err := s.owned(n.id, sh); err != nil {
			s.r.violate("%v", err)
		}
	}
}

// digest compares a digest with what others told of the same index.
func (s *seen) digest(by string, d admin.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	first, known := s.digests[d.AppliedIndex]
	switch {
	case !known:
		s.digests[d.AppliedIndex] = told{by: by, what: d.Digest}
	case first.what != d.Digest:
		return fmt.Errorf("digests differ at index %d: %s has %s, %s has %s", d.AppliedIndex, first.by, first.what, by, d.Digest)
	case first.by != by && !first.agreed:
		first.agreed = true
		s.digests[d.AppliedIndex] = first
		s.compared++
	}
	return nil
}

// owned compares a shard's owner with what others told of the same epoch. An
// owner that is down is none: that is no other.
func (s *seen) owned(by string, sh admin.Shard) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seqs[sh.SessionID] = max(s.seqs[sh.SessionID], sh.Seq)
	if sh.Owner == "" {
		return nil
	}
	at := place{sh.ID, sh.Epoch}
	first, known := s.owners[at]
	if !known {
		s.owners[at] = told{by: by, what: sh.Owner}
	} else if first.what != sh.Owner {
		return fmt.Errorf("shard %d has two owners in epoch %d: %s by the word of %s, %s by that of %s",
			sh.ID, sh.Epoch, first.what, first.by, sh.Owner, by)
	}
	if newest, ok := s.shards[sh.ID]; !ok || newest.epoch < sh.Epoch {
		s.shards[sh.ID] = at
	}
	return nil
}

// committed is the newest sequence of a session that a node has said to be committed.
func (s *seen) committed(session string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seqs[session]
}

// leader is the node that most nodes take for the leader, "" for none.
func (s *seen) leader() (most string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	votes := map[string]int{}
	for _, id := range s.leaders {
		votes[id]++
	}
	for id, n := range votes {
		if m := votes[most]; n > m || n == m && id < most {
			most = id
		}
	}
	return most
}

// owner is a shard's owner in the newest epoch that was heard of.
func (s *seen) owner(shard int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owners[s.shards[shard]].what
}
