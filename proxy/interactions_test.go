package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/tries"
)

// interact has the bot be sent an interaction, which its reader read at a time.
func (b *bed) interact(id int, token string, at time.Time) {
	b.t.Helper()
	e := b.event(discord.EventInteractionCreate, guildID(0), fmt.Appendf(nil, `{"id":"%d","application_id":"%d","guild_id":"%d","token":%q}`, id, bedSelf, guildID(0), token))
	e.At = at.UnixMilli()
	b.must(e)
}

// answered reports whether a node takes a request that shows no key. (It then
// finds that it has no way to Discord.)
func (n *bedNode) answered(path string, header ...string) bool {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, "http://"+n.server.Addr().String()+"/api/v10"+path, strings.NewReader(`{"type":5}`))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Error(err)
		return false
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusServiceUnavailable {
		n.t.Errorf("%s: %s", path, res.Status)
	}
	return res.StatusCode == http.StatusServiceUnavailable
}

// restKey gives the bed's bot a client that may send requests.
func (b *bed) restKey() {
	b.t.Helper()
	_, hash := NewKey(bedSelf)
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "all", Hash: hash, Rights: fsm.RightEvents | fsm.RightREST, At: 1}})
}

// TestAnyNodeTakesAnAnswer: an interaction's token is all that an answer needs,
// at whichever node and from whichever address it comes.
func TestAnyNodeTakesAnAnswer(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	const token = "aW50ZXJhY3Rpb246abc"
	b.interact(1, token, time.Now())
	n := b.nodes[1]
	if n.answered("/interactions/1/" + token + "/callback") {
		t.Error("no client of the bot may send requests")
	}
	b.restKey()
	b.interact(2, "aW50ZXJhY3Rpb246old", time.Now().Add(-fsm.InteractionLife*time.Millisecond))
	b.interact(3, "strange token/with%slash", time.Now())
	for path, want := range map[string]bool{
		"/interactions/1/" + token + "/callback":                     true,
		"/webhooks/99/" + token:                                      true,
		"/webhooks/99/" + token + "/messages/@original":              true,
		"/interactions/3/strange%20token%2Fwith%25slash/callback":    false, // a slash in a segment is no path of the API
		"/interactions/2/" + token + "/callback":                     false,
		"/interactions/1/" + token + "x/callback":                    false,
		"/interactions/x/" + token + "/callback":                     false,
		"/webhooks/1/" + token:                                       false,
		"/webhooks/99/an-ordinary-token":                             false,
		"/interactions/2/aW50ZXJhY3Rpb246old/callback":               false,
		"/interactions/1//callback":                                  false,
		"/channels/1/" + token:                                       false,
		"/interactions/1/" + strings.Repeat("x", 5000) + "/callback": false,
	} {
		if got := n.answered(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
	if !n.answered("/interactions/1/"+token+"/callback", "Origin", "https://activity.example") {
		t.Error("a web page that knows the token")
	}
}

// TestAnswerOvertakesItsInteraction: a client answers what one node has told it at
// another that hasn't heard of it yet.
func TestAnswerOvertakesItsInteraction(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	b.restKey()
	n := b.nodes[1]
	n.setLag(true)
	b.interact(1, "aW50ZXJhY3Rpb246abc", time.Now())
	answered := make(chan bool)
	go func() { answered <- n.answered("/interactions/1/aW50ZXJhY3Rpb246abc/callback") }()
	await(t, "the answer's coming", func() bool {
		n.server.rest.waits.mu.Lock()
		defer n.server.rest.waits.mu.Unlock()
		return n.server.rest.waits.all == 1
	})
	n.setLag(false)
	if !<-answered {
		t.Error("refused")
	}
}

// TestWrongTokensWaitWithinBounds: who makes tokens up can't have many requests
// wait.
func TestWrongTokensWaitWithinBounds(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	s := b.nodes[0].server
	for range maxInteractionWaitsOf {
		if s.rest.waits.take(HashKey(tries.NetOf("127.0.0.1:1").String())) == nil {
			t.Fatal("no place")
		}
	}
	begun := time.Now()
	if b.nodes[0].answered("/interactions/1/aW50ZXJhY3Rpb246abc/callback") {
		t.Error("taken")
	}
	if d := time.Since(begun); d > interactionWait/2 {
		t.Errorf("one too many waits %v", d)
	}
}
