package fsm

import "testing"

func eventCases() []guardCase {
	c := func(want int64) func(*bench) bool {
		return func(b *bench) bool { return b.shard(shard0).C == want }
	}
	three := events(1, 1, message(2, 40), message(5, 40), message(6, 44))
	jump := events(1, 1, message(9, 40))
	jump.Jump = true
	foreign := events(1, 1, message(2, 40))
	foreign.SID = "s0"
	return []guardCase{
		{name: "in order", cmd: three, holds: func(b *bench) bool { return c(6)(b) && len(b.pending()) == 3 }},
		{
			name: "overlapping", before: []Command{events(1, 1, message(2, 40))}, cmd: three,
			holds: func(b *bench) bool { return c(6)(b) && len(b.pending()) == 3 },
		},
		{name: "old", before: []Command{three}, cmd: events(1, 1, message(2, 40), message(5, 40)), code: Old, holds: c(6)},
		{name: "after a hole", cmd: events(1, 2, message(3, 40)), code: Gap, holds: c(1)},
		{name: "of a fenced owner", cmd: events(0, 1, message(2, 40)), code: Fenced, holds: c(1)},
		{name: "of another session", cmd: foreign, code: Fenced, holds: c(1)},
		{name: "of no session", before: []Command{&Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1"}}, cmd: three, code: Fenced},
		{name: "none", cmd: events(1, 1), code: Refused, msg: "without events"},
		{name: "of no bot", cmd: &Events{Bot: "x", Shard: shard0}, code: Refused, msg: "no such bot"},
		{
			name: "that jump", cmd: jump,
			holds: func(b *bench) bool {
				return c(9)(b) && len(b.bot().Gaps) == 1 && b.bot().Gaps[0] == GapRecord{Shard: shard0, Kind: "jump", From: 1, To: 9, At: 2000}
			},
		},
		{
			name: "that repeat themselves", cmd: events(1, 1, message(3, 40), message(3, 40), message(2, 40), message(4, 40)),
			holds: func(b *bench) bool { return c(4)(b) && len(b.pending()) == 2 },
		},
	}
}

func entryCases() []guardCase {
	one := events(1, 1, message(2, 40))
	before := []Command{one}
	left := func(handlers ...string) func(*bench) bool {
		return func(b *bench) bool {
			p := b.pending()
			if len(handlers) == 0 {
				return len(p) == 0
			}
			return len(p) == 1 && len(p[0].Handlers) == len(handlers) && p[0].Handlers[0] == handlers[0]
		}
	}
	conflict, ok, large := done(1, "log", joe), done(1, "log", joe), done(1, "log", joe)
	conflict.Reads = []KVRead{{Key: "k", Version: 9}}
	conflict.Writes = []KVChange{{Key: "k", Value: []byte("v")}}
	ok.Reads = []KVRead{{Key: "k"}}
	ok.Writes = conflict.Writes
	large.Writes = []KVChange{{Key: "k", Value: []byte("v")}, {Key: "l", Value: make([]byte, MaxValue+1)}}
	fail := func(by NodeRef, attempts uint32, alone bool) *Fail {
		return &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: by, Attempts: attempts, Alone: alone, Failed: []HandlerError{{Handler: "log", Err: "boom"}, {Handler: "ping", Err: "bang"}}}
	}
	buried := []Command{one, fail(joe, 0, false), fail(joe, 1, false), fail(joe, 2, false), fail(joe, 3, false), fail(joe, 4, false)}
	return []guardCase{
		{name: "done", before: before, cmd: ok, holds: func(b *bench) bool {
			item, _ := b.bot().KVGet("k")
			return left("ping")(b) && string(item.Value) == "v" && item.Version == 1
		}},
		{name: "last done", before: append(before[:1:1], done(1, "ping", joe)), cmd: ok, holds: left()},
		{name: "done of another handler", before: before, cmd: done(1, "x", joe), code: Old, holds: left("log", "ping")},
		{name: "done of another runner", before: before, cmd: done(1, "log", mike), code: Fenced, holds: left("log", "ping")},
		{name: "done of no entry", before: before, cmd: done(2, "log", joe), code: Old},
		{name: "done in conflict", before: before, cmd: conflict, code: Conflict, msg: "k has changed", holds: left("log", "ping")},
		{name: "done too large", before: before, cmd: large, code: Refused, msg: "256 KiB", holds: left("log", "ping")},
		{name: "done of no shard", cmd: &Done{Bot: "x", Shard: shard0}, code: Refused},
		{name: "fail", before: before, cmd: fail(joe, 0, false), holds: func(b *bench) bool { return b.pending()[0].Attempts == 1 }},
		{name: "fail alone", before: before, cmd: fail(joe, 0, true), holds: func(b *bench) bool {
			return b.pending()[0].Attempts == 0 && b.pending()[0].Alone
		}},
		{name: "fail after alone", before: append(before[:1:1], fail(joe, 0, true)), cmd: fail(joe, 0, false), holds: func(b *bench) bool {
			return b.pending()[0].Attempts == 1 && !b.pending()[0].Alone
		}},
		{name: "fail of another runner", before: before, cmd: fail(mike, 0, false), code: Fenced},
		{name: "fail of an older attempt", before: append(before[:1:1], fail(joe, 0, false)), cmd: fail(joe, 0, false), code: Old},
		{name: "fail of no entry", cmd: fail(joe, 0, false), code: Old},
		{name: "fail at the limit", before: buried[:5], cmd: buried[5], holds: func(b *bench) bool {
			d := b.bot().DeadLetters()
			return left()(b) && len(d) == 1 && d[0].Err == "boom; bang" && d[0].Entry.Attempts == 5
		}},
		{name: "fail of no shard", cmd: &Fail{Bot: "x", Shard: shard0}, code: Refused},
		{name: "retry", before: buried, cmd: &Dead{Bot: testBot, Pos: 1, Retry: true}, holds: func(b *bench) bool {
			return b.bot().DeadCount() == 0 && b.pending()[0].Attempts == 0 && b.pending()[0].Runner == joe
		}},
		{name: "drop", before: buried, cmd: &Dead{Bot: testBot, Pos: 1}, holds: func(b *bench) bool {
			return b.bot().DeadCount() == 0 && left()(b)
		}},
		{name: "drop of none", cmd: &Dead{Bot: testBot, Pos: 1}, code: Old},
		{name: "drop of no bot", cmd: &Dead{Bot: "x", Pos: 1}, code: Refused},
	}
}

func kvCases() []guardCase {
	put := func(id uint64, key, value string) *KVWrite {
		return &KVWrite{Bot: testBot, ID: id, Change: KVChange{Key: key, Value: []byte(value)}}
	}
	at := func(id uint64, key string, version uint64, del bool) *KVWrite {
		return &KVWrite{
			Bot: testBot, ID: id, Conditional: true, IfVersion: version,
			Change: KVChange{Key: key, Value: []byte("new"), Delete: del},
		}
	}
	value := func(key, want string) func(*bench) bool {
		return func(b *bench) bool {
			item, _ := b.bot().KVGet(key)
			return string(item.Value) == want
		}
	}
	long := string(make([]byte, MaxKey+1))
	return []guardCase{
		{name: "put", cmd: put(1, "k", "v"), holds: value("k", "v")},
		{name: "put over", before: []Command{put(1, "k", "v")}, cmd: put(2, "k", "w"), holds: value("k", "w")},
		{name: "put if absent", cmd: at(1, "k", 0, false), holds: value("k", "new")},
		{name: "put if there", before: []Command{put(1, "k", "v")}, cmd: at(2, "k", 1, false), holds: value("k", "new")},
		{name: "put in conflict", before: []Command{put(1, "k", "v")}, cmd: at(2, "k", 0, false), code: Conflict, holds: value("k", "v")},
		{name: "delete", before: []Command{put(1, "k", "v")}, cmd: at(2, "k", 1, true), holds: func(b *bench) bool {
			return b.bot().KVLen() == 0 && b.bot().KVBytes() == 0
		}},
		{name: "delete in conflict", before: []Command{put(1, "k", "v")}, cmd: at(2, "k", 5, true), code: Conflict, holds: value("k", "v")},
		{name: "add to nothing", cmd: &KVWrite{Bot: testBot, ID: 1, Change: KVChange{Key: "n", Add: 3}}, holds: value("n", "3")},
		{
			name: "add to a number", before: []Command{put(1, "n", "40")},
			cmd: &KVWrite{Bot: testBot, ID: 2, Change: KVChange{Key: "n", Add: -50}}, holds: value("n", "-10"),
		},
		{
			name: "add to no number", before: []Command{put(1, "n", "many")},
			cmd: &KVWrite{Bot: testBot, ID: 2, Change: KVChange{Key: "n", Add: 1}}, code: Refused, msg: "no number", holds: value("n", "many"),
		},
		{
			name: "add too much", before: []Command{put(1, "n", "9223372036854775807")},
			cmd: &KVWrite{Bot: testBot, ID: 2, Change: KVChange{Key: "n", Add: 1}}, code: Refused, msg: "too large",
		},
		{name: "no request number", cmd: put(0, "k", "v"), code: Refused, msg: "request number"},
		{name: "no key", cmd: put(1, "", "v"), code: Refused, msg: "1 to 512 bytes"},
		{name: "long key", cmd: put(1, long, "v"), code: Refused},
		{name: "long value", cmd: put(1, "k", string(make([]byte, MaxValue+1))), code: Refused},
		{name: "no bot", cmd: &KVWrite{Bot: "x", ID: 1, Change: KVChange{Key: "k"}}, code: Refused, msg: "no such bot"},
	}
}

// TestStaleGeneration shows that what was proposed before a restore is void,
// whatever its kind, but for a Renew.
func TestStaleGeneration(t *testing.T) {
	b := setup(t)
	b.must(&Renew{Generation: 2, KeepSessions: true})
	was := b.state.Digest()
	for kind, cmd := range samples() {
		if timeless(cmd) {
			continue
		}
		r := b.entry(EncodeBatch([][]byte{Encode(1, cmd)}))[0]
		if r.Code != StaleGeneration || r.Version != 2 || b.state.Digest() != was {
			t.Errorf("kind %d: %v %q", kind, r.Code, r.Msg)
		}
	}
}
