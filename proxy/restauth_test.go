package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/tries"
)

// TestRights: which key may send what.
func TestRights(t *testing.T) {
	st := onHandler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	all := st.key
	for _, k := range []struct {
		name   string
		rights fsm.Rights
		get    int
		post   int
	}{
		{"all", fsm.RightEvents | fsm.RightREST | fsm.RightRead, 204, 204},
		{"rest", fsm.RightREST, 204, 204},
		{"read", fsm.RightRead, 204, 403},
		{"events-read", fsm.RightEvents | fsm.RightRead, 204, 403},
		{"events", fsm.RightEvents, 403, 403},
	} {
		st.key = st.restNode.key("default", k.name, k.rights)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			want := k.post
			if method == "GET" || method == "HEAD" {
				want = k.get
			}
			g := st.do(method, "/api/v10/guilds/1", nil)
			if g.status != want || want == 403 && method != "HEAD" && (g.own() != "client_rights" || g.body["code"] != float64(50001)) {
				t.Errorf("%s %s: %d %s, want %d", k.name, method, g.status, g.text, want)
			}
		}
		if g := st.do("GET", "/api/v10/gateway/bot", nil); g.status != 200 {
			t.Errorf("%s: gateway/bot: %d", k.name, g.status)
		}
	}
	st.key = all
	for _, method := range []string{"OPTIONS", "TRACE", "PROPFIND"} {
		if g := st.do(method, "/api/v10/guilds/1", nil); g.status != 405 {
			t.Errorf("%s: %d", method, g.status)
		}
	}
	other := st.restNode.key("elsewhere", "web", fsm.RightREST)
	if g := st.do("GET", "/api/v10/guilds/1", nil, "Authorization", "Bot "+other); g.status != 503 || g.own() != "no_bot" {
		t.Errorf("a bot that this node doesn't run: %d %s", g.status, g.text)
	}
}

// TestNoKeyNoService: whoever shows no key, or a wrong one, gets what Discord
// says to a wrong token, and nothing goes on.
func TestNoKeyNoService(t *testing.T) {
	asked := 0
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { asked++ })
	for _, auth := range []string{
		"-", "Bot ", "Bot " + testToken, testToken, "Basic YTpi", "Bearer x", "Bot " + st.key[:len(st.key)-1], "Bot " + st.key + "x",
		strings.Repeat("x", 5000), "Digest " + st.key,
	} {
		for _, path := range []string{"/api/v10/users/@me", "/api/v10/interactions/1/token/callback", "/api/v10/webhooks/1/token", "/api/gateway/bot", "/api/v10/../../x"} {
			st.rest.addresses = newAddresses()
			g := st.do("GET", path, nil, "Authorization", auth)
			if g.status != 401 || g.body["message"] != "401: Unauthorized" || g.body["code"] != float64(0) {
				t.Errorf("%.20s %s: %d %s", auth, path, g.status, g.text)
			}
		}
	}
	for _, auth := range []string{st.key, "Bot " + st.key, "bot " + st.key, "Bearer " + st.key} {
		if g := st.do("GET", "/api/v10/users/@me", nil, "Authorization", auth); g.status != 200 {
			t.Errorf("%s: %d", auth[:5], g.status)
		}
	}
	if asked != 4 {
		t.Errorf("Discord was asked %d times", asked)
	}
	k, _ := st.client(st.key)
	st.apply(&fsm.DropClientKey{Bot: "default", Name: "web", Hash: k.hash})
	if g := st.do("GET", "/api/v10/users/@me", nil); g.status != 401 {
		t.Errorf("a key that was revoked: %d", g.status)
	}
	if g := st.do("POST", "/api/v10/interactions/1/token/callback", nil, "Authorization", "-"); g.status != 401 {
		t.Errorf("an address whose key was revoked: %d", g.status)
	}
}

// TestInteraction: an interaction is answered as discord.js does it, without
// Authorization, by an address that has shown a key.
func TestInteraction(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	in, err := srv.Interact(sim.Interact{Name: "ping"})
	if err != nil {
		t.Fatal(err)
	}
	callback := "/api/v10/interactions/" + in.ID.String() + "/" + in.Token + "/callback"
	answer := map[string]any{"type": 4, "data": map[string]any{"content": "pong"}}
	if g := st.do("POST", callback, answer, "Authorization", "-"); g.status != 401 {
		t.Fatalf("before a key was shown: %d", g.status)
	}
	reader := st.restNode.key("default", "reader", fsm.RightRead)
	st.do("GET", "/api/v10/users/@me", nil, "Authorization", "Bot "+reader)
	if g := st.do("POST", callback, answer, "Authorization", "-"); g.status != 401 {
		t.Fatalf("after one that may only read was shown: %d", g.status)
	}
	st.do("GET", "/api/v10/users/@me", nil)
	if g := st.do("POST", callback, answer, "Authorization", "-"); g.status != 204 {
		t.Fatalf("callback: %d %s", g.status, g.text)
	}
	hook := "/api/v10/webhooks/" + sim.BotID.String() + "/" + in.Token
	for _, x := range []struct {
		method, path string
		status       int
	}{
		{"PATCH", hook + "/messages/@original", 200}, {"POST", hook, 200}, {"GET", hook + "/messages/@original", 200}, {"DELETE", hook + "/messages/@original", 204},
	} {
		for _, auth := range []string{"-", "Bot " + st.key} {
			if x.method == "DELETE" && auth != "-" {
				continue
			}
			if g := st.do(x.method, x.path, map[string]any{"content": "more"}, "Authorization", auth); g.status != x.status {
				t.Errorf("%s %s: %d %s", x.method, x.path, g.status, g.text)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if p, err := in.Answer(ctx); err != nil || p.Content != "pong" || p.Nonce != "" {
		t.Errorf("answer: %+v, %v", p, err)
	}
	if g := st.do("POST", "/api/v10/channels/1/messages", answer, "Authorization", "-"); g.status != 401 {
		t.Errorf("a route without a token of its own: %d", g.status)
	}
}

// TestWrongTokensAtSpeed: tokens of interactions and webhooks that Discord refuses
// don't use up what Discord allows the node's address, and web pages can't send
// any.
func TestWrongTokensAtSpeed(t *testing.T) {
	var asked atomic.Int64
	st := onHandler(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.Contains(r.URL.Path, "/webhooks/") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	st.do("GET", "/api/v10/users/@me", nil)
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		if g := st.do("POST", "/api/v10/webhooks/1/abc", "{}", "Authorization", "-", header, "cross-site"); g.status != 401 || g.own() != "client_key" {
			t.Errorf("a web page: %d %s", g.status, g.text)
		}
	}
	codes := make(map[int]int)
	for range 100 {
		codes[st.do("POST", "/api/v10/webhooks/1/abc", "{}", "Authorization", "-").status]++
	}
	if n := asked.Load(); n > strangerBurst+10 || n < strangerBurst-1 || codes[401]+codes[429] != 100 {
		t.Errorf("Discord was asked %d times; answers: %v", n, codes)
	}
	for _, path := range []string{"/api/v10/users/@me", "/api/v10/interactions/1/abc/callback"} {
		if g := st.do("GET", path, nil); g.status != 200 {
			t.Errorf("%s with a key: %d", path, g.status)
		}
	}
	st.rest.addresses.refused = newRecent[time.Time](maxAddresses)
	for range 2 * strangerBurst {
		st.do("GET", "/api/v10/users/@me", nil, "Authorization", "Bot nobody")
	}
	if g := st.do("POST", "/api/v10/interactions/1/abc/callback", "{}", "Authorization", "-"); g.status != 200 {
		t.Errorf("after a neighbour's wrong keys: %d %s", g.status, g.text)
	}
}

// TestWrongKeysAtSpeed: an address that shows wrong keys is put off, and its
// right ones go on.
func TestWrongKeysAtSpeed(t *testing.T) {
	st := onHandler(t, func(http.ResponseWriter, *http.Request) {})
	codes := make(map[int]int)
	for i := range 200 {
		g := st.do("GET", "/api/v10/users/@me", nil, "Authorization", "Bot "+strconv.Itoa(i))
		codes[g.status]++
		if g.status == 429 && (g.own() != "wrong_keys" || g.header.Get("Retry-After") == "" || !g.closed) {
			t.Fatalf("%s %v", g.text, g.header)
		}
		if i%20 == 0 {
			if g := st.do("GET", "/api/v10/users/@me", nil); g.status != 200 {
				t.Fatalf("the right key: %d", g.status)
			}
		}
	}
	if codes[401] < strangerBurst || codes[401] > strangerBurst+10 || codes[401]+codes[429] != 200 {
		t.Errorf("answers: %v", codes)
	}
}

// TestAddressesArePure: whatever strangers do, the tables stay within their
// bounds, an address gets no more tries than it is owed, and one that vouched is
// known for as long as is said.
func TestAddressesArePure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, now := newAddresses(), time.Unix(1_700_000_000, 0)
		begun := now
		made := 0
		addr := tries.NetOf("192.0.2.1:1")
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			if wait := a.fail(addr, now); wait == 0 {
				made++
			} else if wait > strangerEvery {
				t.Fatalf("it waits %v", wait)
			}
			if owed := strangerBurst + int(now.Sub(begun)/strangerEvery) + 1; made > owed {
				t.Fatalf("%d tries after %v, %d are owed", made, now.Sub(begun), owed)
			}
		}
	})
	a, now := newAddresses(), time.Unix(1_700_000_000, 0)
	for i := range 3 * maxAddresses {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		a.vouch(p, [32]byte{1}, now)
		a.fail(p, now)
	}
	if len(a.vouched.items) != maxAddresses || a.vouched.order.Len() != maxAddresses || len(a.wrong.items) != maxAddresses {
		t.Errorf("%d, %d and %d are remembered", len(a.vouched.items), a.vouched.order.Len(), len(a.wrong.items))
	}
	addr := tries.NetOf("[2001:db8::1%eth0]:5")
	a.vouch(addr, [32]byte{7}, now)
	for _, x := range []struct {
		addr  string
		after time.Duration
		known bool
	}{
		{"[2001:db8::2]:9", 0, true}, {"[2001:db8:0:1::2]:9", 0, false}, {"[2001:db8::1]:5", vouchTime - 1, true}, {"[2001:db8::1]:5", vouchTime, false},
		{"pipe", 0, false},
	} {
		if hash, ok := a.vouchedFor(tries.NetOf(x.addr), now.Add(x.after)); ok != x.known || ok && hash != [32]byte{7} {
			t.Errorf("%s after %v: %t", x.addr, x.after, ok)
		}
	}
}
