package proxy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
)

func TestParseFrame(t *testing.T) {
	for in, want := range map[string]string{
		`{"op":1,"d":5}`:                  "5",
		`{"op":1}`:                        "null",
		` {"d" : {"a":[1]} , "op" : 3 } `: `{"a":[1]}`,
		`{"op":1,"d":1,"d":2}`:            "2",
	} {
		if f, err := parseFrame([]byte(in)); err != nil || string(f.d) != want {
			t.Errorf("%s: %q, %v", in, f.d, err)
		}
	}
	for _, in := range []string{
		"", "null", "[]", "{}", `{"op":"1"}`, `{"op":-1}`, `{"op":1.5}`, `{"op":1`, `{"op":1}}`, `{"op":1e3}`, "\x83t\x00\x00",
		`{"op":1,"d":"` + strings.Repeat("x", maxFrame) + `"}`,
	} {
		if f, err := parseFrame([]byte(in)); err == nil {
			t.Errorf("%.40s: %+v", in, f)
		}
	}
}

// FuzzFrame reads anything as a payload, and what a payload asks for.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"op":2,"d":{"token":"x","intents":1,"shard":[0,1]}}`, `{"op":8,"d":{"guild_id":["1"],"user_ids":"5","nonce":"\u0000"}}`,
		`{"op":31,"d":{"guild_ids":["1",2,null]}}`, `{"op":6,"d":{"seq":-1}}`, `{"op":1,"d":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := parseFrame(p)
		if err != nil {
			return
		}
		var want struct{ Op discord.Opcode }
		if len(p) > maxFrame || !json.Valid(got.d) || got.op < 0 {
			t.Fatalf("%q reads as %d %q", p, got.op, got.d)
		}
		// Where encoding/json, which folds the case of names, sees one op, it is this.
		if strings.Count(strings.ToLower(string(p)), `"op"`) == 1 && !strings.Contains(string(p), `\`) &&
			json.Unmarshal(p, &want) == nil && want.Op != got.op && strings.Contains(string(p), `"op"`) {
			t.Fatalf("%q: op %d, want %d", p, got.op, want.Op)
		}
		for _, id := range guildsOf(got.d) {
			if id == 0 {
				t.Fatalf("%q is about guild 0", p)
			}
		}
		if r, ok := parseMemberRequest(got.d); ok && (r.guild == 0 || len(r.users) > mostFound || len(r.nonce) > 32) {
			t.Fatalf("%q: %+v", p, r)
		}
		if out := withNonce(got.d, "n"); got.d[0] == '{' && !json.Valid(out) {
			t.Fatalf("%q with a nonce: %q", p, out)
		}
	})
}
