package consensus

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// logCache keeps the newest entries in memory, bounded by bytes; raft.LogCache counts entries, and 512 entries of
// 256 KiB are another matter than 512 of 200 bytes.
//
// Invariant: logs[i].Index == logs[0].Index + i, and bytes is the sum of their sizes.
type logCache struct {
	raft.LogStore
	max int64

	mu    sync.RWMutex
	logs  []*raft.Log
	bytes int64
}

var (
	_ raft.LogStore          = (*logCache)(nil)
	_ raft.MonotonicLogStore = (*logCache)(nil)
)

// logOverhead is what an entry costs beside its data, roughly.
const logOverhead = 128

func newLogCache(inner logStore, maxBytes int64) *logCache {
	return &logCache{LogStore: inner, max: maxBytes}
}

// IsMonotonic passes the inner store's property on.
func (c *logCache) IsMonotonic() bool {
	m, ok := c.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetLog reads from the cache, else from the store.
func (c *logCache) GetLog(index uint64, out *raft.Log) error {
	c.mu.RLock()
	if n := len(c.logs); n > 0 && index >= c.logs[0].Index && index < c.logs[0].Index+uint64(n) {
		*out = *c.logs[index-c.logs[0].Index]
		c.mu.RUnlock()
		return nil
	}
	c.mu.RUnlock()
	return c.LogStore.GetLog(index, out)
}

// StoreLog stores one entry.
func (c *logCache) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries, and caches them once they are durable.
func (c *logCache) StoreLogs(logs []*raft.Log) error {
	if err := c.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range logs {
		c.add(e)
	}
	c.evict()
	return nil
}

// add appends e. An entry that isn't the next one starts the cache anew: gaps are rare, wrong entries unforgivable.
func (c *logCache) add(e *raft.Log) {
	if n := len(c.logs); n > 0 && e.Index != c.logs[n-1].Index+1 {
		c.logs, c.bytes = nil, 0
	}
	c.logs = append(c.logs, e)
	c.bytes += logCost(e)
}

func (c *logCache) evict() {
	drop := 0
	for drop < len(c.logs)-1 && c.bytes > c.max {
		c.bytes -= logCost(c.logs[drop])
		c.logs[drop] = nil // the slice's head stays reachable until the next growth
		drop++
	}
	c.logs = c.logs[drop:]
}

// DeleteRange deletes from the cache first, so that no reader sees what the store no longer has.
func (c *logCache) DeleteRange(lo, hi uint64) error {
	c.mu.Lock()
	c.logs = slices.DeleteFunc(c.logs, func(e *raft.Log) bool {
		gone := e.Index >= lo && e.Index <= hi
		if gone {
			c.bytes -= logCost(e)
		}
		return gone
	})
	if n := len(c.logs); n > 0 && c.logs[n-1].Index-c.logs[0].Index != uint64(n-1) {
		c.logs, c.bytes = nil, 0 // a hole in the middle
	}
	c.mu.Unlock()
	return c.LogStore.DeleteRange(lo, hi)
}

func logCost(e *raft.Log) int64 { return int64(len(e.Data)+len(e.Extensions)) + logOverhead }
