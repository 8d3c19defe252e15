package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Consistency of a read.
const (
	Local        = "local"        // the node's own state
	Linearizable = "linearizable" // everything that was committed before
)

// Status returns what the node knows of its cluster. all lists every shard,
// however many there are.
func (c *Client) Status(ctx context.Context, all bool) (st Status, err error) {
	q := url.Values{}
	if all {
		q.Set("shards", "all")
	}
	return st, c.get(ctx, "/status", q, &st)
}

// Nodes returns the nodes.
func (c *Client) Nodes(ctx context.Context) (out []Node, err error) {
	return out, c.get(ctx, "/nodes", nil, &out)
}

// Node returns one node.
func (c *Client) Node(ctx context.Context, id string) (out Node, err error) {
	return out, c.get(ctx, "/nodes/"+url.PathEscape(id), nil, &out)
}

// Shards returns all shards.
func (c *Client) Shards(ctx context.Context) (out []Shard, err error) {
	return out, c.get(ctx, "/shards", nil, &out)
}

// Shard returns one shard of the client's bot.
func (c *Client) Shard(ctx context.Context, id string) (out Shard, err error) {
	return out, c.get(ctx, "/shards/"+url.PathEscape(id), nil, &out)
}

// Bots returns the bots.
func (c *Client) Bots(ctx context.Context) (out []Bot, err error) {
	return out, c.get(ctx, "/bots", nil, &out)
}

// Digest returns the digest of the node's applied state.
func (c *Client) Digest(ctx context.Context) (out Digest, err error) {
	return out, c.get(ctx, "/digest", nil, &out)
}

// Guild returns a cached guild as Discord writes it.
func (c *Client) Guild(ctx context.Context, id string) (out json.RawMessage, err error) {
	return out, c.get(ctx, "/cache/guilds/"+url.PathEscape(id), nil, &out)
}

// GuildList returns a cached list of a guild: channels, roles, members,
// emojis, voice_states or threads.
func (c *Client) GuildList(ctx context.Context, id, kind string) (out json.RawMessage, err error) {
	return out, c.get(ctx, "/cache/guilds/"+url.PathEscape(id)+"/"+url.PathEscape(kind), nil, &out)
}

// User returns a cached user as Discord writes it.
func (c *Client) User(ctx context.Context, id string) (out json.RawMessage, err error) {
	return out, c.get(ctx, "/cache/users/"+url.PathEscape(id), nil, &out)
}

// CacheStats returns how much is cached.
func (c *Client) CacheStats(ctx context.Context) (out []CacheStats, err error) {
	return out, c.get(ctx, "/cache/stats", nil, &out)
}

// KVList returns all keys that start with prefix.
func (c *Client) KVList(ctx context.Context, prefix string) ([]KVItem, error) {
	q := url.Values{"prefix": {prefix}}
	all := []KVItem{}
	for {
		var page []KVItem
		h, err := c.doHeader(ctx, call{method: http.MethodGet, path: "/v1/kv", query: q}, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		cursor := h.Get("Botnode-Cursor")
		if cursor == "" {
			return all, nil
		}
		q.Set("cursor", cursor)
	}
}

// KV returns a key's item. consistency is Local or Linearizable, "" for Local.
func (c *Client) KV(ctx context.Context, key, consistency string) (out KVItem, err error) {
	q := url.Values{}
	if consistency != "" {
		q.Set("consistency", consistency)
	}
	return out, c.get(ctx, "/kv/"+keyPath(key), q, &out)
}

// keyPath escapes a key for a path in which it may have any bytes.
func keyPath(key string) string { return strings.ReplaceAll(url.PathEscape(key), ".", "%2E") }

// Config returns the bot's replicated configuration.
func (c *Client) Config(ctx context.Context) (out BotConfig, err error) {
	return out, c.get(ctx, "/config", nil, &out)
}

// DeadLetters returns the bot's dead letters.
func (c *Client) DeadLetters(ctx context.Context) (out []DeadLetter, err error) {
	return out, c.get(ctx, "/dead-letters", nil, &out)
}

// SaveSnapshot writes a backup of the node's applied state to w.
func (c *Client) SaveSnapshot(ctx context.Context, w io.Writer) (int64, error) {
	r := call{method: http.MethodGet, path: "/v1/snapshot"}
	res, err := c.open(ctx, r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, c.failed(r, err)
	}
	return n, nil
}

// Ready returns what the node says is missing; nothing if it is ready.
func (c *Client) Ready(ctx context.Context) ([]string, error) {
	to, err := c.url(call{path: "/readyz", query: url.Values{"verbose": {""}}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, c.failed(call{method: http.MethodGet}, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return nil, c.failed(call{method: http.MethodGet}, err)
	}
	if res.StatusCode == http.StatusOK {
		return nil, nil
	}
	if res.StatusCode != http.StatusServiceUnavailable {
		return nil, errors.New("/readyz answers " + res.Status)
	}
	var missing []string
	for line := range strings.SplitSeq(string(b), "\n") {
		if m, bad := strings.CutPrefix(line, "[-] "); bad {
			missing = append(missing, m)
		}
	}
	return missing, nil
}
