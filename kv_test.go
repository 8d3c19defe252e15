package botnode

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// ledger is a store that commits handlers' turns as a cluster does.
type ledger struct {
	t     *testing.T
	m     *fsm.Machine
	mu    sync.Mutex // guards index
	index uint64
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{t: t, m: fsm.NewMachine()}
	l.m.Strict = true
	joe := fsm.NodeRef{ID: "joe", Inc: 1}
	l.apply(&fsm.Up{Node: joe})
	l.apply(&fsm.Configure{Bot: "default", Config: []byte("{}")})
	l.apply(&fsm.Layout{Bot: "default", Total: 1})
	l.apply(&fsm.Grant{Bot: "default", Shard: fsm.ShardKey{Layout: 1}, To: joe})
	return l
}

func (l *ledger) apply(cmd fsm.Command) fsm.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	return l.m.Apply(l.index, fsm.EncodeBatch([][]byte{fsm.Encode(1, cmd)})).([]fsm.Result)[0]
}

func (l *ledger) write(ch fsm.KVChange) {
	l.t.Helper()
	l.mu.Lock()
	id := l.index + 1
	l.mu.Unlock()
	if r := l.apply(&fsm.KVWrite{Bot: "default", ID: id, Change: ch}); r.Code != fsm.OK {
		l.t.Fatalf("%+v: %+v", ch, r)
	}
}

func (l *ledger) kv() *KV {
	return newKV(func(f func(*fsm.Bot)) { l.m.View(func(_ uint64, s *fsm.State) { f(s.Bot("default")) }) })
}

// commit commits a turn as the acknowledgement of an entry made for it.
func (l *ledger) commit(kv *KV) fsm.Code {
	due := time.Now().UnixNano()
	l.apply(&fsm.Tick{Bot: "default", Name: "h", Due: due})
	l.apply(&fsm.Tick{Bot: "default", Name: "h", Due: due + 1})
	var e *fsm.Entry
	l.m.View(func(_ uint64, s *fsm.State) {
		for p := range s.Bot("default").PendingEntries() {
			e = p
		}
	})
	reads, ranges, writes := kv.commit()
	return l.apply(&fsm.Done{
		Bot: "default", Shard: e.Shard, Pos: e.Pos, Handler: "h", Runner: e.Runner, Reads: reads, Ranges: ranges, Writes: writes,
	}).Code
}

func (l *ledger) all() map[string]string {
	out := map[string]string{}
	l.m.View(func(_ uint64, s *fsm.State) {
		for key, item := range s.Bot("default").KVScan("", "") {
			out[key] = string(item.Value)
		}
	})
	return out
}

func TestKVWritesCommitTogether(t *testing.T) {
	l := newLedger(t)
	l.write(fsm.KVChange{Key: "old", Value: []byte("x")})
	kv := l.kv()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(kv.Put("a", []byte("1")))
	check(kv.Add("a", 4))
	check(kv.Add("n", 2))
	check(kv.Add("n", 3))
	check(kv.Add("zero", 1))
	check(kv.Add("zero", -1))
	check(kv.PutFor("short", []byte("v"), time.Hour))
	kv.Delete("old")
	check(kv.Add("old", 7))
	if v, err := kv.Get("a"); err != nil || string(v) != "5" {
		t.Errorf("a is %q, %v", v, err)
	}
	if v, err := kv.Get("n"); err != nil || string(v) != "5" {
		t.Errorf("n is %q, %v", v, err)
	}
	if n, err := kv.Increment("seq", 1); err != nil || n != 1 {
		t.Errorf("seq is %d, %v", n, err)
	}
	if len(l.all()) != 1 {
		t.Errorf("before the commit: %v", l.all())
	}
	if code := l.commit(kv); code != fsm.OK {
		t.Fatal(code)
	}
	if want := map[string]string{"a": "5", "n": "5", "short": "v", "old": "7", "seq": "1"}; !maps.Equal(l.all(), want) {
		t.Errorf("after it: %v, want %v", l.all(), want)
	}
}

func TestKVRefuses(t *testing.T) {
	kv := newLedger(t).kv()
	for name, err := range map[string]error{
		"long key":     kv.Put(strings.Repeat("k", fsm.MaxKey+1), nil),
		"no key":       kv.Put("", nil),
		"large value":  kv.Put("k", make([]byte, fsm.MaxValue+1)),
		"long counter": kv.Add(strings.Repeat("k", fsm.MaxKey+1), 1),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := kv.Put("text", []byte("many")); err != nil {
		t.Fatal(err)
	}
	if err := kv.Add("text", 1); !errors.Is(err, errNoNumber) {
		t.Errorf("added to a text: %v", err)
	}
	for name, add := range map[string]func() error{
		"additions":              func() error { return errors.Join(kv.Add("sum", math.MaxInt64), kv.Add("sum", 1)) },
		"an addition to a write": func() error { return errors.Join(kv.Put("n", []byte("-9223372036854775808")), kv.Add("n", -1)) },
		"an increment": func() error {
			put := kv.Put("i", []byte("9223372036854775807"))
			_, err := kv.Increment("i", 1)
			return errors.Join(put, err)
		},
	} {
		if err := add(); !errors.Is(err, errSum) {
			t.Errorf("%s beyond 64 bits: %v", name, err)
		}
	}
	if _, err := kv.Get("absent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
}

func TestKVConditions(t *testing.T) {
	l := newLedger(t)
	l.write(fsm.KVChange{Key: "k", Value: []byte("v")})
	l.write(fsm.KVChange{Key: "gone", Value: []byte("v"), Expires: 1})
	kv := l.kv()
	for _, c := range []struct {
		what string
		do   func() (bool, error)
		want bool
	}{
		{"absent that is there", func() (bool, error) { return kv.PutIfAbsent("k", []byte("x")) }, false},
		{"absent", func() (bool, error) { return kv.PutIfAbsent("new", []byte("x")) }, true},
		{"absent for long", func() (bool, error) { return kv.PutIfAbsent("gone", []byte("x")) }, true},
		{"swap of another value", func() (bool, error) { return kv.CompareAndSwap("k", []byte("w"), []byte("x")) }, false},
		{"swap", func() (bool, error) { return kv.CompareAndSwap("k", []byte("v"), []byte("x")) }, true},
		{"swap of nothing", func() (bool, error) { return kv.CompareAndSwap("k", nil, []byte("y")) }, false},
	} {
		if ok, err := c.do(); ok != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.what, ok, err)
		}
	}
	if code := l.commit(kv); code != fsm.OK {
		t.Fatal(code)
	}
	if want := map[string]string{"k": "x", "new": "x", "gone": "x"}; !maps.Equal(l.all(), want) {
		t.Errorf("%v, want %v", l.all(), want)
	}
}

// TestKVConflicts shows what a turn depends on.
func TestKVConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		turn     func(*KV)
		conflict bool
	}{
		"get":         {func(kv *KV) { _, _ = kv.Get("k") }, true},
		"get absent":  {func(kv *KV) { _, _ = kv.Get("new") }, true},
		"put":         {func(kv *KV) { _ = kv.Put("k", []byte("w")) }, false},
		"add":         {func(kv *KV) { _ = kv.Add("n", 1) }, false},
		"increment":   {func(kv *KV) { _, _ = kv.Increment("n", 1) }, true},
		"list":        {func(kv *KV) { _ = maps.Collect(kv.List("")) }, true},
		"list others": {func(kv *KV) { _ = maps.Collect(kv.List("p/")) }, false},
		"list a part": {func(kv *KV) {
			for key := range kv.List("") {
				if key == "a" {
					break
				}
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.write(fsm.KVChange{Key: "a", Value: []byte("1")})
			l.write(fsm.KVChange{Key: "k", Value: []byte("v")})
			l.write(fsm.KVChange{Key: "n", Value: []byte("40")})
			kv := l.kv()
			c.turn(kv)
			l.write(fsm.KVChange{Key: "k", Value: []byte("other")})
			l.write(fsm.KVChange{Key: "n", Add: 1})
			l.write(fsm.KVChange{Key: "new", Value: []byte("x")})
			if code := l.commit(kv); (code == fsm.Conflict) != c.conflict {
				t.Errorf("answered %v", code)
			}
		})
	}
}

func TestKVListShowsWhatTheHandlerWrote(t *testing.T) {
	l := newLedger(t)
	for _, key := range []string{"p/1", "p/2", "p/3", "q"} {
		l.write(fsm.KVChange{Key: key, Value: []byte("v")})
	}
	kv := l.kv()
	kv.Delete("p/2")
	_ = kv.Put("p/0", []byte("w"))
	_ = kv.Add("p/n", 3)
	var got []string
	for key, v := range kv.List("p/") {
		got = append(got, key+"="+string(v))
	}
	if want := []string{"p/0=w", "p/1=v", "p/3=v", "p/n=3"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if code := l.commit(kv); code != fsm.OK {
		t.Error(code)
	}
}

// TestUpdateRunsOnlyItsFunctionAgain shows that a conflict about an updated key
// is settled without the handler, unless that read something else that changed.
func TestUpdateRunsOnlyItsFunctionAgain(t *testing.T) {
	type score struct{ Points int }
	l := newLedger(t)
	kv, runs := l.kv(), 0
	turn := func() {
		if _, err := kv.Get("other"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := Update(kv, "score", func(s *score) error {
			runs++
			s.Points += 10
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := kv.Put("mark", []byte("m")); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	l.write(fsm.KVChange{Key: "score", Value: []byte(`{"Points":5}`)})
	if code := l.commit(kv); code != fsm.Conflict {
		t.Fatal(code)
	}
	if !kv.again() || runs != 2 {
		t.Fatalf("after %d runs", runs)
	}
	if code := l.commit(kv); code != fsm.OK {
		t.Fatal(code)
	}
	if want := map[string]string{"score": `{"Points":15}`, "mark": "m"}; !maps.Equal(l.all(), want) {
		t.Errorf("%v, want %v", l.all(), want)
	}

	kv = l.kv()
	turn()
	l.write(fsm.KVChange{Key: "other", Value: []byte("now there")})
	if code := l.commit(kv); code != fsm.Conflict {
		t.Fatal(code)
	}
	if kv.again() {
		t.Error("the handler's own read has changed, but it need not run again")
	}
	if _, err := Update(l.kv(), "mark", func(*score) error { return nil }); err == nil {
		t.Error("a value of another kind was updated")
	}
}

// What a handler reads after an update of its own depends on what the update was
// made from: what it does with that is not made anew by the update's function.
func TestReadingAnUpdateRunsTheHandlerAgain(t *testing.T) {
	for name, use := range map[string]func(*KV) error{
		"get": func(kv *KV) error {
			v, err := kv.Get("n")
			if err != nil {
				return err
			}
			return kv.Put("copy", v)
		},
		"increment":     func(kv *KV) error { _, err := kv.Increment("n", 1); return err },
		"put if absent": func(kv *KV) error { _, err := kv.PutIfAbsent("n", []byte("7")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.write(fsm.KVChange{Key: "n", Value: []byte("1")})
			kv := l.kv()
			if _, err := Update(kv, "n", func(n *int) error { *n++; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := use(kv); err != nil {
				t.Fatal(err)
			}
			l.write(fsm.KVChange{Key: "n", Value: []byte("40")})
			if code := l.commit(kv); code != fsm.Conflict {
				t.Errorf("the commit: %v", code)
			}
			if kv.again() {
				t.Errorf("the writes are made anew although the handler read the update: %+v", kv.writes)
			}
		})
	}
}

// TestCountersAreExact has turns race for the same keys, in all three ways to
// count.
func TestCountersAreExact(t *testing.T) {
	l := newLedger(t)
	l.m.Strict = false
	const workers, each = 8, 25
	var wg sync.WaitGroup
	var mu sync.Mutex // commit looks for its entry
	for range workers {
		wg.Go(func() {
			for range each {
				for {
					kv := l.kv()
					if err := kv.Add("added", 1); err != nil {
						t.Error(err)
					}
					if _, err := kv.Increment("incremented", 1); err != nil {
						t.Error(err)
					}
					if _, err := Update(kv, "updated", func(n *int) error { *n++; return nil }); err != nil {
						t.Error(err)
					}
					mu.Lock()
					code := l.commit(kv)
					for code == fsm.Conflict && kv.again() {
						code = l.commit(kv)
					}
					mu.Unlock()
					if code == fsm.OK {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	want := strconv.Itoa(workers * each)
	if got := l.all(); got["added"] != want || got["incremented"] != want || got["updated"] != want {
		t.Errorf("%v, want %s", fmt.Sprint(got), want)
	}
}
