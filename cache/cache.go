package cache

// Tags of the stores in snapshots and digests; kinds have the numbers below.
const (
	tagHome       = 0x40 + iota // guild -> shard, and whether it is unavailable
	tagSelf                     // the bot's own user
	tagUnverified               // members that may have left unseen
	tagChunks                   // guild -> request for a full member list, and chunks seen of it
	tagLasts                    // channel or thread -> its last message
	tagSweep                    // kind -> how far the sweep after a change of its policy is
)

// Cache holds the caches and stores of one bot. See the package comment for who
// may call what at the same time.
type Cache struct {
	tables  [kindCount]table
	stores  stores
	index   index
	seq     uint64 // writes so far
	sum     Digest
	buf     []byte // for Merge, during Apply
	hashed  []byte // for hash, during Apply
	ev      event  // during Apply
	seen    []byte // the user of the member that is being stored, for filters
	repeats repeats
}

// stores holds what isn't an object of Discord's.
type stores struct {
	homes      tree[home]     // {guild, 0}: the guilds that the bot is in
	unverified tree[struct{}] // {guild, user}
	chunks     tree[uint64]   // {guild, 0} -> request under way and chunks seen
	lasts      tree[uint64]   // {channel or thread, 0} -> last message; only of cached ones
	self       string
}

// index holds what follows from the tables and is neither saved nor hashed.
type index struct {
	channels tree[uint64]   // {channel or thread, 0} -> guild
	places   tree[struct{}] // {user, guild}: where the user is a cached member
	talks    tree[uint64]   // {guild, channel} -> messages cached
}

// home says which shard sees a guild, and whether Discord can't serve it now.
type home struct {
	shard, total uint32
	unavailable  bool
}

// New returns an empty cache.
func New(p Policies) *Cache {
	c := &Cache{}
	for i := range c.tables {
		c.tables[i].kind, c.tables[i].policy = Kind(i), p[i]
	}
	return c
}

// Policies returns the policies in force.
func (c *Cache) Policies() Policies {
	var p Policies
	for i := range c.tables {
		p[i] = c.tables[i].policy
	}
	return p
}

// KindStats counts the objects of a kind.
type KindStats struct {
	Kind    Kind
	Count   int
	Bytes   int64 // len of the raw JSON plus a constant for each object
	Policy  Policy
	Evicted uint64 // objects that a policy dropped, since the cache was made
	// Sweeping: the policy has changed, and not all objects follow it yet.
	Sweeping bool
}

// Stats returns the counts of every kind, in order.
func (c *Cache) Stats() []KindStats {
	stats := make([]KindStats, kindCount)
	for i := range c.tables {
		t := &c.tables[i]
		stats[i] = KindStats{Kind: t.kind, Count: t.recs.n, Bytes: t.bytes, Policy: t.policy, Evicted: t.evicted, Sweeping: t.sweep.active}
	}
	return stats
}
