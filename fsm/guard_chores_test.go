package fsm

import (
	"bytes"
	"slices"
	"testing"
)

func choreCases() []guardCase {
	tick := func(due int64, quiet bool) *Tick {
		return &Tick{Bot: testBot, Name: "daily", Due: due, At: 5, Quiet: quiet}
	}
	ticks := func(n int) func(*bench) bool {
		return func(b *bench) bool { return len(b.pending()) == n }
	}
	lock := &Lock{Bot: testBot, Name: "l", Node: joe}
	held := func(by NodeRef, fence uint64) func(*bench) bool {
		return func(b *bench) bool {
			l, ok := b.bot().LockHolder("l")
			return ok && l == LockState{Holder: by, Fence: fence}
		}
	}
	free := func(b *bench) bool {
		_, ok := b.bot().LockHolder("l")
		return !ok
	}
	fenced := func(fence uint64) *KVWrite {
		return &KVWrite{Bot: testBot, ID: 1, Lock: "l", Fence: fence, Change: KVChange{Key: "k", Value: []byte("v")}}
	}
	presence := func(rev uint64, shard uint32, raw string) *Presence {
		return &Presence{Bot: testBot, Rev: rev, Shard: shard, Raw: []byte(raw)}
	}
	shows := func(shard uint32, raw string) func(*bench) bool {
		return func(b *bench) bool {
			got, _ := b.bot().PresenceOf(shard)
			return string(got) == raw
		}
	}
	return []guardCase{
		{name: "first tick marks", cmd: tick(100, false), holds: ticks(0)},
		{name: "tick", before: []Command{tick(100, false)}, cmd: tick(200, false), holds: func(b *bench) bool {
			e := b.pending()
			return len(e) == 1 && e[0].Type == EventTick && slices.Equal(e[0].Handlers, []string{"daily"}) && e[0].Runner == joe &&
				string(e[0].Raw) == `{"name":"daily","due":200}`
		}},
		{
			name: "tick that the owner's program lacks", code: Refused, msg: "no such schedule", holds: ticks(0),
			before: []Command{tick(100, false), &Program{Node: joe, Bots: []BotProgram{{Bot: testBot, Handlers: []Interest{{Type: EventTick, Handlers: []string{"hourly"}}}}}}},
			cmd:    tick(200, false),
		},
		{name: "tick of a time that was", before: []Command{tick(100, false)}, cmd: tick(100, false), code: Old, holds: ticks(0)},
		{name: "quiet tick", before: []Command{tick(100, false)}, cmd: tick(200, true), holds: ticks(0)},
		{name: "tick without a name", cmd: &Tick{Bot: testBot}, code: Refused},
		{name: "tick of no bot", cmd: &Tick{Bot: "x", Name: "n"}, code: Refused},
		{name: "tick before a layout", before: []Command{&Configure{Bot: "two", Config: []byte("{}")}, &Tick{Bot: "two", Name: "n", Due: 1}}, cmd: &Tick{Bot: "two", Name: "n", Due: 2}, code: Refused, msg: "no shard"},
		{name: "lock", cmd: lock, holds: held(joe, 1)},
		{name: "lock of another", before: []Command{&Lock{Bot: testBot, Name: "l", Node: mike}}, cmd: lock, code: Conflict, holds: held(mike, 1)},
		{name: "lock by the dead", before: []Command{&Down{Node: joe}}, cmd: lock, code: Refused},
		{name: "lock without a name", cmd: &Lock{Bot: testBot, Node: joe}, code: Refused},
		{name: "lock of no bot", cmd: &Lock{Bot: "x", Name: "l", Node: joe}, code: Refused},
		{name: "unlock", before: []Command{lock}, cmd: &Unlock{Bot: testBot, Name: "l", Fence: 1}, holds: free},
		{name: "unlock of an older time", before: []Command{lock}, cmd: &Unlock{Bot: testBot, Name: "l", Fence: 0}, code: Old, holds: held(joe, 1)},
		{name: "unlock of no bot", cmd: &Unlock{Bot: "x", Name: "l"}, code: Refused},
		{name: "a lock ends with its process", before: []Command{lock}, cmd: &Down{Node: joe}, holds: free},
		{name: "and with its node's next process", before: []Command{lock}, cmd: &Up{Node: NodeRef{"joe", 2}}, holds: free},
		{name: "and with the generation", before: []Command{lock}, cmd: &Renew{Generation: 2}, holds: free},
		{name: "write under a lock", before: []Command{lock}, cmd: fenced(1)},
		{name: "write under a lock that is lost", before: []Command{lock, &Down{Node: joe}, &Lock{Bot: testBot, Name: "l", Node: mike}}, cmd: fenced(1), code: Fenced},
		{name: "write under a lock that nobody holds", cmd: fenced(1), code: Fenced},
		{name: "presence", cmd: presence(0, AllShards, `{"a":1}`), holds: shows(1, `{"a":1}`)},
		{name: "presence of a shard", before: []Command{presence(0, AllShards, `{"a":1}`)}, cmd: presence(1, 1, `{"b":1}`), holds: func(b *bench) bool {
			return shows(0, `{"a":1}`)(b) && shows(1, `{"b":1}`)(b)
		}},
		{name: "presence of all again", before: []Command{presence(0, 1, `{"b":1}`)}, cmd: presence(1, AllShards, `{"c":1}`), holds: shows(1, `{"c":1}`)},
		{name: "a late presence", before: []Command{presence(0, 1, `{"b":1}`)}, cmd: presence(0, 1, `{"c":1}`), code: Conflict, holds: shows(1, `{"b":1}`)},
		{name: "presence of no shard", cmd: presence(0, 2, "{}"), code: Refused},
		{name: "presence too large", cmd: presence(0, 1, string(make([]byte, MaxPresence+1))), code: Refused},
		{name: "presence of no bot", cmd: &Presence{Bot: "x"}, code: Refused},
		{name: "expire nothing", cmd: &Expire{Bot: testBot, Now: 1}},
		{name: "expire of no bot", cmd: &Expire{Bot: "x"}, code: Refused},
	}
}

// TestPrograms shows that an event gets the handlers of its owner's program,
// and what happens to those of a program that is gone.
func TestPrograms(t *testing.T) {
	b := setup(t)
	program := func(node NodeRef, handlers ...string) *Program {
		return &Program{Node: node, Bots: []BotProgram{{Bot: testBot, Handlers: []Interest{{Type: "MESSAGE_CREATE", Handlers: handlers}}}}}
	}
	b.must(program(joe, "old"), program(mike, "new"))
	b.must(events(1, 1, message(2, 40), Event{S: 3, Type: "MESSAGE_UPDATE", Raw: []byte(`{}`)}))
	p := b.pending()
	if len(p) != 1 || !slices.Equal(p[0].Handlers, []string{"old"}) {
		t.Fatalf("an event of joe's: %+v", p)
	}
	if n := len(positions(b.bot())); n != 2 {
		t.Errorf("%d entries retained: the update has no handler, but readers that follow want it", n)
	}
	b.must(&Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike}, events(2, 3, message(4, 40)))
	if p := b.pending(); len(p) != 2 || !slices.Equal(p[1].Handlers, []string{"new"}) || p[0].Runner != joe {
		t.Fatalf("after the move: %+v", p)
	}
	// joe's next process has other handlers; those of the one before are void.
	b.must(program(NodeRef{"joe", 2}, "newer"), &Up{Node: NodeRef{"joe", 2}}, &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: NodeRef{"joe", 2}}, events(3, 4, message(5, 40)))
	if p := b.pending(); !slices.Equal(p[len(p)-1].Handlers, []string{"newer"}) {
		t.Errorf("after the upgrade: %+v", p[len(p)-1])
	}
	if r := b.do(program(joe, "old"))[0]; r.Code != Refused {
		t.Errorf("a program of an older process: %v", r.Code)
	}
	if got := b.state.HandlersOf(mike, testBot, "MESSAGE_CREATE"); !slices.Equal(got, []string{"new"}) {
		t.Errorf("mike's handlers: %v", got)
	}
}

// TestOneHandlerGivesUp shows that a handler that fails for good takes nothing
// with it: the others keep the entry, and a retry brings it back to the one.
func TestOneHandlerGivesUp(t *testing.T) {
	b := setup(t)
	b.must(events(1, 1, message(2, 40)))
	fail := func(attempts, limit uint32, handlers ...string) *Fail {
		f := &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe, Attempts: attempts}
		for _, h := range handlers {
			f.Failed = append(f.Failed, HandlerError{Handler: h, Err: h + " is broken", Limit: limit})
		}
		return f
	}
	b.must(fail(0, 2, "log"))
	if p := b.pending(); p[0].Attempts != 1 || len(p[0].Handlers) != 2 {
		t.Fatalf("after the first failure: %+v", p[0])
	}
	b.must(fail(1, 2, "log"))
	dead := b.bot().DeadLetters()
	if p := b.pending(); !slices.Equal(p[0].Handlers, []string{"ping"}) || len(dead) != 1 || !slices.Equal(dead[0].Entry.Handlers, []string{"log"}) || dead[0].Err != "log is broken" {
		t.Fatalf("after the second: %+v, dead %+v", p[0], dead)
	}
	b.must(&Dead{Bot: testBot, Pos: 1, Retry: true})
	if p := b.pending(); !slices.Equal(p[0].Handlers, []string{"log", "ping"}) || p[0].Attempts != 2 || p[0].Retries != 1 || b.bot().DeadCount() != 0 {
		t.Fatalf("after the retry: %+v", p[0])
	}
	for attempts, h := range []string{"log", "ping"} {
		f := fail(uint32(attempts)+2, 1, h)
		f.Retries = 1
		b.must(f)
	}
	dead = b.bot().DeadLetters()
	if len(b.pending()) != 0 || len(dead) != 1 || !slices.Equal(dead[0].Entry.Handlers, []string{"log", "ping"}) || dead[0].Err != "log is broken; ping is broken" {
		t.Fatalf("after both gave up: %d pending, dead %+v", len(b.pending()), dead)
	}
	if n, bytes := b.bot().Pending(); n != 0 || bytes != 0 {
		t.Errorf("%d entries of %d bytes are counted as pending", n, bytes)
	}
	if d := b.seen.diff(b.state); d != "" {
		t.Error(d)
	}
}

// TestDeathsAreNoFailures shows that attempts which failed don't count as those
// that ended with their runner: only these make an entry run alone.
func TestDeathsAreNoFailures(t *testing.T) {
	b := setup(t)
	b.must(events(1, 1, message(2, 40)), &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe, Failed: bothFailed})
	if e := b.pending()[0]; e.Attempts != 1 || e.Deaths != 0 {
		t.Errorf("after a failure: %+v", e)
	}
	b.must(&Down{Node: joe}, &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Adopt: true})
	if e := b.pending()[0]; e.Attempts != 2 || e.Deaths != 1 {
		t.Errorf("after a death: %+v", e)
	}
}

// TestDeathsAreOfTheFirstOfALane shows that what waited behind another entry when
// its runner died is not held to have ended it, nor what waited behind an entry
// that was running alone.
func TestDeathsAreOfTheFirstOfALane(t *testing.T) {
	deaths := func(b *bench) (out []uint32) {
		for _, e := range b.pending() {
			out = append(out, e.Deaths)
		}
		return out
	}
	zoe := NodeRef{"zoe", 1}
	b := setup(t)
	b.must(&Up{Node: zoe}, events(1, 1, message(2, 40), message(3, 40), message(4, 44)))
	b.must(&Down{Node: joe}, &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Adopt: true})
	if got := deaths(b); !slices.Equal(got, []uint32{1, 0, 1}) {
		t.Errorf("after a death: %v", got)
	}
	b.must(&Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: mike, Attempts: 1, Alone: true})
	b.must(&Down{Node: mike}, &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: zoe, Adopt: true})
	if got := deaths(b); !slices.Equal(got, []uint32{0, 2}) || b.bot().DeadCount() != 1 {
		t.Errorf("after the death of one alone: %v, %d dead letters", got, b.bot().DeadCount())
	}
}

// TestExpiry shows that keys go at their time, a bounded number at once, and
// that a key which is written again has the new time.
func TestExpiry(t *testing.T) {
	b := setup(t)
	put := func(id uint64, key string, expires int64) *KVWrite {
		return &KVWrite{Bot: testBot, ID: id, Change: KVChange{Key: key, Value: []byte("v"), Expires: expires}}
	}
	b.must(put(1, "a", 100), put(2, "b", 50), put(3, "c", 0), put(4, "b", 300), put(5, "d", 40), put(6, "d", 0))
	if at, ok := b.bot().NextExpiry(); !ok || at != 100 {
		t.Fatalf("next at %d, %v", at, ok)
	}
	keys := func() (out []string) {
		for k := range b.bot().KVScan("", "") {
			out = append(out, k)
		}
		return out
	}
	b.must(&Expire{Bot: testBot, Now: 100})
	if got := keys(); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("at 100: %v", got)
	}
	b.must(&Expire{Bot: testBot, Now: 1000})
	if got := keys(); !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("at 1000: %v", got)
	}
	if _, ok := b.bot().NextExpiry(); ok || b.bot().kv.expiry.Len() != 0 {
		t.Error("something is left to expire")
	}
	b.Strict = false
	for i := range uint64(MaxExpire + 10) {
		b.must(put(10+i, string(binaryKey(i)), 5))
	}
	b.must(&Expire{Bot: testBot, Now: 5})
	if n := b.bot().KVLen(); n != 12 {
		t.Errorf("%d keys are left, want two and ten", n)
	}
}

func binaryKey(i uint64) []byte { return []byte{'k', byte(i >> 8), byte(i)} }

// TestRangesNoticePhantoms shows that a listing which commits with Done holds
// against keys that came, went or changed meanwhile.
func TestRangesNoticePhantoms(t *testing.T) {
	for name, c := range map[string]struct {
		to       string
		change   KVChange
		conflict bool
	}{
		"nothing":              {change: KVChange{Key: "other", Value: []byte("v")}},
		"a key came":           {change: KVChange{Key: "p/2", Value: []byte("v")}, conflict: true},
		"a key went":           {change: KVChange{Key: "p/1", Delete: true}, conflict: true},
		"a key changed":        {change: KVChange{Key: "p/3", Value: []byte("w")}, conflict: true},
		"beyond what was read": {to: "p/1", change: KVChange{Key: "p/2", Value: []byte("v")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.write(1, "p/1", "v")
			b.write(2, "p/3", "v")
			var sum RangeSum
			for key, item := range b.bot().KVScan("p/", "") {
				if c.to == "" || key <= c.to {
					sum.Add(key, item.Version)
				}
			}
			b.must(events(1, 1, message(2, 40)), &KVWrite{Bot: testBot, ID: 9, Change: c.change})
			d := done(1, "log", joe)
			d.Ranges = []KVRange{{Prefix: "p/", To: c.to, Sum: sum.Sum()}}
			if got := b.do(d)[0].Code; (got == Conflict) != c.conflict {
				t.Errorf("answered %v", got)
			}
		})
	}
}

// TestChoresSurviveASnapshot shows that schedules, locks, presences, programs
// and expiry are in a snapshot.
func TestChoresSurviveASnapshot(t *testing.T) {
	b := setup(t)
	b.must(
		&Program{Node: joe, Bots: []BotProgram{{Bot: testBot, Handlers: []Interest{{Type: "MESSAGE_CREATE", Handlers: []string{"h"}}}}}},
		&Tick{Bot: testBot, Name: "t", Due: 7}, &Lock{Bot: testBot, Name: "l", Node: joe},
		&Presence{Bot: testBot, Shard: 1, Raw: []byte(`{}`)},
		&KVWrite{Bot: testBot, ID: 1, Change: KVChange{Key: "k", Value: []byte("v"), Expires: 9}},
	)
	c, err := b.Capture()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var buf bytes.Buffer
	if _, err := c.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	m := NewMachine()
	if err := m.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if m.state.Digest() != b.state.Digest() || m.state.Recompute() != b.state.Digest() {
		t.Error("another digest")
	}
	back := m.state.bots[testBot]
	due, _ := back.LastTick("t")
	lock, _ := back.LockHolder("l")
	raw, rev := back.PresenceOf(1)
	at, _ := back.NextExpiry()
	if due != 7 || lock.Holder != joe || string(raw) != "{}" || rev != 1 || at != 9 || back.fence != 1 {
		t.Errorf("tick %d, lock %+v, presence %s (%d), expiry %d, fence %d", due, lock, raw, rev, at, back.fence)
	}
	if got := m.state.HandlersOf(joe, testBot, "MESSAGE_CREATE"); !slices.Equal(got, []string{"h"}) {
		t.Errorf("handlers %v", got)
	}
}
