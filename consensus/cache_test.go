package consensus

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestCacheIsTransparent drives the cache and the size counter beside a bare store, and compares every read.
func TestCacheIsTransparent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bare, inner := raft.NewInmemStore(), raft.NewInmemStore()
		limit := rapid.Int64Range(1, 4000).Draw(t, "limit")
		sizes := newLogSizes(inner, 1<<40, 0, func() {})
		sizes.opened(nil)
		cache := newLogCache(sizes, limit)
		next := rapid.Uint64Range(1, 5).Draw(t, "first")
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			first, _ := bare.FirstIndex()
			last, _ := bare.LastIndex()
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0, 1, 2: // append
				var batch []*raft.Log
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					size := rapid.IntRange(0, 900).Draw(t, "size")
					batch = append(batch, &raft.Log{Index: next, Term: 1, Data: bytes.Repeat([]byte{byte(next)}, size)})
					next++
				}
				must(t, bare.StoreLogs(batch), cache.StoreLogs(batch))
			case 3: // compact a prefix
				if first > 0 {
					hi := rapid.Uint64Range(first, last).Draw(t, "hi")
					must(t, bare.DeleteRange(first, hi), cache.DeleteRange(first, hi))
				}
			case 4: // rewrite a suffix
				if first > 0 {
					lo := rapid.Uint64Range(first, last).Draw(t, "lo")
					must(t, bare.DeleteRange(lo, last), cache.DeleteRange(lo, last))
					next = lo
				}
			}
			compareStores(t, bare, cache, next)
			checkSizes(t, bare, sizes)
			checkBound(t, cache)
		}
	})
}

func must(t *rapid.T, errs ...error) {
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func compareStores(t *rapid.T, want, got raft.LogStore, upTo uint64) {
	for i := uint64(1); i <= upTo; i++ {
		var a, b raft.Log
		errA, errB := want.GetLog(i, &a), got.GetLog(i, &b)
		if !errors.Is(errB, errA) || a.Index != b.Index || !bytes.Equal(a.Data, b.Data) {
			t.Fatalf("entry %d: store has %v (%v), cache says %v (%v)", i, a.Index, errA, b.Index, errB)
		}
	}
}

// checkSizes compares trailing with a count over the bare store.
func checkSizes(t *rapid.T, bare raft.LogStore, s *logSizes) {
	want := rapid.Int64Range(1, 3000).Draw(t, "want")
	first, _ := bare.FirstIndex()
	last, _ := bare.LastIndex()
	var sum int64
	expect := uint64(keepAll)
	for n := uint64(0); first > 0 && n <= last-first; n++ {
		if sum >= want {
			expect = n
			break
		}
		var l raft.Log
		must(t, bare.GetLog(last-n, &l))
		sum += int64(len(l.Data)) + logOverhead
	}
	got := s.trailing(want)
	if got != expect && (expect != keepAll || got != last-first+1) {
		t.Fatalf("trailing(%d) = %d, want %d", want, got, expect)
	}
}

func checkBound(t *rapid.T, c *logCache) {
	var sum int64
	for _, e := range c.logs {
		sum += logCost(e)
	}
	if sum != c.bytes {
		t.Fatalf("bytes = %d, sum = %d", c.bytes, sum)
	}
	if len(c.logs) > 1 && c.bytes > c.max {
		t.Fatalf("%d bytes cached, limit %d", c.bytes, c.max)
	}
}

func TestSizesAreReadAtTheStart(t *testing.T) {
	t.Parallel()
	inner := raft.NewInmemStore()
	if err := inner.StoreLogs(entries(5, 20)); err != nil {
		t.Fatal(err)
	}
	due := 0
	s := newLogSizes(inner, 8*logOverhead, 0, func() { due++ })
	var l raft.Log
	for _, i := range append([]uint64{20}, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20) { // raft reads the last one first
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
	}
	s.opened(nil)
	if due != 1 {
		t.Errorf("a log that is due at the start triggered %d snapshots", due)
	}
	if got := s.trailing(3 * logOverhead); got != 3 {
		t.Errorf("trailing = %d", got)
	}
}
