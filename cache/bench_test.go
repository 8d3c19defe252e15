//go:build unix

package cache

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
)

// The population that docs/design/cache.md speaks of: 999,500 members in 10,000
// guilds, one of 50,000, 499 of 500, 4,500 of 100, 5,000 of 50, drawn from
// 200,000 users. BOTNODE_BENCH_SCALE divides it.
func population() (guildOf []int, users int) {
	scale := 1
	if n, err := strconv.Atoi(os.Getenv("BOTNODE_BENCH_SCALE")); err == nil && n > 0 {
		scale = n
	}
	guildOf = append(guildOf, 50_000/scale)
	for _, class := range []struct{ guilds, members int }{{499, 500}, {4500, 100}, {5000, 50}} {
		for range class.guilds / scale {
			guildOf = append(guildOf, class.members)
		}
	}
	return guildOf, 200_000 / scale
}

// benchID makes ids of Discord's length.
func benchID(class, n int) uint64 { return 200_000_000_000_000_000 + uint64(class)<<50 + uint64(n)<<22 }

// benchMember appends a member of 541 bytes or so.
func benchMember(out []byte, user, guild int) []byte {
	r := rand.New(rand.NewPCG(uint64(user), uint64(guild)))
	out = fmt.Appendf(out, `{"user":{"username":"user_name_%06d","public_flags":0,"primary_guild":null,"id":"%d","global_name":"User %d","display_name_styles":null,"discriminator":"0","collectibles":null,"bot":false,"avatar_decoration_data":null,"avatar":"%016x%016x"},`,
		user, benchID(1, user), user, user*7919, user*104729)
	return fmt.Appendf(out, `"roles":["%d","%d"],"premium_since":null,"pending":false,"nick":null,"mute":false,"joined_at":"2024-%02d-01T10:00:00.%06d+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null}`,
		benchID(2, r.IntN(5000)), benchID(2, r.IntN(5000)), 1+r.IntN(12), r.IntN(1_000_000))
}

// benchMessage returns a MESSAGE_CREATE of about 1.1 KB by a member of benchGuild.
func benchMessage(i, user, guild int) []byte {
	member := benchMember(nil, user, guild)
	cut := bytes.Index(member, []byte(`"roles"`))
	author := member[len(`{"user":`) : cut-1]
	return fmt.Appendf(nil, `{"type":0,"tts":false,"timestamp":"2025-05-05T10:11:12.131000+00:00","pinned":false,"nonce":"1368888888888888888","mentions":[],"mention_roles":[],"mention_everyone":false,"member":{%s,"id":"%d","flags":0,"embeds":[],"edited_timestamp":null,"content":"!ping a message","components":[],"channel_type":0,"channel_id":"%d","author":%s,"attachments":[],"guild_id":"%d"}`,
		member[cut:], benchID(4, i), benchID(3, guild), author, benchID(0, guild))
}

// benchGuild returns a GUILD_CREATE and its users, in the order of the list.
func benchGuild(g, members, users int) ([]byte, []int) {
	r := rand.New(rand.NewPCG(uint64(g), 1))
	out := fmt.Appendf(nil, `{"id":"%d","name":"guild %d","member_count":%d,"roles":[{"id":"%d","name":"everyone"}],"channels":[{"id":"%d","type":0,"name":"general"}],"members":[`,
		benchID(0, g), g, members, benchID(0, g), benchID(3, g))
	list := make([]int, members)
	start, step := r.IntN(users), 1+2*r.IntN(users/members/2+1)
	for i := range list {
		list[i] = (start + i*step) % users
		if i > 0 {
			out = append(out, ',')
		}
		out = benchMember(out, list[i], g)
	}
	return append(out, "]}"...), list
}

// populated is built once for all figures.
type populated struct {
	c       *Cache
	members [][2]discord.Snowflake // a sample: guild, user
	count   int
	json    int64
	build   time.Duration
	heap    uint64
}

func populate() *populated {
	sizes, users := population()
	p := &populated{c: New(DefaultPolicies())}
	heap := liveHeap()
	for g, n := range sizes {
		d, list := benchGuild(g, n, users)
		start := cpuTime()
		p.c.Apply(0, 1, "GUILD_CREATE", d)
		p.build += cpuTime() - start
		p.json += int64(len(d))
		p.count += n
		for i := 0; i < n; i += 10 {
			p.members = append(p.members, [2]discord.Snowflake{discord.Snowflake(benchID(0, g)), discord.Snowflake(benchID(1, list[i]))})
		}
	}
	p.heap = liveHeap() - heap
	return p
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpuTime returns the processor time of the process: on a busy machine it says
// more than the clock, though it holds the collector's work, too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestFigures prints the figures of docs/design/cache.md. It is a measurement,
// run by hand (BOTNODE_FIGURES=1 go test -run TestFigures -v ./cache).
func TestFigures(t *testing.T) {
	if os.Getenv("BOTNODE_FIGURES") == "" {
		t.Skip("a measurement that asserts no bound: set BOTNODE_FIGURES=1 to make it")
	}
	p := populate()
	c := p.c
	stats := c.Stats()
	t.Logf("members %d, users %d, guilds %d; built from %d MB of events at %v a member", stats[Members].Count, stats[Users].Count, stats[Guilds].Count, p.json>>20, p.build/time.Duration(p.count))
	raw := stats[Members].Bytes - overhead*int64(stats[Members].Count) + stats[Users].Bytes - overhead*int64(stats[Users].Count)
	t.Logf("heap %d MB, %d B a member; of it raw JSON %d B a member", p.heap>>20, int(p.heap)/p.count, int(raw)/p.count)
	start := time.Now()
	runtime.GC()
	t.Logf("forced GC %v", time.Since(start))

	r := rand.New(rand.NewPCG(1, 2))
	measure := func(name string, n int, f func(i int)) {
		start, cpu := time.Now(), cpuTime()
		for i := range n {
			f(i)
		}
		t.Logf("%-44s %8v each, %v of CPU", name, time.Since(start)/time.Duration(n), (cpuTime()-cpu)/time.Duration(n))
	}
	random := func() [2]discord.Snowflake { return p.members[r.IntN(len(p.members))] }
	measure("read a random member", 200_000, func(int) { m := random(); c.Member(m[0], m[1]) })
	measure("read the same member", 200_000, func(int) { c.Member(p.members[7][0], p.members[7][1]) })
	measure("read a random member with its user", 100_000, func(int) { m := random(); c.MemberWithUser(m[0], m[1]) })
	measure("fold over a guild of 50", 20_000, func(int) {
		g := discord.Snowflake(benchID(0, stats[Guilds].Count-1-r.IntN(stats[Guilds].Count/3)))
		n := 0
		for _, m := range c.GuildMembers(g) {
			n += len(m)
		}
	})
	digest := time.Now()
	c.Recompute()
	t.Logf("digest from scratch %v", time.Since(digest))

	message := func(i int, m [2]discord.Snowflake) []byte {
		return benchMessage(i, int((uint64(m[1])-benchID(1, 0))>>22), int((uint64(m[0])-benchID(0, 0))>>22))
	}
	warm := make([][]byte, 2000)
	for i := range warm {
		warm[i] = message(i, random())
	}
	seq := c.seq
	for i := range warm {
		c.Apply(0, 1, "MESSAGE_CREATE", warm[i])
	}
	if c.seq != seq {
		t.Errorf("messages that repeat what is known cost %d writes", c.seq-seq)
	}
	measure("MESSAGE_CREATE, warm, random member", 100_000, func(i int) { c.Apply(0, 1, "MESSAGE_CREATE", warm[i%len(warm)]) })
	measure("MESSAGE_CREATE, warm, one guild", 100_000, func(int) { c.Apply(0, 1, "MESSAGE_CREATE", warm[5]) })
	update := func(i int) {
		m := random()
		c.Apply(0, 1, "GUILD_MEMBER_UPDATE", fmt.Appendf(nil, `{"guild_id":"%d","user":{"id":"%d"},"nick":"nick %d"}`, uint64(m[0]), uint64(m[1]), i))
	}
	measure("GUILD_MEMBER_UPDATE (with making the event)", 50_000, update)

	captured := time.Now()
	cp := c.Capture()
	t.Logf("capture %v", time.Since(captured))
	measure("GUILD_MEMBER_UPDATE after a capture", 50_000, update)
	worst := time.Duration(0)
	for i := range 20_000 {
		cpu := cpuTime()
		update(i)
		worst = max(worst, cpuTime()-cpu)
	}
	t.Logf("the longest of 20,000 updates: %v of CPU", worst)
	sizes, users := population()
	chunk, _ := benchGuild(0, min(1000, sizes[0]), users)
	cpu := cpuTime()
	c.Apply(0, 1, "GUILD_CREATE", bytes.Replace(chunk, []byte(`{"id":"`), []byte(`{"id":"7`), 1))
	t.Logf("GUILD_CREATE of 1,000 members (%d KB): %v of CPU", len(chunk)>>10, cpuTime()-cpu)
	big, _ := benchGuild(0, sizes[0], users)
	for _, name := range []string{"GUILD_CREATE of the largest guild again", "the same once more"} {
		cpu := cpuTime()
		c.Apply(0, 1, "GUILD_CREATE", big)
		t.Logf("%s (%d MB): %v of CPU", name, len(big)>>20, cpuTime()-cpu)
	}
	cpu = cpuTime()
	c.Apply(0, 1, "GUILD_DELETE", fmt.Appendf(nil, `{"id":"%d"}`, benchID(0, 0)))
	t.Logf("GUILD_DELETE of it: %v of CPU", cpuTime()-cpu)
	start = time.Now()
	cpu = cpuTime()
	n, err := cp.WriteTo(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot of %d MB written in %v, %v of CPU", n>>20, time.Since(start), cpuTime()-cpu)
	snapshot := bytes.NewBuffer(make([]byte, 0, n))
	if _, err := cp.WriteTo(snapshot); err != nil {
		t.Fatal(err)
	}
	cp.Release()
	runtime.GC()
	start, cpu = time.Now(), cpuTime()
	if _, err := Read(snapshot, DefaultPolicies()); err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot read in %v, %v of CPU", time.Since(start), cpuTime()-cpu)
	sweepFigures(t, c)
	runtime.KeepAlive(p)
}

// sweepFigures changes the members' policy in turn, as the leader's commands do:
// each Sweep is what one log entry costs every node.
func sweepFigures(t *testing.T, c *Cache) {
	t.Helper()
	const step = 1000 // as package shard proposes it
	n := c.Stats()[Members].Count
	human := filter(t, `user.bot == false`)
	for _, change := range []struct {
		what string
		to   Policy
	}{
		{"from bounded to on", Policy{Mode: On}},
		{"from on to bounded, which drops none", Policy{Mode: Bounded, MaxCount: n}},
		{"a filter on the user, which drops none", Policy{Mode: Bounded, MaxCount: n, Filter: human}},
		{"a bound of nine tenths", Policy{Mode: Bounded, MaxCount: n * 9 / 10}},
		{"from on to a tenth", Policy{Mode: Bounded, MaxCount: n / 10}},
		{"off", Policy{Mode: Off}},
	} {
		p := c.Policies()
		p[Members] = change.to
		start, before := cpuTime(), c.Stats()[Members].Count
		c.SetPolicies(p)
		first := cpuTime() - start
		steps, worst, total := 0, time.Duration(0), time.Duration(0)
		for c.Sweeping() {
			start := cpuTime()
			c.Sweep(step)
			took := cpuTime() - start
			worst, total = max(worst, took), total+took
			steps++
		}
		t.Logf("members %s: %d -> %d; the change %v of CPU, then %d steps of %d objects: %v together, the longest %v",
			change.what, before, c.Stats()[Members].Count, first, steps, step, total, worst)
	}
}
