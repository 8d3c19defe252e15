package rest

import (
	"slices"
	"time"
)

// find returns the bucket of a request: Discord's if the route's is known, else
// one of the route's own until an answer names it. The caller holds the lock.
func (l *localLimiter) find(r Request) *bucket {
	key := bucketKey{name: r.Route, major: r.Major, identity: r.Identity, private: r.private, provisional: true}
	if hash, ok := l.routes[r.Route]; ok {
		key.name, key.provisional = hash, false
	}
	b := l.get(key)
	if r.private && !r.Exempt { // the home is out of reach, and others count for themselves, too
		b.blind = true
	}
	return b
}

// get returns the bucket with a key, a new one if need be.
func (l *localLimiter) get(key bucketKey) *bucket {
	b, ok := l.buckets[key]
	if !ok {
		b = &bucket{key: key}
		if !key.private {
			b.held, b.blind, b.sure, b.probe = l.hold, l.blind, l.sure, !l.sure.IsZero()
		}
		l.buckets[key] = b
	}
	return b
}

// learn takes in that a request of bucket b was counted in the bucket that
// Discord calls hash, and returns that one. Routes that share it share a queue from then on.
func (l *localLimiter) learn(b *bucket, r Request, hash string, now time.Time) *bucket {
	key := bucketKey{name: hash, major: r.Major, identity: r.Identity, private: r.private}
	if b.key == key {
		return b
	}
	if !l.nameRoute(r.Route, hash, now) {
		return b // the route keeps a bucket of its own: correct, only less shared
	}
	target := l.get(key)
	if b = b.self(); b != target {
		l.moveRoute(b, target, r.Route)
	}
	return target
}

// nameRoute notes what Discord calls a route's bucket. It returns false if there
// are too many routes.
func (l *localLimiter) nameRoute(route, hash string, now time.Time) bool {
	known, ok := l.routes[route]
	switch {
	case known == hash && ok:
		return true
	case !ok && len(l.routes) >= maxRoutes:
		return false
	}
	l.routes[route] = hash
	l.settleRoute(route, hash, now)
	return true
}

// settleRoute gives a route's provisional buckets their real name.
func (l *localLimiter) settleRoute(route, hash string, now time.Time) {
	for key, b := range l.buckets {
		if !key.provisional || key.name != route {
			continue
		}
		delete(l.buckets, key)
		learnt := bucketKey{name: hash, major: key.major, identity: key.identity, private: key.private}
		if other, ok := l.buckets[learnt]; ok {
			other.absorb(b)
			l.pump(other, now) // its timer is for both now
			continue
		}
		b.key = learnt
		l.buckets[learnt] = b
	}
}

// moveRoute moves the waiters of one route to another bucket, after Discord has
// changed which one it counts them in.
func (l *localLimiter) moveRoute(from, to *bucket, route string) {
	from.queue = slices.DeleteFunc(from.queue, func(w *waiter) bool {
		if w.req.Route != route {
			return false
		}
		to.push(w)
		return true
	})
}

// sweep forgets idle buckets once there are many: each webhook and each
// interaction has its own. The wait for the next sweep grows with what is kept.
func (l *localLimiter) sweep(now time.Time) {
	if len(l.buckets) < l.sweepAt {
		return
	}
	for key, b := range l.buckets {
		if b.idle(now) {
			delete(l.buckets, key)
		}
	}
	l.sweepAt = max(firstSweep, 2*len(l.buckets))
}

// count returns how many buckets are kept.
func (l *localLimiter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buckets)
}
