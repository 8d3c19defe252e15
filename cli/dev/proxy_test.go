package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/proxy"
)

// output is what dev has written, for whoever waits for a part of it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// await waits until the output matches, and returns the submatches.
func (o *output) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		o.mu.Lock()
		text := o.text.String()
		o.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		if time.Now().After(end) {
			t.Fatalf("no %s in:\n%s", pattern, text)
		}
	}
}

// foreign is a bot without a library.
type foreign struct {
	t        *testing.T
	url, key string
	ws       *websocket.Conn
}

// connect opens a session, and reads up to the guild.
func (f *foreign) connect() {
	f.t.Helper()
	ws, res, err := websocket.DefaultDialer.Dial(strings.Replace(f.url, "http", "ws", 1)+"/?v=10&encoding=json", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = res.Body.Close()
	f.ws = ws
	f.t.Cleanup(func() { _ = ws.Close() })
	if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"op":2,"d":{"token":%q,"intents":33281,"properties":{}}}`, f.key)); err != nil {
		f.t.Fatal(err)
	}
	f.event("GUILD_CREATE")
}

// event reads up to an event of a type.
func (f *foreign) event(kind string) (d struct {
	ID      string
	Channel string `json:"channel_id"`
	Content string
}) {
	f.t.Helper()
	_ = f.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		var m struct {
			T string
			D json.RawMessage
		}
		if err := f.ws.ReadJSON(&m); err != nil {
			f.t.Fatalf("%s: %v", kind, err)
		}
		if m.T == kind {
			if err := json.Unmarshal(m.D, &d); err != nil {
				f.t.Fatal(err)
			}
			return d
		}
	}
}

// say writes in a channel.
func (f *foreign) say(channel, text string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.url+"/api/v10/channels/"+channel+"/messages", strings.NewReader(fmt.Sprintf(`{"content":%q}`, text)))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bot "+f.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		f.t.Fatal(res.Status)
	}
}

// TestForeignBot: a bot that knows the proxy's address and the key hears what is
// typed and is seen to answer, before and after the node was killed. The end of the
// input doesn't end it.
func TestForeignBot(t *testing.T) {
	t.Parallel()
	cmd := Command(nil, nil)
	if addr := cmd.Flags().Lookup("proxy").NoOptDefVal; addr != "127.0.0.1:7301" {
		t.Errorf("--proxy alone is %q", addr)
	}
	in, typed := io.Pipe()
	var out output
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Program: program, Stdin: in, Stdout: &out, Stderr: &out, Patience: 20 * time.Second, Proxy: "127.0.0.1:0"})
	}()
	channel := ""
	f := &foreign{t: t, url: out.await(t, `PROXY=(\S+)`)[1], key: out.await(t, `KEY=(\S+)`)[1]}
	for _, text := range []string{"one", "two"} {
		f.connect()
		_, _ = io.WriteString(typed, "hello "+text+"\n")
		m := f.event("MESSAGE_CREATE")
		if m.Content != "hello "+text {
			t.Errorf("heard %q", m.Content)
		}
		channel = m.Channel
		f.say(channel, "I heard "+text)
		out.await(t, "bot: I heard "+text+"\n")
		if text == "one" {
			_, _ = io.WriteString(typed, ":restart\n:kv seen/MESSAGE\n")
			out.await(t, "seen/MESSAGE_CREATE")
		}
	}
	_ = typed.Close()
	f.say(channel, "still here")
	out.await(t, "bot: still here\n")
	select {
	case err := <-ended:
		t.Errorf("the end of the input ended it: %v", err)
	default:
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestForeignBotsAreOfThisMachine: everybody knows the key.
func TestForeignBotsAreOfThisMachine(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), Options{Program: program, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Patience: 20 * time.Second, Proxy: "0.0.0.0:0"})
	if err == nil || !strings.Contains(err.Error(), proxy.ErrInsecureBind.Error()) {
		t.Errorf("%v", err)
	}
}
