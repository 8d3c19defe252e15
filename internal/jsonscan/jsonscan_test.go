package jsonscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestEnvelope(t *testing.T) {
	tests := []struct {
		name, frame, typ, data string
		op                     int
		seq                    int64
		hasSeq                 bool
		err                    error
	}{
		{name: "dispatch", frame: `{"t":"MESSAGE_CREATE","s":7,"op":0,"d":{"a":[1,"}"]}}`, typ: "MESSAGE_CREATE", data: `{"a":[1,"}"]}`, seq: 7, hasSeq: true},
		{name: "hello", frame: `{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250}}`, op: 10, data: `{"heartbeat_interval":41250}`},
		{name: "ack without d", frame: ` { "op" : 11 } `, op: 11},
		{name: "null d", frame: `{"op":7,"d":null}`, op: 7, data: `null`},
		{name: "unknown member", frame: `{"x":{"op":3},"op":1,"d":251}`, op: 1, data: `251`},
		{name: "escaped names", frame: `{"\u006fp":4,"o\u0070x":9,"\u0073":3}`, op: 4, seq: 3, hasSeq: true},
		{name: "duplicates", frame: `{"op":1,"op":2,"s":1,"s":null}`, op: 2},
		{name: "escaped quote", frame: `{"op":0,"d":"a\\\"}"}`, data: `"a\\\"}"`},
		{name: "empty", frame: ``, err: ErrTruncated},
		{name: "truncated", frame: `{"op":0,"d":{"a":"b`, err: ErrTruncated},
		{name: "array", frame: `[1]`, err: ErrSyntax},
		{name: "op of the wrong type", frame: `{"op":"0"}`, err: ErrSyntax},
		{name: "s of the wrong type", frame: `{"op":0,"s":1.5}`, err: ErrSyntax},
		{name: "t of the wrong type", frame: `{"op":0,"t":5}`, err: ErrSyntax},
		{name: "no comma", frame: `{"op":0 "s":1}`, err: ErrSyntax},
		{name: "trailing", frame: `{"op":0}x`, err: ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env, err := Envelope([]byte(tt.frame))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			if env.Op != tt.op || env.Seq != tt.seq || env.HasSeq != tt.hasSeq || string(env.Type) != tt.typ || string(env.Data) != tt.data {
				t.Errorf("got %d %d %v %q %q", env.Op, env.Seq, env.HasSeq, env.Type, env.Data)
			}
		})
	}
}

func TestGetTakesTheLastDuplicate(t *testing.T) {
	obj := []byte(`{"a":1,"b":{"a":2},"\u0061":3,"c":null}`)
	for key, want := range map[string]string{"a": "3", "b": `{"a":2}`, "c": "null", "d": ""} {
		if got := Get(obj, key); string(got) != want {
			t.Errorf("Get(%q) = %q, want %q", key, got, want)
		}
	}
	if got := Get([]byte(`{"a":1`), "a"); got != nil {
		t.Errorf("truncated object gave %q", got)
	}
}

func TestWalksStopWhenAsked(t *testing.T) {
	seen := 0
	stop := func() bool { seen++; return seen < 2 }
	if err := Fields([]byte(`{"a":1,"b":2,"c"`), func(_, _ []byte) bool { return stop() }); err != nil || seen != 2 {
		t.Errorf("Fields: %v after %d", err, seen)
	}
	seen = 0
	if err := Elements([]byte(`[1,2,3`), func([]byte) bool { return stop() }); err != nil || seen != 2 {
		t.Errorf("Elements: %v after %d", err, seen)
	}
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]uint64{
		`"123"`: 123, `123`: 123, `"18446744073709551615"`: 1<<64 - 1, `"18446744073709551616"`: 0,
		`99999999999999999999`: 0, `"12a"`: 0, `""`: 0, `"`: 0, ``: 0, `-1`: 0, `null`: 0, `1.5`: 0, `{}`: 0,
	} {
		if got := ID([]byte(in)); got != want {
			t.Errorf("ID(%s) = %d, want %d", in, got, want)
		}
	}
	for in, want := range map[string]int64{`0`: 0, `-5`: -5, `9223372036854775807`: 1<<63 - 1, `-9223372036854775808`: -1 << 63} {
		if got, ok := Int([]byte(in)); !ok || got != want {
			t.Errorf("Int(%s) = %d %v", in, got, ok)
		}
	}
	for _, in := range []string{``, `-`, `01`, `1.0`, `1e3`, `"1"`, `9223372036854775808`, `-9223372036854775809`, `null`} {
		if got, ok := Int([]byte(in)); ok {
			t.Errorf("Int(%s) = %d", in, got)
		}
	}
	if v, ok := Bool([]byte(`true`)); !v || !ok {
		t.Error("true isn't true")
	}
	if v, ok := Bool([]byte(`"true"`)); v || ok {
		t.Error("a string is a boolean")
	}
	if IsNull(nil) || !IsNull([]byte("null")) {
		t.Error("absent and null are confused")
	}
}

func TestString(t *testing.T) {
	for in, want := range map[string]string{
		`"plain"`: "plain", `""`: "", `"a\n\t\"\\\/\b\f\rz"`: "a\n\t\"\\/\b\f\rz", `"\u00e9"`: "é",
		`"\ud83d\ude00"`: "😀", `"\ud83d"`: "\uFFFD", `"\ud83dx"`: "\uFFFDx", `"\ud83d\u0041"`: "\uFFFDA",
		`12`: "", `null`: "", `"`: "", `"\x"`: "", `"\u12"`: "", `"\`: "",
	} {
		if got := String([]byte(in)); got != want {
			t.Errorf("String(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestDepth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	tests := []struct {
		in   []byte
		want error
	}{
		{nest(10), nil}, {nest(11), ErrTooDeep}, {[]byte(`["[[[[[[[[[[[[["]`), nil}, {nest(1 << 20), ErrTooDeep},
		{[]byte(`[`), ErrTruncated}, {[]byte(`"a`), ErrTruncated}, {[]byte(`]`), ErrSyntax}, {[]byte(`1`), nil},
	}
	for _, tt := range tests {
		if err := Depth(tt.in, 10); !errors.Is(err, tt.want) {
			t.Errorf("Depth(%.20s) = %v, want %v", tt.in, err, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	skip := func(key []byte) bool { return string(key) == "guild_id" }
	tests := []struct{ base, patch, want string }{
		{`{"a":1,"b":2}`, `{"b":3,"c":4}`, `{"a":1,"b":3,"c":4}`},
		{`{"a":{"x":1}}`, `{"a":{"y":2}}`, `{"a":{"y":2}}`},
		{`{ "a" : 1 }`, `{}`, `{"a":1}`},
		{``, `{"a":1,"guild_id":"5"}`, `{"a":1}`},
		{`null`, `{"a":1}`, `{"a":1}`},
		{`{"a":1,"guild_id":"4"}`, `{"guild_id":"5"}`, `{"a":1,"guild_id":"4"}`},
		{`{"a":1}`, `{"a":2,"a":3}`, `{"a":3}`},
		{`{"a":1,"a":2,"b":0}`, `{"a":3}`, `{"a":3,"b":0}`},
		{`{"\u0061":1}`, `{"a":2}`, `{"\u0061":2}`},
		{`{"a":1}`, `{"\u0061":2}`, `{"a":2}`},
		{`{"a":1}`, `{"\u0067uild_id":2}`, `{"a":1}`},
		{`{"a":1}`, `{"a":2`, `{"a":1}`},
		{`{"a":1,`, `{"a":2,"b":3}`, `{"a":2,"b":3}`},
		{`[1`, `nope`, `[1`},
		{`{}`, `{}`, `{}`},
	}
	for _, tt := range tests {
		if got := Merge([]byte("x"), []byte(tt.base), []byte(tt.patch), skip); string(got) != "x"+tt.want {
			t.Errorf("Merge(%s, %s) = %s, want x%s", tt.base, tt.patch, got, tt.want)
		}
	}
}

func TestMergeOfManyMembers(t *testing.T) {
	var base, patch, want strings.Builder
	const n = 50_000
	for i := range n {
		fmt.Fprintf(&base, `,"k%d":0`, i)
		fmt.Fprintf(&patch, `,"k%d":1,"\u006e%d":2`, i, i)
		fmt.Fprintf(&want, `,"k%d":1`, i)
	}
	for i := range n {
		fmt.Fprintf(&want, `,"\u006e%d":2`, i)
	}
	object := func(b *strings.Builder) []byte { return []byte("{" + b.String()[1:] + "}") }
	if got := Merge(nil, object(&base), object(&patch), nil); string(got) != string(object(&want)) {
		t.Error("a large merge is wrong")
	}
}

func TestNothingAllocates(t *testing.T) {
	frame := messageFrame(t)
	var buf []byte
	allocs := testing.AllocsPerRun(100, func() {
		env, err := Envelope(frame)
		if err != nil {
			t.Fatal(err)
		}
		var sum uint64
		_ = Fields(env.Data, func(key, val []byte) bool {
			if string(key) == "guild_id" || string(key) == "id" {
				sum += ID(val)
			}
			if string(key) == "mentions" {
				_ = Elements(val, func(v []byte) bool { sum += ID(Get(v, "id")); return true })
			}
			return true
		})
		buf = Merge(buf[:0], env.Data, env.Data, func(key []byte) bool { return string(key) == "guild_id" })
		_ = Depth(frame, 100)
		if sum == 0 {
			t.Fatal("no ids")
		}
	})
	if allocs > 1 { // the first growth of buf
		t.Errorf("%v allocations a frame", allocs)
	}
}

// messageFrame returns a MESSAGE_CREATE frame of about 1.1 KB.
func messageFrame(tb testing.TB) []byte {
	tb.Helper()
	user := `{"username":"somebody","public_flags":0,"primary_guild":null,"id":"221223344556677889","global_name":"Some Body","display_name_styles":null,"discriminator":"0","collectibles":null,"clan":null,"avatar_decoration_data":null,"avatar":"b8dc5e3c4ab5c2bb1c7b1dcd6fd5b6d1"}`
	frame := `{"t":"MESSAGE_CREATE","s":4711,"op":0,"d":{"type":0,"tts":false,"timestamp":"2025-05-05T10:11:12.131000+00:00","pinned":false,"nonce":"1368888888888888888","mentions":[` + user + `],"mention_roles":[],"mention_everyone":false,"member":{"roles":["1012345678901234567","1012345678901234568"],"premium_since":null,"pending":false,"nick":"nick \"quoted\"","mute":false,"joined_at":"2021-01-02T03:04:05.678000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null},"id":"1368888888888888889","flags":0,"embeds":[],"edited_timestamp":null,"content":"!ping a message of ordinary length","components":[],"channel_type":0,"channel_id":"1012345678901234569","author":` + user + `,"attachments":[],"guild_id":"1012345678901234570"}}`
	if !json.Valid([]byte(frame)) {
		tb.Fatal("the frame isn't JSON")
	}
	return []byte(frame)
}
