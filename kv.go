package botnode

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/botnode/botnode/fsm"
)

// KV is a handler's view of the bot's replicated key-value store. Reads see
// the state of this node, which holds everything that was committed before
// the event, and the handler's own writes. Writes commit with the handler's
// acknowledgement, if everything it read is still current; else the handler
// runs again. One handler's KV is not safe for concurrent use.
type KV struct {
	rt     *runtime
	bot    string
	reads  map[string]uint64
	writes map[string]fsm.KVChange
	order  []string
}

// ErrNotFound is returned for a key that is absent.
var ErrNotFound = errors.New("botnode: no such key")

// ErrTooLarge is returned for a key or value that exceeds the store's limits.
var ErrTooLarge = fmt.Errorf("botnode: a key has 1 to %d bytes, a value at most %d", fsm.MaxKey, fsm.MaxValue)

// Get returns a key's value, which must not be changed.
func (kv *KV) Get(key string) ([]byte, error) {
	if w, ok := kv.writes[key]; ok {
		if w.Delete {
			return nil, ErrNotFound
		}
		return w.Value, nil
	}
	item, ok := kv.rt.kvGet(kv.bot, key)
	if seen, again := kv.reads[key]; !again {
		kv.reads[key] = item.Version
	} else if seen != item.Version {
		// It will conflict; the first read decides.
		kv.reads[key] = seen
	}
	if !ok {
		return nil, ErrNotFound
	}
	return item.Value, nil
}

// Put writes a key.
func (kv *KV) Put(key string, value []byte) error {
	if len(key) == 0 || len(key) > fsm.MaxKey || len(value) > fsm.MaxValue {
		return ErrTooLarge
	}
	kv.write(fsm.KVChange{Key: key, Value: append([]byte(nil), value...)})
	return nil
}

// Delete removes a key, if there is such a one.
func (kv *KV) Delete(key string) {
	if len(key) > 0 && len(key) <= fsm.MaxKey {
		kv.write(fsm.KVChange{Key: key, Delete: true})
	}
}

func (kv *KV) write(ch fsm.KVChange) {
	if _, again := kv.writes[ch.Key]; !again {
		kv.order = append(kv.order, ch.Key)
	}
	kv.writes[ch.Key] = ch
}

// Add adds to a decimal number, absent meaning 0, and returns the sum.
func (kv *KV) Add(key string, delta int64) (int64, error) {
	n := int64(0)
	v, err := kv.Get(key)
	if err == nil {
		if n, err = strconv.ParseInt(string(v), 10, 64); err != nil {
			return 0, fmt.Errorf("botnode: key %q holds no number", key)
		}
	} else if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	n += delta
	return n, kv.Put(key, strconv.AppendInt(nil, n, 10))
}

// commit returns what the handler read and wrote.
func (kv *KV) commit() (reads []fsm.KVRead, writes []fsm.KVChange) {
	for key, version := range kv.reads {
		reads = append(reads, fsm.KVRead{Key: key, Version: version})
	}
	for _, key := range kv.order {
		writes = append(writes, kv.writes[key])
	}
	return reads, writes
}
