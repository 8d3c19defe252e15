package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// MaxDepth is how deep a payload may nest before it is marked Deep. Discord's
// own nest about a dozen levels; a recursive reader of 256 is still cheap.
const MaxDepth = 256

// stdlibDepth is how deep encoding/json follows before it refuses.
const stdlibDepth = 10000

// ErrMalformed is the reason of a Closure whose frame was not a gateway payload.
var ErrMalformed = errors.New("malformed frame")

// frame is a payload whose envelope was read. Its slices belong to the reader.
type frame struct {
	in   Input
	op   discord.Opcode
	seq  int64
	data []byte
	deep bool
}

// null stands for a d that is absent, so that every event has JSON.
var null = []byte("null")

// parseFrame reads one decoded message. An error means that the stream cannot be
// trusted any more: a frame without a readable sequence number would be a hole
// that nobody sees.
func parseFrame(msg []byte) (frame, error) {
	env, err := jsonscan.Envelope(msg)
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	deep, err := validate(msg)
	if err != nil {
		return frame{}, err
	}
	f := frame{op: discord.Opcode(env.Op), seq: env.Seq, data: env.Data, deep: deep}
	if f.data == nil {
		f.data = null
	}
	switch f.op {
	case discord.OpDispatch:
		if !env.HasSeq || env.Seq < 0 {
			return frame{}, fmt.Errorf("%w: an event without a sequence number", ErrMalformed)
		}
		f.in = Input{Kind: InDispatch, Type: intern(env.Type)}
	case discord.OpHello:
		f.in = Input{Kind: InHello, Interval: helloInterval(f.data)}
	case discord.OpInvalidSession:
		// Anything but true is taken for false: to resume in vain costs a round
		// trip, to believe in a dead session costs its events.
		resumable, _ := jsonscan.Bool(f.data)
		f.in = Input{Kind: InInvalid, Resumable: resumable}
	case discord.OpHeartbeat:
		f.in.Kind = InBeatRequest
	case discord.OpReconnect:
		f.in.Kind = InReconnect
	case discord.OpHeartbeatACK:
		f.in.Kind = InAck
	default:
		if env.Op < 0 {
			return frame{}, fmt.Errorf("%w: no opcode", ErrMalformed)
		}
		f.in.Kind = InOther
	}
	return f, nil
}

// validate checks that msg is JSON, once for the whole cluster, and tells
// whether it nests too deep. gjson's validator recurses, so depth comes first.
func validate(msg []byte) (deep bool, err error) {
	// As many openings as that cannot nest deeper, and counting them is far
	// cheaper than following them.
	if bytes.Count(msg, []byte{'{'})+bytes.Count(msg, []byte{'['}) <= MaxDepth {
		return false, valid(gjson.ValidBytes(msg))
	}
	err = jsonscan.Depth(msg, MaxDepth)
	if err == nil {
		return false, valid(gjson.ValidBytes(msg))
	}
	if !errors.Is(err, jsonscan.ErrTooDeep) {
		return false, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if jsonscan.Depth(msg, stdlibDepth) == nil {
		return true, valid(json.Valid(msg))
	}
	// Nothing that does not recurse validates more levels than these. Balanced
	// brackets must do: such an event is kept as bytes and read by nobody.
	if err := jsonscan.Depth(msg, math.MaxInt); err != nil {
		return true, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return true, nil
}

func valid(ok bool) error {
	if !ok {
		return fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	return nil
}

// helloInterval is the heartbeat interval of a HELLO, 0 if it has none. One too
// large to be a duration counts as the largest.
func helloInterval(d []byte) time.Duration {
	if len(d) == 0 || d[0] != '{' {
		return 0
	}
	raw := jsonscan.Get(d, "heartbeat_interval")
	ms, ok := jsonscan.Int(raw)
	if !ok {
		// A server that writes 41250.0 is odd, not wrong.
		f := gjson.ParseBytes(raw)
		if f.Type != gjson.Number || f.Num > math.MaxInt32 {
			return 0
		}
		ms = int64(f.Num)
	}
	if ms <= 0 {
		return 0
	}
	return time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
}

// types holds one string for each documented event name; nothing writes to it.
var types = func() map[string]string {
	m := make(map[string]string)
	for _, name := range discord.AllEvents() {
		m[name] = name
	}
	return m
}()

// intern turns an event name into a string without an allocation if it is known.
func intern(name []byte) string {
	if s, ok := types[string(name)]; ok {
		return s
	}
	return string(name)
}
