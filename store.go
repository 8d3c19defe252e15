package botnode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// Store is the bot's replicated key-value store for what belongs to no event:
// each write commits by itself, when its method returns nil. An error means
// that the write may have been made or not. Reads see the state of this node,
// with every write that this Store's methods have returned from. A Store is safe
// for concurrent use.
type Store struct {
	bot *Bot
	ctx context.Context
	// lock and fence, if set, are what every write depends on.
	lock  string
	fence uint64
}

// Store returns the store for work outside of handlers. ctx bounds its calls.
func (b *Bot) Store(ctx context.Context) *Store { return &Store{bot: b, ctx: ctx} }

// ErrLockLost is the outcome of a write under a lock that is another's by now.
var ErrLockLost = errors.New("botnode: the lock is lost")

func (s *Store) read(f func(*fsm.Bot)) error {
	rt, n, err := s.bot.running()
	if err != nil {
		return err
	}
	_, err = n.View(rt.name, func(b *fsm.Bot, _ *cache.Cache) { f(b) })
	return err
}

func (s *Store) item(key string) (item fsm.KVItem, err error) {
	err = s.read(func(b *fsm.Bot) { item, _ = b.KVGet(key) })
	return item, err
}

// live says whether an item is there and its time not over.
func live(item fsm.KVItem) bool {
	return item.Version > 0 && (item.Expires == 0 || item.Expires > time.Now().UnixMilli())
}

// Get returns a key's value, which must not be changed, or ErrNotFound.
func (s *Store) Get(key string) ([]byte, error) {
	item, err := s.item(key)
	if err == nil && !live(item) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

// List returns the keys with a prefix and their values, in order of keys, as
// they are at one index of the state.
func (s *Store) List(prefix string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		var keys []string
		var values [][]byte
		_ = s.read(func(b *fsm.Bot) {
			for key, item := range b.KVScan(prefix, "") {
				if live(item) {
					keys, values = append(keys, key), append(values, item.Value)
				}
			}
		})
		for i, key := range keys {
			if !yield(key, values[i]) {
				return
			}
		}
	}
}

func (s *Store) write(ch fsm.KVChange, ifVersion *uint64) error {
	rt, n, err := s.bot.running()
	if err != nil {
		return err
	}
	cmd := &fsm.KVWrite{Bot: rt.name, Change: ch, Lock: s.lock, Fence: s.fence}
	if ifVersion != nil {
		cmd.Conditional, cmd.IfVersion = true, *ifVersion
	}
	version, err := n.Write(s.ctx, cmd)
	if errors.Is(err, node.ErrFenced) {
		return fmt.Errorf("%w: %w", ErrLockLost, err)
	}
	if err == nil {
		err = s.applied(n, rt.name, version)
	}
	return err
}

// applied waits until this node has applied the write that gave a key this
// version.
func (s *Store) applied(n *node.Node, bot string, version uint64) error {
	for {
		changed, there := n.Changed(), false
		if _, err := n.View(bot, func(b *fsm.Bot, _ *cache.Cache) { there = b.KVRev() >= version }); err != nil || there {
			return err
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// Put writes a key.
func (s *Store) Put(key string, value []byte) error {
	return s.write(fsm.KVChange{Key: key, Value: value}, nil)
}

// PutFor writes a key that goes by itself after a while: see [KV.PutFor].
func (s *Store) PutFor(key string, value []byte, ttl time.Duration) error {
	return s.write(fsm.KVChange{Key: key, Value: value, Expires: time.Now().Add(ttl).UnixMilli()}, nil)
}

// Delete removes a key, if there is such a one.
func (s *Store) Delete(key string) error { return s.write(fsm.KVChange{Key: key, Delete: true}, nil) }

// Add adds to the decimal number that a key holds, absent meaning 0.
func (s *Store) Add(key string, delta int64) error {
	if delta == 0 {
		return nil
	}
	return s.write(fsm.KVChange{Key: key, Add: delta}, nil)
}

// PutIfAbsent writes a key that is absent, and reports whether it was.
func (s *Store) PutIfAbsent(key string, value []byte) (bool, error) {
	return s.CompareAndSwap(key, nil, value)
}

// CompareAndSwap writes a key if it has the value old; a nil old means that it
// is absent. It reports whether it did.
func (s *Store) CompareAndSwap(key string, old, value []byte) (bool, error) {
	item, err := s.item(key)
	if err != nil || live(item) != (old != nil) || live(item) && string(item.Value) != string(old) {
		return false, err
	}
	err = s.write(fsm.KVChange{Key: key, Value: value}, &item.Version)
	if errors.Is(err, admin.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) update(key string, f func([]byte) ([]byte, error)) error {
	for {
		item, err := s.item(key)
		if err != nil {
			return err
		}
		var old []byte
		if live(item) {
			old = item.Value
		}
		value, err := f(old)
		if err != nil {
			return err
		}
		err = s.write(fsm.KVChange{Key: key, Value: value}, &item.Version)
		if !errors.Is(err, admin.ErrConflict) {
			return err
		}
		select {
		case <-time.After(time.Millisecond): // the other's write is on its way here
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// KeyChange is a change of a key that a Watch reports.
type KeyChange struct {
	Key     string
	Value   []byte // nil if the key went
	Deleted bool
}

// Watch reports the keys with a prefix as they are, and then every key that has
// changed, until ctx ends or the loop is left. It reports states, not writes:
// of several writes in quick succession it may show only the last. It costs a
// walk through the prefix after each entry of the log that changed the store.
func (s *Store) Watch(ctx context.Context, prefix string) iter.Seq[KeyChange] {
	return func(yield func(KeyChange) bool) {
		_, n, err := s.bot.running()
		if err != nil {
			return
		}
		known, rev := map[string]uint64{}, uint64(0)
		for {
			wake := n.Changed()
			changes, now := s.changes(prefix, known, rev)
			rev = now
			for _, ch := range changes {
				if !yield(ch) {
					return
				}
			}
			select {
			case <-wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// changes returns what has changed since the store was at a revision, and brings
// known up to date.
func (s *Store) changes(prefix string, known map[string]uint64, rev uint64) (out []KeyChange, now uint64) {
	_ = s.read(func(b *fsm.Bot) {
		if now = b.KVRev(); now == rev {
			return
		}
		gone := maps.Clone(known)
		for key, item := range b.KVScan(prefix, "") {
			delete(gone, key)
			if known[key] != item.Version {
				known[key] = item.Version
				out = append(out, KeyChange{Key: key, Value: item.Value})
			}
		}
		for _, key := range slices.Sorted(maps.Keys(gone)) {
			delete(known, key)
			out = append(out, KeyChange{Key: key, Deleted: true})
		}
	})
	return out, now
}
