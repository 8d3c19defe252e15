package fsm

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

func (b *bench) write(id uint64, key, value string) Result {
	b.t.Helper()
	return b.do(&KVWrite{Bot: testBot, ID: id, Change: KVChange{Key: key, Value: []byte(value)}})[0]
}

// TestKVVersions follows a key through writes, a deletion and a new life.
func TestKVVersions(t *testing.T) {
	b := setup(t)
	remove := &KVWrite{Bot: testBot, ID: 3, Change: KVChange{Key: "k", Delete: true}}
	if r := b.write(1, "k", "v1"); r.Version != 1 {
		t.Errorf("first write: %+v", r)
	}
	if r := b.write(2, "other", "x"); r.Version != 2 {
		t.Errorf("write of another key: %+v", r)
	}
	b.must(remove)
	if _, ok := b.bot().KVGet("k"); ok || b.bot().KVLen() != 1 || b.bot().KVBytes() != int64(len("otherx")) {
		t.Errorf("%d keys of %d bytes after a deletion", b.bot().KVLen(), b.bot().KVBytes())
	}
	b.write(4, "k", "v1")
	item, _ := b.bot().KVGet("k")
	if item.Version != 4 {
		t.Errorf("the key came back with version %d: who read the old one would not notice", item.Version)
	}
}

// TestKVRepeats shows that a repeat gets the first answer, whatever was written
// in between, and does nothing.
func TestKVRepeats(t *testing.T) {
	b := setup(t)
	create := &KVWrite{Bot: testBot, ID: 1, Conditional: true, Change: KVChange{Key: "k", Value: []byte("mine")}}
	late := &KVWrite{Bot: testBot, ID: 2, Conditional: true, Change: KVChange{Key: "k", Value: []byte("late")}}
	first, conflict := b.do(create)[0], b.do(late)[0]
	if first.Code != OK || conflict.Code != Conflict || conflict.Version != first.Version {
		t.Fatalf("%+v, %+v", first, conflict)
	}
	b.must(&KVWrite{Bot: testBot, ID: 3, Change: KVChange{Key: "k", Delete: true}})
	if r := b.do(create)[0]; r != first {
		t.Errorf("a repeat of %+v: %+v", first, r)
	}
	if r := b.do(late)[0]; r != conflict {
		t.Errorf("a repeat of %+v: %+v", conflict, r)
	}
	if _, ok := b.bot().KVGet("k"); ok {
		t.Error("a repeat wrote the key")
	}
}

// TestKVRemembersEnough shows how far back repeats are known.
func TestKVRemembersEnough(t *testing.T) {
	b := setup(t)
	b.Strict = false
	for id := uint64(1); id <= 3*maxRecent; id++ {
		first := b.write(id, "k", "v")
		if n := len(b.bot().kv.recent); n > maxRecent {
			t.Fatalf("%d answers are kept", n)
		}
		if id > maxRecent/2 {
			if r := b.write(id-maxRecent/2+1, "k", "again"); r.Version != first.Version-maxRecent/2+1 {
				t.Fatalf("a repeat of request %d at %d: %+v", id-maxRecent/2+1, id, r)
			}
		}
	}
}

func TestKVScan(t *testing.T) {
	b := setup(t)
	for i, key := range []string{"a", "guild/1", "guild/2", "guild/3", "guilt", "z"} {
		b.write(uint64(i+1), key, "v")
	}
	for _, c := range []struct {
		prefix, from string
		want         []string
	}{
		{"guild/", "", []string{"guild/1", "guild/2", "guild/3"}},
		{"guild/", "guild/2", []string{"guild/2", "guild/3"}},
		{"guild/", "a", []string{"guild/1", "guild/2", "guild/3"}},
		{"guild/", "h", nil},
		{"", "guilt", []string{"guilt", "z"}},
		{"x", "", nil},
	} {
		var got []string
		for key := range b.bot().KVScan(c.prefix, c.from) {
			got = append(got, key)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("prefix %q from %q: %v, want %v", c.prefix, c.from, got, c.want)
		}
	}
	for range b.bot().KVScan("", "") {
		break // a caller may stop
	}
}

// TestDoneWritesTogether shows that a handler's writes and its Done are one.
func TestDoneWritesTogether(t *testing.T) {
	b := setup(t)
	b.write(1, "count", "1")
	b.must(events(1, 1, message(2, 40), message(3, 44)))
	count := func(pos, version uint64, value string) *Done {
		d := done(pos, "log", joe)
		d.Reads = []KVRead{{Key: "count", Version: version}, {Key: "absent"}}
		d.Writes = []KVChange{{Key: "count", Value: []byte(value)}, {Key: "gone", Delete: true}, {Key: "seen", Value: []byte(value)}}
		return d
	}
	first := count(1, 1, "2")
	b.must(first)
	if r := b.do(count(2, 1, "2"))[0]; r.Code != Conflict {
		t.Errorf("a handler that read an old count: %+v", r)
	}
	if r := b.do(first)[0]; r.Code != Old {
		t.Errorf("a repeat: %+v", r)
	}
	item, _ := b.bot().KVGet("count")
	b.must(count(2, item.Version, "3"))
	got := map[string]string{}
	for key, item := range b.bot().KVScan("", "") {
		got[key] = string(item.Value)
	}
	if want := map[string]string{"count": "3", "seen": "3"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestKVValuesAreCopied shows that a small value keeps no batch in memory.
func TestKVValuesAreCopied(t *testing.T) {
	b := setup(t)
	cmd := Encode(1, &KVWrite{Bot: testBot, ID: 1, Change: KVChange{Key: "key", Value: []byte("value")}})
	if _, err := b.state.Apply(cmd); err != nil {
		t.Fatal(err)
	}
	clear(cmd)
	if item, ok := b.bot().KVGet("key"); !ok || string(item.Value) != "value" {
		t.Errorf("%q", fmt.Sprint(item))
	}
}
