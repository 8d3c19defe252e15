package fsm

import (
	"encoding/binary"
	"strings"

	"github.com/tidwall/btree"
	"github.com/zeebo/xxh3"
)

// expiryIndex orders keys by the time at which they go: the time, big-endian,
// then the key.
type expiryIndex = btree.Map[string, struct{}]

func expiryKey(at int64, key string) string {
	return string(append(binary.BigEndian.AppendUint64(nil, uint64(at)), key...))
}

func splitExpiry(k string) (at int64, key string) {
	return int64(binary.BigEndian.Uint64([]byte(k[:8]))), k[8:]
}

// MaxExpire bounds the keys that one Expire removes: a store of which much
// expires at once must not hold up what waits behind it.
const MaxExpire = 1000

// Expire removes keys whose time has come.
//
// Guard: none. Now is the leader's clock, so a key may stay for the time
// between two sweeps, and for what the clocks of its writer and of the leader
// differ.
type Expire struct {
	Bot string
	Now int64 // Unix milliseconds
}

// Kind implements Command.
func (*Expire) Kind() Kind { return KindExpire }

func (c *Expire) encode(w *writer) { w.string(c.Bot); w.int(c.Now) }
func (c *Expire) decode(r *reader) { c.Bot, c.Now = r.string(), r.int() }

func (c *Expire) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	for range MaxExpire {
		first, _, ok := b.kv.expiry.Min()
		if !ok {
			break
		}
		at, key := splitExpiry(first)
		if at > c.Now {
			break
		}
		b.kv.rev++
		b.kv.drop(key)
	}
	return Result{}
}

// NextExpiry returns when the next key goes, Unix milliseconds.
func (b *Bot) NextExpiry() (at int64, ok bool) {
	first, _, ok := b.kv.expiry.Min()
	if !ok {
		return 0, false
	}
	at, _ = splitExpiry(first)
	return at, true
}

// KVRange is a stretch of keys that a handler listed: those with the prefix, up
// to and with To, or to the end of the prefix if To is empty. Sum says what was
// there.
type KVRange struct {
	Prefix, To string
	Sum        uint64
}

// RangeSum sums up the keys and versions of a range in order. A key that came,
// went or changed gives another sum.
type RangeSum struct{ w writer }

// Add takes the next key.
func (r *RangeSum) Add(key string, version uint64) {
	r.w.string(key)
	r.w.uint(version)
}

// Sum returns the sum of what was added.
func (r *RangeSum) Sum() uint64 { return xxh3.Hash(r.w.b) }

// unchanged reports whether every range is as it was listed, or the prefix of
// one that is not.
func (kv *kvStore) unchanged(ranges []KVRange) (prefix string, ok bool) {
	for _, rg := range ranges {
		var sum RangeSum
		kv.items.Ascend(rg.Prefix, func(key string, item KVItem) bool {
			if !strings.HasPrefix(key, rg.Prefix) || rg.To != "" && key > rg.To {
				return false
			}
			sum.Add(key, item.Version)
			return true
		})
		if sum.Sum() != rg.Sum {
			return rg.Prefix, false
		}
	}
	return "", true
}
