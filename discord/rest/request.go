package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// prepare turns a caller's request into the one that is sent. It leaves the
// caller's alone, as a RoundTripper must.
func (t *RoundTripper) prepare(req *http.Request, attempt *Attempt) (*call, error) {
	c := &call{t: t, original: req, out: req.Clone(req.Context()), attempt: attempt}
	if c.out.Method == "" {
		c.out.Method = http.MethodGet
	}
	if c.out.URL.Host == "" {
		c.out.URL = resolve(t.base, c.out.URL)
		c.out.Host = ""
	}
	path := strings.TrimPrefix(c.out.URL.EscapedPath(), strings.TrimSuffix(t.base.EscapedPath(), "/"))
	c.route = ParseRoute(c.out.Method, path)
	if !strings.HasPrefix(c.out.Header.Get("User-Agent"), "DiscordBot") {
		c.out.Header.Set("User-Agent", t.opts.UserAgent)
	}
	who, err := c.authorize()
	if err != nil {
		return nil, err
	}
	c.limit = Request{
		Route: c.route.Key + ageClass(c.route, path, time.Now()), Major: c.route.Major,
		Identity: who, Exempt: c.route.Interaction, Since: t.since(), Template: c.route.Template,
	}
	c.safe = idempotent(c.route.Method) || isSafe(req.Context())
	if !c.route.CreateMessage() || attempt == nil {
		return c, nil
	}
	key, _ := req.Context().Value(nonceKey).(string)
	safe, err := addNonce(c.out, func() string { return attempt.nonce(c.route.Method, "/"+strings.Join(segments(path), "/"), key) })
	if err != nil {
		return nil, fmt.Errorf("rest: %s: body: %w", c.route.Key, err)
	}
	c.safe = c.safe || safe
	return c, nil
}

// resolve puts a path of the API behind the base's, and leaves alone one that has it already.
func resolve(base, u *url.URL) *url.URL {
	out := *u
	out.Scheme, out.Host = base.Scheme, base.Host
	prefix := strings.TrimSuffix(base.EscapedPath(), "/")
	if !strings.HasPrefix(u.EscapedPath(), prefix+"/") {
		out.Path = strings.TrimSuffix(base.Path, "/") + u.Path
		out.RawPath = prefix + u.EscapedPath()
	}
	return &out
}

// authorize sets the Authorization header and says whose limits count: the path's
// own token, a caller's OAuth2 token, or the bot's.
func (c *call) authorize() (Identity, error) {
	h := c.out.Header
	switch auth := h.Get("Authorization"); {
	case c.route.OwnToken():
		if isBotAuth(h) {
			h.Del("Authorization")
		}
		return IdentityNone, nil
	case auth != "" && !isBotAuth(h):
		return IdentityBearer, nil
	case c.t.opts.Token == nil:
		if auth == "" {
			return IdentityNone, nil
		}
		return IdentityBot, nil
	}
	c.token = strings.TrimPrefix(c.t.opts.Token(), "Bot ")
	if c.token == "" {
		return IdentityBot, ErrNoToken
	}
	h.Set("Authorization", "Bot "+c.token)
	return IdentityBot, nil
}

// isBotAuth is true if the header holds a bot's token.
func isBotAuth(h http.Header) bool {
	scheme, _, _ := strings.Cut(h.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bot")
}

// discordEpoch is the first millisecond of snowflakes (reference.mdx, "Snowflakes").
const discordEpoch = 1_420_070_400_000

// ageClass tells apart the buckets that Discord has for deleting a message, by the
// message's age (api-docs#1295): one route, three buckets. The limits' edges
// needn't be met exactly; a wrong guess is corrected by the answer.
func ageClass(r Route, path string, now time.Time) string {
	if r.Method != http.MethodDelete || r.Template != "/channels/{id}/messages/{id}" {
		return ""
	}
	segs := segments(path)
	id, err := strconv.ParseUint(segs[len(segs)-1], 10, 64)
	if err != nil {
		return ""
	}
	switch age := now.Sub(time.UnixMilli(int64(id>>22) + discordEpoch)); {
	case age < 10*time.Second:
		return " (new)"
	case age > 14*24*time.Hour:
		return " (old)"
	}
	return ""
}

// closeBody closes a request's body, as a RoundTripper must even on errors.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing was sent, so nothing depends on it
	}
}
