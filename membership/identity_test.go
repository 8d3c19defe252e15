package membership

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir, id string) *Identity {
	t.Helper()
	i, err := OpenIdentity(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

// reopen shows what a crash would leave.
func reopen(t *testing.T, i *Identity) *Identity {
	t.Helper()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, i.place.(*directory).dir, i.ID())
	if !reflect.DeepEqual(next.rec, i.rec) {
		t.Fatalf("on disk is %+v, in memory %+v", next.rec, i.rec)
	}
	return next
}

func TestIdentityJoins(t *testing.T) {
	i := open(t, filepath.Join(t.TempDir(), "new", "dir"), "joe")
	if !i.Pristine() || i.ClusterID() != "" {
		t.Errorf("a new directory is %+v", i.rec)
	}
	if err := i.MarkJoining("h:1"); err != nil {
		t.Fatal(err)
	}
	i = reopen(t, i)
	if i.Joining() != "h:1" || i.Pristine() {
		t.Errorf("after the mark: %+v", i.rec)
	}
	if _, _, err := i.Bootstrap(); !errors.Is(err, ErrJoining) {
		t.Errorf("bootstrap while joining: %v", err)
	}
	if err := i.ClearJoining(); err != nil {
		t.Fatal(err)
	}
	if i = reopen(t, i); !i.Pristine() {
		t.Errorf("cleared: %+v", i.rec)
	}
	if err := errors.Join(i.MarkJoining("h:1"), i.MarkJoining("h:2"), i.Adopt("c1"), i.Adopt("c1")); err != nil {
		t.Fatal(err)
	}
	i = reopen(t, i)
	if i.ClusterID() != "c1" || i.Joining() != "" {
		t.Errorf("adopted: %+v", i.rec)
	}
	if err := i.Adopt("c2"); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("adopt another: %v", err)
	}
	if err := i.MarkJoining("h:3"); !errors.Is(err, ErrAlreadyMember) {
		t.Errorf("join as a member: %v", err)
	}
	if id, done, err := i.Bootstrap(); id != "c1" || !done || err != nil {
		t.Errorf("bootstrap as a member: %q, %v, %v", id, done, err)
	}
}

func TestIdentityBootstrapsOnce(t *testing.T) {
	i := open(t, t.TempDir(), "joe")
	id, done, err := i.Bootstrap()
	if err != nil || done || len(id) != 16 {
		t.Fatalf("got %q, %v, %v", id, done, err)
	}
	i = reopen(t, i) // crashed before the cluster was made
	again, done, err := i.Bootstrap()
	if again != id || done || err != nil {
		t.Errorf("again: %q, %v, %v, want %q", again, done, err, id)
	}
	if err := i.MarkJoining("h:1"); !errors.Is(err, ErrAlreadyMember) {
		t.Errorf("join in the middle: %v", err)
	}
	if err := i.Adopt("other"); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("adopt another in the middle: %v", err)
	}
	if err := i.Adopt(id); err != nil || reopen(t, i).ClusterID() != id {
		t.Errorf("adopt: %v", err)
	}
}

func TestIncarnationRises(t *testing.T) {
	i := open(t, t.TempDir(), "joe")
	last := uint64(0)
	for _, clock := range []int64{1_000_000, 1_000_000, 500, 2_000_000, -7} {
		i.now = func() time.Time { return time.UnixMicro(clock) }
		n, err := i.NextIncarnation()
		if err != nil || n <= last || int64(n) < clock {
			t.Errorf("clock %d: %d after %d, %v", clock, n, last, err)
		}
		last = n
		i = reopen(t, i)
	}
}

func TestDirectoryRefusals(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, "joe")
	if _, err := OpenIdentity(dir, "joe"); !errors.Is(err, ErrDirInUse) {
		t.Errorf("twice: %v", err)
	}
	_ = i.Close()
	if _, err := OpenIdentity(dir, "mike"); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another id: %v", err)
	}
	for _, id := range []string{"", "a b", "a#1", "a/b", string(make([]byte, 101))} {
		if _, err := OpenIdentity(t.TempDir(), id); !errors.Is(err, ErrBadID) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for _, text := range []string{"", "{", `{"format":2,"node_id":"joe"}`, `{"format":1}`, `{"format":1,"node_id":"joe","cluster_id":"c","joining":"h:1"}`} {
		path := filepath.Join(dir, identityFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(dir, "joe"); !errors.Is(err, ErrCorruptIdentity) {
			t.Errorf("%q: %v", text, err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("%q was overwritten by %q", text, b)
		}
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	i := open(t, filepath.Join(t.TempDir(), "d"), "joe")
	if err := os.RemoveAll(i.place.(*directory).dir); err != nil {
		t.Fatal(err)
	}
	if err := i.MarkJoining("h:1"); err == nil || i.Joining() != "" {
		t.Errorf("got %v, mark %q", err, i.Joining())
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"node_id":"joe","incarnation":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrCorruptIdentity) {
				t.Fatal(err)
			}
			return
		}
		if !ValidID(rec.NodeID) {
			t.Fatalf("%+v", rec)
		}
	})
}

// TestDamagedIdentityIsFound flips every bit of node.json and cuts it off everywhere: what is read is what was written, or
// an error says so.
func TestDamagedIdentityIsFound(t *testing.T) {
	rec := record{Format: identityFormat, NodeID: "joe", ClusterID: "c1", Incarnation: 7}
	place := new(Memory)
	id := &Identity{place: place, now: time.Now}
	if err := id.store(rec); err != nil {
		t.Fatal(err)
	}
	good, err := place.read()
	if err != nil {
		t.Fatal(err)
	}
	want, err := decodeRecord(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if got, err := decodeRecord(bad); err == nil && got != want {
				t.Errorf("bit %d of byte %d: %+v", bit, i, got)
			}
		}
		if got, err := decodeRecord(good[:i]); err == nil && got != want {
			t.Errorf("cut off at %d: %+v", i, got)
		}
	}
	old := []byte(`{"format":1,"node_id":"joe","cluster_id":"c1","incarnation":7}`)
	if got, err := decodeRecord(old); err != nil || got.ClusterID != "c1" {
		t.Errorf("a file without a checksum: %+v, %v", got, err)
	}
}

// TestADirectoryThatDivergedStaysShut: its state is wrong, and the next start would
// go on with it.
func TestADirectoryThatDivergedStaysShut(t *testing.T) {
	dir := t.TempDir()
	id, err := OpenIdentity(dir, "joe")
	if err == nil {
		err = errors.Join(id.MarkDiverged("at entry 7"), id.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenIdentity(dir, "joe"); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "at entry 7") {
		t.Errorf("it was opened again: %v", err)
		if err == nil {
			_ = again.Close()
		}
	}
}
