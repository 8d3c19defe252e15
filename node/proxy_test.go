package node_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/proxy"
)

// proxied is a lab whose nodes have proxies, and the key of a client.
type proxied struct {
	*lab.Lab
	t       *testing.T
	ctx     context.Context
	key     string
	servers map[string]*proxy.Server
}

func newProxied(t *testing.T, nodes int, o sim.Options) *proxied {
	t.Helper()
	o.GlobalLimit, o.NoRouteLimits = -1, true
	l, err := lab.New(lab.Options{
		Discord: o,
		Program: func(string) node.Program { return node.Program{Intents: discord.IntentsAll} },
		Fatal:   func(id string, err error) { t.Errorf("%s: %v", id, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	p := &proxied{Lab: l, t: t, ctx: ctx, servers: make(map[string]*proxy.Server)}
	t.Cleanup(func() {
		for _, s := range p.servers {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		cancel()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range nodes {
		if err := l.Add(ctx, fmt.Sprint("node", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	key, hash := proxy.NewKey(discord.Snowflake(sim.BotID))
	p.key = key
	p.propose(&fsm.PutClientKey{Bot: "default", Key: fsm.ClientKey{Name: "web", Hash: hash, Rights: fsm.RightEvents, At: 1}})
	for _, id := range l.Nodes() {
		p.serve(id) // whether it has heard of the key or not

	}
	return p
}

func (p *proxied) propose(cmd fsm.Command) {
	p.t.Helper()
	n := p.Node(p.Living()[0])
	if res, err := n.ProposeState(p.ctx, func(*fsm.State) fsm.Command { return cmd }); err != nil || res.Code != fsm.OK {
		p.t.Fatalf("%T: %+v, %v", cmd, res, err)
	}
}

// serve starts a node's proxy.
func (p *proxied) serve(id string) {
	p.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	if p.servers[id], err = proxy.New(proxy.Options{Listener: ln, Backend: p.Node(id)}); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends a node and its proxy, as the end of its process does.
func (p *proxied) kill(id string) {
	p.Kill(id)
	if err := p.servers[id].Close(); err != nil {
		p.t.Error(err)
	}
	delete(p.servers, id)
}

// follower is the session of a client that uses this project's own gateway.
type follower struct {
	p        *proxied
	compress gateway.Compression
	events   chan gateway.Dispatch
	gone     chan gateway.Closure
	hello    chan struct{}
	invalid  chan bool
	sid      string
	seq      int64
	conn     *gateway.Conn
}

func (f *follower) Hello(time.Duration)         { f.hello <- struct{}{} }
func (f *follower) Dispatch(e gateway.Dispatch) { f.events <- e }
func (f *follower) InvalidSession(again bool)   { f.invalid <- again }
func (f *follower) Reconnect()                  {}
func (f *follower) Latency(time.Duration)       {}
func (f *follower) Closed(c gateway.Closure)    { f.gone <- c }

// dial connects to a node's proxy.
func (p *proxied) dial(id string, c gateway.Compression) *follower {
	p.t.Helper()
	f := &follower{
		p: p, compress: c, events: make(chan gateway.Dispatch, 10_000), gone: make(chan gateway.Closure, 1),
		hello: make(chan struct{}, 1), invalid: make(chan bool, 1),
	}
	conn, err := gateway.Dial(p.ctx, gateway.Options{URL: "ws://" + p.servers[id].Addr().String(), Compression: c, Token: p.key, Sink: f})
	if err != nil {
		p.t.Fatal(err)
	}
	f.conn = conn
	go conn.Run()
	p.t.Cleanup(conn.Drop)
	select {
	case <-f.hello:
	case c := <-f.gone:
		f.gone <- c // for whoever reads on
	case <-p.ctx.Done():
		p.t.Fatal("no HELLO")
	}
	return f
}

func (f *follower) next() gateway.Dispatch {
	f.p.t.Helper()
	e, ok := f.more()
	if !ok {
		f.p.t.Fatal("the node has sent its client elsewhere")
	}
	return e
}

// more is next, and false if the node has sent its client elsewhere: on a starved
// machine no leader may have answered it for a second.
func (f *follower) more() (e gateway.Dispatch, ok bool) {
	f.p.t.Helper()
	select {
	case e := <-f.events:
		f.seq = e.Seq
		return e, true
	case c := <-f.gone:
		if c.Verdict != discord.VerdictResume {
			f.p.t.Fatalf("the connection has ended: %+v", c)
		}
	case <-f.p.ctx.Done():
		f.p.t.Fatal("no event came")
	}
	return e, false
}

// identify opens a session and reads what it begins with.
func (f *follower) identify(intents discord.Intents) (guilds int) {
	f.p.t.Helper()
	guilds, ok := f.begin(intents)
	if !ok {
		f.p.t.Fatal("the node has sent its client elsewhere")
	}
	return guilds
}

// begin is identify, and false if the node has sent its client elsewhere.
func (f *follower) begin(intents discord.Intents) (guilds int, ok bool) {
	f.p.t.Helper()
	f.conn.Identify(gateway.Identify{Intents: intents})
	e, ok := f.more()
	if !ok {
		return 0, false
	}
	if e.Type != discord.EventReady {
		f.p.t.Fatalf("instead of READY: %s", e.Type)
	}
	f.sid = jsonscan.String(jsonscan.Get(e.Data, "session_id"))
	_ = jsonscan.Elements(jsonscan.Get(e.Data, "guilds"), func([]byte) bool { guilds++; return true })
	for range guilds {
		if e, ok = f.more(); !ok {
			return 0, false
		}
		if e.Type != discord.EventGuildCreate {
			f.p.t.Fatalf("instead of a guild: %s", e.Type)
		}
	}
	return guilds, true
}

// messages reads events until it has seen the texts of so many messages.
func (f *follower) messages(n int) (texts []string) {
	f.p.t.Helper()
	for len(texts) < n {
		if e := f.next(); e.Type == discord.EventMessageCreate {
			texts = append(texts, jsonscan.String(jsonscan.Get(e.Data, "content")))
		}
	}
	return texts
}

// numbered says messages of numbered texts, and returns the texts.
func (p *proxied) numbered(from, n int) (texts []string) {
	p.t.Helper()
	for i := range n {
		text := fmt.Sprint("message ", from+i)
		if _, err := p.Discord().Say(sim.Say{Content: text}); err != nil {
			p.t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

const clientIntents = discord.IntentGuilds | discord.IntentGuildMembers | discord.IntentGuildMessages | discord.IntentMessageContent

// TestOwnGatewayTakesTheProxyForDiscord has this project's own client connect in
// each compression.
func TestOwnGatewayTakesTheProxyForDiscord(t *testing.T) {
	p := newProxied(t, 1, sim.Options{Guilds: 3, Members: 60})
	for i, c := range []gateway.Compression{gateway.None, gateway.ZlibStream, gateway.ZstdStream} {
		f := p.dial("node1", c)
		if n := f.identify(clientIntents); n != 3 {
			t.Errorf("%v: %d guilds", c, n)
		}
		want := p.numbered(100*i, 20)
		if got := f.messages(20); !slices.Equal(got, want) {
			t.Errorf("%v: %q", c, got)
		}
		f.conn.CloseSession()
		if c := <-f.gone; c.Code != discord.CloseNormal {
			t.Errorf("%+v", c)
		}
	}
	if sum := p.Discord().Ledger().Summary(); sum.Identifies != 1 {
		t.Errorf("%d IDENTIFYs reached Discord", sum.Identifies)
	}
}

// TestClientsSurviveTheirNode kills the node that a client is connected to, three
// times: the client goes on at another with everything in order.
func TestClientsSurviveTheirNode(t *testing.T) {
	p := newProxied(t, 3, sim.Options{Guilds: 2, Members: 5})
	f := p.dial("node1", gateway.ZstdStream)
	f.identify(clientIntents)
	said := 0
	var want, got []string
	at := "node1"
	for range 3 {
		want = append(want, p.numbered(said, 30)...)
		said += 30
		got = append(got, f.messages(10)...)
		p.kill(at)
		want = append(want, p.numbered(said, 30)...)
		said += 30
	drain:
		for { // what was on its way to the client counts as read
			select {
			case e := <-f.events:
				if f.seq = e.Seq; e.Type == discord.EventMessageCreate {
					got = append(got, jsonscan.String(jsonscan.Get(e.Data, "content")))
				}
			case <-f.gone:
				if len(f.events) == 0 {
					break drain
				}
				f.gone <- gateway.Closure{}
			}
		}
		dead := at
		at = p.Living()[0]
		g := p.dial(at, gateway.ZlibStream)
		g.conn.Resume(f.sid, f.seq)
		g.sid, g.seq = f.sid, f.seq
		f = g
		got = append(got, f.messages(said-len(got))...)
		if err := p.Restart(p.ctx, dead); err != nil {
			t.Fatal(err)
		}
		p.serve(dead)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d messages were said, %d came: %q", len(want), len(got), got)
	}
	if sum := p.Discord().Ledger().Summary(); sum.Identifies != 1 {
		t.Errorf("%d IDENTIFYs reached Discord", sum.Identifies)
	}
}

// TestDrainSendsClientsAway drains the node of a client, which goes on elsewhere;
// a session that nobody comes back to ends with its time.
func TestDrainSendsClientsAway(t *testing.T) {
	p := newProxied(t, 3, sim.Options{Guilds: 2, Members: 5})
	f := p.dial("node2", gateway.None)
	f.identify(clientIntents)
	if err := p.Node("node1").Drain(p.ctx, "node2", true); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-f.gone:
		if c.Verdict != discord.VerdictResume {
			t.Errorf("%+v", c)
		}
	case <-p.ctx.Done():
		t.Fatal("it isn't sent away")
	}
	want := p.numbered(0, 10)
	g := p.dial("node3", gateway.None)
	g.conn.Resume(f.sid, f.seq)
	if got := g.messages(10); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := p.Node("node2").Serving(); err == nil {
		t.Error("a node that is drained serves")
	}

	// Of a session that ends in a moment the leader hears by itself.
	p.propose(&fsm.OpenClient{Bot: "default", Session: fsm.ClientSession{
		SID: "short", Key: "web", Shards: 1, Node: p.Node("node1").Self(), Until: time.Now().UnixMilli() + 300,
	}})
	for {
		changed := p.Node("node1").Changed()
		var there, other bool
		p.Node("node1").State(func(s *fsm.State) {
			_, there = s.Bot("default").ClientSession("short")
			_, other = s.Bot("default").ClientSession(f.sid)
		})
		if !other {
			t.Fatal("a session that has time left is gone")
		}
		if !there {
			return
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			t.Fatal("the session doesn't end")
		}
	}
}

// TestMembersAreAskedForThroughTheProxy has Discord asked for members whom the
// cache doesn't have.
func TestMembersAreAskedForThroughTheProxy(t *testing.T) {
	p := newProxied(t, 3, sim.Options{Guilds: 1, Members: 1200})
	seen, ok := p.askMembers()
	for !ok { // as a library does, whose connection has ended
		seen, ok = p.askMembers()
	}
	if len(seen) != 1200 {
		t.Errorf("%d members", len(seen))
	}
}

// askMembers has a client ask for all members of the guild. It reports false if the
// node sent the client elsewhere meanwhile.
func (p *proxied) askMembers() (seen map[string]bool, ok bool) {
	p.t.Helper()
	f := p.dial("node3", gateway.ZstdStream)
	if _, ok := f.begin(clientIntents); !ok {
		return nil, false
	}
	guild := p.Discord().Info().Guilds[0]
	seen = make(map[string]bool)
	ask := fmt.Appendf(nil, `{"guild_id":"%d","query":"","limit":0,"nonce":"n"}`, guild)
	if err := f.conn.Send(p.ctx, discord.OpRequestGuildMembers, ask); err != nil {
		for ok := true; ok; _, ok = f.more() { // its end follows, or the test's
		}
		return nil, false
	}
	for last := false; !last; {
		e, ok := f.more()
		if !ok {
			return nil, false
		}
		if e.Type != discord.EventGuildMembersChunk || jsonscan.String(jsonscan.Get(e.Data, "nonce")) != "n" {
			p.t.Fatalf("%s %.100s", e.Type, e.Data)
		}
		_ = jsonscan.Elements(jsonscan.Get(e.Data, "members"), func(m []byte) bool {
			seen[jsonscan.String(jsonscan.Get(jsonscan.Get(m, "user"), "id"))] = true
			return true
		})
		index, _ := jsonscan.Int(jsonscan.Get(e.Data, "chunk_index"))
		count, _ := jsonscan.Int(jsonscan.Get(e.Data, "chunk_count"))
		last = index+1 == count
	}
	return seen, true
}

// TestClientsBeginAnewAfterARestore: a session of the proxy is of a generation, whose positions mean nothing in the next.
// A client that resumes one gets op 9, whichever node it asks, and goes on with a new one.
func TestClientsBeginAnewAfterARestore(t *testing.T) {
	p := newProxied(t, 3, sim.Options{Guilds: 2})
	f := p.dial("node2", gateway.None)
	f.identify(clientIntents)
	p.numbered(0, 3)
	f.messages(3)
	file := save(t, p.ctx, p.Node("node1"))
	if _, err := p.Node("node3").RestoreSnapshot(p.ctx, bytes.NewReader(file), admin.RestoreOptions{KeepSessions: true}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.invalid:
	case <-f.gone:
	case <-p.ctx.Done():
		t.Fatal("the connection of a session that is over goes on")
	}
	must(t, p.WaitSettled(p.ctx))
	for over := false; !over; {
		again := p.dial("node1", gateway.None)
		again.conn.Resume(f.sid, f.seq)
		select {
		case resumable := <-again.invalid:
			over = true
			if resumable {
				t.Error("op 9 says that the session can be resumed")
			}
		case <-again.gone: // sent elsewhere: the node isn't fresh yet
		case e := <-again.events:
			t.Fatalf("a session of the generation before goes on: %s", e.Type)
		case <-p.ctx.Done():
			t.Fatal("no op 9")
		}
	}
	again := p.dial("node1", gateway.None)
	again.identify(clientIntents)
	want := p.numbered(3, 3)
	if got := again.messages(3); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
