package model

import (
	"strconv"

	"github.com/botnode/botnode/fsm"
)

// judged is what a write from outside of a handler was answered first.
type judged struct {
	code    fsm.Code
	applied bool
}

// stored is what the oracle compares of the store before and after a command.
type stored struct {
	item    fsm.KVItem
	lock    fsm.LockState
	held    bool
	lastPos uint64
}

// storedBy looks at what a command of the store is about.
func (o *oracle) storedBy(c fsm.Command) (v stored, ok bool) {
	key := ""
	switch c := c.(type) {
	case *fsm.KVWrite:
		key = c.Change.Key
	case *fsm.Lock, *fsm.Unlock, *fsm.Tick:
	default:
		return v, false
	}
	o.m.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(botName); b != nil {
			v.item, _ = b.KVGet(key)
			v.lock, v.held = b.LockHolder(lockName)
			v.lastPos = b.LastPos
		}
	})
	return v, true
}

// judgeStore judges a command of the store, whatever its answer was.
func (o *oracle) judgeStore(c command, res fsm.Result, pre stored) {
	post, _ := o.storedBy(c.cmd)
	switch cmd := c.cmd.(type) {
	case *fsm.KVWrite:
		o.judgeWrite(cmd, res, pre, post)
	case *fsm.Lock:
		o.judgeLock(cmd, pre, post)
	case *fsm.Unlock:
		if pre.held && !post.held && pre.lock.Fence != cmd.Fence {
			o.s.fail("I11", "an Unlock of fence %d released fence %d", cmd.Fence, pre.lock.Fence)
		}
	case *fsm.Tick:
		if post.lastPos == pre.lastPos {
			return
		}
		if o.ticks[cmd.Due] {
			o.s.fail("I3", "time %d of the schedule was made twice", cmd.Due)
		}
		o.ticks[cmd.Due] = true
		o.s.stats.Ticks++
	}
}

// judgeWrite: a write takes effect once, with the answer that it was given first;
// one on condition only on that, and one under a lock only while it is held (I11).
func (o *oracle) judgeWrite(w *fsm.KVWrite, res fsm.Result, pre, post stored) {
	changed := pre.item.Version != post.item.Version || string(pre.item.Value) != string(post.item.Value)
	if was, again := o.writes[w.ID]; again {
		if changed {
			o.s.fail("I11", "write %d to %s took effect again; it was answered %v", w.ID, w.Change.Key, was.code)
		}
		if was.code != res.Code && res.Code != fsm.StaleGeneration {
			o.s.fail("I11", "write %d was answered %v, and then %v", w.ID, was.code, res.Code)
		}
		return
	}
	if res.Code == fsm.OK || res.Code == fsm.Conflict {
		o.writes[w.ID] = judged{res.Code, changed}
	}
	switch {
	case !changed:
		if w.Change.Add != 0 && res.Code == fsm.OK {
			o.s.fail("I11", "write %d to %s was answered ok and did nothing", w.ID, w.Change.Key)
		}
		return
	case res.Code != fsm.OK:
		o.s.fail("I11", "write %d to %s was answered %v and took effect", w.ID, w.Change.Key, res.Code)
	case w.Conditional && pre.item.Version != w.IfVersion:
		o.s.fail("I11", "write %d to %s took effect on version %d, and was made of %d", w.ID, w.Change.Key, pre.item.Version, w.IfVersion)
	case w.Lock != "" && (!pre.held || pre.lock.Fence != w.Fence):
		o.s.fail("I11", "a write under fence %d took effect; the lock is held: %v, with fence %d", w.Fence, pre.held, pre.lock.Fence)
	}
	if w.Lock != "" {
		if w.Fence < o.wroteFence {
			o.s.fail("I11", "fence %d writes after fence %d", w.Fence, o.wroteFence)
		}
		o.wroteFence = w.Fence
		o.s.stats.Guarded++
	}
	if w.Change.Add != 0 {
		o.counter[w.Change.Key] += int(w.Change.Add)
		if got, _ := strconv.Atoi(string(post.item.Value)); got != o.counter[w.Change.Key] {
			o.s.fail("I11", "%s is %d after %d additions", w.Change.Key, got, o.counter[w.Change.Key])
		}
	}
}

// judgeLock: a lock has one holder, who keeps it until it is released, and a
// fence is given once, whatever is restored (I11).
func (o *oracle) judgeLock(c *fsm.Lock, pre, post stored) {
	switch {
	case pre.held && post.lock != pre.lock:
		o.s.fail("I11", "%s got the lock that %s holds", c.Node, pre.lock.Holder)
	case !pre.held && post.held:
		if post.lock.Fence <= o.fence {
			o.s.fail("I11", "fence %d was given after %d", post.lock.Fence, o.fence)
		}
		o.fence = post.lock.Fence
		o.s.stats.Locks++
	}
}
