package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/botnode/botnode/discord"
)

// wait bounds every wait of these tests.
const wait = 20 * time.Second

// client is a gateway client: what a library is, without its comforts.
type client struct {
	t   tb
	b   *bed
	ws  *websocket.Conn
	dec *json.Decoder // of what is inflated; nil for plain
	sid string
	seq int64
	url string
}

// message is what a client is sent.
type message struct {
	Op discord.Opcode  `json:"op"`
	S  *int64          `json:"s"`
	T  string          `json:"t"`
	D  json.RawMessage `json:"d"`
}

// dial connects, and reads HELLO.
func (n *bedNode) dial(query string) *client {
	n.t.Helper()
	c := n.connect(query)
	if m := c.next(); m.Op != discord.OpHello || string(m.D) != `{"heartbeat_interval":41250,"_trace":["botnode"]}` {
		n.t.Fatalf("instead of HELLO: %+v", m)
	}
	return c
}

func (n *bedNode) connect(query string) *client {
	n.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+n.server.Addr().String()+"/?"+query, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	c := &client{t: n.t, b: n.bed, ws: ws}
	n.t.Cleanup(func() { _ = ws.Close() })
	return c
}

// inflated has the client read a compressed stream.
func (c *client) inflated(kind string) *client {
	r, w := io.Pipe()
	go func() {
		for {
			kind, p, err := c.ws.ReadMessage()
			if err == nil && kind != websocket.BinaryMessage {
				err = errors.New("a text message in a compressed stream")
			}
			if err != nil {
				w.CloseWithError(err)
				return
			}
			if _, err := w.Write(p); err != nil {
				return
			}
		}
	}()
	c.t.Cleanup(func() { _ = r.Close() })
	var in io.Reader
	if kind == "zstd-stream" {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(d.Close)
		in = d
	} else {
		z, err := zlib.NewReader(r)
		if err != nil {
			c.t.Fatal(err)
		}
		in = z
	}
	c.dec = json.NewDecoder(in)
	return c
}

// read reads the next message.
func (c *client) read() (m message, err error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(wait))
	if c.dec != nil {
		err = c.dec.Decode(&m)
	} else {
		var p []byte
		if _, p, err = c.ws.ReadMessage(); err == nil {
			err = json.Unmarshal(p, &m)
		}
	}
	if err == nil && m.S != nil {
		c.seq = *m.S
	}
	return m, err
}

func (c *client) next() message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// event reads the next message, which is an event of a type.
func (c *client) event(event string) message {
	c.t.Helper()
	m := c.next()
	if m.Op != discord.OpDispatch || m.T != event {
		c.t.Fatalf("want %s, got %d %s %.200s", event, m.Op, m.T, m.D)
	}
	return m
}

// closed reads until the end, and returns the code that the server closed with.
func (c *client) closed() (code int, reason string) {
	c.t.Helper()
	for {
		_, err := c.read()
		if e, ok := errors.AsType[*websocket.CloseError](err); ok {
			return e.Code, e.Text
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) send(op discord.Opcode, d string) {
	c.t.Helper()
	c.raw(fmt.Sprintf(`{"op":%d,"d":%s}`, op, d))
}

func (c *client) raw(p string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
		c.t.Fatal(err)
	}
}

// identify opens a session. more are further members of IDENTIFY's d.
func (c *client) identify(intents discord.Intents, more string) {
	c.t.Helper()
	c.send(discord.OpIdentify, fmt.Sprintf(`{"token":%q,"intents":%d,"properties":{}%s}`, c.b.key, intents, more))
}

// ready is what tests look at in READY.
type ready struct {
	V    int `json:"v"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Guilds []struct {
		ID          string `json:"id"`
		Unavailable bool   `json:"unavailable"`
	} `json:"guilds"`
	SID         string `json:"session_id"`
	URL         string `json:"resume_gateway_url"`
	Shard       []int  `json:"shard"`
	Application struct {
		ID    string `json:"id"`
		Flags int    `json:"flags"`
	} `json:"application"`
}

// begun identifies and reads READY and the guilds.
func (c *client) begun(intents discord.Intents, more string) ready {
	c.t.Helper()
	c.identify(intents, more)
	r := c.isReady()
	if intents.Has(discord.IntentGuilds) {
		for range r.Guilds {
			c.event(discord.EventGuildCreate)
		}
	}
	return r
}

func (c *client) isReady() (r ready) {
	c.t.Helper()
	m := c.event(discord.EventReady)
	if err := json.Unmarshal(m.D, &r); err != nil {
		c.t.Fatal(err)
	}
	c.sid, c.url = r.SID, r.URL
	return r
}

// resume asks to go on after what was read last.
func (c *client) resume(sid string, seq int64) {
	c.t.Helper()
	c.send(discord.OpResume, fmt.Sprintf(`{"token":%q,"session_id":%q,"seq":%d}`, c.b.key, sid, seq))
}

// content is the content of a message event.
func (m message) content() string {
	var d struct{ Content string }
	_ = json.Unmarshal(m.D, &d)
	return d.Content
}

// replayed reads messages up to RESUMED, and returns their contents.
func (c *client) replayed() (contents []string) {
	c.t.Helper()
	for {
		m := c.next()
		if m.T == discord.EventResumed {
			return contents
		}
		contents = append(contents, m.content())
	}
}

// drop ends TCP.
func (c *client) drop() { _ = c.ws.NetConn().Close() }

func equal[T comparable](t tb, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// await polls a condition.
func await(t tb, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func deadline() time.Time { return time.Now().Add(wait) }
