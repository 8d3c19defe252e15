package discord

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSnowflake(t *testing.T) {
	tests := []struct {
		in   string
		want Snowflake
		ok   bool
	}{
		{"0", 0, true},
		{"175928847299117063", 175928847299117063, true},
		{"18446744073709551615", math.MaxUint64, true},
		{"18446744073709551616", 0, false},
		{"", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{" 1", 0, false},
		{"0x10", 0, false},
		{"1_000", 0, false},
		{strings.Repeat("9", 5000), 0, false},
	}
	for _, tt := range tests {
		got, err := ParseSnowflake(tt.in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseSnowflake(%.20q) = %v, %v", tt.in, got, err)
		}
		if err != nil && (!errors.Is(err, ErrSnowflake) || len(err.Error()) > 100) {
			t.Errorf("ParseSnowflake(%.20q): error %v", tt.in, err)
		}
	}
}

func TestSnowflakeTime(t *testing.T) {
	// The example of reference.mdx, "Convert Snowflake to DateTime".
	got := Snowflake(175928847299117063).Time()
	want := time.Date(2016, 4, 30, 11, 18, 25, 796e6, time.UTC)
	if !got.Equal(want) {
		t.Errorf("Time() = %v, want %v", got, want)
	}
	if s := SnowflakeAt(want); !s.Time().Equal(want) || s > 175928847299117063 {
		t.Errorf("SnowflakeAt = %v", s)
	}
	if s := SnowflakeAt(time.UnixMilli(0)); s != 0 {
		t.Errorf("SnowflakeAt(1970) = %v", s)
	}
}

func TestSnowflakeJSON(t *testing.T) {
	tests := []struct {
		in   string
		want Snowflake
		ok   bool
	}{
		{`"175928847299117063"`, 175928847299117063, true},
		{`175928847299117063`, 175928847299117063, true},
		{`null`, 7, true},
		{`""`, 7, false},
		{`"1.5"`, 7, false},
		{`1e3`, 7, false},
		{`true`, 7, false},
		{`{}`, 7, false},
	}
	for _, tt := range tests {
		got := Snowflake(7)
		err := json.Unmarshal([]byte(tt.in), &got)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("Unmarshal(%s) = %v, %v", tt.in, got, err)
		}
	}
	m, err := json.Marshal(map[Snowflake]Snowflake{1: 2})
	if err != nil || string(m) != `{"1":"2"}` {
		t.Errorf("as a map key and value: %s, %v", m, err)
	}
}

func TestSnowflakeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Snowflake(rapid.Uint64().Draw(t, "id"))
		if got, err := ParseSnowflake(s.String()); err != nil || got != s {
			t.Fatalf("text: %v, %v", got, err)
		}
		b, err := json.Marshal(s)
		if err != nil || string(b) != strconv.Quote(s.String()) {
			t.Fatalf("json: %s, %v", b, err)
		}
		var back Snowflake
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Fatalf("back: %v, %v", back, err)
		}
	})
}
