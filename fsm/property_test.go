package fsm

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// replica is a machine under the property tests.
type replica struct {
	*Machine
	seen    mirror
	last    Changes
	started map[string]uint64 // session and sequence -> position of the entry
}

func newReplica() *replica {
	r := &replica{Machine: NewMachine(), seen: mirror{}, started: map[string]uint64{}}
	r.Strict = true
	r.Observe(r)
	return r
}

func (r *replica) Applied(index uint64, c Changes) {
	r.last = c
	r.seen.Applied(index, c)
}

func (r *replica) Restored(uint64) {
	clear(r.seen)
	for _, name := range r.state.BotNames() {
		for e := range r.state.bots[name].PendingEntries() {
			r.seen[mirrorKey(e)] = e
		}
	}
}

// check looks at what must hold at every index.
func (r *replica) check(t *rapid.T) {
	if d := r.seen.diff(r.state); d != "" {
		t.Fatalf("a follower of the changes differs: %s", d)
	}
	for _, e := range r.last.Added {
		if e.Type != "MESSAGE_CREATE" {
			continue
		}
		key := fmt.Sprintf("%d %s %v %s %d", r.state.Generation, e.Bot, e.Shard, e.SID, e.S)
		if pos, ok := r.started[key]; ok && pos != e.Pos {
			t.Fatalf("event %s is in the journal at %d and at %d", key, pos, e.Pos)
		}
		r.started[key] = e.Pos
	}
	for _, name := range r.state.BotNames() {
		b := r.state.bots[name]
		var bytes int64
		n := 0
		for e := range b.PendingEntries() {
			n++
			bytes += e.weight()
			if len(e.Handlers) == 0 || e.Pos > b.LastPos {
				t.Fatalf("entry %d of %d is pending for %v", e.Pos, b.LastPos, e.Handlers)
			}
		}
		if gotN, gotBytes := b.Pending(); gotN != n || gotBytes != bytes {
			t.Fatalf("%d entries of %d bytes are pending, %d and %d counted", n, bytes, gotN, gotBytes)
		}
		if b.journal.retained.Len() > 1 && b.journal.bytes > b.Config.RetainBytes && len(r.last.Added) > 0 {
			// Trimmed by the next entry at the latest.
			if _, ok := b.journal.retained.Get(b.LastPos); !ok {
				t.Fatalf("%d bytes are retained, %d are allowed", b.journal.bytes, b.Config.RetainBytes)
			}
		}
	}
}

// epochs returns what must never fall within a generation.
func epochs(s *State) map[string]uint64 {
	out := map[string]uint64{}
	for _, name := range s.BotNames() {
		b := s.bots[name]
		out[fmt.Sprint(s.Generation, name, "pos")] = b.LastPos
		out[fmt.Sprint(s.Generation, name, "kv")] = b.kv.rev
		for _, sh := range b.sortedShards() {
			out[fmt.Sprint(s.Generation, name, sh.Key)] = sh.Epoch
			if sh.SID != "" {
				out[fmt.Sprint(s.Generation, name, sh.Key, "c of ", sh.SID)] = uint64(sh.C)
			}
		}
	}
	return out
}

// TestReplicasAgree feeds two machines one log of commands that come twice, late
// and in another order. One of them is replaced now and then by what its
// snapshot gives.
func TestReplicasAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := newReplica(), newReplica()
		g := &gen{t: t}
		var old [][]byte
		for index := uint64(1); index <= 50; index++ {
			var raws [][]byte
			for range g.n("commands", 1, 3) {
				if len(old) > 0 && g.n("late", 0, 3) == 0 {
					raws = append(raws, rapid.SampledFrom(old).Draw(t, "old"))
					continue
				}
				raws = append(raws, Encode(one.state.Generation, g.command(one.state)))
			}
			old = append(old, raws...)
			entry := EncodeBatch(raws)
			was := epochs(one.state)
			if a, b := one.Apply(index, entry), two.Apply(index, entry); !reflect.DeepEqual(a, b) {
				t.Fatalf("entry %d: %v and %v", index, a, b)
			}
			if a, b := one.state.Digest(), two.state.Digest(); a != b {
				t.Fatalf("entry %d: digests %v and %v", index, a, b)
			}
			one.check(t)
			two.check(t)
			now := epochs(one.state)
			for what, v := range was {
				if n, ok := now[what]; ok && n < v {
					t.Fatalf("entry %d: %s fell from %d to %d", index, what, v, n)
				}
			}
			if g.n("restart", 0, 24) == 0 {
				two.restart(t)
			}
		}
	})
}

// restart replaces the state by its own snapshot's.
func (r *replica) restart(t *rapid.T) {
	c, err := r.Capture()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var buf bytes.Buffer
	if _, err := c.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	index := r.index
	r.state, r.index = NewState(), 0
	if err := r.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if r.index != index {
		t.Fatalf("index %d restored as %d", index, r.index)
	}
}

// TestRepeatsAreHarmless applies every command twice with the same bytes.
func TestRepeatsAreHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newReplica()
		g := &gen{t: t}
		for index := uint64(1); index <= 120; index += 2 {
			cmd := g.command(r.state)
			entry := EncodeBatch([][]byte{Encode(r.state.Generation, cmd)})
			first := r.Apply(index, entry).([]Result)[0]
			digest := r.state.Digest()
			second := r.Apply(index+1, entry).([]Result)[0]
			if r.state.Digest() != digest {
				t.Fatalf("%T %+v: the repeat changed the state (%v, then %v)", cmd, cmd, first.Code, second.Code)
			}
			if len(r.last.Added)+len(r.last.Altered)+len(r.last.Removed) != 0 {
				t.Fatalf("%T %+v: the repeat reports changes", cmd, cmd)
			}
			if kv, ok := cmd.(*KVWrite); ok && second != first {
				t.Fatalf("%+v: answered %+v, then %+v", kv, first, second)
			}
		}
	})
}
