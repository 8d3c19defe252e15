package gateway

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
)

func nest(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestParseFrame(t *testing.T) {
	tests := []struct {
		name, in string
		want     Input
		seq      int64
		data     string
		deep     bool
	}{
		{"event", `{"t":"MESSAGE_CREATE","s":42,"op":0,"d":{"id":"1"}}`,
			Input{Kind: InDispatch, Type: "MESSAGE_CREATE"}, 42, `{"id":"1"}`, false},
		{"unknown event", `{"op":0,"d":[],"s":1,"t":"NEW_THING"}`,
			Input{Kind: InDispatch, Type: "NEW_THING"}, 1, `[]`, false},
		{"event without a name", `{"op":0,"d":1,"s":1,"t":null}`,
			Input{Kind: InDispatch}, 1, `1`, false},
		{"event without data", `{"op":0,"s":1,"t":"RESUMED"}`,
			Input{Kind: InDispatch, Type: "RESUMED"}, 1, `null`, false},
		{"hello", `{"op":10,"s":null,"t":null,"d":{"heartbeat_interval":41250,"_trace":["x"]}}`,
			Input{Kind: InHello, Interval: 41250 * time.Millisecond}, 0, "", false},
		{"hello with a fraction", `{"op":10,"d":{"heartbeat_interval":41250.0}}`,
			Input{Kind: InHello, Interval: 41250 * time.Millisecond}, 0, "", false},
		{"hello of a million years", `{"op":10,"d":{"heartbeat_interval":9223372036854775807}}`,
			Input{Kind: InHello, Interval: (1<<31 - 1) * time.Millisecond}, 0, "", false},
		{"hello with a text", `{"op":10,"d":{"heartbeat_interval":"soon"}}`, Input{Kind: InHello}, 0, "", false},
		{"hello below zero", `{"op":10,"d":{"heartbeat_interval":-5}}`, Input{Kind: InHello}, 0, "", false},
		{"hello without data", `{"op":10,"d":null}`, Input{Kind: InHello}, 0, "", false},
		{"heartbeat", `{"op":1,"d":null}`, Input{Kind: InBeatRequest}, 0, "", false},
		{"ack", `{"op":11}`, Input{Kind: InAck}, 0, "null", false},
		{"reconnect", `{"op":7,"d":null}`, Input{Kind: InReconnect}, 0, "", false},
		{"invalid, resumable", `{"op":9,"d":true}`, Input{Kind: InInvalid, Resumable: true}, 0, "", false},
		{"invalid", `{"op":9,"d":false}`, Input{Kind: InInvalid}, 0, "", false},
		{"invalid with a text", `{"op":9,"d":"true"}`, Input{Kind: InInvalid}, 0, "", false},
		{"unknown op", `{"op":77,"d":{"x":1}}`, Input{Kind: InOther}, 0, `{"x":1}`, false},
		{"as deep as allowed", `{"op":0,"s":9,"t":"X","d":` + nest(MaxDepth-1) + `}`,
			Input{Kind: InDispatch, Type: "X"}, 9, "", false},
		{"too deep", `{"op":0,"s":9,"t":"X","d":` + nest(MaxDepth) + `}`,
			Input{Kind: InDispatch, Type: "X"}, 9, "", true},
		{"far too deep", `{"op":0,"s":9,"t":"X","d":` + nest(100_000) + `}`,
			Input{Kind: InDispatch, Type: "X"}, 9, "", true},
		{"wide, not deep", `{"op":0,"s":9,"t":"X","d":[` + strings.Repeat("[],", 5000) + `[]]}`,
			Input{Kind: InDispatch, Type: "X"}, 9, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parseFrame([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if f.in != tt.want || f.seq != tt.seq || f.deep != tt.deep {
				t.Errorf("got %+v", f)
			}
			if tt.data != "" && string(f.data) != tt.data {
				t.Errorf("data %s", f.data)
			}
		})
	}
}

func TestParseFrameRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty":               ``,
		"not an object":       `[]`,
		"text":                `"op"`,
		"cut":                 `{"op":0,"s":1,"t":"X","d":{"a":`,
		"no opcode":           `{"d":{}}`,
		"opcode as text":      `{"op":"0","s":1,"t":"X","d":{}}`,
		"opcode below zero":   `{"op":-1}`,
		"event without s":     `{"op":0,"t":"X","d":{}}`,
		"event with s null":   `{"op":0,"s":null,"t":"X","d":{}}`,
		"event with s text":   `{"op":0,"s":"1","t":"X","d":{}}`,
		"event with s below":  `{"op":0,"s":-1,"t":"X","d":{}}`,
		"event with s 1.5":    `{"op":0,"s":1.5,"t":"X","d":{}}`,
		"name as a number":    `{"op":0,"s":1,"t":7,"d":{}}`,
		"bad data":            `{"op":0,"s":1,"t":"X","d":{"a":tru}}`,
		"bad deep data":       `{"op":0,"s":1,"t":"X","d":` + strings.Repeat("[", 400) + "x" + strings.Repeat("]", 400) + `}`,
		"unbalanced and deep": `{"op":0,"s":1,"t":"X","d":` + strings.Repeat("[", 1_000_000),
		"two payloads":        `{"op":11}{"op":11}`,
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := parseFrame([]byte(in)); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %+v, %v", f, err)
			}
		})
	}
}

func TestInternAllocatesNothing(t *testing.T) {
	name := []byte(discord.EventGuildScheduledEventUserRemove)
	if n := testing.AllocsPerRun(100, func() { _ = intern(name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestArena(t *testing.T) {
	var a arena
	var all [][]byte
	for i := range 2000 {
		src := []byte(strings.Repeat(string(rune('a'+i%26)), i*7%9000))
		got := a.copy(src)
		if cap(got) != len(got) {
			t.Fatalf("room of %d behind %d bytes belongs to others", cap(got), len(got))
		}
		all = append(all, got)
		clear(src)
	}
	for i, b := range all {
		if want := strings.Repeat(string(rune('a'+i%26)), i*7%9000); string(b) != want {
			t.Fatalf("copy %d changed", i)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, s := range []string{
		`{"op":0,"s":1,"t":"READY","d":{"v":10}}`, `{"op":10,"d":{"heartbeat_interval":41250}}`,
		`{"op":9,"d":true}`, `{"\u006fp":11}`, `{"op":0,"s":1,"op":7}`, nest(300), `{"op":1e0}`,
		`{"op":0,"s":1,"t":"X","d":` + nest(300) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		fr, err := parseFrame(msg)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if !json.Valid(msg) && !fr.deep {
			t.Fatal("accepted what is not JSON")
		}
		// The machine takes whatever the parser gives.
		m := NewMachine(testConfig)
		m.Step(Moment{}, Input{Kind: InHello, Interval: time.Second})
		m.Step(Moment{}, fr.in)
	})
}
