package proxy

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// TestAwayNodeTakesNobody: a client whose connection is accepted and ends before
// RESUMED may take its session for ended, as disgo does. So it isn't accepted.
func TestAwayNodeTakesNobody(t *testing.T) {
	n := newBed(t, bedOptions{guilds: 1}).nodes[0]
	n.setAway("it has only just started")
	ws, res, err := websocket.DefaultDialer.Dial("ws://"+n.server.Addr().String()+"/", nil)
	if !errors.Is(err, websocket.ErrBadHandshake) {
		t.Fatalf("%v %v", ws, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	n.setAway("")
	n.dial("").begun(bedIntents, "")
}

// TestAwayNodeSendsNobodyAwayWhoResumes: a node that is away for longer than its
// patience tells the clients whose sessions are under way; one that is about to
// resume waits, and resumes when the node is back.
func TestAwayNodeSendsNobodyAwayWhoResumes(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	n := b.nodes[0]
	c, live := n.dial(""), n.dial("")
	c.begun(bedIntents, "")
	live.begun(bedIntents, "")
	c.drop()
	d := n.dial("")
	n.setAway("no leader answers")
	d.resume(c.sid, c.seq)
	for m := live.next(); m.Op != discord.OpReconnect; m = live.next() { // guilds first
	}
	n.setAway("")
	if got := d.replayed(); len(got) > 0 {
		t.Errorf("replayed %v", got)
	}
}

// TestAwayNodeRefusesNoKey: a node that has just started knows no key yet. A 401
// has discord.js forget its token, so there is none.
func TestAwayNodeRefusesNoKey(t *testing.T) {
	st := onHandler(t, func(http.ResponseWriter, *http.Request) {})
	err := errors.New("it has only just started")
	st.away.Store(&err)
	for _, auth := range []string{"Bot " + st.key + "x", "-"} {
		if g := st.do("GET", "/api/v10/users/@me", nil, "Authorization", auth); g.status != http.StatusServiceUnavailable || g.own() != "not_fresh" {
			t.Errorf("%.5s: %d %s", auth, g.status, g.text)
		}
	}
	st.away.Store(nil)
	if g := st.do("GET", "/api/v10/users/@me", nil, "Authorization", "Bot "+st.key+"x"); g.status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d %s", g.status, g.text)
	}
}

// TestSessionVouchesForItsAddress: discord.js answers interactions without a key.
// At a node where the bot has only resumed, that is all it may ever send.
func TestSessionVouchesForItsAddress(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	n := b.nodes[0]
	answer := func() int {
		t.Helper()
		res, err := http.Post("http://"+n.server.Addr().String()+"/api/v10/interactions/1/token/callback", "application/json", strings.NewReader(`{"type":5}`))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode
	}
	if code := answer(); code != http.StatusUnauthorized {
		t.Errorf("a stranger's: %d", code)
	}
	n.dial("").begun(bedIntents, "")
	if code := answer(); code != http.StatusUnauthorized {
		t.Errorf("that of a client without the right to requests: %d", code)
	}
	key, hash := NewKey(bedSelf)
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "all", Hash: hash, Rights: fsm.RightEvents | fsm.RightREST, At: 1}})
	b.key = key
	n.dial("").begun(bedIntents, "")
	if code := answer(); code != http.StatusServiceUnavailable { // it has no way to Discord
		t.Errorf("a client's: %d", code)
	}
}
