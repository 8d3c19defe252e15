package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// world is the true state. Its lock is also what orders events: whoever changes
// the state dispatches the event before letting go of it, so every session sees
// changes in the order in which they were made. Lock order: world, hub, session,
// conn; no I/O happens under any of them.
type world struct {
	mu     sync.Mutex
	guilds []*guild
	byID   map[ID]*guild
	// owner is the guild of each channel and thread.
	owner map[ID]*guild
	dms   map[ID]ID // channel -> recipient
	msgs  map[ID]*history
	rng   *rand.Rand
	users int64 // users numbered so far
	ids   idGen
}

// guild is one guild. Its rows never hold guild_id: GUILD_CREATE leaves it out
// and other events add it.
type guild struct {
	id          ID
	index       int
	base        raw // the fields of a guild object without the lists
	joined      string
	channels    table
	roles       table
	emojis      table
	threads     table
	members     memberSet
	voice       map[ID]raw // by user
	presences   map[ID]raw // by user
	text        []ID       // text channels that load may use
	unavailable bool
	requested   map[string]time.Time // op 8 for all members: last by session
}

// ts formats a time as Discord does.
func ts(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }

// newRand is repeatable for a seed.
func newRand(seed int64) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 0)) }

func newWorld(o *Options) *world {
	w := &world{
		byID: map[ID]*guild{}, owner: map[ID]*guild{}, dms: map[ID]ID{}, msgs: map[ID]*history{},
		rng: newRand(o.Seed),
	}
	for i := range max(0, o.Guilds) {
		size := o.Members
		if i < len(o.GuildSizes) {
			size = o.GuildSizes[i]
		}
		w.addGuild(o, max(1, size))
	}
	return w
}

// addGuild makes a guild; its ids are fixed by its index, not by the clock.
func (w *world) addGuild(o *Options, members int) *guild {
	i := len(w.guilds)
	g := &guild{
		id: guildID(i), index: i, joined: "2021-03-04T05:06:07.000000+00:00",
		channels: newTable(o.Channels), roles: newTable(o.Roles), emojis: newTable(o.Emojis), threads: newTable(o.Threads),
		voice: map[ID]raw{}, presences: map[ID]raw{}, requested: map[string]time.Time{},
		members: memberSet{first: w.users, n: members, gone: map[int]bool{}, changed: map[ID]raw{}},
	}
	w.users += int64(members)
	next := g.id
	id := func() ID { next += 1 << 8; return next }
	g.base = baseGuild(g)
	g.roles.put(g.id, roleObject(g.id, "@everyone", 0))
	for r := 1; r < o.Roles; r++ {
		role := id()
		g.roles.put(role, roleObject(role, fmt.Sprintf("role %d", r), r))
		g.members.roles = append(g.members.roles, role)
	}
	for c := range max(0, o.Channels) {
		w.placeChannel(g, id(), 0, fmt.Sprintf("text-%d", c), c)
	}
	for c := range max(0, o.VoiceChannels) {
		w.placeChannel(g, id(), 2, fmt.Sprintf("voice-%d", c), o.Channels+c)
	}
	for e := range max(0, o.Emojis) {
		em := id()
		g.emojis.put(em, emojiObject(em, fmt.Sprintf("emoji_%d", e)))
	}
	for t := range max(0, o.Threads) {
		if len(g.text) > 0 {
			th := id()
			w.placeThread(g, th, threadObject(th, g.text[t%len(g.text)], g.members.id(0), fmt.Sprintf("thread %d", t)))
		}
	}
	for p := 0; p < min(o.Presences, members-1); p++ {
		u := g.members.id(p + 1)
		g.presences[u] = presenceObject(u, "online")
	}
	w.guilds = append(w.guilds, g)
	w.byID[g.id] = g
	return g
}

func (w *world) placeChannel(g *guild, id ID, kind int, name string, pos int) {
	g.channels.put(id, channelObject(id, kind, name, pos))
	w.owner[id] = g
	if kind == 0 {
		g.text = append(g.text, id)
	}
}

func (w *world) placeThread(g *guild, id ID, r raw) {
	g.threads.put(id, r)
	w.owner[id] = g
}

// guildOf is the guild with the id, or nil.
func (w *world) guildOf(id ID) *guild { return w.byID[id] }

// at is guild i modulo their number, skipping those that are gone or unavailable.
func (w *world) at(i int) *guild {
	for k := range w.guilds {
		if g := w.guilds[(i+k)%len(w.guilds)]; w.byID[g.id] == g && !g.unavailable {
			return g
		}
	}
	return nil
}
