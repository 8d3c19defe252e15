package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/botnode/botnode/internal/mutant"
)

// watcher notes what a machine tells.
type watcher struct {
	applied  []uint64
	restored []uint64
	last     Changes
}

func (w *watcher) Applied(index uint64, c Changes) {
	w.applied, w.last = append(w.applied, index), c
}

func (w *watcher) Restored(index uint64) { w.restored = append(w.restored, index) }

// TestBadEntries shows that bytes which are no entry, or no command, have no
// effect but on the index, which goes on as on every other node.
func TestBadEntries(t *testing.T) {
	b := setup(t)
	w := &watcher{}
	b.Observe(w)
	was := b.state.Digest()
	for name, entry := range map[string][]byte{
		"empty":             {},
		"no packing":        {7, 1, 2},
		"truncated command": EncodeBatch([][]byte{Encode(1, &Up{Node: robert})[:4]}),
		"bytes left over":   EncodeBatch([][]byte{append(Encode(1, &Up{Node: robert}), 0)}),
		"empty command":     EncodeBatch([][]byte{nil}),
		"no flag":           EncodeBatch([][]byte{{byte(KindDrain), 1, 0, 2}}),
		"no shard":          EncodeBatch([][]byte{Encode(1, &Grant{Bot: testBot, Shard: ShardKey{Layout: 2, Index: 2}})}),
		"no type":           EncodeBatch([][]byte{append(Encode(1, events(1, 1))[:21], 1, 0, 2, 0, 0, 0, 0)}),
	} {
		changed := b.Changed()
		res := b.entry(entry)
		if len(res) != 1 || res[0].Code != Malformed || !strings.HasPrefix(res[0].Msg, ErrMalformed.Error()) {
			t.Errorf("%s: %+v", name, res)
		}
		if b.state.Digest() != was || b.Index() != b.next-1 || w.applied[len(w.applied)-1] != b.Index() {
			t.Errorf("%s: index %d, told of %v", name, b.Index(), w.applied)
		}
		select {
		case <-changed:
		default:
			t.Errorf("%s: who waits for the index wasn't woken", name)
		}
	}
	// One bad command of a batch doesn't spoil the others.
	res := b.entry(EncodeBatch([][]byte{{1}, Encode(1, &Up{Node: robert})}))
	if len(res) != 2 || res[0].Code != Malformed || res[1].Code != OK || !b.state.IsUp(robert) {
		t.Errorf("%+v", res)
	}
}

// TestUnknownKinds shows that a node skips what it may and stops before
// anything else, with the state of the entry before.
func TestUnknownKinds(t *testing.T) {
	up := Encode(1, &Up{Node: robert})
	for name, c := range map[string]struct {
		cmd  []byte
		stop bool
		as   any
	}{
		"skippable":   {[]byte{0x80 | 99, 1, 5, 5, 5}, false, nil},
		"unskippable": {[]byte{99, 1, 5}, true, new(*UnknownKindError)},
		"newer rules": {Encode(1, &Rules{N: KnownRules + 1}), true, new(*NewerRulesError)},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var fatal []error
			b.OnFatal = func(err error) { fatal = append(fatal, err) }
			was, index := b.state.Digest(), b.Index()
			res := b.entry(EncodeBatch([][]byte{up, c.cmd}))
			if !c.stop {
				if len(fatal) != 0 || res[0].Code != OK || res[1].Code != Refused {
					t.Errorf("%+v, %v", res, fatal)
				}
				return
			}
			if len(fatal) != 1 || !errors.As(fatal[0], c.as) || !strings.Contains(fatal[0].Error(), "upgrade") {
				t.Fatalf("told %v", fatal)
			}
			b.do(&Up{Node: robert})
			if b.state.Digest() != was || b.Index() != index || len(fatal) != 1 {
				t.Errorf("it went on to index %d; told %v", b.Index(), fatal)
			}
			if _, err := b.Capture(); err == nil {
				t.Error("a stopped machine gave a snapshot")
			}
		})
	}
}

// TestStrictNoticesDrift shows that strict mode can fail.
func TestStrictNoticesDrift(t *testing.T) {
	b := setup(t)
	var fatal error
	b.OnFatal = func(err error) { fatal = err }
	b.must(events(1, 1, message(2, 40)))
	b.pending()[0].Attempts++
	b.do(&Drain{ID: "joe", On: true})
	if fatal == nil {
		t.Error("an entry was written to, and strict mode is silent")
	}
}

func TestObserversAreToldOfARestore(t *testing.T) {
	b, from := setup(t), full(t)
	w := &watcher{}
	b.Observe(w)
	changed := b.Changed()
	if err := b.Restore(strings.NewReader(string(from.snapshot()))); err != nil {
		t.Fatal(err)
	}
	<-changed
	if len(w.restored) != 1 || w.restored[0] != from.Index() {
		t.Errorf("told of %v", w.restored)
	}
	b.View(func(index uint64, s *State) {
		if index != from.Index() || s.Bot(testBot) == nil || s.Bot("two") == nil {
			t.Errorf("index %d, bots %v", index, s.BotNames())
		}
	})
}

// TestChangesSayWhatTouched follows the marks beside the journal's changes.
func TestChangesSayWhatTouched(t *testing.T) {
	b := setup(t)
	w := &watcher{}
	b.Observe(w)
	for _, c := range []struct {
		cmd      Command
		shards   []ShardRef
		topology bool
	}{
		{events(1, 1, message(2, 40)), []ShardRef{{testBot, shard0}}, false},
		{events(1, 1, message(2, 40)), nil, false}, // old
		{done(1, "log", joe), nil, false},
		{&Sweep{Bot: testBot}, nil, false}, // old
		{&Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1"}, []ShardRef{{testBot, shard0}}, true},
		{&Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s2", S: 1, After: 1, Raw: []byte(`{}`)}, []ShardRef{{testBot, shard0}}, true},
		{&Reidentify{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s2"}, []ShardRef{{testBot, shard0}}, true},
		{&Drain{ID: "joe"}, nil, true},
	} {
		b.do(c.cmd)
		if !reflect.DeepEqual(w.last.Shards, c.shards) || w.last.Topology != c.topology {
			t.Errorf("%T: %v, %v", c.cmd, w.last.Shards, w.last.Topology)
		}
	}
}

// TestSameLogSameBytes runs one log on 20 machines, whose maps differ in order.
func TestSameLogSameBytes(t *testing.T) {
	log := full(t)
	for i := range uint32(8) {
		name := fmt.Sprint("bot", i)
		log.must(
			&Configure{Bot: name, Config: []byte(`{}`)}, &Layout{Bot: name, Total: 2, From: 0, To: 1},
			&Interests{Bot: name, List: []Interest{{Type: "MESSAGE_CREATE", Handlers: []string{"b", "a"}}, {Type: "X"}, {Type: "Y"}}},
			&Grant{Bot: name, Shard: shard0, To: joe}, &Grant{Bot: name, Shard: shard1, To: joe},
		)
		for _, k := range []ShardKey{shard0, shard1} {
			log.must(
				&Ready{Bot: name, Shard: k, Epoch: 1, SID: "s", S: 1, Raw: []byte(`{"user":{"id":"9"},"guilds":[]}`)},
				&Events{Bot: name, Shard: k, Epoch: 1, SID: "s", Prev: 1, Evs: []Event{message(2, 40), message(3, 41)}},
			)
		}
	}
	log.must(&Down{Node: joe})
	var small []byte
	var changes Changes
	var snap []byte
	for i := range 20 {
		b := newBench(t)
		b.Strict = false
		w := &watcher{}
		b.Observe(w)
		for _, entry := range log.log {
			b.entry(entry)
		}
		var enc writer
		b.state.encodeSmall(&enc)
		if i == 0 {
			small, changes, snap = enc.b, w.last, b.snapshot()
			if len(changes.Altered) < 32 {
				t.Fatalf("only %d entries were altered", len(changes.Altered))
			}
			continue
		}
		if string(enc.b) != string(small) || string(b.snapshot()) != string(snap) {
			t.Fatalf("run %d: other bytes", i)
		}
		if !reflect.DeepEqual(w.last, changes) {
			t.Fatalf("run %d: other changes, or in another order", i)
		}
	}
}

// TestMutants shows that each guard which can be taken out is there.
func TestMutants(t *testing.T) {
	late := events(1, 5, message(6, 40))
	for name, c := range map[string]struct {
		mutant mutant.Set
		cmd    Command
		raw    []byte
		code   Code
	}{
		"prev-chain":  {mutant: mutant.PrevChain, cmd: late, code: Gap},
		"dedupe":      {mutant: mutant.Dedupe, cmd: events(1, 0, message(1, 40)), code: Old},
		"done-guard":  {mutant: mutant.DoneGuard, cmd: done(1, "log", mike), code: Fenced},
		"ready-epoch": {mutant: mutant.ReadyEpoch, cmd: &Ready{Bot: testBot, Shard: shard0, Epoch: 7, SID: "x"}, code: Fenced},
		"generation":  {mutant: mutant.Generation, raw: Encode(9, &Up{Node: robert}), code: StaleGeneration},
	} {
		raw := c.raw
		if raw == nil {
			raw = Encode(1, c.cmd)
		}
		for _, set := range []mutant.Set{0, c.mutant} {
			b := setup(t)
			b.must(events(1, 1, message(2, 40)))
			b.state.Mutant = set
			r := b.entry(EncodeBatch([][]byte{raw}))[0]
			if (r.Code == c.code) == (set != 0) {
				t.Errorf("%s: with mutants %b answered %v", name, set, r.Code)
			}
		}
	}
}

// TestSmallEntriesTakeSmallBuffers: what an entry of the journal keeps in memory
// is in proportion to it, whatever came before.
func TestSmallEntriesTakeSmallBuffers(t *testing.T) {
	b := setup(t)
	var many []Event // of a type that nobody wants: nothing keeps them
	for s := int64(2); s < 300; s++ {
		e := message(s, 40)
		e.Type, e.Raw = "TYPING_START", append(bytes.Repeat([]byte(" "), 1000), e.Raw...)
		many = append(many, e)
	}
	b.must(&Interests{Bot: testBot, Rev: b.bot().InterestsRev, List: []Interest{{Type: "MESSAGE_CREATE", Handlers: []string{"log"}}}})
	b.must(events(1, 1, many...))
	large := cap(b.scratch)
	if large < 250_000 {
		t.Fatalf("the buffer of a large entry that nothing keeps was not kept for the next: %d bytes", large)
	}
	small := message(300, 40)
	small.Raw = append(bytes.Repeat([]byte(" "), 1000), small.Raw...)
	b.must(events(1, 299, small))
	if cap(b.scratch) != large {
		t.Errorf("an entry of 1 KB that the journal keeps took a buffer of %d bytes", large)
	}
	// What the journal keeps is nobody else's to write to.
	for s := int64(301); s < 310; s++ {
		b.must(events(1, s-1, message(s, 40)))
	}
	e, ok := b.bot().Entry(shard0, b.bot().LastPos-9)
	if !ok || string(e.Raw) != string(small.Raw) {
		t.Errorf("the kept entry has changed: %v, %.80q", ok, e.Raw)
	}
}
