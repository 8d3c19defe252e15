package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestNonce(t *testing.T) {
	base := NonceParts{Bot: "b", SID: "s", Seq: 1, Handler: "h", Method: "POST", Route: "/channels/1/messages"}
	if n := Nonce(base); len(n) != 24 || n != Nonce(base) {
		t.Fatalf("nonce %q", n)
	}
	seen := map[string]bool{Nonce(base): true}
	for i, change := range []func(*NonceParts){
		func(p *NonceParts) { p.Bot = "c" }, func(p *NonceParts) { p.SID = "t" }, func(p *NonceParts) { p.Seq = 2 },
		func(p *NonceParts) { p.Handler = "i" }, func(p *NonceParts) { p.Method = "PUT" },
		func(p *NonceParts) { p.Route = "/channels/2/messages" }, func(p *NonceParts) { p.Ordinal = 1 },
		func(p *NonceParts) { p.Key = "k" }, func(p *NonceParts) { p.Bot, p.SID = "bs", "" },
	} {
		p := base
		change(&p)
		if n := Nonce(p); seen[n] {
			t.Errorf("change %d leaves the nonce as one before", i)
		} else {
			seen[n] = true
		}
	}
	a, b := base, base
	a.Key, b.Key, b.Ordinal = "k", "k", 7
	if Nonce(a) != Nonce(b) {
		t.Error("the ordinal counts beside the author's key")
	}
}

func TestAddNonceJSON(t *testing.T) {
	const with = `"nonce":"N","enforce_nonce":true`
	for _, tt := range []struct {
		in, want string
		safe     bool
	}{
		{`{"content":"x"}`, `{"content":"x",` + with + `}`, true},
		{` {"content":"x"} ` + "\n", `{"content":"x",` + with + `}`, true},
		{`{}`, `{` + with + `}`, true},
		{`{ }`, `{ ` + with + `}`, true},
		{`{"content":"\"nonce\":1"}`, `{"content":"\"nonce\":1",` + with + `}`, true},
		{`{"embeds":[{"nonce":"inner"}]}`, `{"embeds":[{"nonce":"inner"}],` + with + `}`, true},
		{`{"nonce":null,"a":1}`, `{"a":1,"enforce_nonce":true,"nonce":"N"}`, true},
		{`{"nonce":"","enforce_nonce":true}`, `{"enforce_nonce":true,"nonce":"N"}`, true},
		{`{"nonce":"own"}`, `{"nonce":"own"}`, false},
		{`{"nonce":5,"enforce_nonce":true}`, `{"nonce":5,"enforce_nonce":true}`, true},
		{`{"enforce_nonce":false}`, `{"enforce_nonce":false}`, false},
		{`[1]`, `[1]`, false},
		{`{"broken"`, `{"broken"`, false},
		{``, ``, false},
	} {
		got := addNonceJSON([]byte(tt.in), func() string { return "N" })
		if string(got.body) != tt.want || got.safe != tt.safe {
			t.Errorf("%s: %s safe=%v", tt.in, got.body, got.safe)
		}
	}
}

// form builds a multipart body and returns it with its content type.
func form(t testing.TB, fields ...string) (body, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		var dst io.Writer
		var err error
		if strings.HasPrefix(fields[i], "files") {
			dst, err = w.CreateFormFile(fields[i], "a.bin")
		} else {
			dst, err = w.CreateFormField(fields[i])
		}
		if err == nil {
			_, err = io.WriteString(dst, fields[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// unform reads a multipart body back.
func unform(t testing.TB, body, kind string) map[string]string {
	_, params, err := mime.ParseMediaType(kind)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for r := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return fields
		}
		if err != nil {
			t.Fatal(err)
		}
		v, _ := io.ReadAll(p)
		fields[p.FormName()] = string(v)
	}
}

func TestAddNonceForm(t *testing.T) {
	file := string([]byte{0, 1, 2, '\r', '\n', 255})
	for _, tt := range []struct {
		name   string
		fields []string
		want   map[string]string
		safe   bool
	}{
		{"payload", []string{"payload_json", `{"a":1}`, "files[0]", file}, map[string]string{"payload_json": `{"a":1,"nonce":"N","enforce_nonce":true}`, "files[0]": file}, true},
		{"fields", []string{"content", "x", "files[0]", file}, map[string]string{"content": "x", "files[0]": file, "nonce": "N", "enforce_nonce": "true"}, true},
		{"own", []string{"nonce", "5", "enforce_nonce", "true"}, map[string]string{"nonce": "5", "enforce_nonce": "true"}, true},
		{"own, not enforced", []string{"nonce", "5"}, map[string]string{"nonce": "5"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, kind := form(t, tt.fields...)
			_, params, _ := mime.ParseMediaType(kind)
			got, err := addNonceForm([]byte(body), params["boundary"], func() string { return "N" })
			if err != nil || got.safe != tt.safe {
				t.Fatalf("safe=%v, %v", got.safe, err)
			}
			have := unform(t, string(got.body), kind)
			if len(have) != len(tt.want) {
				t.Errorf("got %v", have)
			}
			for k, v := range tt.want {
				if have[k] != v {
					t.Errorf("%s: %q, want %q", k, have[k], v)
				}
			}
		})
	}
}

// record is a Transport that keeps the bodies it is sent; the first answer is a broken connection if cut.
type record struct {
	bodies []string
	cut    bool
}

func (r *record) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.bodies = append(r.bodies, string(b))
	if r.cut && len(r.bodies) == 1 {
		return nil, errCut
	}
	return reply(req, 200, nil), nil
}

// nonceOf reads the nonce of a JSON body.
func nonceOf(t *testing.T, body string) string {
	t.Helper()
	var m struct {
		Nonce   string `json:"nonce"`
		Enforce bool   `json:"enforce_nonce"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	if m.Enforce != (m.Nonce != "") {
		t.Errorf("body %s", body)
	}
	return m.Nonce
}

// TestAttemptsRepeatTheirNonces runs one handler twice, as after a death: the
// same calls get the same nonces, whatever they say.
func TestAttemptsRepeatTheirNonces(t *testing.T) {
	run := func(text string) []string {
		tr := &record{}
		rt := newTest(t, Options{Transport: tr})
		ctx := WithAttempt(t.Context(), NewAttempt(AttemptOptions{Bot: "b", SID: "s", Seq: 9, Handler: "h"}))
		for _, c := range []struct {
			ctx  context.Context
			path string
		}{
			{ctx, "/channels/1/messages"},
			{ctx, "/api/v9/channels/1/messages"},
			{ctx, "/channels/2/messages"},
			{WithNonceKey(ctx, "mine"), "/channels/1/messages"},
			{ctx, "/webhooks/1/tok"},
			{ctx, "/channels/1/messages/5/threads"},
			{t.Context(), "/channels/1/messages"},
		} {
			if _, err := send(c.ctx, rt, "POST", c.path, `{"content":"`+text+`"}`); err != nil {
				t.Fatal(err)
			}
		}
		var nonces []string
		for _, b := range tr.bodies {
			nonces = append(nonces, nonceOf(t, b))
		}
		return nonces
	}
	a, b := run("one"), run("two")
	seen := map[string]bool{}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("call %d: nonces %q and %q", i, a[i], b[i])
		}
		if (a[i] != "") != (i < 4) || seen[a[i]] && i < 4 {
			t.Errorf("call %d: nonce %q", i, a[i])
		}
		seen[a[i]] = true
	}
}

func TestNonceMakesAMessageRepeatable(t *testing.T) {
	tr := &record{cut: true}
	rt := newTest(t, Options{Transport: tr})
	ctx := WithAttempt(t.Context(), NewAttempt(AttemptOptions{Bot: "b"}))
	if _, err := send(ctx, rt, "POST", "/channels/1/messages", `{"content":"x"}`); err != nil {
		t.Fatal(err)
	}
	if len(tr.bodies) != 2 || tr.bodies[0] != tr.bodies[1] {
		t.Errorf("sent %q", tr.bodies)
	}
}

func TestAttemptWaitsForAnswers(t *testing.T) {
	sent, answer := make(chan struct{}), make(chan struct{})
	rt := newTest(t, Options{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		close(sent)
		<-answer
		return reply(r, 200, nil), nil
	})})
	a := NewAttempt(AttemptOptions{})
	if err := a.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := send(WithAttempt(t.Context(), a), rt, "POST", "/channels/1/x", "")
		done <- err
	}()
	<-sent
	short, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := a.Wait(short); err == nil {
		t.Error("Wait returned while a request was on the wire")
	}
	close(answer)
	if err := a.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzAddNonceJSON(f *testing.F) {
	for _, s := range []string{`{"content":"x"}`, `{}`, `{"nonce":null}`, `{"a":{"nonce":1}}`, `{"enforce_nonce":1}`, `[`, `{"nonce":"","nonce":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got := addNonceJSON(in, func() string { return "N" })
		if json.Valid(in) != json.Valid(got.body) {
			t.Fatalf("%q became %q", in, got.body)
		}
		if !got.safe && !bytes.Equal(in, got.body) {
			t.Fatalf("%q was changed to %q for nothing", in, got.body)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(429, "1", "0", "1.5", "1470173023.123", "h", "7", "user", []byte(`{"retry_after":1e300}`))
	f.Add(200, "NaN", "-1", "Inf", "x", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, status int, limit, remaining, after, reset, bucket, retry, scope string, body []byte) {
		h := http.Header{}
		for k, v := range map[string]string{
			"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset-After": after,
			"X-RateLimit-Reset": reset, "X-RateLimit-Bucket": bucket, "Retry-After": retry, "X-RateLimit-Scope": scope,
		} {
			h.Set(k, v)
		}
		a := ParseAnswer(status, h)
		a.readLimitBody(body)
		const day = 24 * time.Hour
		if a.Limit < 0 || a.Remaining < 0 || a.Reset < 0 || a.ResetAfter < 0 || a.ResetAfter > day || a.RetryAfter <= 0 || a.RetryAfter > day {
			t.Fatalf("%+v", a)
		}
	})
}
