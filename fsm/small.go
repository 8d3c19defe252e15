package fsm

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/botnode/botnode/cache"
)

// The small part of the state is everything but journals, key-value items and
// caches: it is captured and hashed whole.

func (s *State) encodeSmall(w *writer) {
	w.string(s.ClusterID)
	w.uint(s.Generation)
	w.uint(s.Rules)
	w.uint(uint64(len(s.nodes)))
	for _, id := range sortedKeys(s.nodes, strings.Compare) {
		n := s.nodes[id]
		w.string(id)
		w.uint(n.Inc)
		w.bool(n.Up)
		w.bool(n.Draining)
		w.bool(n.Enlisted)
		w.uint(uint64(n.Weight))
		w.uint(uint64(n.MaxShards))
	}
	w.uint(uint64(len(s.programs)))
	for _, ref := range s.sortedPrograms() {
		w.ref(ref)
		encodePrograms(w, s.programs[ref].list())
	}
	w.uint(uint64(len(s.bots)))
	for _, name := range sortedKeys(s.bots, strings.Compare) {
		s.bots[name].encodeSmall(w)
	}
	s.encodeExtensions(w)
}

func (b *Bot) encodeSmall(w *writer) {
	w.string(b.Name)
	w.bytes(b.Config.encode())
	w.uint(b.ConfigRev)
	w.uint(uint64(b.Layout))
	w.uint(b.LastPos)
	w.int(int64(b.Budget.Remaining))
	w.int(int64(b.Budget.Limit))
	w.int(int64(b.Budget.MaxConcurrency))
	w.uint(b.GapCount)
	w.uint(b.kv.rev)
	// What follows from the retained entries is here for the digest: they
	// aren't hashed one by one.
	w.uint(b.RetainedFirst())
	w.int(b.journal.bytes)
	w.uint(b.InterestsRev)
	encodeInterests(w, b.interests.list())
	w.uint(uint64(len(b.permits)))
	for _, key := range sortedKeys(b.permits, cmp.Compare[uint32]) {
		p := b.permits[key]
		w.uint(uint64(key))
		w.shard(p.Shard)
		w.uint(p.Epoch)
		w.uint(p.Ask)
		w.bool(p.Held)
	}
	w.uint(uint64(len(b.shards)))
	for _, sh := range b.sortedShards() {
		sh.encode(w)
	}
	w.uint(uint64(len(b.Gaps)))
	for _, g := range b.Gaps {
		w.shard(g.Shard)
		w.string(g.Kind)
		w.int(g.From)
		w.int(g.To)
		w.int(g.At)
	}
	w.uint(uint64(len(b.kv.recent)))
	for _, r := range b.kv.recent {
		w.uint(r.id)
		w.uint(r.version)
		w.bool(r.conflict)
		w.bool(r.refused)
	}
	b.encodeChores(w)
	w.uint(b.Sweeps)
	w.uint(b.PinRev)
	b.encodeClients(w)
}

// encodeChores writes schedules, locks and presences.
func (b *Bot) encodeChores(w *writer) {
	w.uint(uint64(len(b.ticks)))
	for _, name := range sortedNames(b.ticks) {
		w.string(name)
		w.int(b.ticks[name])
	}
	w.uint(b.fence)
	w.uint(uint64(len(b.locks)))
	b.Locks(func(name string, l LockState) {
		w.string(name)
		w.ref(l.Holder)
		w.uint(l.Fence)
	})
	w.uint(b.presenceRev)
	w.uint(uint64(len(b.presences)))
	for _, shard := range sortedKeys(b.presences, cmp.Compare[uint32]) {
		w.uint(uint64(shard))
		w.bytes(b.presences[shard].raw)
		w.uint(b.presences[shard].rev)
	}
}

func (b *Bot) decodeChores(r *reader) {
	for range r.count(2) {
		name := r.string()
		b.ticks[name] = r.int()
	}
	b.fence = r.uint()
	for range r.count(4) {
		name := r.string()
		b.locks[name] = LockState{Holder: r.ref(), Fence: r.uint()}
	}
	b.presenceRev = r.uint()
	for range r.count(3) {
		shard := r.uint32()
		b.presences[shard] = presence{raw: r.bytes(), rev: r.uint()}
	}
}

func (b *Bot) sortedShards() []*Shard {
	keys := sortedKeys(b.shards, func(x, y ShardKey) int {
		if x.less(y) {
			return -1
		}
		return 1
	})
	out := make([]*Shard, 0, len(keys))
	for _, k := range keys {
		out = append(out, b.shards[k])
	}
	return out
}

func (sh *Shard) encode(w *writer) {
	w.shard(sh.Key)
	w.uint(sh.Epoch)
	w.ref(sh.Owner)
	w.ref(sh.From)
	w.byte(byte(sh.Why))
	w.string(sh.SID)
	w.string(sh.URL)
	w.int(sh.C)
	w.uint(sh.Sessions)
	w.bool(sh.Parked)
	w.uint(sh.Intents)
	w.bool(sh.Planned)
	w.string(sh.Pin)
	w.byte(byte(sh.PinWhy))
}

func (s *State) decodeSmall(r *reader) {
	s.ClusterID, s.Generation, s.Rules = r.string(), r.uint(), r.uint()
	for range r.count(7) {
		id := r.string()
		s.nodes[id] = &Node{
			Inc: r.uint(), Up: r.bool(), Draining: r.bool(), Enlisted: r.bool(), Weight: r.uint32(), MaxShards: r.uint32(),
		}
	}
	for range r.count(3) {
		ref := r.ref()
		s.programs[ref] = newHandlersByBot(decodePrograms(r))
	}
	for range r.count(21) {
		b := newBot(r.string())
		b.decodeSmall(r)
		s.bots[b.Name] = b
	}
	s.decodeExtensions(r)
}

func (b *Bot) decodeSmall(r *reader) {
	if err := json.Unmarshal(r.bytes(), &b.Config); err != nil && r.err == nil {
		r.fail("a configuration that is not JSON")
	}
	b.ConfigRev, b.Layout, b.LastPos = r.uint(), r.uint32(), r.uint()
	b.Budget = IdentifyBudget{Remaining: int(r.int()), Limit: int(r.int()), MaxConcurrency: int(r.int())}
	b.GapCount, b.kv.rev = r.uint(), r.uint()
	_, _, b.InterestsRev = r.uint(), r.int(), r.uint()
	b.interests = newHandlerTable(decodeInterests(r))
	for range r.count(6) {
		key := r.uint32()
		p := PermitHolder{Shard: r.shard(), Epoch: r.uint(), Ask: r.uint()}
		b.permits[key] = permit{PermitHolder: p, Held: r.bool()}
	}
	for range r.count(17) {
		sh := &Shard{pending: new(pendingTree)}
		sh.decode(r)
		b.shards[sh.Key] = sh
	}
	for range r.count(6) {
		b.Gaps = append(b.Gaps, GapRecord{Shard: r.shard(), Kind: r.string(), From: r.int(), To: r.int(), At: r.int()})
	}
	for range r.count(4) {
		b.kv.recent = append(b.kv.recent, kvRequest{id: r.uint(), version: r.uint(), conflict: r.bool(), refused: r.bool()})
	}
	b.decodeChores(r)
	b.Sweeps = r.uint()
	b.PinRev = r.uint()
	b.decodeClients(r)
	policies, err := b.Config.Policies()
	if err != nil && r.err == nil {
		r.fail("a cache policy that is unknown")
	}
	b.cache = cache.New(policies)
}

func (sh *Shard) decode(r *reader) {
	sh.Key, sh.Epoch, sh.Owner, sh.From = r.shard(), r.uint(), r.ref(), r.ref()
	sh.Why, sh.SID, sh.URL, sh.C, sh.Sessions = Why(r.byte()), r.string(), r.string(), r.int(), r.uint()
	sh.Parked = r.bool()
	sh.Intents, sh.Planned = r.uint(), r.bool()
	sh.Pin, sh.PinWhy = r.string(), Why(r.byte())
}

func (e *Entry) encode(w *writer) {
	w.string(e.Bot)
	w.uint(e.Pos)
	w.shard(e.Shard)
	w.string(e.SID)
	w.int(e.S)
	w.string(e.Type)
	w.uint(uint64(e.Guild))
	w.uint(uint64(e.Lane))
	w.int(e.At)
	w.bytes(e.Raw)
	w.bytes(e.Before)
	w.strings(e.Handlers)
	w.ref(e.Runner)
	w.uint(uint64(e.Attempts))
	w.uint(uint64(e.Deaths))
	w.bool(e.Alone)
	w.byte(byte(e.Why))
	w.uint(uint64(e.Retries))
}

func decodeEntry(r *reader) *Entry {
	e := new(Entry)
	e.Bot, e.Pos, e.Shard, e.SID, e.S, e.Type = r.string(), r.uint(), r.shard(), r.string(), r.int(), r.string()
	e.Guild, e.Lane, e.At = snowflake(r), snowflake(r), r.int()
	e.Raw, e.Before = r.bytes(), r.bytes()
	if len(e.Before) == 0 {
		e.Before = nil
	}
	e.Handlers, e.Runner, e.Attempts, e.Deaths = r.strings(), r.ref(), r.uint32(), r.uint32()
	e.Alone, e.Why, e.Retries = r.bool(), Why(r.byte()), r.uint32()
	return e
}
