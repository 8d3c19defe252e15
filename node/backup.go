package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/trust"
)

// SaveSnapshot implements admin.Backend.
func (n *Node) SaveSnapshot(_ context.Context, w io.Writer) error {
	_, err := n.writeBackup(w)
	return err
}

// writeBackup writes the applied state as a backup.
func (n *Node) writeBackup(to io.Writer) (h backupfile.Header, err error) {
	c, err := n.machine.Capture()
	if err != nil {
		return h, err
	}
	defer c.Release()
	h = backupfile.Header{
		Cluster: n.ClusterID(), Node: n.o.ID, Version: n.o.Version, Created: time.Now().UTC().Truncate(time.Millisecond),
		Index: c.Index(), Term: n.raft.Load().Term(), Generation: c.Generation(), Digest: c.Digest().String(),
		Counts: backupfile.Counts(c.Counts()),
	}
	w, err := backupfile.NewWriter(to, h, sealWith(n.keys))
	if err != nil {
		return h, err
	}
	if _, err := c.WriteTo(w); err != nil {
		return h, err
	}
	return h, w.Close()
}

// sealWith encrypts backups where the cluster has a secret.
func sealWith(keys *trust.Keychain) backupfile.Seal {
	if keys == nil {
		return backupfile.Seal{}
	}
	secret, ok := keys.Current()
	if !ok {
		return backupfile.Seal{}
	}
	return backupfile.Seal{KeyID: fmt.Sprint("epoch ", secret.Epoch), Wrap: func(to io.Writer, header []byte) (io.WriteCloser, error) {
		return trust.NewWriter(to, secret.BackupKey(), header)
	}}
}

// UnsealWith decrypts backups; key finds the key of an epoch.
func UnsealWith(key func(epoch uint64) (trust.BackupKey, bool)) backupfile.Unseal {
	return func(keyID string, from io.Reader, header []byte) (io.Reader, error) {
		r, err := trust.NewReader(from, key, header)
		if err != nil {
			return nil, fmt.Errorf("%w, %s: %w", backupfile.ErrSealed, keyID, err)
		}
		return unsealed{r}, nil
	}
}

// unsealed says of what can't be decrypted that it is sealed with another key:
// damage is found by the file's checksums.
type unsealed struct{ io.Reader }

// Read implements io.Reader.
func (u unsealed) Read(b []byte) (int, error) {
	n, err := u.Reader.Read(b)
	if errors.Is(err, trust.ErrDamaged) {
		err = fmt.Errorf("%w with another key than the one that was given", backupfile.ErrSealed)
	}
	return n, err
}

// unseal decrypts with this node's keys.
func (n *Node) unseal() backupfile.Unseal {
	if n.keys == nil {
		return nil
	}
	return UnsealWith(n.keys.BackupKey)
}

// Backup is a backup that was read and of which all held.
type Backup struct {
	Header backupfile.Header
	Size   uint64 // of the payload
	State  *fsm.State
	Index  uint64
}

// ReadBackup reads a whole backup and verifies it: its checksums, the state's own,
// and that the header is the state's.
//
// One that unpacks to more than this machine can hold is refused (admin.ErrRefused).
func ReadBackup(from io.Reader, unseal backupfile.Unseal) (*Backup, error) {
	return readBackup(from, unseal, machineMemory())
}

func readBackup(from io.Reader, unseal backupfile.Unseal, room memoryRoom) (*Backup, error) {
	r, err := backupfile.NewReader(from, unseal)
	if err != nil {
		return nil, err
	}
	s, index, err := fsm.ReadSnapshotWithin(r, room.check)
	if errors.Is(err, backupfile.ErrSealed) || errors.Is(err, admin.ErrRefused) {
		return nil, err
	}
	if bad := r.Verify(); bad != nil { // what the file's checksums say comes first: it is what a reader stumbled over
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	h := r.Header
	if h.Index != index || h.Digest != s.Digest().String() || h.Generation != s.Generation {
		return nil, fmt.Errorf("%w: its header is another state's", backupfile.ErrDamaged)
	}
	return &Backup{Header: h, Size: r.Size(), State: s, Index: index}, nil
}

// backupErr makes an error of package admin of one of a file.
func backupErr(err error) error {
	var newer *fsm.NewerRulesError
	switch {
	case errors.Is(err, backupfile.ErrSealed):
		return admin.WithHint(fmt.Errorf("%w: %w", admin.ErrRefused, err), "it was made by a cluster with other keys: give its backup key (`botnode tls backup-key` there) with --key-file")
	case errors.As(err, &newer), errors.Is(err, backupfile.ErrFormat):
		return admin.WithHint(fmt.Errorf("%w: %w", admin.ErrRefused, err), "restore it with the version that wrote it, or a newer one")
	case errors.Is(err, backupfile.ErrDamaged), errors.Is(err, backupfile.ErrNotBackup), errors.Is(err, fsm.ErrMalformed):
		return admin.WithHint(fmt.Errorf("%w: %w", admin.ErrBadRequest, err), "`botnode snapshot inspect FILE` verifies a file; take another one")
	}
	return err
}
