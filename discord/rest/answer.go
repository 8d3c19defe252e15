package rest

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Scope says which limit a 429 is about (X-RateLimit-Scope).
type Scope string

// The scopes of Discord, and one for an answer that names none.
const (
	ScopeUser   Scope = "user"   // the bot's own limit in one bucket
	ScopeGlobal Scope = "global" // the bot's limit over all buckets
	ScopeShared Scope = "shared" // the resource's limit, used up by whomever; not an invalid request
	ScopeEdge   Scope = "edge"   // no scope: the answer comes from in front of the API, for the IP address
)

// Fate says what became of a request.
type Fate uint8

// The fates of a request.
const (
	Answered Fate = iota // the answer's headers are known
	Lost                 // sent, perhaps counted, no answer
	Unsent               // never sent: it counts for nothing
)

// Answer is what a Limiter learns from a request's end. It is plain data, so
// that it can be sent to where the limit is kept.
type Answer struct {
	Fate   Fate
	Status int
	// Bucket is Discord's name of the bucket, without the top-level resource; "" if the headers are missing.
	Bucket string
	// Limit and Remaining are the bucket's counts after this request.
	Limit, Remaining int
	// Reset is Discord's clock at the window's end in Unix milliseconds, or 0. It
	// is compared with other values of Discord's only, never with a clock of ours.
	Reset int64
	// ResetAfter is how far away that was when the answer was written.
	ResetAfter time.Duration
	// RetryAfter is set on a 429.
	RetryAfter time.Duration
	// Scope is set on a 429.
	Scope Scope
	// orphan is set on a Lost of a process that is gone: what it has sent may arrive yet.
	orphan bool
}

// edgePause is how long everything waits after a 429 that says nothing at all:
// most likely the address is banned, and asking on doesn't shorten that.
const edgePause = time.Minute

// ParseAnswer reads the limits out of an answer's headers (topics/rate-limits.mdx, "Header Format").
func ParseAnswer(status int, h http.Header) Answer {
	a := Answer{Status: status}
	limit, lok := number(h.Get("X-RateLimit-Limit"))
	remaining, rok := number(h.Get("X-RateLimit-Remaining"))
	after, aok := number(h.Get("X-RateLimit-Reset-After"))
	if bucket := h.Get("X-RateLimit-Bucket"); bucket != "" && lok && rok && aok {
		a.Bucket, a.Limit, a.Remaining, a.ResetAfter = bucket, int(limit), int(remaining), seconds(after)
		if reset, ok := number(h.Get("X-RateLimit-Reset")); ok {
			a.Reset = int64(math.Round(reset * 1000))
		}
	}
	if status == http.StatusTooManyRequests {
		a.limited(h)
	}
	return a
}

// limited reads what a 429 has beyond the ordinary headers.
func (a *Answer) limited(h http.Header) {
	if after, ok := number(h.Get("Retry-After")); ok {
		a.RetryAfter = seconds(after)
	}
	switch scope := Scope(h.Get("X-RateLimit-Scope")); {
	case scope == ScopeUser || scope == ScopeGlobal || scope == ScopeShared:
		a.Scope = scope
	case h.Get("X-RateLimit-Global") == "true":
		a.Scope = ScopeGlobal
	case a.Bucket != "":
		a.Scope = ScopeUser
	default:
		a.Scope = ScopeEdge
	}
}

// readLimitBody takes from a 429's JSON body what its headers lack.
func (a *Answer) readLimitBody(body []byte) {
	var b struct {
		RetryAfter float64 `json:"retry_after"`
		Global     bool    `json:"global"`
	}
	if json.Unmarshal(body, &b) == nil {
		if a.RetryAfter == 0 {
			a.RetryAfter = seconds(b.RetryAfter)
		}
		if b.Global && a.Scope == ScopeEdge {
			a.Scope = ScopeGlobal
		}
	}
	if a.RetryAfter == 0 {
		a.RetryAfter = max(a.ResetAfter, time.Second)
		if a.Scope == ScopeEdge {
			a.RetryAfter = edgePause
		}
	}
}

// Invalid is true if Discord counts the answer against the address.
func (a Answer) Invalid() bool {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusTooManyRequests:
		return a.Scope != ScopeShared
	}
	return false
}

// maxSeconds bounds what a header may ask for: a wait of a day is as good as any longer one.
const maxSeconds = 86_400

// number reads a header that must be a finite number of at least 0.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 || f > 1e12 {
		return 0, false
	}
	return f, true
}

// seconds turns a header's seconds into a duration, rounded up to a millisecond.
func seconds(f float64) time.Duration {
	if !(f > 0) {
		return 0
	}
	return time.Duration(math.Ceil(min(f, maxSeconds)*1000)) * time.Millisecond
}
