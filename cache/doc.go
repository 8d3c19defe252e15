// Package cache holds the caches and stores of one bot: everything that its
// gateway sessions let it see, as Discord's own raw JSON, kept current by the
// dispatch events. docs/design/cache.md has the table from event to effect and
// the reasons for the shape.
//
// It is pure data. It has no clock, no logger, no randomness and no lock: the
// same events in the same order give equal caches with equal digests on every
// node, which is why effects, eviction and iteration depend on nothing else.
// Apply is total: whatever the bytes are, it doesn't panic, and an event that
// it can't read has no effect.
//
// It refuses to decode: it scans for the ids that it needs and keeps the rest as
// it came, so that fields it has never heard of survive.
//
// Callers synchronise. Methods that change a Cache (Apply, SetPolicies, Capture)
// need it alone; the others may run side by side. Bytes that a query returns are
// immutable and stay good after the caller's lock is gone; iterators must be
// drained under it. A Capture needs no lock at all.
package cache
