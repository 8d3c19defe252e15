package consensus

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
)

// countedLog counts writes, each of which is a sync on a disk.
type countedLog struct {
	raft.LogStore
	writes atomic.Int64
}

func (l *countedLog) StoreLogs(logs []*raft.Log) error {
	l.writes.Add(1)
	return l.LogStore.StoreLogs(logs)
}

// TestFollowerCatchesUpWithFewSyncs: a follower that was away is not sent a handful of entries at a time. If another
// node goes in that moment, the cluster commits nothing before the follower has all that it missed.
func TestFollowerCatchesUpWithFewSyncs(t *testing.T) {
	t.Parallel()
	stores := map[string]*countedLog{}
	c := newCluster(t, 3, func(o *Options) {
		o.Timeouts = Safe()
		o.wrapLog = func(inner raft.LogStore) raft.LogStore {
			stores[o.ID] = &countedLog{LogStore: inner}
			return stores[o.ID]
		}
	})
	l, away := c.Leader(), c.follower()
	c.Partition(away)
	const missed = 3000
	var last *Future
	for i := range missed {
		last = l.Propose(fmt.Appendf(nil, "e%d 1", i))
	}
	if _, _, err := last.Result(); err != nil {
		t.Fatal(err)
	}
	before := stores[away.id].writes.Load()
	c.Heal(away)
	c.WaitApplied(l.CommitIndex())
	if n := stores[away.id].writes.Load() - before; n > 2*missed/maxEntries {
		t.Errorf("%d writes for %d entries", n, missed)
	}
	c.EnsureSame()
}

// TestPortions: a message is bounded by its bytes, holds at least one entry, and follows what the line carries.
func TestPortions(t *testing.T) {
	t.Parallel()
	message := func(entries, size int) *raft.AppendEntriesRequest {
		req := &raft.AppendEntriesRequest{}
		for range entries {
			req.Entries = append(req.Entries, &raft.Log{Data: make([]byte, size-logOverhead)})
		}
		return req
	}
	p := newPortions()
	send := func(entries, size int, err error) int {
		req := message(entries, size)
		p.cut("f", req)
		p.sent("f", req, err)
		return len(req.Entries)
	}
	timeout := errors.New("i/o timeout")
	for i, step := range []struct {
		entries, size int
		err           error
		want          int
	}{
		{256, 1 << 10, nil, 256},
		{256, 64 << 10, nil, 16},     // 1 MiB
		{256, 64 << 10, timeout, 16}, // from here on half of it
		{256, 64 << 10, timeout, 8},
		{256, 64 << 10, nil, 4},
		{256, 64 << 10, nil, 8},
		{256, 64 << 10, nil, 16},
		{3, 1 << 10, timeout, 3}, // 64 KiB at least
		{256, 1 << 10, timeout, 64},
		{3, 10 << 20, nil, 1},       // one in any case
		{256, 32 << 10, timeout, 2}, // which didn't count
		{2, 32 << 10, nil, 2},
	} {
		if got := send(step.entries, step.size, step.err); got != step.want {
			t.Errorf("step %d: %d entries of %d bytes, want %d", i, got, step.size, step.want)
		}
	}
	req := message(256, 1<<10)
	if p.cut("other", req); len(req.Entries) != 256 {
		t.Error("one follower's line is another's")
	}
}
