package transport

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.StringN(0, 60, 255)
		h := header{
			version: protocolVersion, kind: kind(rapid.Byte().Draw(t, "kind")),
			incarnation: rapid.Uint64().Draw(t, "incarnation"),
			cluster:     str.Draw(t, "cluster"), id: str.Draw(t, "id"), addr: str.Draw(t, "addr"), note: str.Draw(t, "note"),
		}
		r := bytes.NewReader(append(h.append(nil), "rest"...))
		got, err := readHeader(r)
		if err != nil || got != h {
			t.Fatalf("got %+v, %v, want %+v", got, err, h)
		}
		if r.Len() != len("rest") {
			t.Fatalf("%d bytes left of %d", r.Len(), len("rest"))
		}
	})
}

func TestHeaderIgnoresLaterFields(t *testing.T) {
	h := header{version: protocolVersion, kind: kindRPC, id: "a"}
	b := h.append(nil)
	b[7] += 3
	if got, err := readHeader(bytes.NewReader(append(b, 1, 2, 3))); err != nil || got != h {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header{version: protocolVersion, kind: kindRaft, incarnation: 9, cluster: "c", id: "joe", addr: "h:1", note: "n"}.append(nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x16, 3, 1, 2, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(bytes.NewReader(b))
		if err != nil || h.version != protocolVersion {
			return
		}
		again, err := readHeader(bytes.NewReader(h.append(nil)))
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzFrameHeader(f *testing.F) {
	f.Add(frameHeader{len: 3, typ: frameRequest, method: 2, id: 4, aux: 5}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeFrameHeader(b)
		if err == nil && !bytes.Equal(h.append(nil), b[:frameHeaderLen]) {
			t.Fatalf("%x decodes to %+v", b, h)
		}
	})
}

func FuzzRemoteError(f *testing.F) {
	f.Add([]byte("\x01cmessage"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := decodeRemoteError(b)
		if len(e.Message) > maxErrorText {
			return // clipped when encoded
		}
		if got := decodeRemoteError(appendRemoteError(nil, e)); *got != *e {
			t.Fatalf("%+v became %+v", e, got)
		}
		if !strings.Contains(e.Error(), e.Code) {
			t.Fatalf("%q lacks the code", e.Error())
		}
	})
}

// TestFramesAreBounded: a peer that is out of step announces any length, which isn't
// believed.
func TestFramesAreBounded(t *testing.T) {
	for length, ok := range map[uint32]bool{0: true, MaxMessage: true, MaxMessage + 1: false, 1 << 31: false} {
		f := frameHeader{len: length, typ: frameRequest, method: 1, id: 2}
		got, err := decodeFrameHeader(f.append(nil))
		if (err == nil) != ok || !ok && !errors.Is(err, ErrTooLarge) || got != f {
			t.Errorf("%d bytes: %+v, %v", length, got, err)
		}
	}
}
