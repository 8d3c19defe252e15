package fsm

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// FuzzDecode shows that what decodes as a command encodes to bytes that decode
// as the same command.
func FuzzDecode(f *testing.F) {
	for _, cmd := range samples() {
		f.Add(Encode(300, cmd))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		generation, cmd, err := Decode(b)
		if err != nil {
			var unknown *UnknownKindError
			if !errors.Is(err, ErrMalformed) && !errors.As(err, &unknown) {
				t.Fatal(err)
			}
			return
		}
		again := Encode(generation, cmd)
		generation2, cmd2, err := Decode(again)
		if err != nil || generation2 != generation || !bytes.Equal(Encode(generation2, cmd2), again) {
			t.Fatalf("%T %+v came back as %+v: %v", cmd, cmd, cmd2, err)
		}
	})
}

// FuzzSplitBatch shows that what splits packs and splits again alike.
func FuzzSplitBatch(f *testing.F) {
	f.Add(EncodeBatch([][]byte{[]byte("one"), nil, []byte("two")}))
	f.Add(EncodeBatch([][]byte{bytes.Repeat([]byte("abcd"), 1000)}))
	f.Add([]byte{packS2, 0xff, 0xff, 0xff, 0x1f, 0})
	f.Fuzz(func(t *testing.T, entry []byte) {
		cmds, err := SplitBatch(entry)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := SplitBatch(EncodeBatch(cmds))
		if err != nil || !slices.EqualFunc(again, cmds, bytes.Equal) {
			t.Fatalf("%q came back as %q: %v", cmds, again, err)
		}
	})
}

// FuzzResults does the same for what carries answers between nodes.
func FuzzResults(f *testing.F) {
	f.Add(EncodeResults([]Result{{}, {Code: Conflict, C: -5, Version: 9, Msg: "why"}}), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		parts, err := SplitResults(b, n)
		if err != nil {
			return
		}
		for _, part := range parts {
			r, err := DecodeResult(part)
			if err != nil {
				continue
			}
			if again, err := DecodeResult(EncodeResult(r)); err != nil || again != r {
				t.Fatalf("%+v came back as %+v: %v", r, again, err)
			}
		}
	})
}

// FuzzApply applies arbitrary bytes to two machines: neither panics, both agree,
// and the digests that are kept are those that are computed.
func FuzzApply(f *testing.F) {
	for _, cmd := range samples() {
		f.Add(EncodeBatch([][]byte{Encode(1, cmd)}), []byte{})
	}
	f.Add(EncodeBatch([][]byte{Encode(1, events(1, 1, message(2, 40)))}), EncodeBatch([][]byte{Encode(1, done(1, "log", joe))}))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		one, two := setup(t), setup(t)
		for _, m := range []*bench{one, two} {
			m.OnFatal = func(err error) {
				var unknown *UnknownKindError
				var newer *NewerRulesError
				if !errors.As(err, &unknown) && !errors.As(err, &newer) {
					t.Fatal(err)
				}
			}
		}
		for _, entry := range [][]byte{first, second, first} {
			if a, b := one.entry(entry), two.entry(entry); !reflect.DeepEqual(a, b) {
				t.Fatalf("%v and %v", a, b)
			}
			if one.state.Digest() != two.state.Digest() {
				t.Fatal("the digests differ")
			}
			if d := one.seen.diff(one.state); d != "" {
				t.Fatal(d)
			}
		}
		if one.stopped != nil {
			return
		}
		s, index, err := ReadSnapshot(bytes.NewReader(one.snapshot()))
		if err != nil || index != one.index || s.Digest() != one.state.Digest() {
			t.Fatalf("the state can't be restored: %v", err)
		}
	})
}

// FuzzReadSnapshot reads arbitrary streams as snapshots. What is read can be
// written and read again.
func FuzzReadSnapshot(f *testing.F) {
	snap := full(&testing.T{}).snapshot()
	f.Add(snap, false)
	f.Add(unpacked(&testing.T{}, snap), true)
	f.Add(bomb(&testing.T{}, snap, 16), false)
	f.Fuzz(func(t *testing.T, b []byte, pack bool) {
		if pack {
			b = packed(b)
		}
		s, index, err := ReadSnapshotWithin(bytes.NewReader(b), within(8<<20))
		if err != nil {
			var newer *NewerRulesError
			if !errors.Is(err, errRoom) && !errors.Is(err, ErrMalformed) && !errors.As(err, &newer) {
				t.Fatal(err)
			}
			return
		}
		if s.Digest() != s.Recompute() {
			t.Fatal("the digest kept and the digest computed differ")
		}
		var buf bytes.Buffer
		if _, err := s.capture(index).WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		if again, _, err := ReadSnapshot(&buf); err != nil || again.Digest() != s.Digest() {
			t.Fatalf("a state that was read can't be read again: %v", err)
		}
	})
}
