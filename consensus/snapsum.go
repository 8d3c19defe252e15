package consensus

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	"github.com/zeebo/xxh3"
	"go.uber.org/zap"

	"github.com/botnode/botnode/internal/durable"
)

// sumFile is beside a snapshot's meta.json and holds its checksum. The library has one for the state alone: a flipped bit
// of the index would skip entries, one of the configuration take a vote away.
const sumFile = "meta.sum"

// metaSum returns the checksum of a snapshot's meta.json.
func (s *snapStore) metaSum(id string) (string, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, "snapshots", id, "meta.json"))
	if err != nil {
		return "", err
	}
	sum := xxh3.Hash128(b).Bytes()
	return hex.EncodeToString(sum[:]), nil
}

// seal notes the checksum of a snapshot that was finished.
func (s *snapStore) seal(id string) error {
	if s.dir == "" {
		return nil
	}
	sum, err := s.metaSum(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was cancelled
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.dir, "snapshots", id), sumFile, []byte(sum))
}

// List lists the snapshots, the newest first, without those whose meta.json isn't what was written.
func (s *snapStore) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.SnapshotStore.List()
	if err != nil || s.dir == "" {
		return all, err
	}
	var good []*raft.SnapshotMeta
	for _, m := range all {
		switch err := s.checkMeta(m.ID); {
		case errors.Is(err, os.ErrNotExist):
			// The process ended between the snapshot and its checksum.
			if err := s.seal(m.ID); err != nil {
				return nil, err
			}
			good = append(good, m)
		case err != nil:
			s.log.Warn("a snapshot is damaged", zap.String("code", "snapshot_damaged"), zap.String("id", m.ID), zap.Error(err))
		default:
			good = append(good, m)
		}
	}
	return good, nil
}

func (s *snapStore) checkMeta(id string) error {
	want, err := os.ReadFile(filepath.Join(s.dir, "snapshots", id, sumFile))
	if err != nil {
		return err
	}
	got, err := s.metaSum(id)
	if err == nil && got != string(want) {
		err = durable.ErrDamaged
	}
	return err
}
