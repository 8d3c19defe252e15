package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The frames of a file of the log (raft-wal's segment/format.go): a header of 8 bytes, with the type in the first and
// the payload's length in the last four, then the payload, to a multiple of 8. A commit has no payload.
const (
	walFileHeader  = 32
	walFrameHeader = 8
)

// tail is the newest file of the log, and how far it holds.
type tail struct {
	file *os.File
	// end is behind the last commit that holds.
	end int64
	// index is where the array of the index begins that the last commit covers; 0 if the file isn't sealed.
	index uint64
}

// openTail finds the end of what was committed, given the last entry that was; 0 if none was.
func openTail(dir string, info types.SegmentInfo, last uint64) (*tail, error) {
	f, err := os.OpenFile(filepath.Join(dir, segment.FileName(info)), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	t := &tail{file: f}
	if last >= info.BaseIndex {
		err = t.walk(last - info.BaseIndex + 1)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", f.Name(), err), f.Close())
	}
	return t, nil
}

// walk reads the headers up to the commit behind so many entries.
func (t *tail) walk(entries uint64) error {
	t.end = walFileHeader
	for {
		var h [walFrameHeader]byte
		if _, err := t.file.ReadAt(h[:], t.end); err != nil {
			return err
		}
		at, size := t.end, int64(binary.LittleEndian.Uint32(h[4:]))
		t.end += walFrameHeader
		switch h[0] {
		case segment.FrameCommit:
			if entries == 0 {
				return nil
			}
			continue
		case segment.FrameEntry:
			entries--
		case segment.FrameIndex:
			t.index = uint64(at + walFrameHeader)
		default:
			return fmt.Errorf("%w: a frame of type %d at %d", types.ErrCorrupt, h[0], at)
		}
		t.end += (size + 7) &^ 7
	}
}

// clear removes what an append left that didn't come to its end: it must not be taken for frames once the next appends
// have overwritten a part of it. The file keeps its size, but not its room on the disk.
func (t *tail) clear() error {
	stat, err := t.file.Stat()
	if err != nil {
		return err
	}
	torn, err := t.torn()
	if err != nil || !torn {
		return err
	}
	if at, err := t.followed(int(stat.Size() - t.end)); err != nil || at > 0 {
		return errors.Join(err, fmt.Errorf("%w: the log stops at byte %d, and an append that came later is whole at byte %d", types.ErrCorrupt, t.end, at))
	}
	return errors.Join(t.file.Truncate(t.end), t.file.Truncate(stat.Size()), t.file.Sync())
}

// followed looks in what stands behind the end for an append that came after another one: a commit, and behind it an
// entry that is whole. What a crash cut off was the last append, and nothing came after it; where something did, what is
// missing before it had been answered for. It returns where the entry is, 0 if there is none.
func (t *tail) followed(size int) (at int64, err error) {
	b := make([]byte, size)
	n, err := t.file.ReadAt(b, t.end)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	b = bytes.TrimRight(b[:n], "\x00")
	for o := 0; o+2*walFrameHeader < len(b); o += 8 {
		commit, entry := b[o:o+walFrameHeader], b[o+walFrameHeader:]
		if commit[0] != segment.FrameCommit || commit[1]|commit[2]|commit[3] != 0 || entry[0] != segment.FrameEntry {
			continue
		}
		length := int(binary.LittleEndian.Uint32(entry[4:]))
		if length <= len(entry)-walFrameHeader && wholeEntry(entry[walFrameHeader:][:length]) {
			return t.end + int64(o) + walFrameHeader, nil
		}
	}
	return 0, nil
}

// wholeEntry reports whether b is an entry of the log.
func wholeEntry(b []byte) (ok bool) {
	defer func() {
		if recover() != nil { // the library's decoder takes what it is given for an entry
			ok = false
		}
	}()
	var l raft.Log
	return new(wal.BinaryCodec).Decode(b, &l) == nil && unsum(&l) == nil
}

// torn reports whether anything stands behind the end.
func (t *tail) torn() (bool, error) {
	const piece = 256 << 10
	buf, zeroes := make([]byte, piece), make([]byte, piece)
	for at := t.end; ; {
		n, err := t.file.ReadAt(buf, at)
		if !bytes.Equal(buf[:n], zeroes[:n]) {
			return true, nil
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}
