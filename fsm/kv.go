package fsm

import (
	"math"
	"strconv"

	"github.com/tidwall/btree"

	"github.com/botnode/botnode/internal/mutant"
)

// Limits of the key-value store, in bytes.
const (
	MaxKey   = 512
	MaxValue = 256 << 10
)

// KVItem is a value and its version. Values are immutable.
type KVItem struct {
	Value   []byte
	Version uint64 // rises with every write of any key, so a key that was deleted and made again has another
	// Expires is when the key goes by itself, Unix milliseconds by its writer's
	// clock; 0 for never. Until the leader's sweep it is still there.
	Expires int64
}

// kvStore is a bot's replicated key-value store.
type kvStore struct {
	items  *btree.Map[string, KVItem]
	rev    uint64 // the version given last
	bytes  int64
	recent []kvRequest // the newest requests that were judged, for repeats
	digest Digest
	expiry *expiryIndex // of the items that expire; follows from them
}

// kvRequest remembers the answer to a request, so that a repeat gets it again:
// a write isn't done twice, and one that was in conflict isn't done later.
type kvRequest struct {
	id       uint64
	version  uint64
	conflict bool
	refused  bool // the key held no number to add to
}

func (r kvRequest) result() Result {
	if r.conflict {
		return Result{Code: Conflict, Version: r.version, Msg: "the key has another version"}
	}
	if r.refused {
		return notAddable
	}
	return Result{Version: r.version}
}

// maxRecent bounds the answers that are remembered, so a repeat must come
// before half as many other writes.

const maxRecent = 1024

func newKVStore() kvStore {
	return kvStore{items: new(btree.Map[string, KVItem]), expiry: new(expiryIndex)}
}

// allowed answers OK if all of the changes can be made.
func (kv *kvStore) allowed(changes []KVChange) Result {
	for _, ch := range changes {
		if len(ch.Key) == 0 || len(ch.Key) > MaxKey || len(ch.Value) > MaxValue {
			return notAllowed
		}
		if ch.Add != 0 {
			if _, ok := kv.sum(ch); !ok {
				return notAddable
			}
		}
	}
	return Result{}
}

// sum returns what a key holds after an addition.
func (kv *kvStore) sum(ch KVChange) (sum int64, ok bool) {
	item, there := kv.items.Get(ch.Key)
	if there {
		var err error
		if sum, err = strconv.ParseInt(string(item.Value), 10, 64); err != nil {
			return 0, false
		}
	}
	if ch.Add > 0 && sum > math.MaxInt64-ch.Add || ch.Add < 0 && sum < math.MinInt64-ch.Add {
		return 0, false
	}
	return sum + ch.Add, true
}

var (
	notAllowed = refused("a key has 1 to 512 bytes, a value at most 256 KiB")
	notAddable = refused("the key holds no number to add to, or the sum would be too large")
)

// current reports whether every read is still current, or a key that is not.
func (kv *kvStore) current(reads []KVRead) (key string, ok bool) {
	for _, rd := range reads {
		item, _ := kv.items.Get(rd.Key)
		if item.Version != rd.Version {
			return rd.Key, false
		}
	}
	return "", true
}

// write makes changes that are allowed.
func (kv *kvStore) write(changes []KVChange) {
	for _, ch := range changes {
		kv.rev++
		if ch.Add != 0 && !ch.Delete {
			n, ok := kv.sum(ch)
			if !ok {
				continue // two additions of one command that are too much together
			}
			if item, _ := kv.items.Get(ch.Key); ch.Expires == 0 {
				ch.Expires = item.Expires
			}
			ch.Value = strconv.AppendInt(nil, n, 10)
		}
		kv.drop(ch.Key)
		if !ch.Delete {
			kv.put(ch.Key, KVItem{Value: append([]byte(nil), ch.Value...), Version: kv.rev, Expires: max(0, ch.Expires)})
		}
	}
}

// put adds a key that is absent.
func (kv *kvStore) put(key string, item KVItem) {
	kv.items.Set(key, item)
	kv.digest.add(kvDigest(key, item))
	kv.bytes += int64(len(key) + len(item.Value))
	if item.Expires > 0 {
		kv.expiry.Set(expiryKey(item.Expires, key), struct{}{})
	}
}

// drop removes a key, if it is there.
func (kv *kvStore) drop(key string) {
	old, had := kv.items.Delete(key)
	if !had {
		return
	}
	kv.digest.sub(kvDigest(key, old))
	kv.bytes -= int64(len(key) + len(old.Value))
	if old.Expires > 0 {
		kv.expiry.Delete(expiryKey(old.Expires, key))
	}
}

// KVWrite is a write from outside of a handler.
//
// Guard: the key has version IfVersion, if Conditional, and Lock is held with
// Fence, if it names one. ID is the request's
// random number, not 0: a repeat is answered like the first.
type KVWrite struct {
	Bot         string
	ID          uint64
	Conditional bool
	IfVersion   uint64
	Change      KVChange
	Lock        string
	Fence       uint64
}

// Kind implements Command.
func (*KVWrite) Kind() Kind { return KindKVWrite }

func (c *KVWrite) encode(w *writer) {
	w.string(c.Bot)
	w.uint(c.ID)
	w.bool(c.Conditional)
	w.uint(c.IfVersion)
	encodeChanges(w, []KVChange{c.Change})
	w.string(c.Lock)
	w.uint(c.Fence)
}

func (c *KVWrite) decode(r *reader) {
	c.Bot, c.ID, c.Conditional, c.IfVersion = r.string(), r.uint(), r.bool(), r.uint()
	changes := decodeChanges(r)
	if len(changes) != 1 {
		r.fail("a write of not one key")
		return
	}
	c.Change = changes[0]
	c.Lock, c.Fence = r.string(), r.uint()
}

func (c *KVWrite) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if c.ID == 0 {
		return refused("a write needs a request number")
	}
	changes := []KVChange{c.Change}
	for _, r := range b.kv.recent {
		if r.id == c.ID && !s.Mutant.Has(mutant.Repeats) {
			return r.result()
		}
	}
	if res := b.kv.allowed(changes); res.Code != OK {
		if res == notAddable { // the key may hold a number later
			b.kv.remember(kvRequest{id: c.ID, refused: true})
		}
		return res
	}
	if l, ok := b.locks[c.Lock]; c.Lock != "" && (!ok || l.Fence != c.Fence) && !s.Mutant.Has(mutant.LockFence) {
		return Result{Code: Fenced, Msg: "the lock " + c.Lock + " is another's by now"}
	}
	req := kvRequest{id: c.ID}
	item, _ := b.kv.items.Get(c.Change.Key)
	if c.Conditional && item.Version != c.IfVersion {
		req.version, req.conflict = item.Version, true
	} else {
		b.kv.write(changes)
		req.version = b.kv.rev
	}
	b.kv.remember(req)
	return req.result()
}

func (kv *kvStore) remember(r kvRequest) {
	if len(kv.recent) >= maxRecent {
		kv.recent = append(kv.recent[:0:0], kv.recent[maxRecent/2:]...)
	}
	kv.recent = append(kv.recent, r)
}

func encodeChanges(w *writer, changes []KVChange) {
	w.uint(uint64(len(changes)))
	for _, ch := range changes {
		w.string(ch.Key)
		w.bool(ch.Delete)
		w.bytes(ch.Value)
		w.int(ch.Expires)
		w.int(ch.Add)
	}
}

func decodeChanges(r *reader) []KVChange {
	var changes []KVChange
	for range r.count(5) {
		changes = append(changes, KVChange{Key: r.string(), Delete: r.bool(), Value: r.bytes(), Expires: r.int(), Add: r.int()})
	}
	return changes
}
