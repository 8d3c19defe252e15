package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/internal/durable"
)

var walOrder = binary.LittleEndian

// extent is what a directory has answered for.
type extent struct {
	// Base is the highest index that was deleted because a snapshot covers it: there is a snapshot that reaches it.
	Base uint64
	// Last is the last entry that is on disk, in the log or covered by a snapshot.
	Last uint64
	// Commit is an index that was committed.
	Commit uint64
	// Unsummed is the last entry of a first build, which has no checksum.
	Unsummed uint64
}

// extentFile holds the extent, in two slots that are written in turn.
const extentFile = "extent"

const (
	slotSize  = 512 // a sector, so that a torn write hits one slot
	extentLen = 6 * 8
)

// extentRecord says how far the log had been written. An append that was cut off by a crash and one that was damaged after
// it was answered for look alike in the log: both have a wrong checksum at its end. The record tells them apart.
//
// It is written after each append and not synced, which is a write of 48 bytes into the page cache: it is never ahead of
// the log, survives the end of the process whatever that is, and lags by what the system hadn't written yet where the
// power went. Before entries are deleted it is lowered and synced, so that it isn't ahead then either.
type extentRecord struct {
	file *os.File
	seq  uint64
	now  extent
}

// openExtent opens the record of a directory, and makes that of a new one. known says that the directory was used.
func openExtent(dir string, known bool) (*extentRecord, error) {
	path := filepath.Join(dir, extentFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) && !known {
		if err := durable.WriteFile(dir, extentFile, make([]byte, 2*slotSize)); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, damaged(PartLog, err)
	}
	r := &extentRecord{file: f}
	if err := r.read(); err != nil {
		return nil, errors.Join(damaged(PartLog, fmt.Errorf("%s: %w", path, err)), f.Close())
	}
	return r, nil
}

// read finds the newer slot that holds. A file of zeroes is that of a new directory.
func (r *extentRecord) read() error {
	b := make([]byte, 2*slotSize)
	if n, err := r.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) || n < len(b) {
		return fmt.Errorf("%d bytes: %w", n, errors.Join(err, durable.ErrDamaged))
	}
	empty, good := true, false
	for slot := range 2 {
		s := b[slot*slotSize:][:slotSize]
		for _, c := range s {
			empty = empty && c == 0
		}
		if walOrder.Uint64(s[extentLen-8:]) != xxh3.Hash(s[:extentLen-8]) {
			continue
		}
		if seq := walOrder.Uint64(s); !good || seq > r.seq {
			good, r.seq = true, seq
			r.now = extent{walOrder.Uint64(s[8:]), walOrder.Uint64(s[16:]), walOrder.Uint64(s[24:]), walOrder.Uint64(s[32:])}
		}
	}
	if !good && !empty {
		return durable.ErrDamaged
	}
	return nil
}

// write makes e the record; with sync it is on the disk on return.
func (r *extentRecord) write(e extent, sync bool) error {
	r.seq++
	b := make([]byte, 0, extentLen)
	for _, v := range [...]uint64{r.seq, e.Base, e.Last, e.Commit, e.Unsummed} {
		b = walOrder.AppendUint64(b, v)
	}
	b = walOrder.AppendUint64(b, xxh3.Hash(b))
	if _, err := r.file.WriteAt(b, int64(r.seq%2)*slotSize); err != nil {
		return err
	}
	r.now = e
	if sync {
		return r.file.Sync()
	}
	return nil
}

// stored notes an append.
func (r *extentRecord) stored(last, commit uint64) error {
	e := r.now
	e.Last, e.Commit = last, max(e.Commit, min(commit, last))
	return r.write(e, false)
}

// deleting notes a deletion before it happens: entries from the front are covered by a snapshot up to snapshot; others
// were never committed.
func (r *extentRecord) deleting(first, lo, hi, snapshot uint64) error {
	e := r.now
	covered := min(hi, snapshot)
	if lo <= first {
		e.Base = max(e.Base, covered)
	}
	if hi >= e.Last && hi > covered || lo > first {
		e.Last = max(lo-1, covered)
		e.Unsummed = min(e.Unsummed, e.Last) // what comes in their place has sums
	}
	return r.write(e, true)
}

// check compares the record with what there is.
func (r *extentRecord) check(last, snapshot uint64) error {
	switch e := r.now; {
	case snapshot < e.Base:
		return damaged(PartSnapshot, fmt.Errorf("the newest snapshot that can be read is of index %d, and the log was cut off below %d", snapshot, e.Base))
	case max(last, snapshot) < e.Last:
		return damaged(PartLog, fmt.Errorf("it ends at index %d, and had been written up to %d", max(last, snapshot), e.Last))
	}
	return nil
}
