package jsonscan

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"testing"
	"unicode/utf8"
)

// seeds are shapes that once mattered: escapes in names, duplicates, truncation, white space.
var seeds = []string{
	`{"a":1}`, `{"a":"\\\"","\u0061":[{}]}`, ` { "op" : 0 , "s" : 1 , "t" : "X" , "d" : { } } `, `{"a":1,"a":2}`,
	`{"a":"b`, `[1,"a",{"b":[]},null]`, `[`, `{"a":tru}`, `{"":""}`, `"\ud83d\ude00"`, `{"a":1}}`, `[1,]`, `{,}`, "{\"a\xff\":1}", `-1.5e+9`,
}

func FuzzFieldsAgainstEncodingJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := map[string][]byte{}
		err := Fields(b, func(key, val []byte) bool {
			got[string(key)] = val
			return true
		})
		_, _ = Envelope(b)
		_ = Depth(b, 20)
		if !json.Valid(b) || !utf8.Valid(b) {
			return
		}
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(b, &want)
		if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
			return // encoding/json takes null for any map
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, encoding/json says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%d members, want %d", len(got), len(want))
		}
		for key, val := range want {
			if !bytes.Equal(bytes.TrimSpace(val), got[key]) || !bytes.Equal(Get(b, key), got[key]) {
				t.Fatalf("%q: %q and %q, want %q", key, got[key], Get(b, key), val)
			}
		}
	})
}

func FuzzElementsAgainstEncodingJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got [][]byte
		err := Elements(b, func(val []byte) bool {
			got = append(got, val)
			return true
		})
		if !json.Valid(b) || bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
			return
		}
		var want []json.RawMessage
		if wantErr := json.Unmarshal(b, &want); (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, encoding/json says %v", err, wantErr)
		}
		if err == nil && len(got) != len(want) {
			t.Fatalf("%d elements, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("element %d: %q, want %q", i, got[i], want[i])
			}
		}
	})
}

func FuzzStringAgainstEncodingJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := String(b)
		n, isInt := Int(b)
		_ = ID(b)
		if !json.Valid(b) || !utf8.Valid(b) || len(bytes.TrimSpace(b)) != len(b) {
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if s, ok := want.(string); ok && s != got || !ok && got != "" {
			t.Fatalf("%q reads as %q", b, got)
		}
		if num, ok := want.(json.Number); ok {
			if wantN, err := num.Int64(); (err == nil) != isInt && string(b) != "-0" || isInt && wantN != n {
				t.Fatalf("%q reads as %d, %v", b, n, isInt)
			}
		}
	})
}

func FuzzMergeAgainstEncodingJSON(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), []byte(seeds[len(seeds)-1-i]))
		f.Add([]byte(s), []byte(`{"a":[],"b":1}`))
	}
	f.Fuzz(func(t *testing.T, base, patch []byte) {
		merged := Merge(nil, base, patch, nil)
		if !utf8.Valid(base) || !utf8.Valid(patch) {
			return
		}
		var want, over, got map[string]any
		if json.Unmarshal(base, &want) != nil || json.Unmarshal(patch, &over) != nil || want == nil || over == nil {
			return
		}
		maps.Copy(want, over)
		if err := json.Unmarshal(merged, &got); err != nil {
			t.Fatalf("merge of %q and %q is %q: %v", base, patch, merged, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("merge of %q and %q is %q", base, patch, merged)
		}
	})
}
