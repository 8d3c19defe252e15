package membership

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawMeta(t *rapid.T) Meta {
	str := rapid.StringN(0, 20, 40)
	m := Meta{
		ID:          rapid.StringN(1, 20, 40).Draw(t, "id"),
		Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		ClusterAddr: str.Draw(t, "cluster"), HTTPAddr: str.Draw(t, "http"), Version: str.Draw(t, "version"),
		Rules: rapid.Uint32().Draw(t, "rules"), Weight: rapid.Uint32().Draw(t, "weight"),
		Flags: Flags(rapid.Byte().Draw(t, "flags")),
	}
	if n := rapid.IntRange(0, 3).Draw(t, "tags"); n > 0 {
		m.Tags = rapid.MapOfN(str, str, n, n).Draw(t, "tag")
	}
	return m
}

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMeta(t)
		b, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		for _, later := range [][]byte{nil, {1, 2, 3}} { // a newer node's extra fields are skipped
			got, err := decodeMeta(append(slices.Clip(b), later...))
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("got %+v, %v, want %+v", got, err, m)
			}
		}
	})
}

func TestMetaNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMeta(t)
		id, inc, ok := splitName(m.name())
		if !ok || id != m.ID || inc != m.Incarnation {
			t.Fatalf("%q splits into %q, %d, %v", m.name(), id, inc, ok)
		}
	})
	for _, bad := range []string{"", "#1", "joe", "joe#", "joe#-1", "joe#x"} {
		if _, _, ok := splitName(bad); ok {
			t.Errorf("%q is no name", bad)
		}
	}
}

func TestMetaLimits(t *testing.T) {
	typical := Meta{ID: "joe", Incarnation: 1 << 50, ClusterAddr: "192.168.100.100:7101", HTTPAddr: "192.168.100.100:7201", Version: "v1.2.3", Rules: 3}
	if b, err := typical.encode(); err != nil || len(b) > 80 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	typical.Tags = map[string]string{"note": strings.Repeat("x", maxMeta)}
	if _, err := typical.encode(); !errors.Is(err, ErrMetaTooLarge) {
		t.Errorf("got %v", err)
	}
	for name, b := range map[string][]byte{"empty": nil, "future": {9, 0, 0}, "no id": {1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "huge": make([]byte, maxMeta+1)} {
		if m, err := decodeMeta(b); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

func FuzzMeta(f *testing.F) {
	b, _ := Meta{ID: "joe", Incarnation: 7, ClusterAddr: "a:1", Tags: map[string]string{"zone": "b"}}.encode()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatalf("%+v: %v", m, err) // what was decoded was small enough
		}
		got, err := decodeMeta(again)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		if third, _ := got.encode(); !bytes.Equal(third, again) {
			t.Fatal("the encoding isn't canonical")
		}
	})
}
