package cache

import "github.com/botnode/botnode/internal/jsonscan"

// noFields leaves no field of a patch out.
func noFields([]byte) bool { return false }

// manner says how an event's object meets the cached one.
type manner uint8

const (
	replace manner = iota // the event has the whole object
	overlay               // it has some fields; the others stay; inserted if absent
	amend                 // it has some fields; nothing happens if absent
)

// store writes an object of an event, without the fields that skip names. The
// stored form is always what Merge writes, so equal contents are equal bytes. A
// write that would change nothing is skipped: it costs no copy and doesn't
// count in the order of writes. What the policy doesn't keep is dropped, since
// it would go stale. It returns whether the object was cached before.
func (c *Cache) store(kind Kind, k key, obj []byte, m manner, skip func([]byte) bool) (had bool) {
	t := &c.tables[kind]
	if obj == nil {
		return false
	}
	if t.policy.Mode == Off {
		if t.recs.n > 0 {
			c.discard(t, k) // the sweep hasn't come to it yet
		}
		return false
	}
	old, had := t.recs.get(k)
	if !had && m == amend || had && old.raw == string(obj) {
		return had
	}
	var base []byte
	if had && m != replace {
		seen := c.repeats.slot(kind, k)
		if seen.covered(kind, k, old, obj) {
			return true
		}
		base = raw(old.raw)
		if jsonscan.Covers(base, obj, skip) {
			seen.remember(kind, k, old.seq, obj)
			return true
		}
	}
	c.buf = jsonscan.Merge(c.buf[:0], base, obj, skip)
	switch {
	case len(c.buf) == 0:
	case !c.admits(t, k, c.buf):
		c.discard(t, k)
	case !had || old.raw != string(c.buf):
		c.put(t, k, string(c.buf))
	}
	return had
}

// put writes an object, keeps digest and index current, and evicts.
func (c *Cache) put(t *table, k key, val string) {
	c.seq++
	old, had := t.write(k, rec{raw: val, seq: c.seq})
	if had {
		c.unhash(uint8(t.kind), k, old.raw)
	}
	c.hash(uint8(t.kind), k, val)
	if had {
		c.unlinkMessage(t.kind, k, old.raw)
	} else {
		c.link(t.kind, k)
	}
	c.linkMessage(t.kind, k, val)
	c.evict(t)
}

// drop removes an object if it is cached.
func (c *Cache) drop(kind Kind, k key) {
	t := &c.tables[kind]
	old, had := t.erase(k)
	if !had {
		return
	}
	c.unhash(uint8(kind), k, old.raw)
	c.unlink(kind, k, old.raw)
}

// evict drops the objects written longest ago until the policy is kept. While a
// kind is swept, the steps of the sweep do that.
func (c *Cache) evict(t *table) {
	for !t.sweep.active && t.exceeds() {
		c.discard(t, t.oldest())
	}
}

// link enters a new object into the index. What the index says must follow from
// the tables alone, since a restored node builds it from them: a channel is thus
// in one guild and of one kind, and the last to name its id wins.
func (c *Cache) link(kind Kind, k key) {
	switch kind {
	case Channels, Threads:
		id := key{k.b, 0}
		if guild, ok := c.index.channels.get(id); ok {
			for _, other := range [...]Kind{Channels, Threads} {
				if other != kind || guild != k.a {
					c.drop(other, key{guild, k.b})
				}
			}
		}
		c.index.channels.set(id, k.a)
	case Members:
		c.index.places.set(key{k.b, k.a}, struct{}{})
	}
}

// unlink takes a dropped object out of the index. With the last member that
// refers to it a user goes as well.
func (c *Cache) unlink(kind Kind, k key, val string) {
	switch kind {
	case Channels, Threads:
		c.index.channels.remove(key{k.b, 0})
		c.forgetLast(k.b)
	case Members:
		c.index.places.remove(key{k.b, k.a})
		c.verified(k)
		if !c.placed(k.b) {
			c.drop(Users, key{k.b, 0})
		}
	case Messages:
		c.unlinkMessage(kind, k, val)
	}
}

// linkMessage counts a message for its guild, so that a removed guild finds it.
func (c *Cache) linkMessage(kind Kind, k key, val string) {
	if kind == Messages {
		talk := key{jsonscan.ID(jsonscan.Get(raw(val), "guild_id")), k.a}
		n, _ := c.index.talks.get(talk)
		c.index.talks.set(talk, n+1)
	}
}

// unlinkMessage takes back what linkMessage counted.
func (c *Cache) unlinkMessage(kind Kind, k key, val string) {
	if kind != Messages {
		return
	}
	talk := key{jsonscan.ID(jsonscan.Get(raw(val), "guild_id")), k.a}
	if n, _ := c.index.talks.get(talk); n > 1 {
		c.index.talks.set(talk, n-1)
	} else {
		c.index.talks.remove(talk)
	}
}

// placed reports whether a user is a cached member anywhere.
func (c *Cache) placed(user uint64) bool {
	k, _, ok := c.index.places.first(key{user, 0})
	return ok && k.a == user
}

// verified notes that a member is there, or gone for good.
func (c *Cache) verified(k key) {
	if c.stores.unverified.n == 0 {
		return
	}
	if _, had := c.stores.unverified.remove(k); had {
		c.unhash(tagUnverified, k, "")
	}
}

func (c *Cache) hash(tag uint8, k key, val string) {
	var h Digest
	h, c.hashed = hash(c.hashed, tag, k, val)
	c.sum.add(h)
}

func (c *Cache) unhash(tag uint8, k key, val string) {
	var h Digest
	h, c.hashed = hash(c.hashed, tag, k, val)
	c.sum.sub(h)
}
