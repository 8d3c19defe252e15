package proxy

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// maxFrame is the largest payload that a client may send, in bytes
// (events/gateway.mdx, "Sending Events": larger ones are closed with 4002).
const maxFrame = 4096

// errFrame means that a payload can't be read.
var errFrame = errors.New("not a gateway payload")

// frame is one payload that a client sent.
type frame struct {
	op discord.Opcode
	d  []byte // raw JSON, null if the payload had none
}

// parseFrame reads a payload. What it returns refers to p.
func parseFrame(p []byte) (frame, error) {
	if len(p) > maxFrame || !json.Valid(p) {
		return frame{}, errFrame
	}
	env, err := jsonscan.Envelope(p)
	if err != nil || env.Op < 0 {
		return frame{}, errFrame
	}
	f := frame{op: discord.Opcode(env.Op), d: env.Data}
	if f.d == nil {
		f.d = []byte("null")
	}
	return f, nil
}

// appendPayload appends a payload that is no dispatch.
func appendPayload(dst []byte, op discord.Opcode, d string) []byte {
	dst = append(dst, `{"t":null,"s":null,"op":`...)
	dst = strconv.AppendInt(dst, int64(op), 10)
	dst = append(dst, `,"d":`...)
	dst = append(dst, d...)
	return append(dst, '}')
}

// appendHead appends a dispatch up to its d; what follows is d and a brace.
func appendHead(dst []byte, event string, s int64) []byte {
	dst = append(dst, `{"t":`...)
	dst = strconv.AppendQuote(dst, event) // names of events are plain ASCII
	dst = append(dst, `,"s":`...)
	dst = strconv.AppendInt(dst, s, 10)
	return append(dst, `,"op":0,"d":`...)
}
