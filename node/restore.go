package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
)

// restoreTimeout bounds a restore once its file has come.
const restoreTimeout = 10 * time.Minute

// restoreRoom is how many entries may come while a restore is being prepared: the
// restored state's index is above them all.
const restoreRoom = 1 << 20

// RestoreSnapshot implements admin.Backend. The whole file is on this node and
// verified before anything changes. This node then becomes the leader, if it
// isn't, rather than carry the file to whoever is.
func (n *Node) RestoreSnapshot(ctx context.Context, from io.Reader, o admin.RestoreOptions) (admin.RestoreResult, error) {
	var none admin.RestoreResult
	switch {
	case !n.inCluster():
		return none, admin.WithHint(admin.ErrNotInCluster, "make a cluster first: `botnode start --bootstrap`")
	case o.ClusterID != "" && o.ClusterID != n.ClusterID():
		return none, admin.WithHint(fmt.Errorf("%w: this is cluster %s, not %s", admin.ErrRefused, n.ClusterID(), o.ClusterID), "--http names the node that is spoken to")
	case !n.voter():
		return none, admin.WithHint(fmt.Errorf("%w: this node is no voter", admin.ErrRefused), "restore at a voter: `botnode node list` shows them")
	case !n.restoreMu.TryLock():
		return none, fmt.Errorf("%w: another restore is under way", admin.ErrNotReady)
	}
	defer n.restoreMu.Unlock()
	b, err := n.receive(from)
	if err != nil {
		return none, err
	}
	// Half of it may happen, whoever waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	term, err := n.leadHere(ctx)
	if err != nil {
		return none, err
	}
	return n.restore(ctx, b, o, term)
}

// spool returns a file that is gone once it is closed or the process ends.
func (n *Node) spool() (*os.File, error) {
	dir := n.o.DataDir
	if n.o.Memory != nil {
		dir = "" // the machine's own folder for such files
	}
	f, err := os.CreateTemp(dir, "restore-*.tmp")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// receive brings a backup onto this node and reads it.
func (n *Node) receive(from io.Reader) (*Backup, error) {
	f, err := n.spool()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	dir := filepath.Dir(f.Name())
	switch _, err := io.Copy(&diskRoom{to: f, free: func() (uint64, bool) { return freeOf(dir) }}, from); {
	case errors.Is(err, admin.ErrRefused):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: the file did not come whole: %w", admin.ErrBadRequest, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	b, err := ReadBackup(bufio.NewReaderSize(f, 1<<20), n.unseal())
	return b, backupErr(err)
}

// leadHere makes this node the leader, and returns its term once it is
// established.
func (n *Node) leadHere(ctx context.Context) (term uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for {
		if err := n.awaitLeader(ctx); err != nil {
			return 0, err
		}
		r := n.raft.Load()
		if r.Leader().ID != n.o.ID {
			if _, err := n.askLeader(ctx, clusterRequest{Kind: "transfer", ID: n.o.ID}); err != nil {
				n.log.Info("leadership has not come here yet", zap.Error(err))
			}
		}
		once, done := context.WithTimeout(ctx, leaderTimeout)
		err := poll(once, func() bool {
			var ok bool
			term, ok = r.Established()
			return ok
		})
		done()
		if err == nil {
			return term, nil
		}
		if ctx.Err() != nil {
			return 0, admin.WithHint(fmt.Errorf("%w: this node has not become the leader, which a restore needs", admin.ErrNoQuorum), hintQuorum)
		}
	}
}

// restore replaces the cluster's state, on the leader of a term.
func (n *Node) restore(ctx context.Context, b *Backup, o admin.RestoreOptions, term uint64) (admin.RestoreResult, error) {
	p, err := n.prepare(b, o)
	if err != nil {
		return admin.RestoreResult{}, err
	}
	defer func() { _ = p.file.Close() }()
	if err := n.install(ctx, p, term); err != nil {
		return admin.RestoreResult{}, err
	}
	n.log.Info("restored", zap.Uint64("generation", p.renewal.Generation))
	// What a new leader does. If this one isn't any more, the next one does it.
	n.establish(term)
	return admin.RestoreResult{
		Generation: p.renewal.Generation, ClusterID: p.renewal.ClusterID, FromCluster: b.Header.Cluster, BackupIndex: b.Index,
		Created: b.Header.Created, SessionsKept: o.KeepSessions,
	}, nil
}

// prepared is a snapshot for raft to restore.
type prepared struct {
	file     *os.File
	size     int64
	index    uint64
	renewal  fsm.Renewal
	standing fsm.Standing // of the cluster when it was made
}

// prepare makes of a backup the state that this cluster goes on with.
func (n *Node) prepare(b *Backup, o admin.RestoreOptions) (*prepared, error) {
	r := n.raft.Load()
	p := &prepared{renewal: fsm.Renewal{ClusterID: n.ClusterID(), Index: r.LastIndex() + restoreRoom, KeepSessions: o.KeepSessions}}
	for _, s := range r.Servers() {
		p.renewal.Members = append(p.renewal.Members, s.ID)
	}
	known, all := n.rulesKnown()
	rules := b.State.Rules
	n.machine.View(func(_ uint64, s *fsm.State) {
		p.standing = s.Standing()
		p.renewal.Generation = max(s.Generation, b.State.Generation) + 1
		b.State.Transplant(s) // the nodes' certificates are this cluster's
	})
	if err := rulesAllow(rules, p.standing.Rules, known, all); err != nil {
		return nil, err
	}
	c, res := b.State.Renew(b.Index, p.renewal)
	if res.Code != fsm.OK {
		return nil, fmt.Errorf("%w: %s", admin.ErrRefused, res.Msg)
	}
	defer c.Release()
	p.index = c.Index()
	f, err := n.spool()
	if err != nil {
		return nil, err
	}
	if p.size, err = sealed(c, n.keys).WriteTo(f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.file = f
	n.log.Info("restoring a backup", zap.Uint64("generation", p.renewal.Generation), zap.Uint64("backup_index", b.Index),
		zap.String("backup_cluster", b.Header.Cluster), zap.Time("backup_created", b.Header.Created))
	return p, nil
}

// install has raft replace the state, unless this node leads no more, or what the
// prepared state has of the cluster isn't so any more.
func (n *Node) install(ctx context.Context, p *prepared, term uint64) error {
	r := n.raft.Load()
	if leads, ok := r.Established(); !ok || leads != term {
		return fmt.Errorf("%w: leadership has gone; nothing was changed", admin.ErrNotReady)
	}
	check := func() (err error) {
		n.machine.View(func(index uint64, s *fsm.State) {
			if s.Standing() != p.standing || index > p.renewal.Index {
				err = errStanding
			}
		})
		return err
	}
	switch err := r.RestoreSnapshot(ctx, consensus.Restoration{Body: p.file, Size: p.size, Index: p.index, Check: check}); {
	case errors.Is(err, consensus.ErrNotRestored):
		return fmt.Errorf("%w: nothing was changed: %w", admin.ErrNotReady, err)
	case err != nil:
		return fmt.Errorf("%w: %w", admin.ErrUnknownOutcome, err)
	}
	return nil
}

// errStanding keeps a restore from undoing what was committed while it was
// prepared, and what nodes' own disks may follow already.
var errStanding = errors.New("the cluster's keys, tokens or rules have changed meanwhile: try again")

// rulesAllow refuses a state of newer rules than are in force, unless every node
// knows them: a node that doesn't would stop.
func rulesAllow(rules, inForce, known uint64, all bool) error {
	switch {
	case rules <= inForce || all && known >= rules:
		return nil
	case !all:
		return admin.WithHint(fmt.Errorf("%w: the backup has rules %d, the cluster %d, and a node is down that may not know them", admin.ErrRefused, rules, inForce),
			"start or remove the nodes that are down")
	}
	return admin.WithHint(fmt.Errorf("%w: the backup has rules %d, and a node knows %d only", admin.ErrRefused, rules, known),
		"upgrade all nodes to the version that wrote it, or a newer one")
}

// awaitRestore waits for the end of a restore that this node leads: the node that
// ends in its middle can't start again.
func (n *Node) awaitRestore(ctx context.Context) {
	_ = poll(ctx, n.restoreMu.TryLock) // kept: none begins any more
}
