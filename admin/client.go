package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// maxAnswer bounds an answer that the client holds in memory.
const maxAnswer = 64 << 20

// Client speaks to a node's admin API. Its errors match the sentinels of this
// package: ErrUnreachable if nothing was done, ErrUnknownOutcome if a command
// was sent and no answer came, and what the node answered otherwise.
type Client struct {
	// BaseURL is "http://host:port"; the scheme may be left out.
	BaseURL string
	Token   string
	// Bot is the bot that requests are about; "" where there is one.
	Bot string
	// HTTP is the client used, nil for http.DefaultClient. Requests are
	// bounded by their contexts.
	HTTP *http.Client
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
	stream       io.Reader // in place of body, if it is set
	size         int64     // of stream
	accept       string
}

func (c *Client) url(r call) (string, error) {
	base := c.BaseURL
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", WithHint(fmt.Errorf("%w: %q is not the address of a node's HTTP API", ErrBadRequest, c.BaseURL), "--http http://HOST:PORT")
	}
	q := r.query
	if q == nil {
		q = url.Values{}
	}
	if c.Bot != "" {
		q.Set("bot", c.Bot)
	}
	u = u.JoinPath(r.path)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// open sends a request and returns the answer if it is one of success.
func (c *Client) open(ctx context.Context, r call) (*http.Response, error) {
	to, err := c.url(r)
	if err != nil {
		return nil, err
	}
	var body io.Reader = bytes.NewReader(r.body)
	if r.stream != nil {
		body = r.stream
	}
	req, err := http.NewRequestWithContext(ctx, r.method, to, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if r.stream != nil {
		req.ContentLength = r.size
	}
	maps.Copy(req.Header, r.header)
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, c.failed(r, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	return nil, c.refused(res)
}

// failed says what is known after a request without an answer.
func (c *Client) failed(r call, err error) error {
	var dial *net.OpError
	reading := r.method == http.MethodGet || r.method == http.MethodHead
	notSent := errors.Is(err, syscall.ECONNREFUSED) || (errors.As(err, &dial) && dial.Op == "dial")
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the URL is in the message already
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case reading || notSent:
		return WithHint(fmt.Errorf("%w at %s: %w", ErrUnreachable, c.BaseURL, err),
			"is the node running? --http (or BOTNODE_HTTP) names the node that is spoken to")
	}
	return WithHint(fmt.Errorf("%w: no answer from %s: %w", ErrUnknownOutcome, c.BaseURL, err), "`botnode status` shows what came of it")
}

func (c *Client) refused(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16)) // what there is of it
	var e struct {
		Error *APIError `json:"error"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Error == nil || e.Error.Code == "" {
		return WithHint(fmt.Errorf("%s answers %s, which is not what a botnode node says", c.BaseURL, res.Status), "check --http")
	}
	e.Error.Status = res.StatusCode
	return e.Error
}

// do sends a request and reads the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	_, err := c.doHeader(ctx, r, out)
	return err
}

func (c *Client) doHeader(ctx context.Context, r call, out any) (http.Header, error) {
	res, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.failed(r, err)
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b
		return res.Header, nil
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return nil, fmt.Errorf("the answer of %s can't be read: %w", c.BaseURL, err)
		}
	}
	return res.Header, nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: "/v1" + path, query: query}, out)
}

func (c *Client) command(ctx context.Context, method, path string, body any) error {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return c.do(ctx, call{method: method, path: "/v1" + path, body: b}, nil)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
