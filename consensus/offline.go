package consensus

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Offline is the directory of a node that doesn't run: what is left where a majority is lost.
type Offline struct {
	opts   Options
	stores *stores
}

// Survey says what a directory holds.
type Survey struct {
	// LastIndex and LastTerm are those of the last entry, in the log or covered by the snapshot. Of two nodes the one with
	// the higher (LastTerm, LastIndex) has all that the other has of what was committed.
	LastIndex, LastTerm uint64
	// LastAt is when the last entry was proposed, by its leader's clock; zero where only the snapshot is left.
	LastAt time.Time
	// SnapshotIndex and CommittedIndex are surely committed.
	SnapshotIndex, SnapshotTerm uint64
	CommittedIndex              uint64
	// Term is the newest that the node has seen.
	Term uint64
	// Servers is the newest configuration, committed or not.
	Servers []Server
}

// OpenOffline opens a directory that no process uses. Of o it takes ID, Dir, Memory and Logger.
func OpenOffline(o Options) (*Offline, error) {
	o = o.withDefaults()
	st, err := openStores(o, newHCLogger(o.Logger))
	if err != nil {
		return nil, err
	}
	f := &Offline{opts: o, stores: st}
	if has, err := raft.HasExistingState(st.log, st.stable, st.snaps); err != nil || !has {
		return nil, errors.Join(err, f.Close(), ErrNoState)
	}
	return f, nil
}

// ErrNoState says that a directory holds no log.
var ErrNoState = errors.New("the directory holds no log and no snapshot of a cluster")

// Close closes the files.
func (f *Offline) Close() error { return f.stores.close() }

// Replay brings a new machine to the end of the log: the newest snapshot that can be read, and everything above it, which
// is all that was committed as far as this node knows, and what may have been.
func (f *Offline) Replay(m Machine) (Survey, error) {
	s := Survey{}
	term, err := f.stores.stable.GetUint64([]byte("CurrentTerm"))
	if err != nil && err.Error() != "not found" {
		return s, fmt.Errorf("read the term: %w", err)
	}
	s.Term = term
	if err := f.restore(m, &s); err != nil {
		return s, err
	}
	if err := f.apply(m, &s); err != nil {
		return s, err
	}
	return s, nil
}

func (f *Offline) restore(m Machine, s *Survey) error {
	list, err := f.stores.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	var errs []error
	for _, meta := range list {
		err := f.read(meta.ID, m.Restore)
		if err != nil {
			errs = append(errs, fmt.Errorf("snapshot %s: %w", meta.ID, err))
			f.opts.Logger.Warn("a snapshot can't be read", zap.String("code", "snapshot_damaged"), zap.String("id", meta.ID), zap.Error(err))
			continue
		}
		s.SnapshotIndex, s.SnapshotTerm = meta.Index, meta.Term
		s.LastIndex, s.LastTerm = meta.Index, meta.Term
		s.Servers = servers(meta.Configuration)
		return nil
	}
	return damaged(PartSnapshot, errors.Join(errs...))
}

func (f *Offline) read(id string, to func(io.Reader) error) error {
	_, body, err := f.stores.snaps.Open(id)
	if err != nil {
		return err
	}
	return errors.Join(to(body), body.Close())
}

func (f *Offline) apply(m Machine, s *Survey) error {
	first, err := f.stores.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := f.stores.log.LastIndex()
	if err != nil {
		return err
	}
	if first > s.SnapshotIndex+1 && last > s.SnapshotIndex {
		return damaged(PartSnapshot, fmt.Errorf("%w: snapshot at %d, log from %d", ErrLogGap, s.SnapshotIndex, first))
	}
	if files, ok := f.stores.log.(*logFiles); ok {
		s.CommittedIndex = files.extent.now.Commit
		if err := files.extent.check(last, s.SnapshotIndex); err != nil {
			return err
		}
	}
	for i := s.SnapshotIndex + 1; i <= last; i++ {
		var e raft.Log
		if err := f.stores.log.GetLog(i, &e); err != nil {
			if i <= f.stores.snaps.reach.Load() {
				err = errBelowDamagedSnapshot
			}
			return damaged(PartLog, fmt.Errorf("entry %d: %w", i, err))
		}
		switch {
		case e.Type == raft.LogCommand && len(e.Data) > 0:
			m.Apply(e.Index, e.Data)
		case e.Type == raft.LogConfiguration:
			s.Servers = servers(raft.DecodeConfiguration(e.Data))
		}
		s.LastIndex, s.LastTerm = e.Index, e.Term
		if !e.AppendedAt.IsZero() {
			s.LastAt = e.AppendedAt
		}
	}
	return nil
}

// Found makes the directory that of a cluster of one, whose state is snap's; Discard has to follow. It may be called again
// after a crash, with the index that was planned first: what is done already is left alone.
func (f *Offline) Found(snap Snapshot, addr string, index, term uint64) error {
	conf := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(f.opts.ID), Address: raft.ServerAddress(addr)}}}
	list, err := f.stores.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) == 0 || list[0].Index < index {
		_, trans := raft.NewInmemTransport(raft.ServerAddress(addr)) // for the spelling of addresses
		sink, err := f.stores.snaps.Create(raft.SnapshotVersionMax, index, term, conf, 1, trans)
		if err != nil {
			return fmt.Errorf("create snapshot: %w", err)
		}
		if err := (fsmSnapshot{snap}).Persist(sink); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	return nil
}

// Discard removes the log that Found's snapshot covers: its entries hold configurations of the cluster that was.
func (f *Offline) Discard() error {
	first, err := f.stores.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := f.stores.log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return f.stores.log.DeleteRange(first, last)
}

// Founded reports whether Found has got so far that the directory has the state of the new cluster.
func (f *Offline) Founded(index uint64) (bool, error) {
	list, err := f.stores.snaps.List()
	return err == nil && len(list) > 0 && list[0].Index >= index, err
}

func servers(conf raft.Configuration) []Server {
	out := make([]Server, 0, len(conf.Servers))
	for _, s := range conf.Servers {
		out = append(out, Server{ID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return out
}
