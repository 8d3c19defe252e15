package proxy

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord/sim"
)

// channelPath is the path of a channel of the simulator's first guild.
func channelPath(srv *sim.Server) string {
	return "/channels/" + srv.TextChannels(srv.GuildIDs()[0])[0].String()
}

// TestForward: what a library asks of Discord is answered as Discord does, by
// every way to write the API's address.
func TestForward(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	for _, prefix := range []string{"/api", "/api/v9", "/api/v10"} {
		if g := st.do("GET", prefix+"/users/@me", nil); g.status != 200 || !strings.Contains(g.text, `"bot":true`) {
			t.Errorf("%s: %d %s", prefix, g.status, g.text)
		}
	}
	g := st.do("POST", "/api/v10"+channelPath(srv)+"/messages", map[string]any{"content": "hi"}, "X-Audit-Log-Reason", "because")
	if g.status != 200 || g.body["content"] != "hi" || g.header.Get("X-RateLimit-Bucket") == "" {
		t.Fatalf("create message: %d %s %v", g.status, g.text, g.header)
	}
	posted := srv.Ledger().Posted()
	if len(posted) != 1 || len(posted[0].Nonce) != 24 || !strings.HasPrefix(posted[0].UserAgent, "DiscordBot") {
		t.Errorf("posted: %+v", posted)
	}
	id, _ := g.body["id"].(string)
	for _, x := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"PATCH", channelPath(srv) + "/messages/" + id, map[string]any{"content": "two"}, 200},
		{"PUT", channelPath(srv) + "/messages/" + id + "/reactions/%F0%9F%91%8D/@me", nil, 204},
		{"GET", channelPath(srv) + "/messages?limit=1", nil, 200},
		{"DELETE", channelPath(srv) + "/messages/" + id, nil, 204},
		{"DELETE", channelPath(srv) + "/messages/" + id, nil, 404},
		{"POST", channelPath(srv) + "/messages", map[string]any{}, 400},
		{"HEAD", "/users/@me", nil, 405}, // as the simulator answers
	} {
		if g := st.do(x.method, "/api/v10"+x.path, x.body); g.status != x.status {
			t.Errorf("%s %s: %d %s", x.method, x.path, g.status, g.text)
		}
	}
}

// form writes a message with a file.
func form(t *testing.T, payload string, file []byte) (body *bytes.Buffer, kind string) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	if payload != "" {
		if err := w.WriteField("payload_json", payload); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("files[0]", "a.bin")
	if err == nil {
		_, err = f.Write(file)
	}
	if err != nil || w.Close() != nil {
		t.Fatal("the form can't be written")
	}
	return body, w.FormDataContentType()
}

// TestUpload: a file arrives, small enough to be held or not, and either way the
// message gets a nonce.
func TestUpload(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	for i, size := range []int{100, maxMessage - 10_000, maxMessage + 10_000, 2 * maxMessage} {
		body, kind := form(t, `{"content":"a file"}`, bytes.Repeat([]byte{'x'}, size))
		g := st.do("POST", "/api/v10"+channelPath(srv)+"/messages", body, "Content-Type", kind)
		files, _ := g.body["attachments"].([]any)
		if g.status != 200 || len(files) != 1 {
			t.Fatalf("%d bytes: %d %s", size, g.status, g.text)
		}
		if f, _ := files[0].(map[string]any); f["size"] != float64(size) {
			t.Errorf("%d bytes arrive as %v", size, f["size"])
		}
		if p := srv.Ledger().Posted()[i]; len(p.Nonce) != 24 {
			t.Errorf("%d bytes: nonce %q", size, p.Nonce)
		}
	}
	if st.rest.buffered.left != maxBuffered {
		t.Errorf("%d bytes are still taken", maxBuffered-st.rest.buffered.left)
	}
}

// TestUploadWithoutKey: files come with an interaction's answer and its
// follow-ups, held or streamed, from a library that shows no key there. No nonce
// is added where Discord has none.
func TestUploadWithoutKey(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	st.do("GET", "/api/v10/users/@me", nil)
	in, err := srv.Interact(sim.Interact{Name: "file"})
	if err != nil {
		t.Fatal(err)
	}
	hook := "/api/v10/webhooks/" + sim.BotID.String() + "/" + in.Token
	for _, x := range []struct {
		path, payload string
		size          int
		status        int
	}{
		{"/api/v10/interactions/" + in.ID.String() + "/" + in.Token + "/callback", `{"type":4,"data":{"content":"a file"}}`, 1000, 204},
		{hook, `{"content":"a small one"}`, 1000, 200},
		{hook, `{"content":"a large one"}`, 3 * maxHeld, 200},
	} {
		body, kind := form(t, x.payload, bytes.Repeat([]byte{'x'}, x.size))
		if g := st.do("POST", x.path, body, "Content-Type", kind, "Authorization", "-"); g.status != x.status {
			t.Errorf("%d bytes: %d %s", x.size, g.status, g.text)
		}
	}
	for _, p := range srv.Ledger().Posted() {
		if p.Nonce != "" || p.Interaction != in.ID {
			t.Errorf("posted: %+v", p)
		}
	}
	if n := len(srv.Ledger().Posted()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

// TestLimitedUpload: an upload that is passed on while it comes can't be sent
// again, so its client gets Discord's own 429.
func TestLimitedUpload(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	if err := srv.Inject(sim.Fault{Kind: "rest_429", MS: 1500, Scope: "user"}); err != nil {
		t.Fatal(err)
	}
	body, kind := form(t, `{"content":"a file"}`, bytes.Repeat([]byte{'x'}, 2*maxMessage))
	g := st.do("POST", "/api/v10"+channelPath(srv)+"/messages", body, "Content-Type", kind)
	if after, _ := g.body["retry_after"].(float64); g.status != 429 || after < 1 || g.header.Get("X-RateLimit-Scope") != "user" || g.own() != "" {
		t.Errorf("%d %s %v", g.status, g.text, g.header)
	}
}

// TestWhatGoesOn: the bot's token goes to Discord and nowhere else, the client's
// key nowhere, and of the headers those that matter.
func TestWhatGoesOn(t *testing.T) {
	var seen *http.Request
	var body []byte
	st := onHandler(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Clone(r.Context())
		body, _ = io.ReadAll(r.Body)
		for name, v := range map[string]string{
			"X-RateLimit-Limit": "5", "Set-Cookie": "a=b", "Alt-Svc": "h3", "Strict-Transport-Security": "max-age=1", "Connection": "X-Hop", "X-Hop": "1", "Via": "1.1 google",
		} {
			w.Header().Set(name, v)
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	})
	g := st.do("PUT", "/api/v9/guilds/1/bans/2?x=%2F&y=a+b", `{"a":1}`, "Authorization", "Bearer "+st.key, "Cookie", "c=d",
		"X-Audit-Log-Reason", "spam%20bot", "Connection", "X-Mine", "X-Mine", "1", "X-Forwarded-For", "1.2.3.4", "Accept", "application/json", "Botnode-Max-Wait", "2s")
	if g.status != 200 || g.text != `{"ok":true}` {
		t.Fatalf("%d %s", g.status, g.text)
	}
	if got := seen.RequestURI; got != "/api/v9/guilds/1/bans/2?x=%2F&y=a+b" {
		t.Errorf("it goes to %s", got)
	}
	for name, want := range map[string]string{
		"Authorization": "Bot " + testToken, "X-Audit-Log-Reason": "spam%20bot", "Accept": "application/json", "Content-Type": "application/json",
		"Cookie": "", "X-Mine": "", "X-Forwarded-For": "", "Botnode-Max-Wait": "", "Accept-Encoding": "gzip",
	} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("%s arrives as %q, want %q", name, got, want)
		}
	}
	if string(body) != `{"a":1}` {
		t.Errorf("the body arrives as %s", body)
	}
	for name, want := range map[string]string{
		"X-RateLimit-Limit": "5", "Via": "1.1 google", "Set-Cookie": "", "Alt-Svc": "", "Strict-Transport-Security": "", "X-Hop": "",
	} {
		if got := g.header.Get(name); got != want {
			t.Errorf("%s comes back as %q, want %q", name, got, want)
		}
	}
}
