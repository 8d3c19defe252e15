package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Route is what the limiter knows of a request: enough to find its bucket, and
// never a token. Two requests with equal Key share a limit for certain; with
// different keys they may, which only the answer's headers tell.
type Route struct {
	// Method is the HTTP method.
	Method string
	// Template is the path with its ids taken out, such as "/channels/{id}/messages".
	Template string
	// Major is the top-level resource, such as "channels/123", or "" (topics/rate-limits.mdx).
	// A token in it is replaced by a hash.
	Major string
	// Key is Method and Template: what Discord's bucket hash is learnt for.
	Key string
	// Interaction is true for the endpoints that answer an interaction: they are
	// exempt from the global limit and carry their own token.
	Interaction bool
	// Webhook is true if the path holds a webhook's (or an interaction's) token.
	Webhook bool
}

// OwnToken is true if the path carries the token that authorizes the request.
func (r Route) OwnToken() bool { return r.Webhook || r.Interaction }

// CreateMessage is true for the one route that takes a nonce.
func (r Route) CreateMessage() bool {
	return r.Method == "POST" && r.Template == "/channels/{id}/messages"
}

// interactionToken begins the token of every interaction: "interaction:" in
// base64. It tells an interaction's webhook from an ordinary one, which has the
// same path (interactions/receiving-and-responding.mdx, "Endpoints").
const interactionToken = "aW50ZXJhY3Rpb246"

// ParseRoute finds the route of a request. The path is the escaped one, with or
// without the "/api/v10" before it. It accepts every path: what it doesn't know
// keeps its words and loses its numbers.
func ParseRoute(method, path string) Route {
	segs := segments(path)
	r := Route{Method: method}
	var b strings.Builder
	for i, seg := range segs {
		b.WriteByte('/')
		b.WriteString(r.segment(segs, i, seg))
	}
	r.Template = b.String()
	if r.Template == "" {
		r.Template = "/"
	}
	r.Key = method + " " + r.Template
	return r
}

// segment returns the template's form of one segment and notes what it says of the route.
func (r *Route) segment(segs []string, i int, seg string) string {
	switch {
	case i == 1 && isID(seg) && isMajor(segs[0]):
		r.Major = segs[0] + "/" + seg
		return "{id}"
	case i == 2 && ownToken(segs):
		r.token(segs, seg)
		return "{token}"
	case i > 0 && segs[i-1] == "reactions" && segs[0] == "channels":
		return "{emoji}"
	case i > 0 && isCode(segs, i):
		return "{code}"
	case isID(seg):
		return "{id}"
	}
	return seg
}

// token notes a path that carries its own token.
func (r *Route) token(segs []string, token string) {
	sum := sha256.Sum256([]byte(token))
	r.Major = segs[0] + "/" + segs[1] + "/" + hex.EncodeToString(sum[:8])
	if segs[0] == "interactions" {
		r.Interaction = true
		return
	}
	r.Webhook = true
	original := len(segs) > 4 && segs[3] == "messages" && segs[4] == "@original"
	r.Interaction = original || strings.HasPrefix(token, interactionToken)
}

// segments splits a path and drops the API's prefix and version.
func segments(path string) []string {
	segs := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if len(segs) > 0 && segs[0] == "api" {
		segs = segs[1:]
	}
	if len(segs) > 0 && len(segs[0]) > 1 && segs[0][0] == 'v' && isID(segs[0][1:]) {
		segs = segs[1:]
	}
	return segs
}

// isMajor names the top-level resources that limits are counted for.
func isMajor(s string) bool { return s == "channels" || s == "guilds" || s == "webhooks" }

// ownToken is true if the third segment is a token.
func ownToken(segs []string) bool {
	return (segs[0] == "webhooks" || segs[0] == "interactions") && isID(segs[1])
}

// isCode is true for the segments that are codes of invites and of guild templates.
func isCode(segs []string, i int) bool {
	switch segs[i-1] {
	case "invites":
		return i == 1
	case "templates":
		return segs[0] == "guilds"
	}
	return false
}

// isID is true for a decimal number.
func isID(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
