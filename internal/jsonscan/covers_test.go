package jsonscan

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestCovers(t *testing.T) {
	skip := func(key []byte) bool { return string(key) == "guild_id" }
	tests := []struct {
		base, patch string
		want        bool
	}{
		{`{"a":1,"b":2}`, `{"a":1,"b":2}`, true},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true},
		{`{"a":1,"b":2}`, ` { "b" : 2 } `, true},
		{`{"a":1}`, `{"a":1,"guild_id":"5"}`, true},
		{`{"a":1}`, `{}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`{"a":1}`, `{"\u0061":1}`, false},
		{`{"a":1}`, `{"a":1`, false},
		{``, `{}`, false},
		{`{"a":1`, `{"a":1}`, true}, // the member is there; base is never malformed
		{`{"a":1}`, `[]`, false},
	}
	for _, tt := range tests {
		if got := Covers([]byte(tt.base), []byte(tt.patch), skip); got != tt.want {
			t.Errorf("Covers(%s, %s) = %v", tt.base, tt.patch, got)
		}
	}
}

// A true answer must mean that Merge changes nothing.
func TestCoversAgreesWithMerge(t *testing.T) {
	object := rapid.Custom(func(t *rapid.T) []byte {
		out := []byte{'{'}
		for i, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", `\u0061`}), 0, 5).Draw(t, "names") {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, '"')
			out = append(out, name...)
			out = append(out, '"', ':', byte('0'+rapid.IntRange(0, 1).Draw(t, "value")))
		}
		return append(out, '}')
	})
	rapid.Check(t, func(t *rapid.T) {
		base := Merge(nil, nil, object.Draw(t, "base"), nil)
		patch := object.Draw(t, "patch")
		merged := Merge(nil, base, patch, nil)
		if Covers(base, patch, nil) && !bytes.Equal(merged, base) {
			t.Fatalf("%s covers %s, but merging gives %s", base, patch, merged)
		}
	})
}
