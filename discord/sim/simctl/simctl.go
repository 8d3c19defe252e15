// Package simctl is the client of a simulator's control API, for tests and
// demonstrations that run cmd/discordsim as a process of its own. What it can
// do, and the types it speaks, are those of package sim.
package simctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// ErrRefused is returned when the simulator refuses a request; the text says why.
var ErrRefused = errors.New("simctl: refused")

// Client drives one simulator.
type Client struct {
	base string
	http *http.Client
}

// New makes a client of the simulator at a URL, which may be its root or its
// API's. It keeps no connection open between calls.
func New(base string) *Client {
	root, _, _ := strings.Cut(strings.TrimRight(base, "/"), "/api/")
	return &Client{
		base: root + "/_sim/",
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// Info describes the simulator and its live sessions.
func (c *Client) Info(ctx context.Context) (sim.Info, error) {
	return get[sim.Info](ctx, c, "info", nil)
}

// Say lets a user write a message; with a wait above zero it returns the answer too.
func (c *Client) Say(ctx context.Context, m sim.Say, wait time.Duration) (sim.SayResponse, error) {
	return post[sim.SayResponse](ctx, c, "say", sim.SayRequest{Say: m, WaitMS: int(wait.Milliseconds())})
}

// Interact lets a user run a slash command; with a wait above zero it returns
// the answer too.
func (c *Client) Interact(ctx context.Context, i sim.Interact, wait time.Duration) (sim.SayResponse, error) {
	return post[sim.SayResponse](ctx, c, "interact", sim.InteractRequest{Interact: i, WaitMS: int(wait.Milliseconds())})
}

// StartLoad starts load and returns at once.
func (c *Client) StartLoad(ctx context.Context, l sim.Load) error {
	_, err := post[sim.Summary](ctx, c, "load", sim.LoadRequest{Load: l})
	return err
}

// RunLoad makes load and returns when it has ended.
func (c *Client) RunLoad(ctx context.Context, l sim.Load) (sim.Summary, error) {
	return post[sim.Summary](ctx, c, "load", sim.LoadRequest{Load: l, Wait: true})
}

// StopLoad stops all load.
func (c *Client) StopLoad(ctx context.Context) (sim.Summary, error) {
	return post[sim.Summary](ctx, c, "stop", struct{}{})
}

// Inject makes a fault happen.
func (c *Client) Inject(ctx context.Context, f sim.Fault) error {
	_, err := post[struct{}](ctx, c, "fault", f)
	return err
}

// Mutate makes n random changes of a kind.
func (c *Client) Mutate(ctx context.Context, kind string, n int) error {
	_, err := post[struct{}](ctx, c, "mutate", sim.MutateRequest{Kind: kind, N: n})
	return err
}

// AddGuild lets the bot be invited to a new guild.
func (c *Client) AddGuild(ctx context.Context, members int) (sim.ID, error) {
	out, err := post[struct {
		ID sim.ID `json:"id"`
	}](ctx, c, "guild", map[string]int{"add": members})
	return out.ID, err
}

// RemoveGuild lets the bot be thrown out of a guild.
func (c *Client) RemoveGuild(ctx context.Context, id sim.ID) error {
	_, err := post[struct{}](ctx, c, "guild", map[string]sim.ID{"remove": id})
	return err
}

// Summary is the score.
func (c *Client) Summary(ctx context.Context) (sim.Summary, error) {
	return get[sim.Summary](ctx, c, "ledger", nil)
}

// Ledger is the score and all records.
func (c *Client) Ledger(ctx context.Context) (sim.FullLedger, error) {
	return get[sim.FullLedger](ctx, c, "ledger", url.Values{"full": {"1"}})
}

// Requests is every REST request so far, up to a bound.
func (c *Client) Requests(ctx context.Context) ([]sim.Request, error) {
	return get[[]sim.Request](ctx, c, "requests", nil)
}

// Truth is the true state of a guild.
func (c *Client) Truth(ctx context.Context, guild sim.ID) (sim.Truth, error) {
	return get[sim.Truth](ctx, c, "truth/"+guild.String(), nil)
}

// Timeline is pings sent and answered for each bucket of time.
func (c *Client) Timeline(ctx context.Context, bucket time.Duration) (sim.Timeline, error) {
	ms := strconv.FormatInt(bucket.Milliseconds(), 10)
	return get[sim.Timeline](ctx, c, "timeline", url.Values{"bucket_ms": {ms}})
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return do[T](ctx, c, http.MethodGet, path, nil)
}

func post[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	body, err := json.Marshal(in)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("simctl: %w", err)
	}
	return do[T](ctx, c, http.MethodPost, path, body)
}

func do[T any](ctx context.Context, c *Client, method, path string, body []byte) (out T, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("simctl: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return out, fmt.Errorf("simctl: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	d := json.NewDecoder(res.Body)
	if res.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		_ = d.Decode(&e)
		return out, fmt.Errorf("%w: %s %s: %d %s", ErrRefused, method, path, res.StatusCode, e.Error)
	}
	if err := d.Decode(&out); err != nil {
		return out, fmt.Errorf("simctl: %w", err)
	}
	return out, nil
}
