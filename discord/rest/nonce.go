package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// NonceParts is what makes a message's nonce. The body isn't in it: when a
// handler runs again and words its answer differently, the first message stands.
type NonceParts struct {
	Bot     string // the bot's name in the cluster
	SID     string // the gateway session that the event came from
	Seq     uint64 // the event's sequence number in it
	Handler string // the handler's name
	Method  string // the HTTP method
	Route   string // the path with its ids
	Ordinal uint64 // how many calls of this route the handler made before
	Key     string // the author's own key; if set, it takes the ordinal's place
}

// Nonce returns the nonce of a message: 24 characters, one below Discord's
// limit of 25 (resources/message.mdx), equal for equal parts on every node.
func Nonce(p NonceParts) string {
	h := sha256.New()
	var buf []byte
	for _, s := range []string{p.Bot, p.SID, p.Handler, p.Method, p.Route, p.Key} {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	if p.Key != "" {
		p.Ordinal = 0
	}
	buf = binary.AppendUvarint(buf, p.Seq)
	buf = binary.AppendUvarint(buf, p.Ordinal)
	h.Write(buf)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}
