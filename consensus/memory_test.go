package consensus

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"
)

// A Memory has what a list of entries has that is cut at both ends and appended to.
func TestMemoryIsALog(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	m := NewMemory()
	first, want := uint64(1), []string{}
	for step := range 2000 {
		last := first + uint64(len(want)) - 1
		switch n := uint64(rng.IntN(4)); {
		case rng.IntN(3) > 0 || len(want) == 0:
			var logs []*raft.Log
			for i := range n + 1 {
				text := fmt.Sprintf("%d of step %d", last+1+i, step)
				want = append(want, text)
				logs = append(logs, &raft.Log{Index: last + 1 + i, Data: []byte(text)})
			}
			if err := m.StoreLogs(logs); err != nil {
				t.Fatal(err)
			}
		case rng.IntN(2) == 0: // behind a snapshot
			n = min(n, uint64(len(want)))
			if err := m.DeleteRange(first, first+n-1); n > 0 && err != nil {
				t.Fatal(err)
			}
			first, want = first+n, want[n:]
		default: // what was never committed
			n = min(n, uint64(len(want)))
			if err := m.DeleteRange(last-n+1, last); n > 0 && err != nil {
				t.Fatal(err)
			}
			want = want[:uint64(len(want))-n]
		}
		checkLog(t, m, first, want)
	}
}

func checkLog(t *testing.T, m *Memory, first uint64, want []string) {
	t.Helper()
	from, _ := m.FirstIndex()
	to, _ := m.LastIndex()
	if len(want) == 0 {
		if from != 0 || to != 0 {
			t.Fatalf("an empty log goes from %d to %d", from, to)
		}
		return
	}
	if last := first + uint64(len(want)) - 1; from != first || to != last {
		t.Fatalf("the log goes from %d to %d, want %d to %d", from, to, first, last)
	}
	var l raft.Log
	for i, text := range want {
		if err := m.GetLog(first+uint64(i), &l); err != nil || string(l.Data) != text {
			t.Fatalf("entry %d is %q, %v; want %q", first+uint64(i), l.Data, err, text)
		}
	}
	for _, i := range []uint64{first - 1, to + 1} {
		if err := m.GetLog(i, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("entry %d outside the log: %v", i, err)
		}
	}
}

// What is written after Clone isn't in the clone.
func TestMemoryCloneIsCutOff(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	snaps := &memorySnapshots{m}
	write := func(round uint64) {
		t.Helper()
		err := errors.Join(
			m.StoreLog(&raft.Log{Index: round, Data: []byte{byte(round)}}),
			m.SetUint64([]byte("term"), round), m.Set([]byte("vote"), []byte{byte(round)}),
		)
		sink, serr := snaps.Create(1, round, round, raft.Configuration{}, 1, nil)
		if err = errors.Join(err, serr); err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write([]byte{byte(round)}); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	disk := m.Clone()
	write(2)
	for want, m := range map[uint64]*Memory{1: disk, 2: m} {
		last, _ := m.LastIndex()
		term, _ := m.GetUint64([]byte("term"))
		vote, err := m.Get([]byte("vote"))
		if last != want || term != want || err != nil || len(vote) != 1 || vote[0] != byte(want) {
			t.Errorf("after round %d: last %d, term %d, vote %v, %v", want, last, term, vote, err)
		}
		list, err := (&memorySnapshots{m}).List()
		if err != nil || len(list) != 1 || list[0].Index != want || list[0].Size != 1 {
			t.Fatalf("after round %d the snapshots are %+v, %v", want, list, err)
		}
		_, r, err := (&memorySnapshots{m}).Open(list[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || len(b) != 1 || b[0] != byte(want) {
			t.Errorf("after round %d the snapshot holds %v, %v", want, b, err)
		}
	}
}

// A snapshot that was cancelled is none, and an older one doesn't replace a newer.
func TestMemoryKeepsTheNewestSnapshot(t *testing.T) {
	t.Parallel()
	snaps := &memorySnapshots{NewMemory()}
	take := func(index uint64, end func(raft.SnapshotSink) error) {
		t.Helper()
		sink, err := snaps.Create(1, index, 1, raft.Configuration{}, 1, nil)
		if err == nil {
			err = end(sink)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seal := func(s raft.SnapshotSink) error { return s.Close() }
	take(5, seal)
	take(9, func(s raft.SnapshotSink) error { return errors.Join(s.Cancel(), s.Close()) })
	take(3, seal)
	if list, err := snaps.List(); err != nil || len(list) != 1 || list[0].Index != 5 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, _, err := snaps.Open("9-1"); err == nil {
		t.Error("a cancelled snapshot can be opened")
	}
}
