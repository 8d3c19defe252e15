package sim_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// free is a world without limits.
func free(o sim.Options) sim.Options {
	o.NoRouteLimits, o.GlobalLimit = true, -1
	return o
}

func room(srv *sim.Server) string {
	return "/channels/" + srv.TextChannels(srv.GuildIDs()[0])[0].String()
}

func code(a answer) int {
	n, _ := a.body["code"].(float64)
	return int(n)
}

// TestRoutes calls one route after the other; "#" in a path is the id that the
// last answer had.
func TestRoutes(t *testing.T) {
	srv := start(t, free(sim.Options{Guilds: 2}))
	g := "/guilds/" + srv.GuildIDs()[0].String()
	ch, bot := room(srv), sim.BotID.String()
	truth, _ := srv.Truth(srv.GuildIDs()[0])
	user := ""
	for id := range truth.Members {
		if id != sim.BotID {
			user = id.String()
		}
	}
	last := ""
	for _, x := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"GET", "/gateway", nil, 200},
		{"GET", "/gateway/bot", nil, 200},
		{"GET", "/users/@me", nil, 200},
		{"GET", "/users/" + user, nil, 200},
		{"GET", "/users/1", nil, 404},
		{"GET", "/users/@me/guilds", nil, 200},
		{"GET", "/applications/@me", nil, 200},
		{"GET", "/oauth2/applications/@me", nil, 200},
		{"POST", ch + "/messages", m{"content": "one"}, 200},
		{"GET", ch + "/messages/#", nil, 200},
		{"PATCH", ch + "/messages/#", m{"content": "two"}, 200},
		{"PUT", ch + "/messages/#/reactions/%F0%9F%91%8D/@me", nil, 204},
		{"GET", ch + "/messages/#/reactions/%F0%9F%91%8D", nil, 200},
		{"DELETE", ch + "/messages/#/reactions/%F0%9F%91%8D/@me", nil, 204},
		{"PUT", ch + "/messages/pins/#", nil, 204},
		{"GET", ch + "/messages/pins", nil, 200},
		{"GET", ch + "/messages?limit=5", nil, 200},
		{"POST", ch + "/messages/#/threads", m{"name": "t"}, 201},
		{"PATCH", "/channels/#", m{"archived": true}, 200},
		{"DELETE", "/channels/#", nil, 200},
		{"DELETE", ch + "/messages/#", nil, 204},
		{"DELETE", ch + "/messages/#", nil, 404},
		{"POST", ch + "/messages", m{}, 400},
		{"POST", ch + "/messages", m{"content": strings.Repeat("x", 2001)}, 400},
		{"POST", ch + "/messages", m{"content": "x", "nonce": strings.Repeat("x", 26)}, 400},
		{"POST", "/channels/1/messages", m{"content": "x"}, 404},
		{"POST", ch + "/typing", nil, 204},
		{"GET", ch, nil, 200},
		{"PATCH", ch, m{"topic": "x"}, 200},
		{"GET", g, nil, 200},
		{"PATCH", g, m{"name": "renamed"}, 200},
		{"GET", "/guilds/1", nil, 404},
		{"GET", g + "/channels", nil, 200},
		{"POST", g + "/channels", m{"name": "new"}, 201},
		{"DELETE", "/channels/#", nil, 200},
		{"GET", g + "/roles", nil, 200},
		{"POST", g + "/roles", m{"name": "r"}, 200},
		{"PATCH", g + "/roles/#", m{"color": 5}, 200},
		{"PUT", g + "/members/" + user + "/roles/#", nil, 204},
		{"DELETE", g + "/roles/#", nil, 204},
		{"GET", g + "/members?limit=10", nil, 200},
		{"GET", g + "/members/search?query=user&limit=3", nil, 200},
		{"GET", g + "/members/" + user, nil, 200},
		{"PATCH", g + "/members/" + user, m{"nick": "n"}, 200},
		{"DELETE", g + "/members/" + user, nil, 204},
		{"GET", g + "/members/" + user, nil, 404},
		{"GET", g + "/emojis", nil, 200},
		{"GET", g + "/threads/active", nil, 200},
		{"POST", "/users/@me/channels", m{"recipient_id": user}, 200},
		{"POST", "/channels/#/messages", m{"content": "dm"}, 200},
		{"POST", "/applications/" + bot + "/commands", m{"name": "ping", "description": "p"}, 201},
		{"POST", "/applications/" + bot + "/commands", m{"name": "ping", "description": "q"}, 200},
		{"GET", "/applications/" + bot + "/commands/#", nil, 200},
		{"PATCH", "/applications/" + bot + "/commands/#", m{"description": "z"}, 200},
		{"PUT", "/applications/" + bot + g + "/commands", []m{{"name": "a"}, {"name": "b"}}, 200},
		{"DELETE", "/applications/" + bot + "/commands/#", nil, 204},
		{"DELETE", "/applications/" + bot + "/commands/#", nil, 404},
		{"GET", g + "/auto-moderation/rules", nil, 200},
		{"POST", g + "/scheduled-events", m{"name": "party"}, 200},
		{"GET", "/nonsense", nil, 404},
	} {
		path := strings.ReplaceAll(x.path, "#", last)
		a := call(t, srv, x.method, path, x.body)
		if a.status != x.status {
			t.Errorf("%s %s: %d, want %d: %.200s", x.method, path, a.status, x.status, a.raw)
		}
		if id, has := a.body["id"].(string); has && a.status < 300 {
			last = id
		}
		if a.status == 404 && x.path != "/nonsense" && code(a) < 10000 {
			t.Errorf("%s %s: 404 with code %d", x.method, path, code(a))
		}
	}
}

func TestUnauthorized(t *testing.T) {
	srv := start(t, sim.Options{InvalidLimit: 3, InvalidWindow: 300 * time.Millisecond})
	want(t, "gateway is open", callAs(t, srv, "", "GET", "/gateway", nil).status, 200)
	for range 3 {
		want(t, "status", callAs(t, srv, "Bot nonsense", "GET", "/users/@me", nil).status, 401)
	}
	a := call(t, srv, "GET", "/users/@me", nil)
	want(t, "banned", a.status, 429)
	want(t, "Retry-After of a ban", a.header.Get("Retry-After"), "")
	eventually(t, "the ban ends", func() bool { return call(t, srv, "GET", "/users/@me", nil).status == 200 })
}

func TestBucketLimit(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, Limits: map[string]sim.Limit{"messages.create": {Requests: 2, Window: 200 * time.Millisecond}}})
	post := func(path string) answer { return call(t, srv, "POST", path+"/messages", m{"content": "x"}) }
	a := post(room(srv))
	want(t, "limit", a.header.Get("X-RateLimit-Limit"), "2")
	want(t, "remaining", a.header.Get("X-RateLimit-Remaining"), "1")
	bucket := a.header.Get("X-RateLimit-Bucket")
	post(room(srv))
	a = post(room(srv))
	want(t, "status", a.status, 429)
	want(t, "scope", a.header.Get("X-RateLimit-Scope"), "user")
	want(t, "bucket", a.header.Get("X-RateLimit-Bucket"), bucket)
	want(t, "global", a.body["global"].(bool), false)
	after, err := strconv.ParseFloat(a.header.Get("X-RateLimit-Reset-After"), 64)
	if err != nil || after <= 0 || after > 0.2 || a.header.Get("Retry-After") != "1" {
		t.Errorf("reset after %v (%v), retry after %q", after, err, a.header.Get("Retry-After"))
	}
	other := post("/channels/" + srv.TextChannels(srv.GuildIDs()[0])[1].String())
	want(t, "another channel", other.status, 200)
	want(t, "same bucket", other.header.Get("X-RateLimit-Bucket"), bucket)
	eventually(t, "the window ends", func() bool { return post(room(srv)).status == 200 })
}

func TestGlobalLimit(t *testing.T) {
	srv := start(t, sim.Options{GlobalLimit: 3, NoRouteLimits: true})
	for range 3 {
		want(t, "status", call(t, srv, "GET", "/users/@me", nil).status, 200)
	}
	a := call(t, srv, "GET", "/users/@me", nil)
	want(t, "status", a.status, 429)
	want(t, "scope", a.header.Get("X-RateLimit-Scope"), "global")
	want(t, "header", a.header.Get("X-RateLimit-Global"), "true")
	want(t, "body", a.body["global"].(bool), true)
	// Interaction endpoints are exempt.
	want(t, "callback", call(t, srv, "POST", "/interactions/1/x/callback", m{"type": 4, "data": m{"content": "x"}}).status, 404)
}

func TestRESTFaults(t *testing.T) {
	srv := start(t, free(sim.Options{Guilds: 1}))
	post := func(nonce string) answer {
		return call(t, srv, "POST", room(srv)+"/messages", m{"content": "x", "nonce": nonce, "enforce_nonce": true})
	}
	inject := func(f sim.Fault) {
		if err := srv.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	inject(sim.Fault{Kind: "rest_error", Status: 503, Bucket: "messages.create"})
	want(t, "another bucket", call(t, srv, "GET", "/users/@me", nil).status, 200)
	want(t, "before the effect", post("a").status, 503)
	want(t, "posted", len(srv.Ledger().Posted()), 0)
	inject(sim.Fault{Kind: "rest_error", After: true})
	want(t, "after the effect", post("b").status, 502)
	want(t, "posted", len(srv.Ledger().Posted()), 1)
	want(t, "again", post("b").status, 200)
	want(t, "deduped", srv.Ledger().Posted()[1].Deduped, true)
	inject(sim.Fault{Kind: "rest_429", Scope: "shared", MS: 70})
	a := post("c")
	want(t, "shared", a.header.Get("X-RateLimit-Scope"), "shared")
	want(t, "retry_after", a.body["retry_after"].(float64), 0.07)
	inject(sim.Fault{Kind: "rest_cut"})
	req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, srv.APIURL()+"/channels/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bot "+srv.Token())
	if res, err := hc.Do(req); err == nil {
		_ = res.Body.Close()
		t.Error("the connection lived")
	}
}

func TestNonces(t *testing.T) {
	for _, x := range []struct {
		name    string
		s       sim.Switches
		enforce bool
		again   int // status of the second message, in another channel
		posts   int // messages created
		deleted int // status of a repeat of a deleted message
	}{
		{"assumed", sim.Switches{}, true, 200, 1, 404},
		{"not enforced", sim.Switches{}, false, 200, 2, 200},
		{"off", sim.Switches{NonceOff: true}, true, 200, 2, 200},
		{"per channel", sim.Switches{NoncePerChannel: true}, true, 200, 2, 404},
		{"deleted is free", sim.Switches{DeletedNonceFree: true}, true, 200, 1, 200},
	} {
		t.Run(x.name, func(t *testing.T) {
			srv := start(t, free(sim.Options{Guilds: 1, Switches: x.s}))
			c := login(t, srv, all).guilds(1)
			chs := srv.TextChannels(srv.GuildIDs()[0])
			post := func(i int, content string) answer {
				return call(t, srv, "POST", "/channels/"+chs[i].String()+"/messages",
					m{"content": content, "nonce": "n", "enforce_nonce": x.enforce})
			}
			first, second := post(0, "first"), post(1, "second")
			want(t, "status", second.status, x.again)
			want(t, "created", srv.Ledger().Summary().Posted, x.posts)
			want(t, "same message", second.body["id"] == first.body["id"], x.posts == 1)
			hear(t, c, []string{"first", "second"}[:x.posts])
			if x.posts == 1 {
				want(t, "content", second.body["content"], "first")
			}
			for i, a := range []answer{first, second}[:x.posts] {
				call(t, srv, "DELETE", "/channels/"+chs[i].String()+"/messages/"+a.body["id"].(string), nil)
			}
			want(t, "after the deletion", post(0, "third").status, x.deleted)
		})
	}
	srv := start(t, free(sim.Options{Guilds: 1, NonceWindow: time.Nanosecond}))
	for range 2 {
		call(t, srv, "POST", room(srv)+"/messages", m{"content": "x", "nonce": 7, "enforce_nonce": true})
	}
	want(t, "after the window", srv.Ledger().Summary().Posted, 2)
}

func TestMultipart(t *testing.T) {
	srv := start(t, free(sim.Options{Guilds: 1}))
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("payload_json", `{"content":"with a file"}`)
	f, _ := w.CreateFormFile("files[0]", "cat.png")
	_, _ = f.Write(make([]byte, 1234))
	_ = w.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.APIURL()+room(srv)+"/messages", &b)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bot "+srv.Token())
	req.Header.Set("Content-Type", w.FormDataContentType())
	a := do(t, req)
	want(t, "content", a.body["content"], "with a file")
	mustHave(t, string(a.raw), `"filename":"cat.png"`)
	mustHave(t, string(a.raw), `"size":1234`)
}

func TestInteractions(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, AckWindow: 300 * time.Millisecond})
	c := login(t, srv, all).guilds(1)
	run := func() (*sim.Interacted, string) {
		i, err := srv.Interact(sim.Interact{Name: "ping"})
		if err != nil {
			t.Fatal(err)
		}
		mustHave(t, string(c.event("INTERACTION_CREATE").D), i.Token)
		return i, "/interactions/" + i.ID.String() + "/" + i.Token + "/callback"
	}
	hook := func(i *sim.Interacted) string { return "/webhooks/" + sim.BotID.String() + "/" + i.Token }
	say := m{"type": 4, "data": m{"content": "pong"}}
	i, path := run()
	want(t, "first", call(t, srv, "POST", path, say).status, 204)
	a := call(t, srv, "POST", path, say)
	want(t, "second", a.status, 400)
	want(t, "code", code(a), 40060)
	p, err := i.Answer(within(t))
	want(t, "answer", p.Content, "pong")
	want(t, "error", err, nil)
	a = call(t, srv, "POST", hook(i), m{"content": "more"})
	want(t, "follow-up", a.status, 200)
	want(t, "edit", call(t, srv, "PATCH", hook(i)+"/messages/@original", m{"content": "edited"}).body["content"], "edited")
	want(t, "delete", call(t, srv, "DELETE", hook(i)+"/messages/"+a.body["id"].(string), nil).status, 204)
	i, path = run()
	want(t, "deferred", call(t, srv, "POST", path+"?with_response=true", m{"type": 5}).status, 200)
	want(t, "filled", call(t, srv, "PATCH", hook(i)+"/messages/@original", m{"content": "late"}).body["content"], "late")
	_, path = run()
	sent := time.Now()
	eventually(t, "too late", func() bool { return time.Since(sent) > 300*time.Millisecond })
	a = call(t, srv, "POST", path, say)
	want(t, "code", code(a), 10062)
	s := srv.Ledger().Summary().Interactions
	want(t, "sent", s.Sent, 3)
	want(t, "acked", s.Acked, 2)
	want(t, "again", s.Again, 1)
	want(t, "late", s.Late, 1)
}
