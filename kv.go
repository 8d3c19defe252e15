package botnode

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// KV is a handler's view of the bot's replicated key-value store. Reads see
// the state of this node, which holds everything that was committed before
// the event, and the handler's own writes. Writes commit with the handler's
// acknowledgement, all or none, if everything that was read is still current;
// else the handler runs again. One handler's KV is not safe for concurrent use.
//
// Three ways to count, from the one that never conflicts to the one that does:
// Add needs no read. [Update] reads, and on a conflict runs only its function
// again. What Get and Increment read has the whole handler run again.
type KV struct {
	base func(f func(*fsm.Bot)) // reads the state of this node
	now  func() time.Time

	reads  map[string]uint64 // versions that the commit depends on
	ranges []fsm.KVRange
	log    []kvOp // what the handler did, in order
	view
}

// view is what a handler's writes come to.
type view struct {
	writes map[string]fsm.KVChange
	order  []string          // of the first write of each key
	seen   map[string]uint64 // versions that updates were made from
}

// kvOp is one write: a change, or an update that is made from what is there.
type kvOp struct {
	change fsm.KVChange
	update func(old []byte) ([]byte, error)
}

// ErrNotFound is returned for a key that is absent.
var ErrNotFound = errors.New("botnode: no such key")

// ErrTooLarge is returned for a key or value that exceeds the store's limits.
var ErrTooLarge = fmt.Errorf("botnode: a key has 1 to %d bytes, a value at most %d", fsm.MaxKey, fsm.MaxValue)

// errNoNumber is returned for a key to which nothing can be added.
var errNoNumber = errors.New("botnode: the key holds no number")

// errSum is returned for an addition that leaves the numbers of 64 bits.
var errSum = errors.New("botnode: the sum is too large")

func newKV(base func(func(*fsm.Bot))) *KV {
	return &KV{base: base, now: time.Now, reads: make(map[string]uint64), view: newView()}
}

func newView() view {
	return view{writes: make(map[string]fsm.KVChange), seen: make(map[string]uint64)}
}

// Get returns a key's value, which must not be changed.
func (kv *KV) Get(key string) ([]byte, error) {
	return kv.get(key, func(version uint64) {
		if _, again := kv.reads[key]; !again { // the first read decides: another version will conflict
			kv.reads[key] = version
		}
	})
}

// get reads a key under the handler's own writes. read is told the version that
// the value depends on, if it depends on one.
func (kv *KV) get(key string, read func(version uint64)) ([]byte, error) {
	w, written := kv.writes[key]
	if written && w.Add == 0 {
		if version, made := kv.seen[key]; made {
			read(version) // the value was made from what was there
		}
		if w.Delete {
			return nil, ErrNotFound
		}
		return w.Value, nil
	}
	var item fsm.KVItem
	kv.base(func(b *fsm.Bot) { item, _ = b.KVGet(key) })
	read(item.Version)
	value, err := kv.live(item)
	if !written {
		return value, err
	}
	n, err := number(value)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key, err)
	}
	sum, ok := sumOf(n, w.Add)
	if !ok {
		return nil, fmt.Errorf("key %q: %w", key, errSum)
	}
	return strconv.AppendInt(nil, sum, 10), nil
}

// live returns the value of an item that is there and whose time is not over.
func (kv *KV) live(item fsm.KVItem) ([]byte, error) {
	if item.Version == 0 || item.Expires > 0 && item.Expires <= kv.now().UnixMilli() {
		return nil, ErrNotFound
	}
	return item.Value, nil
}

// number reads a decimal number; nil is 0.
func number(value []byte) (int64, error) {
	if value == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, errNoNumber
	}
	return n, nil
}

// Put writes a key.
func (kv *KV) Put(key string, value []byte) error { return kv.put(key, value, 0) }

// PutFor writes a key that goes by itself after a while. The time is that of
// this node's clock; the key goes within a second after it.
func (kv *KV) PutFor(key string, value []byte, ttl time.Duration) error {
	return kv.put(key, value, kv.now().Add(ttl).UnixMilli())
}

func (kv *KV) put(key string, value []byte, expires int64) error {
	if len(key) == 0 || len(key) > fsm.MaxKey || len(value) > fsm.MaxValue {
		return ErrTooLarge
	}
	return kv.do(kvOp{change: fsm.KVChange{Key: key, Value: append([]byte{}, value...), Expires: expires}})
}

// Delete removes a key, if there is such a one.
func (kv *KV) Delete(key string) {
	if len(key) > 0 && len(key) <= fsm.MaxKey {
		_ = kv.do(kvOp{change: fsm.KVChange{Key: key, Delete: true}}) // a deletion can't fail
	}
}

// Add adds to the decimal number that a key holds, absent meaning 0. It depends
// on nothing that anybody else does, so that any number of handlers may add to
// one key at a time. Where the key holds no number the handler fails.
func (kv *KV) Add(key string, delta int64) error {
	if len(key) == 0 || len(key) > fsm.MaxKey {
		return ErrTooLarge
	}
	if delta == 0 {
		return nil
	}
	return kv.do(kvOp{change: fsm.KVChange{Key: key, Add: delta}})
}

// Increment is Add for who needs to know the sum: it reads, so the handler
// runs again if somebody else writes the key meanwhile.
func (kv *KV) Increment(key string, delta int64) (int64, error) {
	v, err := kv.Get(key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	n, err := number(v)
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", key, err)
	}
	sum, ok := sumOf(n, delta)
	if !ok {
		return 0, fmt.Errorf("key %q: %w", key, errSum)
	}
	return sum, kv.Put(key, strconv.AppendInt(nil, sum, 10))
}

// PutIfAbsent writes a key that is absent, and reports whether it was.
func (kv *KV) PutIfAbsent(key string, value []byte) (bool, error) {
	_, err := kv.Get(key)
	if !errors.Is(err, ErrNotFound) {
		return false, err
	}
	return true, kv.Put(key, value)
}

// CompareAndSwap writes a key if it has the value old; a nil old means that it
// is absent. It reports whether it did.
func (kv *KV) CompareAndSwap(key string, old, value []byte) (bool, error) {
	now, err := kv.Get(key)
	switch {
	case errors.Is(err, ErrNotFound):
		if old != nil {
			return false, nil
		}
	case err != nil:
		return false, err
	case old == nil || string(now) != string(old):
		return false, nil
	}
	return true, kv.Put(key, value)
}

// List returns the keys with a prefix and their values, in order of keys, with
// what the handler wrote. The commit depends on the whole stretch that was
// walked through: a key that somebody else adds to it, changes or removes there
// has the handler run again. The cost is that of the stretch, here and at the
// commit on every node.
func (kv *KV) List(prefix string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		merged, versions := kv.merged(prefix)
		keys := slices.Sorted(maps.Keys(merged))
		walked := fsm.KVRange{Prefix: prefix}
		for i, key := range keys {
			if !yield(key, merged[key]) && i < len(keys)-1 {
				walked.To = key
				break
			}
		}
		var sum fsm.RangeSum
		for _, v := range versions {
			if walked.To == "" || v.key <= walked.To {
				sum.Add(v.key, v.version)
			}
		}
		walked.Sum = sum.Sum()
		kv.ranges = append(kv.ranges, walked)
	}
}

type keyVersion struct {
	key     string
	version uint64
}

// merged returns what a prefix holds with the handler's writes, and the
// versions of what is there without them, in order.
func (kv *KV) merged(prefix string) (merged map[string][]byte, versions []keyVersion) {
	merged = make(map[string][]byte)
	kv.base(func(b *fsm.Bot) {
		for key, item := range b.KVScan(prefix, "") {
			versions = append(versions, keyVersion{key, item.Version})
			if v, err := kv.live(item); err == nil {
				merged[key] = v
			}
		}
	})
	for key := range kv.writes {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		// The range covers what this depends on.
		if v, err := kv.get(key, func(uint64) {}); err == nil {
			merged[key] = v
		} else {
			delete(merged, key)
		}
	}
	return merged, versions
}

// Updater is a store whose keys [Update] can change: a handler's KV, or a Store.
type Updater interface {
	update(key string, f func(old []byte) ([]byte, error)) error
}

// Update changes the JSON value of a key by a function, which gets the zero
// value where the key is absent, and returns what it became. On a conflict with
// another writer it runs only the function again, not the handler: it must
// depend on nothing but its argument, and may run several times. What Update
// returned before is then not what was committed in the end; so a handler that
// tells somebody the value should do so from a later event, or use
// [KV.Increment].
func Update[T any](kv Updater, key string, f func(*T) error) (T, error) {
	var last T
	err := kv.update(key, func(old []byte) ([]byte, error) {
		var v T
		if old != nil {
			if err := json.Unmarshal(old, &v); err != nil {
				return nil, fmt.Errorf("botnode: key %q does not hold a %T", key, v)
			}
		}
		if err := f(&v); err != nil {
			return nil, err
		}
		last = v
		return json.Marshal(v)
	})
	return last, err
}

func (kv *KV) update(key string, f func([]byte) ([]byte, error)) error {
	if len(key) == 0 || len(key) > fsm.MaxKey {
		return ErrTooLarge
	}
	return kv.do(kvOp{change: fsm.KVChange{Key: key}, update: f})
}

// do makes a write, and notes it for again.
func (kv *KV) do(op kvOp) error {
	if err := kv.play(op); err != nil {
		return err
	}
	kv.log = append(kv.log, op)
	return nil
}

// play gives an operation its effect on the view.
func (kv *KV) play(op kvOp) error {
	ch := op.change
	if op.update != nil {
		old, err := kv.get(ch.Key, func(version uint64) {
			if _, again := kv.seen[ch.Key]; !again {
				kv.seen[ch.Key] = version
			}
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if ch.Value, err = op.update(old); err != nil {
			return err
		}
		if len(ch.Value) > fsm.MaxValue {
			return ErrTooLarge
		}
	}
	w, again := kv.writes[ch.Key]
	if !again {
		kv.order = append(kv.order, ch.Key)
	}
	if ch.Add != 0 && again {
		var err error
		if ch, err = added(w, ch.Add); err != nil {
			return err
		}
		if ch.Add == 0 && ch.Value == nil { // additions that cancel each other
			delete(kv.writes, ch.Key)
			kv.order = slices.DeleteFunc(kv.order, func(key string) bool { return key == ch.Key })
			return nil
		}
	}
	kv.writes[ch.Key] = ch
	return nil
}

// added returns a write with an addition after it.
func added(w fsm.KVChange, delta int64) (fsm.KVChange, error) {
	switch {
	case w.Delete:
		return fsm.KVChange{Key: w.Key, Value: strconv.AppendInt(nil, delta, 10)}, nil
	case w.Add != 0:
		sum, ok := sumOf(w.Add, delta)
		if !ok {
			return w, fmt.Errorf("key %q: %w", w.Key, errSum)
		}
		w.Add = sum
		return w, nil
	}
	n, err := number(w.Value)
	if err != nil {
		return w, fmt.Errorf("key %q: %w", w.Key, err)
	}
	sum, ok := sumOf(n, delta)
	if !ok {
		return w, fmt.Errorf("key %q: %w", w.Key, errSum)
	}
	w.Value = strconv.AppendInt(nil, sum, 10)
	return w, nil
}

// sumOf adds, and reports whether the sum is a number of 64 bits.
func sumOf(a, b int64) (sum int64, ok bool) {
	sum = a + b
	return sum, (sum > a) == (b > 0) || b == 0
}

// commit returns what the handler read and wrote.
func (kv *KV) commit() (reads []fsm.KVRead, ranges []fsm.KVRange, writes []fsm.KVChange) {
	all := maps.Clone(kv.seen)
	maps.Copy(all, kv.reads) // an older read decides
	for _, key := range slices.Sorted(maps.Keys(all)) {
		reads = append(reads, fsm.KVRead{Key: key, Version: all[key]})
	}
	for _, key := range kv.order {
		writes = append(writes, kv.writes[key])
	}
	return reads, kv.ranges, writes
}

// again makes the writes anew from the state as it is now. It answers false
// where what the handler read itself has changed, so that it has to run again.
func (kv *KV) again() (ok bool) {
	if len(kv.ranges) > 0 || len(kv.seen) == 0 {
		return false
	}
	current := true
	kv.base(func(b *fsm.Bot) {
		for key, version := range kv.reads {
			item, _ := b.KVGet(key)
			current = current && item.Version == version
		}
	})
	if !current {
		return false
	}
	kv.view = newView()
	for _, op := range kv.log {
		if err := kv.play(op); err != nil {
			return false
		}
	}
	return true
}

// readBot returns how a runtime's stores read the bot's state.
func (rt *runtime) readBot(bot string) func(func(*fsm.Bot)) {
	return func(f func(*fsm.Bot)) {
		if n := rt.node.Load(); n != nil {
			_, _ = n.View(bot, func(b *fsm.Bot, _ *cache.Cache) { f(b) })
		}
	}
}
