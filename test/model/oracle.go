package model

import (
	"bytes"
	"maps"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// oracle applies the log beside the nodes, one command at a time, and judges
// what it sees by the invariants of the design.
type oracle struct {
	s *Sim
	*book
	m        *oracleMachine
	index    uint64
	changes  fsm.Changes
	digests  map[int]fsm.Digest
	snapshot *backup

	permits, identifies int
	wrote               map[uint32]Time  // by concurrency key, the last IDENTIFY
	late                map[uint32]bool  // it was written long after it was decided
	peak                map[string]int64 // the highest sequence ever committed of a session
	starts              map[startKey]int
	acked               map[ackKey]bool
	failed              map[tryKey][]uint32 // the attempts that a failure led to
	excused             map[startKey]bool
	moved               map[uint64]Time // when the log gave an entry another runner
	renewed             Time            // of the last restore
	frontier            uint64          // LastPos, which only a restore may rewind

	commits    map[uint64][]commit // what clients are to be told of, by generation
	ends       []int               // how much of it there was after each entry of the log
	fence      uint64              // the newest that was given, whatever was restored since
	wroteFence uint64              // the newest that has written
	epochs     map[epochKey]uint64
	file       *backup // what an operator has saved
	opened     map[clientKeyed]*opening
}

// book is what follows from the prefix of the log that is in force. A restore
// turns it back.
type book struct {
	progress map[string]int // events of a session that were applied
	world    map[uint64]string
	done     map[doneKey]bool
	counter  map[string]int
	writes   map[uint64]judged // from outside of handlers, by number
	ticks    map[int64]bool    // times of the schedule that have an entry
}

type doneKey struct {
	pos     uint64
	handler string
}

type startKey struct {
	generation uint64
	pos        uint64
	attempts   uint32
	runner     fsm.NodeRef
}

// ackKey is a handler of an entry while one process runs it without a break.
type ackKey struct {
	generation uint64
	pos        uint64
	handler    string
	moves      int // how often the entry had changed its runner
	runner     fsm.NodeRef
}

// tryKey is an entry from when it came, or came back from the dead letters.
type tryKey struct {
	generation, pos uint64
	retries         uint32
}

// backup is a snapshot, with the entry up to which it holds the log.
type backup struct {
	index int
	bytes []byte
	book  *book
}

// oracleMachine adds what the oracle often asks.
type oracleMachine struct{ *fsm.Machine }

func (m *oracleMachine) generation() (g uint64) {
	m.View(func(_ uint64, s *fsm.State) { g = s.Generation })
	return g
}

func newOracle(s *Sim) *oracle {
	o := &oracle{
		s: s, book: newBook(), digests: make(map[int]fsm.Digest), wrote: make(map[uint32]Time),
		late: make(map[uint32]bool),
		peak: make(map[string]int64), starts: make(map[startKey]int), acked: make(map[ackKey]bool), failed: make(map[tryKey][]uint32), excused: make(map[startKey]bool),
		moved: make(map[uint64]Time), commits: make(map[uint64][]commit), epochs: make(map[epochKey]uint64),
	}
	o.opened = make(map[clientKeyed]*opening)
	o.m = &oracleMachine{o.scratch()}
	o.m.Strict = s.knobs.Strict
	o.ends = []int{0}
	o.m.Observe(o)
	return o
}

func newBook() *book {
	return &book{
		progress: make(map[string]int), world: make(map[uint64]string),
		done: make(map[doneKey]bool), counter: make(map[string]int),
		writes: make(map[uint64]judged), ticks: make(map[int64]bool),
	}
}

func (b *book) clone() *book {
	return &book{
		maps.Clone(b.progress), maps.Clone(b.world), maps.Clone(b.done), maps.Clone(b.counter), maps.Clone(b.writes), maps.Clone(b.ticks),
	}
}

func (o *oracle) scratch() *fsm.Machine {
	m := fsm.NewMachine()
	m.View(func(_ uint64, st *fsm.State) { st.Mutant = o.s.mutant })
	return m
}

// Applied implements fsm.Observer.
func (o *oracle) Applied(_ uint64, c fsm.Changes) { o.changes = c }

// Restored implements fsm.Observer.
func (o *oracle) Restored(uint64) {}

// sight is what the oracle compares before and after a command.
type sight struct {
	gen   uint64
	gaps  uint64
	sh    fsm.Shard
	known bool
	entry *fsm.Entry
	pos   uint64
	open  bool // the session of an OpenClient
}

func (o *oracle) look(c fsm.Command) (v sight) {
	k, pos, shardly := subject(c)
	o.m.View(func(_ uint64, s *fsm.State) {
		v.gen = s.Generation
		b := s.Bot(botName)
		if b == nil {
			return
		}
		v.gaps, v.pos = b.GapCount, b.LastPos
		if c, ok := c.(*fsm.OpenClient); ok {
			_, v.open = b.ClientSession(c.Session.SID)
		}
		if !shardly {
			return
		}
		v.sh, v.known = b.Shard(k)
		if pos > 0 {
			v.entry, _ = b.Entry(k, pos)
		}
	})
	return v
}

// runners returns the pending entries before a Grant.
func (o *oracle) runners(c fsm.Command) map[uint64]*fsm.Entry {
	switch c.(type) {
	case *fsm.Grant, *fsm.Disconnect, *fsm.Connect:
	default:
		return nil
	}
	out := make(map[uint64]*fsm.Entry)
	o.m.View(func(_ uint64, s *fsm.State) {
		for e := range s.Bot(botName).PendingEntries() {
			out[e.Pos] = e
		}
	})
	return out
}

// subject returns the shard and the entry that a command is about.
func subject(c fsm.Command) (k fsm.ShardKey, pos uint64, ok bool) {
	switch c := c.(type) {
	case *fsm.Grant:
		return c.Shard, 0, true
	case *fsm.Ready:
		return c.Shard, 0, true
	case *fsm.Events:
		return c.Shard, 0, true
	case *fsm.Lost:
		return c.Shard, 0, true
	case *fsm.Reidentify:
		return c.Shard, 0, true
	case *fsm.Permit:
		return c.Shard, 0, true
	case *fsm.Disconnect:
		return c.Shard, 0, true
	case *fsm.Connect:
		return c.Shard, 0, true
	case *fsm.Done:
		return c.Shard, c.Pos, true
	case *fsm.Fail:
		return c.Shard, c.Pos, true
	}
	return k, 0, false
}

// apply applies one committed command and judges it.
func (o *oracle) apply(c command) fsm.Result {
	pre := o.look(c.cmd)
	before := o.runners(c.cmd)
	store, stores := o.storedBy(c.cmd)
	o.index++
	o.s.stats.Commands++
	o.changes = fsm.Changes{}
	res := o.m.Apply(o.index, fsm.EncodeBatch([][]byte{c.bytes})).([]fsm.Result)[0]
	post := o.look(c.cmd)
	if stores {
		o.judgeStore(c, res, store)
	}
	if o.s.tracing {
		o.s.tracef("log: %s by %s gen %d: %v c=%d epoch=%d %s", describe(c.cmd), c.by, c.gen, res.Code, res.C, res.Epoch, res.Msg)
	}
	if res.Code != fsm.OK {
		if pre.sh.Epoch != post.sh.Epoch || pre.sh.C != post.sh.C || pre.sh.SID != post.sh.SID || len(o.changes.Altered) > 0 {
			o.s.fail("I4", "%T was answered %v and changed the state", c.cmd, res.Code)
		}
		return res
	}
	o.judge(c, pre, post)
	o.judgeAttempts(c.cmd, pre.sh.Owner, before)
	o.noteEnded(post.gen)
	o.shadow(c.cmd, post.gen)
	return res
}

func (o *oracle) judge(c command, pre, post sight) {
	s := o.s
	if c.gen != pre.gen && c.cmd.Kind() != fsm.KindRenew && c.cmd.Kind() != fsm.KindInit {
		s.fail("I4", "%T of generation %d took effect in generation %d", c.cmd, c.gen, pre.gen)
	}
	if pre.known && post.sh.Epoch < pre.sh.Epoch {
		s.fail("I4", "the epoch of %v fell from %d to %d", pre.sh.Key, pre.sh.Epoch, post.sh.Epoch)
	}
	o.judgeAge(c, post)
	o.judgeParked(c.cmd, pre, post)
	switch cmd := c.cmd.(type) {
	case *fsm.Connect:
		o.judgeConnect(cmd, pre, post)
	case *fsm.Disconnect:
		s.stats.Parks++
	case *fsm.Grant:
		o.judgeGrant(c, cmd, pre, post)
	case *fsm.Ready:
		o.judgeAuthority(c, cmd.Epoch, pre)
		o.judgeReady(cmd, pre, post)
	case *fsm.Events:
		o.judgeAuthority(c, cmd.Epoch, pre)
		o.judgeEvents(cmd, pre, post)
	case *fsm.Lost:
		o.judgeAuthority(c, cmd.Epoch, pre)
	case *fsm.Reidentify:
		o.judgeReidentify(cmd, pre)
	case *fsm.OpenClient:
		o.judgeOpen(cmd, pre)
	case *fsm.Permit:
		o.permits++
	case *fsm.Done:
		o.judgeDone(cmd, pre)
	case *fsm.Fail:
		if pre.entry == nil || pre.entry.Runner != cmd.Runner {
			s.fail("I3", "a Fail of %s took effect on entry %d", cmd.Runner, cmd.Pos)
		} else if !cmd.Alone {
			k := tryKey{o.m.generation(), cmd.Pos, cmd.Retries}
			o.failed[k] = append(o.failed[k], cmd.Attempts+1)
		}
	}
	s.stats.Gaps += int(post.gaps - pre.gaps)
}

// judgeAuthority: only the owner of the epoch in force changes a session (I4).
func (o *oracle) judgeAuthority(c command, epoch uint64, pre sight) {
	if epoch != pre.sh.Epoch || pre.sh.Owner != c.by && !pre.sh.Owner.None() {
		o.s.fail("I4", "%T of %s under epoch %d took effect; %s owns %v under epoch %d",
			c.cmd, c.by, epoch, pre.sh.Owner, pre.sh.Key, pre.sh.Epoch)
	}
}

// judgeGrant: an owner that is alive loses its shard to another node only by a
// planned move, or when it can't be fresh any more (I4, I5).
func (o *oracle) judgeGrant(c command, g *fsm.Grant, pre, post sight) {
	if post.sh.Epoch == pre.sh.Epoch {
		return // a repeat
	}
	if !g.Adopt && g.Why == fsm.WhyFailover {
		o.s.stats.Rescues++
	}
	old := pre.sh.Owner
	if old.None() {
		old = g.From // nobody owns the shard, but somebody may run its entries
	}
	for _, e := range o.changes.Altered {
		if e.Runner != g.To {
			o.s.fail("I4", "a Grant to %s gave entry %d to %s", g.To, e.Pos, e.Runner)
		}
		if g.Adopt && old == g.To {
			// Out of time to drain: its runner is fresh, and may have started
			// it before it hears of this.
			delete(o.moved, e.Pos)
		} else {
			o.moved[e.Pos] = o.s.now
		}
	}
	n := o.s.node(old.ID)
	if !g.Adopt || n == nil || !n.alive || n.ref != old || old == g.To || o.s.now >= n.lease {
		return
	}
	if n.leaseTerm > c.term || n.leaseAt < c.decided {
		o.s.fail("I7", "%s takes %v from %s, which is fresh for another %v", g.To, g.Shard, old, n.lease-o.s.now)
	}
}

// backups and digests

func capture(m *fsm.Machine) []byte {
	c, err := m.Capture()
	if err != nil {
		panic(err)
	}
	defer c.Release()
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (o *oracle) takeBackup() {
	o.snapshot = &backup{index: len(o.s.raft.log), bytes: capture(o.m.Machine), book: o.clone()}
	o.file = o.snapshot
	o.s.tracef("a backup is taken after entry %d", o.snapshot.index)
}

// restored turns the oracle back to a backup.
func (o *oracle) restored(b *backup, renewed []byte) {
	if err := o.m.Restore(bytes.NewReader(renewed)); err != nil {
		o.s.fail("I8", "a backup can't be restored: %v", err)
	}
	o.book = b.book.clone()
	o.frontier, o.renewed = 0, o.s.now
	o.moved = make(map[uint64]Time)
	// A process that starts from a snapshot must not get one of before.
	o.snapshot = &backup{index: len(o.s.raft.log) + 1, bytes: renewed, book: b.book}
}

func (o *oracle) sampled(index int) bool { return o.s.tracing || index%8 == 0 }

func (o *oracle) noteDigest(index int) {
	o.noteEnd()
	if o.sampled(index) {
		o.m.View(func(_ uint64, s *fsm.State) { o.digests[index] = s.Digest() })
	}
}

// checkDigest: equal prefixes give equal states (I8).
func (o *oracle) checkDigest(n *node) {
	want, ok := o.digests[n.applied]
	if !ok {
		return
	}
	n.m.View(func(_ uint64, s *fsm.State) {
		if got := s.Digest(); got != want {
			o.s.fail("I8", "after entry %d the digest of %s is %v, of the oracle %v", n.applied, n.ref, got, want)
		}
	})
}

var _ fsm.Observer = (*oracle)(nil)
var _ fsm.Observer = (*node)(nil)
var _ shard.Action = shard.Dial{}
