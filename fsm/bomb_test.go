package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/klauspost/compress/s2"
)

// bomb makes of a snapshot one that has an item of a mebibyte of the store as often as is said, each
// in some bytes. It has no end.
func bomb(t *testing.T, snap []byte, times int) []byte {
	t.Helper()
	stream := unpacked(t, snap)
	head := 1 // the section's id; then two chunks and an end
	for range 2 {
		n, of := binary.Uvarint(stream[head:])
		head += of + int(n)
	}
	head++
	var body, item writer
	body.string(testBot)
	body.string("k")
	body.uint(1)
	body.bytes(make([]byte, 1<<20))
	body.int(0)
	item.bytes(body.b)
	buf := bytes.NewBufferString(snapshotMagic + "\x01")
	w := s2.NewWriter(buf, s2.WriterConcurrency(1), s2.WriterBlockSize(2<<20))
	at := 0
	for _, part := range [][]byte{append(bytes.Clone(stream[:head]), sectionKV), item.b} {
		at = buf.Len()
		_, _ = w.Write(part) // neither fails on a buffer
		_ = w.Flush()
	}
	return append(buf.Bytes(), bytes.Repeat(buf.Bytes()[at:], times-1)...)
}

var errRoom = errors.New("no room")

// within has room for so many bytes.
func within(most int64) func(int64) error {
	return func(unpacked int64) error {
		if unpacked > most {
			return errRoom
		}
		return nil
	}
}

// TestRoomForASnapshot: a snapshot is read as far as there is room for it, however
// small it is.
func TestRoomForASnapshot(t *testing.T) {
	snap := full(t).snapshot()
	file := bomb(t, snap, 2<<10)
	most := int64(0)
	_, _, err := ReadSnapshotWithin(bytes.NewReader(file), func(unpacked int64) error {
		most = unpacked
		return within(32 << 20)(unpacked)
	})
	if !errors.Is(err, errRoom) || most > 32<<20+2*roomEvery {
		t.Errorf("%d KiB that unpack to 2 GiB: %v after %d MiB", len(file)>>10, err, most>>20)
	}
	if _, _, err := ReadSnapshotWithin(bytes.NewReader(snap), within(32<<20)); err != nil {
		t.Error(err)
	}
	if _, _, err := ReadSnapshot(bytes.NewReader(bomb(t, snap, 8))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a snapshot without an end: %v", err)
	}
}
