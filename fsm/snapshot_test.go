package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
)

// full is a machine with something in every section of a snapshot.
func full(t *testing.T) *bench {
	t.Helper()
	b := setup(t)
	gone := events(1, 4, message(5, 40))
	b.must(
		events(1, 1,
			Event{S: 2, Type: "GUILD_CREATE", Guild: 40, Lane: 40, Raw: []byte(`{"id":"40","name":"g","channels":[{"id":"41","type":0,"name":"old"}],"roles":[],"members":[]}`)},
			message(3, 40),
			Event{S: 4, Type: "CHANNEL_UPDATE", Guild: 40, Lane: 40, Raw: []byte(`{"id":"41","guild_id":"40","type":0,"name":"new"}`)},
		),
		gone,
		&Configure{Bot: testBot, Rev: 1, Config: []byte(`{"max_attempts":1,"identify_reserve":1,"presence":{"status":"<idle>"}}`)},
		&Fail{Bot: testBot, Shard: shard0, Pos: 3, Runner: joe, Failed: bothFailed},
		&KVWrite{Bot: testBot, ID: 7, Change: KVChange{Key: "k", Value: []byte("v")}},
		&Permit{Bot: testBot, Shard: shard1, Epoch: 1, Ask: 4},
		&Configure{Bot: "two", Config: []byte(`{}`)},
		done(1, "log", joe),
		&Enlist{Node: joe},
		&Up{Node: NodeRef{ID: "robert", Inc: 1}, Weight: 3, MaxShards: 2},
		&Pin{Bot: testBot, To: "mike", Why: WhyTakeover, Layout: 2, Shards: []uint32{1}},
		&Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1"},
		&Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s2", S: 1, Raw: []byte(`{"user":{"id":"9"},"guilds":[{"id":"40"}]}`), After: 1},
	)
	if b.bot().DeadCount() != 1 || len(b.pending()) != 2 || b.bot().GapCount != 1 {
		t.Fatalf("%d dead letters, %d pending, %d gaps", b.bot().DeadCount(), len(b.pending()), b.bot().GapCount)
	}
	return b
}

func (b *bench) snapshot() []byte {
	b.t.Helper()
	c, err := b.Capture()
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Release()
	var buf bytes.Buffer
	n, err := c.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) || c.Index() != b.index || c.Digest() != b.state.Digest() {
		b.t.Fatalf("%d bytes of %d at %d: %v", n, buf.Len(), c.Index(), err)
	}
	return buf.Bytes()
}

// unpacked returns the stream that a snapshot holds.
func unpacked(t *testing.T, snap []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(s2.NewReader(bytes.NewReader(snap[len(snapshotMagic)+1:]))); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// packed is the inverse of unpacked.
func packed(stream []byte) []byte {
	buf := bytes.NewBufferString(snapshotMagic + "\x01")
	w := s2.NewWriter(buf, s2.WriterConcurrency(1), s2.WriterBlockSize(8<<10))
	_, _ = w.Write(stream) // neither fails on a buffer
	_ = w.Close()
	return buf.Bytes()
}

func TestGoldenSnapshot(t *testing.T) {
	snap := full(t).snapshot()
	// Not the compressed bytes, which another version of s2 may pack better.
	golden(t, "snapshot.txt", hex.Dump(unpacked(t, snap)))
	if again := full(t).snapshot(); !bytes.Equal(again, snap) {
		t.Error("equal states gave other snapshots")
	}
}

// TestSnapshotGoesOn compares a machine with one that was restored from its
// snapshot: now, and after more of the log.
func TestSnapshotGoesOn(t *testing.T) {
	b := full(t)
	r := newBench(t)
	r.must(&Init{ClusterID: "other"})
	if err := r.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	r.next = b.next
	if r.Index() != b.Index() || r.state.Digest() != b.state.Digest() || r.state.Recompute() != b.state.Digest() {
		t.Fatalf("index %d and %d, digest %v and %v", r.Index(), b.Index(), r.state.Digest(), b.state.Digest())
	}
	for e := range r.bot().PendingEntries() {
		kept, ok := r.bot().journal.retained.Get(e.Pos)
		if !ok || &kept.Raw[0] != &e.Raw[0] {
			t.Errorf("entry %d is twice in memory", e.Pos)
		}
		r.seen[mirrorKey(e)] = e
	}
	more := []Command{
		&KVWrite{Bot: testBot, ID: 7, Change: KVChange{Key: "k", Value: []byte("again")}},
		&Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1", S: 1},
		&Permit{Bot: testBot, Shard: shard1, Epoch: 1, Ask: 4},
		done(1, "ping", joe),
		&Dead{Bot: testBot, Pos: 3, Retry: true},
		&Down{Node: joe},
		&Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Adopt: true},
		&Events{Bot: testBot, Shard: shard0, Epoch: 2, SID: "s2", Prev: 1, Evs: []Event{message(2, 40)}},
	}
	for _, cmd := range more {
		if x, y := b.do(cmd), r.do(cmd); !reflect.DeepEqual(x, y) {
			t.Errorf("%T: %v, after a restore %v", cmd, x, y)
		}
		if b.state.Digest() != r.state.Digest() {
			t.Fatalf("%T: another digest after a restore", cmd)
		}
	}
	if d := r.seen.diff(r.state); d != "" {
		t.Error(d)
	}
}

// TestDamagedSnapshots restores snapshots with one byte changed, cut short or
// too long: each is refused, and the old state stays.
func TestDamagedSnapshots(t *testing.T) {
	from := full(t)
	snap, whole := from.snapshot(), from.state.Digest()
	r := setup(t)
	was, index := r.state.Digest(), r.Index()
	refused := func(what string, bad []byte) {
		t.Helper()
		err := r.Restore(bytes.NewReader(bad))
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s: %v", what, err)
		}
		if r.state.Digest() != was || r.Index() != index {
			t.Fatalf("%s: the old state is gone", what)
		}
	}
	for i := 0; i < len(snap); i += 2 {
		bad := bytes.Clone(snap)
		bad[i] ^= 1 << (i % 8)
		if s, _, err := ReadSnapshot(bytes.NewReader(bad)); err == nil {
			// Another way to say the same: a copy from another of two equal places.
			if s.Recompute() != whole {
				t.Fatalf("byte %d of %d flipped: taken as another state", i, len(snap))
			}
			continue
		}
		refused(fmt.Sprintf("byte %d of %d flipped", i, len(snap)), bad)
		if i%10 == 0 || i > len(snap)-20 {
			refused(fmt.Sprintf("cut at %d of %d", i, len(snap)), snap[:i])
		}
	}
	// Past s2's own checksums too.
	stream := unpacked(t, snap)
	for i := 0; i < len(stream); i += 3 {
		bad := bytes.Clone(stream)
		bad[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("byte %d of the stream flipped", i), packed(bad))
		if i%12 == 0 || i > len(stream)-20 {
			refused(fmt.Sprintf("stream cut at %d", i), packed(stream[:i]))
		}
	}
	refused("a byte too many", packed(append(bytes.Clone(stream), 0)))
	if err := r.Restore(bytes.NewReader(packed(stream))); err != nil {
		t.Errorf("the whole stream: %v", err)
	}
}

func TestSnapshotOfAnotherVersion(t *testing.T) {
	snap := full(t).snapshot()
	snap[len(snapshotMagic)] = 2
	_, _, err := ReadSnapshot(bytes.NewReader(snap))
	if want := "fsm: malformed bytes: a snapshot of format 2; this version reads format 1"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	b := full(t)
	b.state.Rules = KnownRules + 1
	_, _, err = ReadSnapshot(bytes.NewReader(b.snapshot()))
	var newer *NewerRulesError
	if !errors.As(err, &newer) || newer.Rules != KnownRules+1 {
		t.Errorf("%v", err)
	}
}

// TestLengthsAreNotBelieved reads a stream that promises a chunk of 100 MB.
func TestLengthsAreNotBelieved(t *testing.T) {
	bad := packed([]byte{sectionSmall, 0x80, 0x80, 0x80, 0x30, 1, 2, 3})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := ReadSnapshot(bytes.NewReader(bad))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("%d bytes allocated for a chunk that isn't there", got)
	}
}

// TestCaptureStandsStill writes captures while the machine goes on, and reads
// each back as the state that was captured.
func TestCaptureStandsStill(t *testing.T) {
	b := full(t)
	b.Strict = false
	b.must(&Configure{Bot: testBot, Rev: 2, Config: []byte(`{"retain_bytes":3000,"caches":{"messages":{"mode":"bounded","max_count":20}}}`)})
	var wg sync.WaitGroup
	s := int64(1)
	for range 20 {
		c, err := b.Capture()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer c.Release()
			var buf bytes.Buffer
			if _, err := c.WriteTo(&buf); err != nil {
				t.Error(err)
				return
			}
			state, index, err := ReadSnapshot(&buf)
			if err != nil || index != c.Index() || state.Digest() != c.Digest() || state.Recompute() != c.Digest() {
				t.Errorf("index %d read as %d, %v", c.Index(), index, err)
			}
		})
		for range 10 {
			pos := b.bot().LastPos + 1
			b.must(
				&Events{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s2", Prev: s, Evs: []Event{message(s+1, 40), message(s+2, 44)}},
				done(pos, "log", joe), done(pos, "ping", joe), done(pos+1, "log", joe),
				&KVWrite{Bot: testBot, ID: uint64(1000 + s), Change: KVChange{Key: fmt.Sprint("k", s%7), Value: []byte("v")}},
			)
			s += 2
		}
	}
	wg.Wait()
}
