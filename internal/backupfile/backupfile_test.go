package backupfile

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func someHeader() Header {
	return Header{
		Cluster: "c1", Node: "joe", Version: "1.2.3", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Index: 77, Term: 3, Generation: 2, Digest: "0123", Encryption: None,
		Counts: Counts{Bots: 1, Shards: 2, Guilds: 3, Keys: 4, Unacked: 5, DeadLetters: 6},
	}
}

func write(t testing.TB, payload []byte, s Seal) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, someHeader(), s)
	if err != nil {
		t.Fatal(err)
	}
	for rest := payload; len(rest) > 0; { // in pieces that don't fit the chunks
		n := min(len(rest), 100_003)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(file []byte, u Unseal) (Header, []byte, error) {
	r, err := NewReader(bytes.NewReader(file), u)
	if err != nil {
		return Header{}, nil, err
	}
	b, err := io.ReadAll(r)
	return r.Header, b, err
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 5} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rand.Uint32())
		}
		h, got, err := read(write(t, payload, Seal{}), nil)
		if err != nil || !bytes.Equal(got, payload) || !reflect.DeepEqual(h, someHeader()) {
			t.Errorf("%d bytes: %v, %d bytes back, header %+v", n, err, len(got), h)
		}
	}
}

// TestEveryDamageIsFound flips every bit of a file, cuts it off at every byte,
// and adds a byte.
func TestEveryDamageIsFound(t *testing.T) {
	file := write(t, []byte("the state of a cluster, as it was"), Seal{})
	for i := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			if _, _, err := read(bad, nil); err == nil {
				t.Fatalf("bit %d of byte %d was flipped, and nothing is said", bit, i)
			}
		}
		if _, _, err := read(file[:i], nil); err == nil {
			t.Fatalf("cut off at %d, and nothing is said", i)
		}
	}
	if _, _, err := read(append(bytes.Clone(file), 0), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte behind the end: %v", err)
	}
}

// TestChunksKeepTheirPlaces swaps two chunks of one size.
func TestChunksKeepTheirPlaces(t *testing.T) {
	payload := append(bytes.Repeat([]byte{1}, chunkSize), bytes.Repeat([]byte{2}, chunkSize)...)
	file := write(t, payload, Seal{})
	const chunk = 4 + chunkSize + 8
	at := len(file) - 12 - 16 - 2*chunk
	swapped := append(bytes.Clone(file[:at]), file[at+chunk:at+2*chunk]...)
	swapped = append(append(swapped, file[at:at+chunk]...), file[at+2*chunk:]...)
	r, err := NewReader(bytes.NewReader(swapped), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, ErrDamaged) {
		t.Errorf("%d bytes of a chunk out of its place: %v", n, err)
	}
}

// mask stands for a cipher: it flips the bits of each byte.
type mask struct{ to io.Writer }

func (m mask) Write(b []byte) (int, error) {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= 0xff
	}
	return m.to.Write(out)
}

func (m mask) Close() error {
	_, err := m.to.Write([]byte("end"))
	return err
}

func TestSeal(t *testing.T) {
	payload := []byte("secret")
	var sealed []byte
	file := write(t, payload, Seal{KeyID: "k1", Wrap: func(to io.Writer, head []byte) (io.WriteCloser, error) {
		sealed = head
		return mask{to}, nil
	}})
	if bytes.Contains(file, payload) {
		t.Error("the payload is in clear")
	}
	h, _, err := read(file, nil)
	if h.Encryption != "k1" || !errors.Is(err, ErrSealed) {
		t.Errorf("without a key: %q, %v", h.Encryption, err)
	}
	r, err := NewReader(bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(); err != nil || r.Size() != uint64(len(payload)+3) {
		t.Errorf("verified without a key: %v, %d bytes", err, r.Size())
	}
	unseal := func(id string, from io.Reader, head []byte) (io.Reader, error) {
		if id != "k1" || !bytes.Equal(head, sealed) {
			t.Errorf("key %q, header %s", id, head)
		}
		var plain bytes.Buffer
		if _, err := io.Copy(mask{&plain}, io.LimitReader(from, int64(len(payload)))); err != nil {
			return nil, err
		}
		return &plain, nil
	}
	if _, got, err := read(file, unseal); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("%q, %v", got, err)
	}
	// A seal that is content before the end doesn't hide that the end is gone.
	if _, _, err := read(file[:len(file)-1], unseal); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut off behind the seal's end: %v", err)
	}
}

func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "format1.backup")
	file := write(t, []byte("payload"), Seal{})
	if *update {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, want) {
		t.Error("the format has changed without its version")
	}
	if h, got, err := read(want, nil); err != nil || string(got) != "payload" || !reflect.DeepEqual(h, someHeader()) {
		t.Errorf("%+v, %q, %v", h, got, err)
	}
}

func TestOtherFiles(t *testing.T) {
	for text, want := range map[string]error{"": ErrNotBackup, "BNSNAP\x00\x01rest": ErrNotBackup, magic + "\x09": ErrFormat} {
		if _, _, err := read([]byte(text), nil); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, []byte("payload"), Seal{}))
	f.Add(write(f, bytes.Repeat([]byte("x"), 2*chunkSize+1), Seal{}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, payload, err := read(file, nil)
		if err != nil {
			return
		}
		// What is read without an error is what would be written again, but for
		// the spelling of the header.
		var b bytes.Buffer
		w, err := NewWriter(&b, h, Seal{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(payload); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if h2, again, err := read(b.Bytes(), nil); err != nil || !bytes.Equal(again, payload) || !h2.Created.Equal(h.Created) {
			t.Fatalf("%v", err)
		}
	})
}
