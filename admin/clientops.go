package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Join makes the node join the cluster of the node at peer. token is a join
// token, "" where none is needed. stage, which may be nil, is told of each step.
func (c *Client) Join(ctx context.Context, peer, token string, stage func(string)) (JoinResult, error) {
	req := map[string]string{"peer": peer}
	if token != "" {
		req["token"] = token
	}
	body, err := json.Marshal(req)
	if err != nil {
		return JoinResult{}, err
	}
	r := call{method: http.MethodPost, path: "/v1/join", body: body, accept: "application/x-ndjson"}
	res, err := c.open(ctx, r)
	if err != nil {
		return JoinResult{}, err
	}
	defer func() { _ = res.Body.Close() }()
	lines := json.NewDecoder(res.Body)
	for {
		var l joinLine
		switch err := lines.Decode(&l); {
		case err != nil:
			return JoinResult{}, c.failed(r, err)
		case l.Error != nil:
			return JoinResult{}, l.Error
		case l.Result != nil:
			return *l.Result, nil
		case stage != nil:
			stage(l.Stage)
		}
	}
}

// Leave makes the node hand everything over and leave its cluster.
func (c *Client) Leave(ctx context.Context) error {
	return c.command(ctx, http.MethodPost, "/leave", nil)
}

// Drain says whether a node is to have no shards.
func (c *Client) Drain(ctx context.Context, id string, on bool) error {
	method := http.MethodDelete
	if on {
		method = http.MethodPost
	}
	return c.command(ctx, method, "/nodes/"+url.PathEscape(id)+"/drain", nil)
}

// RemoveNode removes a node that is gone; with force also one that is up.
func (c *Client) RemoveNode(ctx context.Context, id string, force bool) error {
	r := call{method: http.MethodDelete, path: "/v1/nodes/" + url.PathEscape(id)}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	return c.do(ctx, r, nil)
}

// SetVoter promotes or demotes a node.
func (c *Client) SetVoter(ctx context.Context, id string, voter bool) error {
	verb := "/demote"
	if voter {
		verb = "/promote"
	}
	return c.command(ctx, http.MethodPost, "/nodes/"+url.PathEscape(id)+verb, nil)
}

// TransferLeadership moves leadership to a node, "" for any other.
func (c *Client) TransferLeadership(ctx context.Context, to string) error {
	return c.command(ctx, http.MethodPost, "/leader/transfer", target{To: to})
}

// MoveShard moves a shard to a node, where it stays; to "" the cluster may place
// it again.
func (c *Client) MoveShard(ctx context.Context, id, to string) error {
	return c.command(ctx, http.MethodPost, "/shards/"+url.PathEscape(id)+"/move", target{To: to, Release: to == ""})
}

// Takeover is MoveShard for all shards of the bot.
func (c *Client) Takeover(ctx context.Context, to string) error {
	return c.command(ctx, http.MethodPost, "/takeover", target{To: to, Release: to == ""})
}

// DeadLetter retries or drops a dead letter.
func (c *Client) DeadLetter(ctx context.Context, pos uint64, retry bool) error {
	verb := "/drop"
	if retry {
		verb = "/retry"
	}
	return c.command(ctx, http.MethodPost, "/dead-letters/"+number(pos)+verb, nil)
}

// Configure replaces the bot's configuration if its revision is still rev, and
// returns the new revision.
func (c *Client) Configure(ctx context.Context, rev uint64, config json.RawMessage) (uint64, error) {
	body, err := json.Marshal(BotConfig{Revision: rev, Config: config})
	if err != nil {
		return 0, err
	}
	var out BotConfig
	err = c.do(ctx, call{method: http.MethodPut, path: "/v1/config", body: body}, &out)
	return out.Revision, err
}

// PutKV writes a key, if ifVersion is nil or its version, and returns the
// key's new version.
func (c *Client) PutKV(ctx context.Context, key string, value []byte, ifVersion *uint64) (uint64, error) {
	return c.writeKV(ctx, http.MethodPut, key, value, ifVersion)
}

// DeleteKV deletes a key, if ifVersion is nil or its version.
func (c *Client) DeleteKV(ctx context.Context, key string, ifVersion *uint64) error {
	_, err := c.writeKV(ctx, http.MethodDelete, key, nil, ifVersion)
	return err
}

func (c *Client) writeKV(ctx context.Context, method, key string, value []byte, ifVersion *uint64) (uint64, error) {
	r := call{method: method, path: "/v1/kv/" + keyPath(key), body: value, header: http.Header{}}
	if ifVersion != nil {
		r.header.Set("If-Match", strconv.Quote(number(*ifVersion)))
	}
	var out KVItem
	return out.Version, c.do(ctx, r, &out)
}

// EventsQuery says which events to stream.
type EventsQuery struct {
	From   uint64 // the first position; 0 for what comes next, or with NoFollow the oldest
	Type   string // only this type
	Guild  string // only this guild
	Follow bool   // go on when all that there is was read
}

// StreamEvents calls event for each event, and gap where some are missing,
// until the stream or ctx ends or a callback returns an error. It returns the
// position to go on from.
func (c *Client) StreamEvents(ctx context.Context, q EventsQuery, event func(Event) error, gap func(Gap) error) (uint64, error) {
	v := url.Values{}
	for name, text := range map[string]string{"type": q.Type, "guild": q.Guild} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.From > 0 {
		v.Set("from", number(q.From))
	}
	if !q.Follow {
		v.Set("follow", "0")
	}
	r := call{method: http.MethodGet, path: "/v1/events", query: v, accept: "text/event-stream"}
	res, err := c.open(ctx, r)
	if err != nil {
		return q.From, err
	}
	defer func() { _ = res.Body.Close() }()
	s := sseReader{next: q.From, event: event, gap: gap}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		if err := s.line(lines.Text()); err != nil {
			return s.next, err
		}
	}
	if err := lines.Err(); err != nil {
		return s.next, c.failed(r, err)
	}
	return s.next, nil
}

// sseReader reads a stream of server-sent events line by line.
type sseReader struct {
	next  uint64
	id    *uint64 // of the block that is being read
	kind  string
	data  string
	event func(Event) error
	gap   func(Gap) error
}

func (s *sseReader) line(text string) (err error) {
	name, value, _ := strings.Cut(text, ": ")
	switch name {
	case "id":
		var id uint64
		id, err = strconv.ParseUint(value, 10, 64)
		s.id = &id
	case "event":
		s.kind = value
	case "data":
		s.data = value
	case "":
		if text == "" {
			err = s.dispatch()
		}
	}
	return err
}

func (s *sseReader) dispatch() error {
	id, kind, data := s.id, s.kind, s.data
	s.id, s.kind, s.data = nil, "", ""
	if id != nil {
		defer func() { s.next = *id + 1 }()
	}
	if data == "" {
		return nil
	}
	if kind == "gap" {
		return decodeThen(data, s.gap)
	}
	return decodeThen(data, s.event)
}

func decodeThen[T any](data string, f func(T) error) error {
	var v T
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return fmt.Errorf("a line of the stream can't be read: %w", err)
	}
	if f == nil {
		return nil
	}
	return f(v)
}
