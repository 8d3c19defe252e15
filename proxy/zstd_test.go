package proxy

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
)

// unpack decodes messages, each by itself as far as it goes, with one stream.
func unpack(t tb, pack func(i int) []byte, n int, check func(i int, got []byte)) {
	t.Helper()
	r, w := io.Pipe()
	defer func() { _ = r.Close() }()
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range n {
		p := pack(i)
		go func() { _, _ = w.Write(p) }()
		buf := make([]byte, 1<<20)
		got := 0
		for !bytes.HasSuffix(buf[:got], []byte("}")) || !bytes.HasSuffix(bytes.TrimRight(buf[:got], "}"), []byte("END")) {
			k, err := d.Read(buf[got:])
			if err != nil {
				t.Fatalf("message %d after %d bytes: %v", i, got, err)
			}
			got += k
		}
		check(i, buf[:got])
	}
}

// TestBlocksNeedNoHistory: what is compressed by itself can be read after
// anything, in whatever stream it comes. Repeats at the distances that a frame
// begins with are where the seam matters.
func TestBlocksNeedNoHistory(t *testing.T) {
	z, err := newZstdStreams()
	if err != nil {
		t.Fatal(err)
	}
	piece := rapid.Custom(func(t *rapid.T) string {
		unit := rapid.SampledFrom([]string{"a", "ab", "abcd", "abcdefg", "abcdefgh", `"key":`, "\x00", "xyz"}).Draw(t, "unit")
		return strings.Repeat(unit, rapid.SampledFrom([]int{1, 2, 3, 7, 30, 300, 9000}).Draw(t, "times"))
	})
	rapid.Check(t, func(t *rapid.T) {
		streams := []*zstdBlockPacker{{streams: z}, {streams: z}}
		n := rapid.IntRange(1, 8).Draw(t, "messages")
		shared := make([]body, n)
		for i := range shared {
			shared[i] = body{d: []byte("{" + strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "") + "END"), shared: new(deflation)}
		}
		for si, s := range streams {
			skip := si // the second stream lacks the first message
			if skip >= n {
				continue
			}
			unpack(t, func(i int) []byte {
				b := shared[i+skip]
				if i%3 == 2 {
					b.shared = nil
				}
				p, err := s.pack(fmt.Appendf(nil, `{"s":%d,"d":`, i), &b)
				if err != nil {
					t.Fatal(err)
				}
				return bytes.Clone(p)
			}, n-skip, func(i int, got []byte) {
				want := fmt.Sprintf(`{"s":%d,"d":%s%s}`, i, strings.Repeat(" ", 19), shared[i+skip].d)
				if string(got) != want {
					t.Fatalf("message %d of stream %d: %.200q, want %.200q", i, si, got, want)
				}
			})
		}
	})
}

// TestBlocksOf refuses what is no frame, so that no stream is broken by it.
func TestBlocksOf(t *testing.T) {
	good := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 3<<3 | 1, 0, 0, 'a', 'b', 'c'}
	got, err := blocksOf(bytes.Clone(good))
	if err != nil || !bytes.Equal(got, []byte{3 << 3, 0, 0, 'a', 'b', 'c'}) {
		t.Errorf("%v, %v", got, err)
	}
	for n := range good {
		if _, err := blocksOf(bytes.Clone(good[:n])); err == nil {
			t.Errorf("the first %d bytes are taken", n)
		}
	}
	for i, b := range map[int]byte{0: 0, 4: 0x24, 6: 3 << 3} { // no magic, a checksum, no last block
		bad := bytes.Clone(good)
		bad[i] = b
		if _, err := blocksOf(bad); err == nil {
			t.Errorf("with %#x at %d it is taken", b, i)
		}
	}
	if _, err := blocksOf(append(bytes.Clone(good), 0)); err == nil {
		t.Error("bytes after the last block")
	}
}

// TestZstdHistoriesAreBounded: the first clients have streams that look back, the
// others are served without, and a place is free again when a client goes.
func TestZstdHistoriesAreBounded(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	n := b.nodes[0]
	var all []*client
	for range maxZstdHistories + 2 {
		c := n.connect("compress=zstd-stream").inflated("zstd-stream")
		c.next() // HELLO
		c.begun(bedIntents, "")
		all = append(all, c)
	}
	for range 3 {
		b.say(guildID(0), strings.Repeat("aaaa abab abcd ", 50))
	}
	for i, c := range all {
		for range 3 {
			if m := c.event(discord.EventMessageCreate); len(m.content()) != 750 {
				t.Errorf("client %d: %s", i, m.D)
			}
		}
	}
	if h := n.server.zstd.histories.Load(); h != maxZstdHistories {
		t.Errorf("%d streams look back", h)
	}
	all[0].drop()
	await(t, "a free place", func() bool { return n.server.zstd.histories.Load() < maxZstdHistories })
	for _, c := range all {
		c.drop()
	}
	await(t, "free places", func() bool { return n.server.zstd.histories.Load() == 0 })
}

// TestSeam: after it a block may use the offsets of a frame's begin by their place,
// as no encoder here does today, but any may.
func TestSeam(t *testing.T) {
	z, err := newZstdStreams()
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, place := range []struct {
		code, bits byte
		want       string
	}{{0, 0b1, "HHH"}, {1, 0b1_0, "EFG"}, {1, 0b1_1, "ABC"}} {
		s := &zstdBlockPacker{streams: z}
		// Other offsets before it.
		p, err := s.pack([]byte("head"), &body{d: []byte(strings.Repeat("repeat after me ", 99) + strings.Repeat("abc", 99))})
		if err != nil {
			t.Fatal(err)
		}
		stream := append(bytes.Clone(p), zstdSeam...)
		// 8 literals, then a match of 3 at the offset of that place.
		stream = append(stream, 15<<3|2<<1|1, 0, 0, 8<<3, 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 1, 0b01_01_01_00, 8, place.code, 0, place.bits)
		got, err := d.DecodeAll(stream, nil)
		if err != nil || !bytes.HasSuffix(got, []byte("    ABCDEFGH"+place.want)) {
			t.Errorf("%q: %q, %v", place.want, got[max(0, len(got)-20):], err)
		}
	}
}
