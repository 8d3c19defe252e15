package proxy

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxAddresses bounds what is remembered of addresses, in each table.
	maxAddresses = 4096
	// vouchTime is how long an address that showed a key may send requests that carry
	// a token of their own: as long as an interaction's token lives
	// (interactions/receiving-and-responding.mdx, "Followup Messages").
	vouchTime = 15 * time.Minute
	// A stranger may show wrong keys this often at once, and then one each strangerEvery.
	strangerBurst = 20
	strangerEvery = 3 * time.Second
)

// addresses is what the server remembers of those who connect. Time comes in as
// an argument.
type addresses struct {
	mu      sync.Mutex // guards what follows
	vouched *recent[vouched]
	wrong   *recent[time.Time] // when the last wrong key would be forgiven
	refused *recent[time.Time] // the same of tokens that Discord refused
}

// vouched is a key that an address has shown.
type vouched struct {
	hash  [32]byte
	until time.Time
}

func newAddresses() *addresses {
	return &addresses{vouched: newRecent[vouched](maxAddresses), wrong: newRecent[time.Time](maxAddresses), refused: newRecent[time.Time](maxAddresses)}
}

// vouch notes that an address has shown a key with the right to send requests.
func (a *addresses) vouch(addr netip.Prefix, hash [32]byte, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vouched.put(addr, vouched{hash, now.Add(vouchTime)})
}

// vouchedFor returns the hash of the key that an address showed of late.
func (a *addresses) vouchedFor(addr netip.Prefix, now time.Time) (hash [32]byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.vouched.get(addr)
	return v.hash, ok && now.Before(v.until)
}

// fail counts a wrong key and returns how long the address has to wait now, 0
// while it need not.
func (a *addresses) fail(addr netip.Prefix, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return count(a.wrong, addr, now)
}

// refuse counts a token of an interaction or a webhook that Discord refused. It
// is apart from wrong keys: these come from anyone, and must not keep from
// answering interactions who shares the address.
func (a *addresses) refuse(addr netip.Prefix, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	count(a.refused, addr, now)
}

// refusedFor returns how long an address may send no such token, 0 if it may.
func (a *addresses) refusedFor(addr netip.Prefix, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, wait := due(a.refused, addr, now)
	return wait
}

// count notes a mistake of an address, unless it has to wait with that.
func count(of *recent[time.Time], addr netip.Prefix, now time.Time) time.Duration {
	forgiven, wait := due(of, addr, now)
	if wait == 0 {
		of.put(addr, forgiven)
	}
	return wait
}

// due returns when an address's next mistake would be forgiven, and how long it
// has to wait before it may make one.
func due(of *recent[time.Time], addr netip.Prefix, now time.Time) (forgiven time.Time, wait time.Duration) {
	forgiven, _ = of.get(addr)
	if forgiven.Before(now) {
		forgiven = now
	}
	forgiven = forgiven.Add(strangerEvery)
	return forgiven, max(0, forgiven.Sub(now)-strangerBurst*strangerEvery)
}

// recent is a map of bounded size: what was put longest ago goes first.
type recent[V any] struct {
	most  int
	order *list.List // of recentItem, the oldest first
	items map[netip.Prefix]*list.Element
}

type recentItem[V any] struct {
	key   netip.Prefix
	value V
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, order: list.New(), items: make(map[netip.Prefix]*list.Element)}
}

func (r *recent[V]) get(key netip.Prefix) (v V, ok bool) {
	e := r.items[key]
	if e == nil {
		return v, false
	}
	item, _ := e.Value.(recentItem[V])
	return item.value, true
}

func (r *recent[V]) put(key netip.Prefix, v V) {
	if e := r.items[key]; e != nil {
		e.Value = recentItem[V]{key, v}
		r.order.MoveToBack(e)
		return
	}
	if len(r.items) >= r.most {
		oldest := r.order.Front()
		item, _ := r.order.Remove(oldest).(recentItem[V])
		delete(r.items, item.key)
	}
	r.items[key] = r.order.PushBack(recentItem[V]{key, v})
}
