package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// DisconnectShard takes a shard off Discord without ending its session. drain is
// how long to wait for events that are not handled yet.
func (c *Client) DisconnectShard(ctx context.Context, id string, drain time.Duration) (out Resume, err error) {
	ms := drain.Milliseconds()
	body, err := json.Marshal(DisconnectRequest{DrainMS: &ms})
	if err != nil {
		return out, err
	}
	return out, c.do(ctx, call{method: http.MethodPost, path: shardPath(id, "disconnect"), body: body}, &out)
}

// ConnectShard connects a shard, and returns it as it is then.
func (c *Client) ConnectShard(ctx context.Context, id string, req ConnectRequest) (out Shard, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return out, err
	}
	return out, c.do(ctx, call{method: http.MethodPost, path: shardPath(id, "connect"), body: body}, &out)
}

// ExportShard writes the cached guilds of a disconnected shard to w, an event of
// Discord a line.
func (c *Client) ExportShard(ctx context.Context, id string, w io.Writer) error {
	r := call{method: http.MethodGet, path: shardPath(id, "state")}
	res, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(w, res.Body); err != nil {
		return c.failed(r, err)
	}
	return nil
}

// importPiece is about how much ImportShard sends at a time.
const importPiece = 512 << 10

// ImportShard brings what ExportShard wrote into the caches of a cluster in which
// the shard is not connected. next returns io.EOF after the last event.
func (c *Client) ImportShard(ctx context.Context, id string, of int, next func() (StateLine, error)) (count int, err error) {
	var piece []byte
	send := func() error {
		if len(piece) == 0 {
			return nil
		}
		q := url.Values{"of": {strconv.Itoa(of)}}
		err := c.do(ctx, call{method: http.MethodPost, path: shardPath(id, "state"), query: q, body: piece}, nil)
		piece = piece[:0]
		return err
	}
	for {
		l, err := next()
		if errors.Is(err, io.EOF) {
			return count, send()
		}
		if err != nil {
			return count, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
		b, err := json.Marshal(l)
		if err != nil {
			return count, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
		if len(piece)+len(b) > importPiece {
			if err := send(); err != nil {
				return count, err
			}
		}
		piece = append(append(piece, b...), '\n')
		count++
	}
}

func shardPath(id, verb string) string { return "/v1/shards/" + url.PathEscape(id) + "/" + verb }
