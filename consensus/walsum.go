package consensus

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
	"github.com/zeebo/xxh3"
)

// raft-wal checks one sum when it opens its newest file, that of the last append, and none when it reads. So each entry
// goes into the log with a checksum behind its extensions, which nobody else uses here, and comes back without it. (A
// codec of one's own would be the place; v0.4.0 can't open again what was written with one.)

// sumLen is the length of a checksum.
const sumLen = 8

var errEntrySum = errors.New("the checksum of an entry is wrong")

// entrySum covers all of an entry but the time at which it was proposed.
func entrySum(l *raft.Log, extensions []byte) uint64 {
	head := make([]byte, 0, 32)
	for _, v := range [...]uint64{l.Index, l.Term, uint64(l.Type), xxh3.Hash(extensions)} {
		head = walOrder.AppendUint64(head, v)
	}
	return xxh3.HashSeed(l.Data, xxh3.Hash(head))
}

// summed returns the entry as it goes into the log.
func summed(l *raft.Log) *raft.Log {
	out := *l
	out.Extensions = walOrder.AppendUint64(slices.Clone(l.Extensions), entrySum(l, l.Extensions))
	return &out
}

// unsum makes an entry of the log what it was, if it is.
func unsum(l *raft.Log) error {
	n := len(l.Extensions) - sumLen
	if n < 0 || walOrder.Uint64(l.Extensions[n:]) != entrySum(l, l.Extensions[:n]) {
		return errEntrySum
	}
	if l.Extensions = l.Extensions[:n]; n == 0 {
		l.Extensions = nil
	}
	return nil
}

// read reads an entry, whatever the library makes of one that is damaged.
func (l *logFiles) read(index uint64, out *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errEntrySum, p)
		}
	}()
	if err := l.WAL.GetLog(index, out); err != nil {
		return err
	}
	if out.Index != index {
		return fmt.Errorf("entry %d is in its place", out.Index)
	}
	if index <= l.unsummed.Load() && len(out.Extensions) == 0 {
		return nil
	}
	return unsum(out)
}

// adopt notes that the entries that are there have no checksums.
func (l *logFiles) adopt() error {
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	e := extent{Last: max(last, l.snapshot()), Unsummed: last}
	if first > 1 {
		e.Base = min(first-1, l.snapshot())
	}
	l.unsummed.Store(last)
	if err := l.extent.write(e, true); err != nil {
		return err
	}
	return l.verify()
}
