package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitUntil: a request waits until the moment that was said, over all its
// tries, and is told before how long it would have taken.
func TestWaitUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := map[string]string{"X-RateLimit-Bucket": "b", "X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "10"}
		rt, s := scripted(t, Options{MaxWait: time.Millisecond}, status(200, full), status(429, limitedBy("user", "3")), status(200, nil))
		mustSend(t, rt, "GET", channel(1, ""))
		begun := time.Now()
		soon := WithWaitUntil(t.Context(), begun.Add(9*time.Second))
		var limit *RateLimitError
		if _, err := send(soon, rt, "GET", channel(1, ""), ""); !errors.As(err, &limit) || limit.RetryAfter < 9*time.Second || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if _, err := send(WithWaitUntil(t.Context(), begun.Add(12*time.Second)), rt, "GET", channel(1, ""), ""); !errors.As(err, &limit) {
			t.Errorf("a second wait for a 429 beyond the moment: %v", err)
		}
		if took := time.Since(begun); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("it took %v", took)
		}
		if code, err := send(WithWaitUntil(t.Context(), begun.Add(time.Minute)), rt, "GET", channel(1, ""), ""); err != nil || code != 200 {
			t.Errorf("with patience: %d, %v", code, err)
		}
		if len(s.replies) != 0 {
			t.Errorf("%d answers were not asked for", len(s.replies))
		}
	})
}

// TestAddNonceToARequest: the proxy's messages get a nonce and may be repeated.
func TestAddNonceToARequest(t *testing.T) {
	r := &record{cut: true}
	rt := newTest(t, Options{Transport: r})
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/channels/1/messages", strings.NewReader(`{"content":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	safe, err := AddNonce(req, "N")
	if err != nil || !safe {
		t.Fatalf("safe=%t, %v", safe, err)
	}
	res, err := rt.RoundTrip(req.WithContext(Safe(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	want := `{"content":"x","nonce":"N","enforce_nonce":true}`
	if len(r.bodies) != 2 || r.bodies[0] != want || r.bodies[1] != want {
		t.Errorf("sent: %q", r.bodies)
	}
}

// FuzzAddNonceForm: a form that is copied is what it is when it is held in memory,
// and loses no part.
func FuzzAddNonceForm(f *testing.F) {
	form := "--b\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"x\"}\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a\"\r\n\r\n\x00\r\n--c\r\n--b--\r\n"
	for _, s := range []string{form, strings.ReplaceAll(form, "payload_json", "nonce"), form[:60], "--b--", "--b\r\n\r\n\r\n--b--\r\n", "junk"} {
		f.Add([]byte(s))
	}
	parts := func(body []byte) (names []string, err error) {
		for r := multipart.NewReader(bytes.NewReader(body), "b"); ; {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return names, nil
			}
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(p)
			if err != nil {
				return nil, err
			}
			if p.FileName() != "" {
				names = append(names, p.FormName()+"="+string(text))
				continue
			}
			names = append(names, p.FormName())
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		safe, err := AddNonceForm(&out, bytes.NewReader(in), "b", "N")
		held, heldErr := addNonceForm(in, "b", func() string { return "N" })
		if (err == nil) != (heldErr == nil) || err == nil && (held.safe != safe || !bytes.Equal(held.body, out.Bytes())) {
			t.Fatalf("copied: %v %q, held: %v %q", err, out.Bytes(), heldErr, held.body)
		}
		if err != nil {
			return
		}
		before, err := parts(in)
		if err != nil {
			t.Fatalf("a form that can't be read was taken: %v", err)
		}
		after, err := parts(out.Bytes())
		if err != nil || len(after) < len(before) {
			t.Fatalf("%q became %q (%v)", before, after, err)
		}
		for i := range before {
			if after[i] != before[i] {
				t.Fatalf("%q became %q", before, after)
			}
		}
	})
}
