package sim

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/zeebo/xxh3"
)

// defaultLimits are the limits of buckets that differ from anyLimit. Discord
// publishes none; these are the ones seen on the real API.
var defaultLimits = map[string]Limit{
	"messages.create":  {5, 5 * time.Second},
	"messages.edit":    {5, 5 * time.Second},
	"messages.delete":  {5, time.Second},
	"messages.bulk":    {1, time.Second},
	"reactions.modify": {1, 250 * time.Millisecond},
	"typing":           {5, 5 * time.Second},
	"channels.edit":    {5, 15 * time.Second},
	"members.edit":     {10, 10 * time.Second},
	"guilds.channels":  {10, 10 * time.Second},
	"webhooks.execute": {5, 2 * time.Second},
	"gateway.bot":      {2, 5 * time.Second},
}

var anyLimit = Limit{30, time.Second}

// window is a limit at work: it starts with its first request.
type window struct {
	used  int
	reset time.Time
}

// limits are the windows of the buckets, the global one, and the invalid requests.
type limits struct {
	opts *Options

	mu      sync.Mutex // guards what follows
	buckets map[string]*window
	global  window
	bad     map[string]*window
}

func newLimits(o *Options) *limits {
	return &limits{opts: o, buckets: map[string]*window{}, bad: map[string]*window{}}
}

func (l *limits) limitOf(bucket string) Limit {
	if x, ok := l.opts.Limits[bucket]; ok {
		return x
	}
	if l.opts.NoRouteLimits {
		return Limit{-1, time.Second}
	}
	if x, ok := defaultLimits[bucket]; ok {
		return x
	}
	return anyLimit
}

// bucketKey is a bucket and the top-level resource of the path
// (topics/rate-limits.mdx).
func bucketKey(rt *route, segs []string) string {
	k := rt.bucket
	if len(segs) < 2 {
		return k
	}
	switch segs[0] {
	case "channels", "guilds":
		return k + "/" + segs[1]
	case "webhooks", "interactions":
		if len(segs) > 2 {
			return k + "/" + segs[1] + "/" + segs[2]
		}
		return k + "/" + segs[1]
	}
	return k
}

// take counts a request and returns the 429 if it is over a limit.
func (l *limits) take(rt *route, segs []string, _ string) (reply, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !rt.exempt && l.opts.GlobalLimit > 0 {
		if now.After(l.global.reset) {
			l.global = window{reset: now.Add(time.Second)}
		}
		if l.global.used >= l.opts.GlobalLimit {
			return tooMany(rt, "global", l.global.reset.Sub(now), Limit{}), true
		}
		l.global.used++
	}
	lim := l.limitOf(rt.bucket)
	if lim.Requests < 0 {
		return reply{}, false
	}
	w := l.window(bucketKey(rt, segs), lim, now)
	if w.used >= lim.Requests {
		return tooMany(rt, "user", w.reset.Sub(now), lim), true
	}
	w.used++
	return reply{}, false
}

func (l *limits) window(key string, lim Limit, now time.Time) *window {
	w := l.buckets[key]
	if w == nil || now.After(w.reset) {
		w = &window{reset: now.Add(lim.Window)}
		l.buckets[key] = w
	}
	return w
}

func bucketHash(name string) string {
	h := xxh3.HashString128(name)
	return fmt.Sprintf("%016x%016x", h.Hi, h.Lo)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

func resetAt(d time.Duration) string {
	return strconv.FormatFloat(float64(time.Now().Add(d).UnixMilli())/1000, 'f', 3, 64)
}

// headers are those of an answer that wasn't limited.
func (l *limits) headers(rt *route, segs []string) map[string]string {
	if rt.exempt {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.limitOf(rt.bucket)
	left, after := 1<<20, lim.Window
	if lim.Requests >= 0 {
		w := l.window(bucketKey(rt, segs), lim, time.Now())
		left, after = max(0, lim.Requests-w.used), max(0, time.Until(w.reset))
	} else {
		lim.Requests = 1 << 20
	}
	return map[string]string{
		"X-RateLimit-Limit":       strconv.Itoa(lim.Requests),
		"X-RateLimit-Remaining":   strconv.Itoa(left),
		"X-RateLimit-Reset":       resetAt(after),
		"X-RateLimit-Reset-After": seconds(after),
		"X-RateLimit-Bucket":      bucketHash(rt.bucket),
	}
}

// tooMany is a 429 with the headers of its scope (topics/rate-limits.mdx,
// "Exceeding A Rate Limit").
func tooMany(rt *route, scope string, after time.Duration, lim Limit) reply {
	after = max(after, time.Millisecond)
	rep := reply{status: http.StatusTooManyRequests, scope: scope, header: map[string]string{
		"Retry-After":       strconv.Itoa(int(math.Ceil(after.Seconds()))),
		"X-RateLimit-Scope": scope,
		"Via":               "1.1 google",
	}}
	message := "You are being rate limited."
	switch scope {
	case "global":
		rep.header["X-RateLimit-Global"] = "true"
	case "shared":
		message = "The resource is being rate limited."
		fallthrough
	default:
		left := 0
		if scope == "shared" {
			left = max(0, lim.Requests-1)
		}
		rep.header["X-RateLimit-Limit"] = strconv.Itoa(lim.Requests)
		rep.header["X-RateLimit-Remaining"] = strconv.Itoa(left)
		rep.header["X-RateLimit-Reset"] = resetAt(after)
		rep.header["X-RateLimit-Reset-After"] = seconds(after)
		rep.header["X-RateLimit-Bucket"] = bucketHash(rt.bucket)
	}
	rep.body = obj{"message": message, "retry_after": math.Round(after.Seconds()*1000) / 1000, "global": scope == "global"}
	return rep
}

// invalid counts an invalid request of an address.
func (l *limits) invalid(ip string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	w := l.bad[ip]
	if w == nil || now.After(w.reset) {
		w = &window{reset: now.Add(l.opts.InvalidWindow)}
		l.bad[ip] = w
	}
	w.used++
}

// banned says whether an address made too many invalid requests. The ban lasts
// until the window ends.
func (l *limits) banned(ip string) bool {
	if l.opts.InvalidLimit < 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.bad[ip]
	return w != nil && w.used >= l.opts.InvalidLimit && time.Now().Before(w.reset)
}
