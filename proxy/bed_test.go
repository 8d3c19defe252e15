package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bedBot  = "default"
	bedSelf = 99
)

// tb is what these tests need of a test, or of one run of a property.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
	Context() context.Context
}

// bed is a log and the nodes that apply it: what package proxy sees of a cluster.
type bed struct {
	t      tb
	mu     sync.Mutex // guards what follows, and the order of the log
	log    [][]byte
	nodes  []*bedNode
	s      int64 // of the bot's own session
	sid    string
	others map[int]int64 // the same of the bot's other shards
	epoch  uint64        // of its shard's owner
	key    string
	shard  fsm.ShardKey // the bot's own first one, on which all events come
	spoke  []spoken
	heard  chan struct{} // closed and replaced when something is spoken
}

// spoken is what was to be sent to Discord.
type spoken struct {
	shard int
	op    discord.Opcode
	d     string
}

// bedNode is one node: it may lag behind the log until it has to catch up.
type bedNode struct {
	*bed
	machine *fsm.Machine
	self    fsm.NodeRef
	applied int
	lags    bool
	away    atomic.Pointer[error] // why it may not serve
	cut     atomic.Bool           // it has no quorum to ask
	asked   atomic.Int64          // how often it has asked one
	server  *Server
}

// guildID is a guild of a virtual shard i of n, if n divides a million.
func guildID(i int) discord.Snowflake { return discord.Snowflake(1_000_000+i) << 22 }

type bedOptions struct {
	nodes   int
	shards  int // of the bot itself
	guilds  int
	members int // of each guild, besides the bot
	retain  int64
	intents discord.Intents // of the bot itself; 0 is all
	noReady bool
	begun   int // how many of the bot's shards have a session; 0 is all
	times   times
	config  string // more of the configuration's JSON
}

func newBed(t tb, o bedOptions) *bed {
	t.Helper()
	if o.retain == 0 {
		o.retain = 64 << 20
	}
	if o.intents == 0 {
		o.intents = discord.IntentsAll
	}
	b := &bed{t: t, heard: make(chan struct{}), others: make(map[int]int64), sid: "s1", epoch: 1, shard: fsm.ShardKey{Layout: uint32(max(1, o.shards))}}
	for i := range max(1, o.nodes) {
		n := &bedNode{bed: b, machine: fsm.NewMachine(), self: fsm.NodeRef{ID: fmt.Sprint("node", i+1), Inc: 1}}
		b.nodes = append(b.nodes, n)
	}
	b.must(&fsm.Init{ClusterID: "c"}, &fsm.Rules{N: fsm.KnownRules})
	for _, n := range b.nodes {
		b.must(&fsm.Up{Node: n.self})
	}
	key, hash := NewKey(bedSelf)
	b.key = key
	b.must(
		&fsm.Configure{Bot: bedBot, Config: fmt.Appendf(nil, `{"intents":%d,"retain_bytes":%d%s}`, o.intents, o.retain, o.config)},
		&fsm.Layout{Bot: bedBot, Total: b.shard.Layout, To: b.shard.Layout - 1},
		&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "web", Hash: hash, Rights: fsm.RightEvents, At: 1}},
	)
	for i := range b.shard.Layout {
		b.must(&fsm.Grant{Bot: bedBot, Shard: b.own(int(i)), To: b.nodes[0].self})
	}
	if o.begun == 0 {
		o.begun = int(b.shard.Layout)
	}
	if !o.noReady {
		for i := range o.begun {
			b.ready(i)
		}
	}
	for i := range o.guilds {
		b.guild(guildID(i), o.members)
	}
	for _, n := range b.nodes {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if n.server, err = New(Options{Listener: ln, Backend: n, times: o.times}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(b.close)
	return b
}

// close ends the nodes' servers.
func (b *bed) close() {
	for _, n := range b.nodes {
		if n.server == nil {
			continue
		}
		if err := n.server.Close(); err != nil {
			b.t.Error(err)
		}
		n.server = nil
	}
}

// own names a shard of the bot's own.
func (b *bed) own(i int) fsm.ShardKey { return fsm.ShardKey{Layout: b.shard.Layout, Index: uint32(i)} }

// ready has the own session of a shard of the bot begin. Its READY names guilds.
func (b *bed) ready(shard int, guilds ...discord.Snowflake) {
	b.t.Helper()
	if b.others[shard] = 1; shard == 0 {
		b.s = 1
	}
	list := make([]string, 0, len(guilds))
	for _, g := range guilds {
		list = append(list, fmt.Sprintf(`{"id":"%d","unavailable":true}`, g))
	}
	b.must(&fsm.Ready{
		Bot: bedBot, Shard: b.own(shard), Epoch: 1, SID: "s" + fmt.Sprint(shard+1), URL: "wss://a", S: 1, At: 1,
		Raw: fmt.Appendf(nil, `{"v":10,"user":{"id":"%d","username":"bot"},"guilds":[%s],"application":{"id":"%d","flags":5}}`,
			bedSelf, strings.Join(list, ","), bedSelf),
	})
}

// guild has a guild come: one channel, a voice state, and so many members.
func (b *bed) guild(id discord.Snowflake, members int) {
	list := fmt.Appendf(nil, `{"user":{"id":"%d","username":"bot"},"roles":[]}`, bedSelf)
	for i := range members {
		list = fmt.Appendf(list, `,{"user":{"id":"%d","username":"user%d"},"roles":[],"nick":null}`, 1000+i, i)
	}
	d := fmt.Appendf(nil, `{"id":"%d","name":"guild","member_count":%d,"channels":[{"id":"%d","type":0,"name":"c"}],"roles":[],`+
		`"emojis":[],"stickers":[],"threads":[],"voice_states":[],"presences":[],"members":[%s]}`, id, members+1, id+1, list)
	b.emit(discord.EventGuildCreate, id, d)
}

// lost has the own session of a shard of the bot end.
func (b *bed) lost(shard int) {
	b.t.Helper()
	b.must(&fsm.Lost{Bot: bedBot, Shard: b.own(shard), Epoch: 1, SID: "s" + fmt.Sprint(shard+1)})
}

// emit has an event of the bot's own session committed.
func (b *bed) emit(kind string, guild discord.Snowflake, d []byte) {
	b.must(b.event(kind, guild, d))
}

func (b *bed) event(kind string, guild discord.Snowflake, d []byte) *fsm.Events {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s++
	return &fsm.Events{Bot: bedBot, Shard: b.shard, Epoch: b.epoch, SID: b.sid, Prev: b.s - 1, At: 1, Evs: []fsm.Event{{
		S: b.s, Type: kind, Guild: guild, Lane: guild, Raw: d, Slices: cache.Slice(d).Slices,
	}}}
}

// say has a message come.
func (b *bed) say(guild discord.Snowflake, text string) {
	b.emit(discord.EventMessageCreate, guild, fmt.Appendf(nil,
		`{"id":"5","channel_id":"%d","guild_id":"%d","content":%q,"author":{"id":"7"}}`, guild+1, guild, text))
}

func (b *bed) must(cmds ...fsm.Command) {
	b.t.Helper()
	for _, c := range cmds {
		if r := b.commit(b.nodes[0], func(*fsm.State) fsm.Command { return c }); r.Code != fsm.OK {
			b.t.Fatalf("%T: %v %s", c, r.Code, r.Msg)
		}
	}
}

// commit appends a command that a node makes, and has all nodes apply it that
// don't lag.
func (b *bed) commit(by *bedNode, build func(*fsm.State) fsm.Command) fsm.Result {
	var raw []byte
	by.machine.View(func(_ uint64, s *fsm.State) { raw = fsm.Encode(s.Generation, build(s)) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, fsm.EncodeBatch([][]byte{raw}))
	var res fsm.Result
	for _, n := range b.nodes {
		if n.lags && n != by {
			continue
		}
		r := n.catchUp()
		if n == by {
			res = r
		}
	}
	return res
}

// catchUp applies the rest of the log and returns the last result. The bed's
// lock is held.
func (n *bedNode) catchUp() (last fsm.Result) {
	for ; n.applied < len(n.log); n.applied++ {
		rs := n.machine.Apply(uint64(n.applied+1), n.log[n.applied]).([]fsm.Result)
		last = rs[len(rs)-1]
	}
	return last
}

// setLag has a node stay behind the log, or go with it again.
func (n *bedNode) setLag(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lags = on; !on {
		n.catchUp()
	}
}

// setAway has a node say that it may not serve.
func (n *bedNode) setAway(reason string) {
	if reason == "" {
		n.away.Store(nil)
		return
	}
	err := errors.New(reason)
	n.away.Store(&err)
}

func (n *bedNode) Self() fsm.NodeRef { return n.self }

func (n *bedNode) ViewState(f func(*fsm.State)) {
	n.machine.View(func(_ uint64, s *fsm.State) { f(s) })
}

func (n *bedNode) Sync(context.Context) error {
	n.asked.Add(1)
	if n.cut.Load() {
		return errors.New("no quorum")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.catchUp()
	return nil
}

func (n *bedNode) Changed() <-chan struct{} { return n.machine.Changed() }

func (n *bedNode) ProposeState(_ context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	return n.commit(n, build), nil
}

func (n *bedNode) Serving() error {
	if err := n.away.Load(); err != nil {
		return *err
	}
	return nil
}

func (n *bedNode) Speak(_ context.Context, _ string, shard int, op discord.Opcode, d []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spoke = append(n.spoke, spoken{shard, op, string(d)})
	close(n.heard)
	n.heard = make(chan struct{})
	return nil
}

func (n *bedNode) REST(string) (http.RoundTripper, string, error) {
	return nil, "", errors.New("no REST here")
}

// spokenNext waits until the i-th payload was spoken.
func (b *bed) spokenNext(i int) spoken {
	b.t.Helper()
	for {
		b.mu.Lock()
		heard := b.heard
		if len(b.spoke) > i {
			defer b.mu.Unlock()
			return b.spoke[i]
		}
		b.mu.Unlock()
		select {
		case <-heard:
		case <-b.t.Context().Done():
			b.t.Fatal("nothing was spoken")
		}
	}
}

// sessions returns the sessions of clients as a node has them.
func (n *bedNode) sessions() (out []fsm.ClientSession) {
	n.ViewState(func(s *fsm.State) { out = s.Bot(bedBot).ClientSessions() })
	return out
}
