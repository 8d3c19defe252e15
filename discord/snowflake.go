package discord

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Epoch is the first moment a snowflake can name: the start of 2015, UTC, in
// milliseconds since the Unix epoch (reference.mdx, "Snowflakes").
const Epoch = 1420070400000

// timestampShift is the number of low bits of a snowflake that are not its time.
const timestampShift = 22

// ErrSnowflake is returned when a text is not a decimal unsigned 64-bit number.
var ErrSnowflake = errors.New("not a snowflake")

// Snowflake is the id of anything in Discord. In JSON it is a string, because
// JavaScript cannot hold 64 bits in a number.
type Snowflake uint64

// ParseSnowflake reads a decimal snowflake. Signs, spaces and empty texts are errors.
func ParseSnowflake(s string) (Snowflake, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", ErrSnowflake, clip(s))
	}
	return Snowflake(v), nil
}

// SnowflakeAt is the smallest snowflake of a moment; moments before Epoch give 0.
func SnowflakeAt(t time.Time) Snowflake {
	ms := t.UnixMilli() - Epoch
	return Snowflake(max(ms, 0)) << timestampShift
}

// String returns the decimal form.
func (s Snowflake) String() string { return strconv.FormatUint(uint64(s), 10) }

// Time is the moment the id was made, to the millisecond, in UTC.
func (s Snowflake) Time() time.Time {
	return time.UnixMilli(int64(s>>timestampShift) + Epoch).UTC()
}

// MarshalJSON writes the id as a JSON string.
func (s Snowflake) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 22)
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(s), 10)
	return append(b, '"'), nil
}

// UnmarshalJSON reads a JSON string. A bare number is accepted as well, since
// some payloads of foreign clients carry one; null leaves the value as it was.
func (s *Snowflake) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	v, err := ParseSnowflake(text)
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// clip bounds what an error repeats of its input.
func clip(s string) string {
	const most = 32
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
