package fsm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
)

var webKey = ClientKey{Name: "web", Hash: [32]byte{1}, Rights: RightEvents | RightREST, At: 5}

func opened(sid string, n NodeRef) *OpenClient {
	return &OpenClient{Bot: testBot, Session: ClientSession{
		SID: sid, Key: "web", Shards: 1, Intents: uint64(discord.IntentGuildMessages), Node: n, Until: 100, Conn: 7,
	}, Room: 2}
}

func TestClientKeyGuards(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey})
	more := webKey
	more.Rights |= RightRead
	other := webKey
	other.Hash = [32]byte{2}
	twin := webKey
	twin.Name = "twin"
	without := ClientKey{Name: "x", Hash: [32]byte{3}, At: 5}
	for what, c := range map[string]struct {
		key  ClientKey
		want Code
	}{
		"a repeat":          {webKey, OK},
		"other rights":      {more, OK},
		"another hash":      {other, Conflict},
		"another's hash":    {twin, Conflict},
		"without a right":   {without, Refused},
		"without a name":    {ClientKey{Hash: [32]byte{4}, Rights: RightRead, At: 5}, Refused},
		"an unknown right":  {ClientKey{Name: "x", Hash: [32]byte{4}, Rights: 64, At: 5}, Refused},
		"a name that's old": {ClientKey{Name: "y", Hash: [32]byte{5}, Rights: RightRead}, Old},
	} {
		if r := b.do(&PutClientKey{Bot: testBot, Key: c.key})[0]; r.Code != c.want {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if r := b.do(&DropClientKey{Bot: testBot, Name: "web", Hash: other.Hash})[0]; r.Code != Old {
		t.Errorf("dropped under another hash: %+v", r)
	}
	b.must(&DropClientKey{Bot: testBot, Name: "web", Hash: webKey.Hash})
	if r := b.do(&PutClientKey{Bot: testBot, Key: webKey})[0]; r.Code != Old {
		t.Errorf("a late repeat brings a revoked key back: %+v", r)
	}
	other.At++
	b.must(&PutClientKey{Bot: testBot, Key: other})
}

func TestClientSessionGuards(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey})
	b.must(opened("a", joe))
	if r := b.do(opened("a", joe))[0]; r.Code != OK || r.Version != 1 {
		t.Errorf("a repeat: %+v", r)
	}
	for what, change := range map[string]func(*ClientSession){
		"a session that exists":   func(s *ClientSession) { s.SID, s.Conn = "a", 8 },
		"a key that is unknown":   func(s *ClientSession) { s.Key = "nobody" },
		"a shard out of them":     func(s *ClientSession) { s.Shard = 1 },
		"a process that is gone":  func(s *ClientSession) { s.Node = NodeRef{ID: "joe", Inc: 99} },
		"a session without an id": func(s *ClientSession) { s.SID = "" },
	} {
		o := opened("b", joe)
		change(&o.Session)
		if r := b.do(o)[0]; r.Code == OK {
			t.Errorf("%s: %+v", what, r)
		}
	}

	attach := &AttachClient{Bot: testBot, SID: "a", Attach: 1, Conn: 9, Seq: 4, Node: mike, Until: 200}
	if r := b.do(attach)[0]; r.Code != OK || r.Version != 2 {
		t.Fatalf("%+v", r)
	}
	if r := b.do(attach)[0]; r.Code != OK || r.Version != 2 {
		t.Errorf("a repeat: %+v", r)
	}
	rival := *attach
	rival.Conn = 10
	if r := b.do(&rival)[0]; r.Code != Conflict || r.Version != 2 {
		t.Errorf("a second connection that saw the same: %+v", r)
	}
	if r := b.do(&TouchClient{Bot: testBot, SID: "a", Attach: 1, Seq: 50, Until: 500})[0]; r.Code != Old {
		t.Errorf("a word of the connection before: %+v", r)
	}
	if r := b.do(&CloseClient{Bot: testBot, SID: "a", Attach: 1})[0]; r.Code != Old {
		t.Errorf("closed by the connection before: %+v", r)
	}
	b.must(&TouchClient{Bot: testBot, SID: "a", Attach: 2, Seq: 3, Through: 5, Until: 150})
	if s := b.client("a"); s.Seq != 4 || s.Until != 200 || s.Node != mike {
		t.Errorf("what a client confirmed went back: %+v", s)
	}
	b.must(&ExpireClients{Bot: testBot, Now: 199})
	b.client("a")
	b.must(&ExpireClients{Bot: testBot, Now: 200})
	if r := b.do(attach)[0]; r.Code != Old {
		t.Errorf("a session that is over: %+v", r)
	}
	b.must(opened("b", joe))
	b.must(&DropClientKey{Bot: testBot, Name: "web", Hash: webKey.Hash})
	if n := len(b.bot().ClientSessions()); n != 0 {
		t.Errorf("%d sessions of a revoked key", n)
	}
}

// client returns a session that must be there.
func (b *bench) client(sid string) ClientSession {
	b.t.Helper()
	cs, ok := b.bot().ClientSession(sid)
	if !ok {
		b.t.Fatalf("no session %s", sid)
	}
	return cs
}

// TestClientsWiden checks that what a client may be sent enters the journal, and
// only as long as there is that client.
func TestClientsWiden(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey})
	invites := opened("a", joe)
	invites.Session.Intents = uint64(discord.IntentGuildInvites)
	wants := func(event string) bool { return b.bot().wants(nil, event) }
	if wants(discord.EventInviteCreate) || wants("SOMETHING_NEW") {
		t.Error("wanted by nobody")
	}
	b.must(invites)
	if !wants(discord.EventInviteCreate) || !wants("SOMETHING_NEW") || wants(discord.EventPresenceUpdate) || wants(discord.EventReady) {
		t.Error("not what the client may be sent")
	}
	b.must(&CloseClient{Bot: testBot, SID: "a", Attach: 1})
	if wants(discord.EventInviteCreate) {
		t.Error("wanted by a client that is gone")
	}
}

// TestConnectTellsClients: what another cluster has handled of a session is a gap
// for the clients that may have its guilds. Before the rules say so nothing ends.
func TestConnectTellsClients(t *testing.T) {
	for name, tc := range map[string]struct {
		rules uint64
		c     int64
		ends  bool
	}{
		"handled elsewhere": {rulesConnectEnds, 5, true},
		"nothing happened":  {rulesConnectEnds, 1, false},
		"older rules":       {rulesConnectEnds - 1, 5, false},
	} {
		b := setup(t)
		other := opened("other", joe)
		other.Session.Shard, other.Session.Shards = 1, 2
		b.must(
			&Rules{N: tc.rules}, &PutClientKey{Bot: testBot, Key: webKey}, opened("a", joe), other,
			&Disconnect{Bot: testBot, Shard: shard0, Epoch: 1},
			&Connect{Bot: testBot, Shard: shard0, Epoch: 2, SID: "s1", URL: "u", C: tc.c, At: 9},
		)
		if _, there := b.bot().ClientSession("a"); there == tc.ends {
			t.Errorf("%s: its session is there: %v", name, there)
		}
		b.client("other")
	}
}

func TestRightsText(t *testing.T) {
	for r := Rights(1); r <= allRights; r++ {
		if back, ok := ParseRights(r.String()); !ok || back != r {
			t.Errorf("%d is written %q, which is read as %d", r, r, back)
		}
	}
	for _, s := range []string{"", "events,", "write", "events;rest"} {
		if _, ok := ParseRights(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestChunksAreForWhoAsked shows that the answers to others' requests don't push
// out of the journal what clients need.
func TestChunksAreForWhoAsked(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey}, opened("a", joe))
	s := int64(1)
	journaled := func(event, d string) bool {
		before := b.bot().LastPos
		s++
		b.must(events(1, s-1, Event{S: s, Type: event, Guild: 7, Raw: []byte(d)}))
		return b.bot().LastPos > before
	}
	for d, want := range map[string]bool{
		`{"guild_id":"7","members":[],"nonce":"bnp-1"}`:            true,
		`{"guild_id":"7","members":[],"nonce":"botnode-verify-1"}`: false,
		`{"guild_id":"7","members":[]}`:                            false,
	} {
		if got := journaled(discord.EventGuildMembersChunk, d); got != want {
			t.Errorf("%s: %v", d, got)
		}
	}
	for d, want := range map[string]bool{
		`{"opcode":8,"meta":{"guild_id":"7","nonce":"bnp-1"}}`: true,
		`{"opcode":8,"meta":{"guild_id":"7"}}`:                 false,
	} {
		if got := journaled(discord.EventRateLimited, d); got != want {
			t.Errorf("%s: %v", d, got)
		}
	}
	b.must(&Interests{Bot: testBot, Rev: b.bot().InterestsRev, List: []Interest{{Type: discord.EventGuildMembersChunk}}})
	if !journaled(discord.EventGuildMembersChunk, `{"guild_id":"7"}`) {
		t.Error("somebody else wants them all")
	}
}

// TestOneKeyCrowdsOutNoOther fills what a key may have: its session that would be
// over first makes room, and no other key's.
func TestOneKeyCrowdsOutNoOther(t *testing.T) {
	c := newClients()
	c.sessions["other"] = &ClientSession{SID: "other", Key: "other", Until: 1}
	for i := range MaxKeySessions {
		sid := fmt.Sprint(i)
		c.sessions[sid] = &ClientSession{SID: sid, Key: "web", Until: int64(10 + (i+7)%MaxKeySessions), Intents: uint64(i) & 1}
	}
	c.makeRoom(NewState(), "other")
	if len(c.sessions) != MaxKeySessions+1 {
		t.Fatalf("%d sessions: one that had room lost one", len(c.sessions))
	}
	c.makeRoom(NewState(), "web")
	if _, there := c.sessions[fmt.Sprint(MaxKeySessions-7)]; there || len(c.sessions) != MaxKeySessions {
		t.Errorf("%d sessions, the one that would be over first is there: %t", len(c.sessions), there)
	}
	if c.sessions["other"] == nil || c.intents != 1 {
		t.Errorf("intents %v", c.intents)
	}
}

// TestClientsRev: whoever looks at sessions only when this changes misses nothing,
// a replaced state included, and isn't called for heartbeats.
func TestClientsRev(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey}, opened("a", joe), opened("b", joe))
	rev := b.state.ClientsRev()
	quiet := func(what string, want bool) {
		t.Helper()
		if now := b.state.ClientsRev(); now == rev != want {
			t.Errorf("%s: %d, then %d", what, rev, now)
		}
		rev = b.state.ClientsRev()
	}
	b.must(events(1, 1, message(2, 40)), &TouchClient{Bot: testBot, SID: "a", Attach: 1, Until: 150})
	quiet("events and heartbeats", true)
	snapshot := b.snapshot()
	b.must(&AttachClient{Bot: testBot, SID: "a", Attach: 1, Conn: 9, Node: mike, Until: 200})
	quiet("another connection", false)
	b.must(&CloseClient{Bot: testBot, SID: "b", Attach: 1})
	quiet("a session's end", false)
	without := webKey
	without.Rights = RightREST
	b.must(&PutClientKey{Bot: testBot, Key: without})
	quiet("a right that is gone", false)
	if err := b.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if now := b.state.ClientsRev(); now <= rev {
		t.Errorf("a replaced state has %d after %d", now, rev)
	}
}

// TestOpenIsNotRepeatedAfterTheEnd: from rules 3 on what opened a session opens no
// other one after its end, however it ended, and a snapshot keeps that.
func TestOpenIsNotRepeatedAfterTheEnd(t *testing.T) {
	weak := webKey
	weak.Rights = RightREST
	for name, end := range map[string][]Command{
		"closed":        {&CloseClient{Bot: testBot, SID: "a", Attach: 1}},
		"expired":       {&ExpireClients{Bot: testBot, Now: 1000}},
		"without right": {&PutClientKey{Bot: testBot, Key: weak}, &PutClientKey{Bot: testBot, Key: webKey}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, rules := range []uint64{2, 3} {
				b := setup(t)
				b.must(&Rules{N: rules}, &PutClientKey{Bot: testBot, Key: webKey})
				open := opened("a", joe)
				open.Gaps = b.bot().OpenMark()
				b.must(open)
				b.must(end...)
				restored, _, err := ReadSnapshot(bytes.NewReader(b.snapshot()))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := restored.bots[testBot].OpenMark(), b.bot().OpenMark(); got != want {
					t.Errorf("rules %d: the mark is %d after a snapshot, and was %d", rules, got, want)
				}
				want := Conflict
				if rules < 3 {
					want = OK // no version before has it
				}
				if r := b.do(open)[0]; r.Code != want {
					t.Errorf("rules %d: a repeat after the end: %+v", rules, r)
				}
			}
		})
	}
}
