package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/durable"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/trust"
)

// Errors of a recovery.
var (
	// ErrRecovering refuses to start a node on a directory whose recovery was not
	// finished.
	ErrRecovering = errors.New("a recovery of this data directory was begun and not finished: run `botnode recover --data-dir` again")
	// ErrRecovered refuses to recover what was recovered.
	ErrRecovered = errors.New("this data directory has been recovered already")
)

// recoveryName is in the data directory from the first step of a recovery on, for
// good.
const recoveryName = "recovery.json"

// recoveryFile says what a recovery is to do, or has done. It is written before
// anything changes, so that one that was cut off goes on as it began.
type recoveryFile struct {
	Done       bool      `json:"done"`
	OldCluster string    `json:"old_cluster"`
	NewCluster string    `json:"new_cluster"`
	Index      uint64    `json:"index"` // of the snapshot that the new cluster begins with
	Term       uint64    `json:"term"`
	Generation uint64    `json:"generation"`
	BegunAt    time.Time `json:"begun_at"`
}

func readRecovery(dir string) (f recoveryFile, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recoveryName))
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", recoveryName, err)
	}
	return f, nil
}

func (f recoveryFile) write(dir string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(dir, recoveryName, append(b, '\n'))
}

// begun reports whether a recovery was begun at all.
func (f recoveryFile) begun() bool { return f.NewCluster != "" }

// recoveredOf reads what became of a node's directory. An unfinished recovery is
// an error.
func recoveredOf(o *Options) (f recoveryFile, err error) {
	if o.Memory != nil {
		return f, nil
	}
	if f, err = readRecovery(o.DataDir); err == nil && f.begun() && !f.Done {
		err = ErrRecovering
	}
	return f, err
}

// former tells a node of the cluster that this one was recovered from what to do.
func (n *Node) former(cluster string) string {
	if !n.recovered.begun() || cluster != n.recovered.OldCluster {
		return ""
	}
	return fmt.Sprintf("cluster %s lost its majority and was recovered as %s: what this node has is void; start it with an empty --data-dir and `botnode join` it",
		cluster, n.recovered.NewCluster)
}

// Recovery makes a cluster of one out of the data directory of a node that is left
// where a majority is lost. The directory is locked until Close.
type Recovery struct {
	// NodeID and Cluster are whose directory it is.
	NodeID, Cluster string
	Survey          consensus.Survey
	Generation      uint64
	Counts          fsm.Counts
	Digest          string
	Index           uint64 // of the last command
	// Resumes says that it was begun before, and cut off.
	Resumes bool

	dir      string
	addr     string
	identity *membership.Identity
	offline  *consensus.Offline
	machine  *fsm.Machine
	keys     *trust.Keychain // nil without TLS
	file     recoveryFile
}

// OpenRecovery reads a directory to the end of its log, and changes nothing.
func OpenRecovery(dir string, log *zap.Logger) (_ *Recovery, err error) {
	r := &Recovery{dir: dir}
	if r.identity, err = membership.OpenExisting(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	r.NodeID, r.Cluster = r.identity.ID(), r.identity.ClusterID()
	if r.file, err = readRecovery(dir); err != nil {
		return nil, err
	}
	if r.Cluster == "" {
		return nil, admin.WithHint(admin.ErrNotInCluster, "a node that was in no cluster has nothing to recover")
	}
	keys, err := trust.OpenKeychain(trust.Directory(dir), r.NodeID)
	if err != nil {
		return nil, err
	}
	if keys.Ready() {
		r.keys = keys
	}
	if r.offline, err = consensus.OpenOffline(consensus.Options{ID: r.NodeID, Dir: dir, Logger: log}); err != nil {
		return nil, err
	}
	if err := r.replay(); err != nil {
		return nil, err
	}
	return r, r.check()
}

// Close closes the directory.
func (r *Recovery) Close() error {
	var err error
	if r.offline != nil {
		err = r.offline.Close()
	}
	return errors.Join(err, r.identity.Close())
}

func (r *Recovery) replay() error {
	var fatal error
	r.machine = fsm.NewMachine()
	r.machine.OnFatal = func(err error) { fatal = err }
	var err error
	if r.Survey, err = r.offline.Replay(machine{r.machine, r.keys}); err == nil {
		err = fatal
	}
	if err != nil {
		return err
	}
	for _, s := range r.Survey.Servers {
		if s.ID == r.NodeID {
			r.addr = s.Addr
		}
	}
	r.machine.View(func(index uint64, s *fsm.State) {
		r.Index, r.Generation, r.Counts, r.Digest = index, s.Generation, s.Counts(), s.Digest().String()
	})
	return nil
}

// check refuses what needs no recovery, or had one.
func (r *Recovery) check() error {
	r.Resumes = r.file.begun() && !r.file.Done
	others := 0
	for _, s := range r.Survey.Servers {
		if s.Voter && s.ID != r.NodeID {
			others++
		}
	}
	switch {
	case r.Resumes:
		return nil
	case r.addr == "":
		return fmt.Errorf("%w: node %s is no member of the configuration that its log ends with", admin.ErrRefused, r.NodeID)
	case others == 0 && r.file.Done && r.file.NewCluster == r.Cluster:
		return admin.WithHint(fmt.Errorf("%w: %w: on %s cluster %s became cluster %s, generation %d", admin.ErrRefused, ErrRecovered,
			r.file.BegunAt.Format(time.RFC3339), r.file.OldCluster, r.file.NewCluster, r.file.Generation), "start the node, and join the others to it")
	case others == 0:
		return admin.WithHint(fmt.Errorf("%w: node %s is the only voter of its cluster", admin.ErrRefused, r.NodeID), "start it: it needs no other to lead")
	}
	return nil
}

// Result says what a recovery has made.
type Result struct {
	Cluster    string
	Generation uint64
}

// Run makes the cluster. Each step may be cut off: the next Run goes on. Before the
// first, the plan is on the disk, and no node starts on the directory until the
// last is done.
func (r *Recovery) Run(keepSessions bool) (Result, error) {
	for _, step := range r.steps(keepSessions) {
		if err := step(); err != nil {
			return Result{}, err
		}
	}
	return Result{Cluster: r.file.NewCluster, Generation: r.file.Generation}, nil
}

func (r *Recovery) steps(keepSessions bool) []func() error {
	return []func() error{
		r.plan,
		func() error { return r.found(keepSessions) },
		func() error { return r.offline.Discard() },
		r.rekey,
		func() error { return r.identity.Recover(r.file.NewCluster) },
		func() error {
			r.file.Done = true
			return r.file.write(r.dir)
		},
	}
}

// plan writes what is going to be done.
func (r *Recovery) plan() error {
	if r.Resumes {
		return nil
	}
	r.file = recoveryFile{
		OldCluster: r.Cluster, NewCluster: membership.NewClusterID(), Generation: r.Generation + 1,
		Index: r.Survey.LastIndex + 1, Term: r.Survey.LastTerm, BegunAt: time.Now().UTC().Truncate(time.Second),
	}
	return r.file.write(r.dir)
}

// rekey makes this node's certificate one of the new cluster. The authority and
// the secret stay; the others' certificates are the old cluster's.
func (r *Recovery) rekey() error {
	if r.keys == nil || r.keys.Holder().ClusterID == r.file.NewCluster {
		return nil
	}
	var a fsm.Authority
	r.machine.View(func(_ uint64, s *fsm.State) { a = s.Trust().Authority() })
	secret, ok := r.keys.Secret(a.Epoch)
	if !ok {
		return fmt.Errorf("the secret of epoch %d: %w", a.Epoch, trust.ErrNoKey)
	}
	authority, err := trust.OpenAuthority(secret, a.Cert, a.Key)
	if err != nil {
		return err
	}
	return r.keys.Rename(r.file.NewCluster, authority, time.Now())
}

func (r *Recovery) found(keepSessions bool) error {
	done, err := r.offline.Founded(r.file.Index)
	if err != nil {
		return err
	}
	if !done {
		res := r.machine.Renew(fsm.Renewal{
			ClusterID: r.file.NewCluster, Generation: r.file.Generation, Index: r.Survey.LastIndex,
			Members: []string{r.NodeID}, Alone: true, KeepSessions: keepSessions,
		})
		if res.Code != fsm.OK {
			return fmt.Errorf("%w: %s", admin.ErrRefused, res.Msg)
		}
	}
	c, err := r.machine.Capture()
	if err != nil {
		return err
	}
	defer c.Release()
	return r.offline.Found(sealed(c, r.keys), r.addr, r.file.Index, r.file.Term)
}
