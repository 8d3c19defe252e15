package fsm

import "github.com/botnode/botnode/internal/mutant"

// LockState is who holds a named lock.
type LockState struct {
	Holder NodeRef
	// Fence rises with every acquisition of any lock of the bot: of two that
	// think that they hold a lock, the higher one does. Those of a later
	// generation are higher: see fenceFrom.
	Fence uint64
}

// fenceFrom is what fences of a generation begin above: after a restore those
// that were given since the restored state must not be given again.
func fenceFrom(generation uint64) uint64 { return (generation - 1) << 32 }

// Lock acquires a named lock of a bot for a process.
//
// Guard: the process is up and nobody holds the lock. A repeat may acquire it
// once more after it was released: the node that finds itself the holder of a
// lock that it doesn't want releases it.
type Lock struct {
	Bot  string
	Name string
	Node NodeRef
}

// Kind implements Command.
func (*Lock) Kind() Kind { return KindLock }

func (c *Lock) encode(w *writer) { w.string(c.Bot); w.string(c.Name); w.ref(c.Node) }
func (c *Lock) decode(r *reader) { c.Bot, c.Name, c.Node = r.string(), r.string(), r.ref() }

func (c *Lock) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if len(c.Name) == 0 || len(c.Name) > MaxKey {
		return refused("a lock's name has 1 to 512 bytes")
	}
	if s.node(c.Node) == nil {
		return noNode
	}
	if l, held := b.locks[c.Name]; held && !s.Mutant.Has(mutant.LockHeld) {
		if l.Holder == c.Node {
			return Result{Version: l.Fence}
		}
		return Result{Code: Conflict, Version: l.Fence, Msg: "the lock is held by " + l.Holder.ID}
	}
	if !s.Mutant.Has(mutant.Fences) {
		b.fence = max(b.fence, fenceFrom(s.Generation))
	}
	b.fence++
	b.locks[c.Name] = LockState{Holder: c.Node, Fence: b.fence}
	return Result{Version: b.fence}
}

// Unlock releases a named lock.
//
// Guard: it is held with this fence.
type Unlock struct {
	Bot   string
	Name  string
	Fence uint64
}

// Kind implements Command.
func (*Unlock) Kind() Kind { return KindUnlock }

func (c *Unlock) encode(w *writer) { w.string(c.Bot); w.string(c.Name); w.uint(c.Fence) }
func (c *Unlock) decode(r *reader) { c.Bot, c.Name, c.Fence = r.string(), r.string(), r.uint() }

func (c *Unlock) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if l, held := b.locks[c.Name]; !held || l.Fence != c.Fence {
		return Result{Code: Old}
	}
	delete(b.locks, c.Name)
	return Result{}
}

// unlock releases the locks of a process that is gone, or all of them.
func (b *Bot) unlock(gone func(NodeRef) bool) {
	for name, l := range b.locks {
		if gone(l.Holder) {
			delete(b.locks, name)
		}
	}
}

// LockHolder returns who holds a lock.
func (b *Bot) LockHolder(name string) (l LockState, held bool) {
	l, held = b.locks[name]
	return l, held
}

// Locks calls f with every lock that is held, in the order of the names.
func (b *Bot) Locks(f func(name string, l LockState)) {
	for _, name := range sortedNames(b.locks) {
		f(name, b.locks[name])
	}
}
