package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// state is a state machine with a bot whose caches are full.
type state struct {
	m      *fsm.Machine
	index  uint64
	key    fsm.ShardKey
	seq    int64
	guilds []discord.Snowflake
	// members is a sample of (guild, user).
	members [][2]discord.Snowflake
	count   int
}

const perGuild = 100

func id(class, n int) uint64 { return 200_000_000_000_000_000 + uint64(class)<<50 + uint64(n)<<22 }

// fill applies READY and GUILD_CREATEs until members are cached. One guild of
// ten members stands for the small ones.
func fill(members int) *state {
	s := &state{m: fsm.NewMachine(), key: fsm.ShardKey{Layout: 1, Index: 0}}
	node := fsm.NodeRef{ID: "joe", Inc: 1}
	s.apply(&fsm.Up{Node: node}, &fsm.Configure{Bot: "default", Config: []byte("{}")},
		&fsm.Layout{Bot: "default", Total: 1}, &fsm.Grant{Bot: "default", Shard: s.key, To: node})
	s.apply(&fsm.Ready{Bot: "default", Shard: s.key, Epoch: 1, SID: "s", S: 1, Raw: []byte(`{"user":{"id":"1"},"guilds":[]}`)})
	s.seq = 1
	users := members / 5
	for g := 0; s.count < members; g++ {
		n := perGuild
		if g == 0 {
			n = 10
		}
		s.events(s.guildCreate(g, n, users))
	}
	return s
}

func (s *state) guildCreate(g, n, users int) fsm.Event {
	guild := discord.Snowflake(id(0, g))
	s.guilds = append(s.guilds, guild)
	out := fmt.Appendf(nil, `{"id":"%d","name":"guild %d","member_count":%d,"roles":[],"channels":[],"members":[`, guild, g, n)
	r := rand.New(rand.NewPCG(uint64(g), 1))
	start := r.IntN(users)
	for i := range n {
		u := (start + i*7) % users
		if i > 0 {
			out = append(out, ',')
		}
		out = appendMember(out, u)
		if i == n/2 {
			s.members = append(s.members, [2]discord.Snowflake{guild, discord.Snowflake(id(1, u))})
		}
		s.count++
	}
	return fsm.Event{Type: discord.EventGuildCreate, Guild: guild, Lane: guild, Raw: append(out, "]}"...)}
}

// appendMember appends a member of about 541 bytes, the mean of real ones.
func appendMember(out []byte, user int) []byte {
	out = fmt.Appendf(out, `{"user":{"username":"user_name_%06d","public_flags":0,"primary_guild":null,"id":"%d","global_name":"User %d","display_name_styles":null,"discriminator":"0","collectibles":null,"bot":false,"avatar_decoration_data":null,"avatar":"%016x%016x"},`,
		user, id(1, user), user, user*7919, user*104729)
	return fmt.Appendf(out, `"roles":["%d","%d"],"premium_since":null,"pending":false,"nick":null,"mute":false,"joined_at":"2024-%02d-01T10:00:00.%06d+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null}`,
		id(2, user%5000), id(2, user%4999), 1+user%12, user%1_000_000)
}

func (s *state) apply(cmds ...fsm.Command) {
	var b [][]byte
	for _, c := range cmds {
		b = append(b, fsm.Encode(1, c))
	}
	s.index++
	s.m.Apply(s.index, fsm.EncodeBatch(b))
}

func (s *state) events(evs ...fsm.Event) {
	prev := s.seq
	for i := range evs {
		s.seq++
		evs[i].S = s.seq
	}
	s.apply(&fsm.Events{Bot: "default", Shard: s.key, Epoch: 1, SID: "s", Prev: prev, Evs: evs})
}

// update changes a random member's nick.
func (s *state) update(n int) fsm.Event {
	m := s.members[n%len(s.members)]
	raw := fmt.Appendf(nil, `{"guild_id":"%d","user":{"id":"%d"},"nick":"n%d","roles":[]}`, m[0], m[1], n)
	return fsm.Event{Type: discord.EventGuildMemberUpdate, Guild: m[0], Lane: m[0], Raw: raw}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// caches measures what cached members cost and how fast they are read.
func caches(t *table, members int) error {
	before := heap()
	s := fill(members)
	used := heap() - before
	t.add(fmt.Sprintf("heap a cached member, at %d", s.count), "", "%.0f B", float64(used)/float64(s.count))
	s.m.View(func(_ uint64, st *fsm.State) {
		c := st.Bot("default").Cache()
		const reads = 2_000_000
		begun, found := time.Now(), 0
		for i := range reads {
			m := s.members[(i*7919)%len(s.members)]
			if _, ok := c.Member(m[0], m[1]); ok {
				found++
			}
		}
		took := time.Since(begun)
		t.add("member reads, one goroutine", "", "%.2f M/s (%.0f ns), %d of %d found", float64(reads)/took.Seconds()/1e6,
			float64(took.Nanoseconds())/reads, found, reads)
		t.add(fmt.Sprintf("fold over a guild of 10 in %d members", s.count), "<= 10 us", "%.2f us", fold(c, s.guilds[0]))
	})
	return nil
}

// fold returns the microseconds that looking at every member of a guild takes.
func fold(c *cache.Cache, guild discord.Snowflake) float64 {
	const rounds = 20_000
	begun, seen := time.Now(), 0
	for range rounds {
		for _, raw := range c.GuildMembers(guild) {
			if len(raw) > 0 {
				seen++
			}
		}
	}
	if seen != 10*rounds {
		panic("the guild has not the ten members that it was given")
	}
	return float64(time.Since(begun).Nanoseconds()) / rounds / 1000
}

// snapshotRounds is how many snapshots are measured: the longest apply beside
// one is a matter of chance.
const snapshotRounds = 5

// snapshots measures snapshots that are written while events are applied, and
// the restore of the last.
func snapshots(t *table, members int) error {
	s := fill(members)
	f, err := os.CreateTemp("", "botnode-bench-snapshot-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()

	var took, captures, stalls, control []time.Duration
	applied, size := 0, int64(0)
	for range snapshotRounds {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r, err := s.snapshot(f, &applied)
		if err != nil {
			return err
		}
		took, captures, stalls, size = append(took, r.took), append(captures, r.capture), append(stalls, r.stall), r.size
		control = append(control, s.busy(r.took, &applied))
	}
	t.add(fmt.Sprintf("snapshot at %d members", s.count), "", "median of %d: %.2f s, %.0f MB, beside %d applied events in all",
		snapshotRounds, median(took).Seconds(), float64(size)/1e6, applied)
	t.add("capture (applies stand still)", "", "median %.2f ms", ms(median(captures)))
	t.add("longest apply during a snapshot", "<= 10 ms", "median %.2f ms, worst %.2f ms", ms(median(stalls)), ms(slices.Max(stalls)))
	t.add("the same beside a loop that only counts", "", "median %.2f ms, worst %.2f ms", ms(median(control)), ms(slices.Max(control)))

	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	fresh := fsm.NewMachine()
	begun := time.Now()
	if err := fresh.Restore(io.LimitReader(f, size)); err != nil {
		return err
	}
	t.add("restore of it, verified", "", "%.2f s", time.Since(begun).Seconds())
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// median returns the middle of some figures.
func median[T cmp.Ordered](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// written is what one snapshot took.
type written struct {
	took, capture, stall time.Duration
	size                 int64
}

// snapshot writes a snapshot while it goes on applying events, which it counts.
func (s *state) snapshot(to io.Writer, applied *int) (written, error) {
	begun := time.Now()
	capture, err := s.m.Capture()
	if err != nil {
		return written{}, err
	}
	defer capture.Release()
	w := written{capture: time.Since(begun)}
	done := make(chan error, 1)
	go func() {
		n, err := capture.WriteTo(to)
		w.size = n
		done <- err
	}()
	w.stall, err = s.applyUntil(done, applied)
	w.took = time.Since(begun)
	return w, err
}

// busy is what snapshot is measured against: the longest apply in as long a
// time beside a loop that takes a core but does nothing, which is what the
// machine and the scheduler alone do to an apply.
func (s *state) busy(long time.Duration, applied *int) time.Duration {
	done := make(chan error, 1)
	go func() {
		for begun := time.Now(); time.Since(begun) < long; {
			runtime.KeepAlive(begun)
		}
		done <- nil
	}()
	stall, _ := s.applyUntil(done, applied)
	return stall
}

// applyUntil applies events until done answers, and returns the longest apply.
func (s *state) applyUntil(done <-chan error, applied *int) (longest time.Duration, err error) {
	for {
		select {
		case err := <-done:
			return longest, err
		default:
			one := time.Now()
			s.events(s.update(*applied))
			longest = max(longest, time.Since(one))
			*applied++
		}
	}
}
