package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/internal/durable"
)

// BackupOptions have a node save backups by itself while it leads. Each node that
// may lead wants them.
type BackupOptions struct {
	Dir   string // "" for none
	Every time.Duration
	Keep  int // how many of the cluster's files stay in Dir; 0 for all
}

// backupTime is how a file's name says when it was made.
const backupTime = "20060102T150405Z"

// autoBackup saves backups when they are due.
type autoBackup struct {
	n *Node
	o BackupOptions

	mu     sync.Mutex // guards what follows
	last   time.Time  // of the newest file of the cluster in the directory
	size   int64      // of it
	failed string     // why the newest attempt failed, "" if it didn't
}

// backupReport is what a node tells of its backups.
type backupReport struct {
	EveryMS int64  `json:"every_ms"`
	LastMS  int64  `json:"last_ms,omitempty"`
	Failed  string `json:"failed,omitempty"`
}

// backupRetry is how long to wait after a failure, if that is less than the
// interval.
const backupRetry = time.Minute

// run saves backups until the node ends. The directory says when the last one
// was: it may be shared by nodes, and the leadership moves.
func (a *autoBackup) run() {
	look := min(a.o.Every/10, time.Second)
	next := time.Time{}
	for pause(a.n.ctx, max(look, 10*time.Millisecond)) == nil {
		if _, leads := a.n.raft.Load().Established(); !leads || !a.n.inCluster() || time.Now().Before(next) {
			continue
		}
		files, err := a.files()
		if err == nil {
			if len(files) > 0 && time.Since(files[0].at) < a.o.Every {
				a.note(files[0], nil)
				continue
			}
			err = a.save()
		}
		if err != nil {
			a.note(backupName{}, err)
			a.n.log.Warn("backup failed", zap.String("code", "backup_failed"), zap.String("dir", a.o.Dir), zap.Error(err))
			next = time.Now().Add(min(backupRetry, a.o.Every))
		}
	}
}

// backupName is a file of the cluster that this scheme named.
type backupName struct {
	name  string
	index uint64
	at    time.Time // zero if it says that it was made in the future
	size  int64
}

// backupSkew is how far ahead another node's clock may be.
const backupSkew = time.Minute

// files lists the cluster's files in the directory, the newest first. Which is newer
// the index says, which never goes back, and not the clock, which may: a file of a
// day when it was ahead would be the newest for years, and no other made or kept.
// Only names of this scheme count: nothing else is ever removed.
func (a *autoBackup) files() ([]backupName, error) {
	entries, err := os.ReadDir(a.o.Dir)
	if err != nil {
		return nil, err
	}
	scheme := regexp.MustCompile(`^botnode-` + regexp.QuoteMeta(a.n.ClusterID()) + `-(\d+)-(\d{8}T\d{6}Z)\.backup$`)
	var files []backupName
	for _, e := range entries {
		m := scheme.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		at, err := time.Parse(backupTime, m[2])
		index, bad := strconv.ParseUint(m[1], 10, 64)
		if err != nil || bad != nil {
			continue
		}
		if time.Until(at) > backupSkew {
			at = time.Time{}
		}
		f := backupName{name: e.Name(), index: index, at: at}
		if info, err := e.Info(); err == nil {
			f.size = info.Size()
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(x, y backupName) int { return cmp.Or(cmp.Compare(y.index, x.index), y.at.Compare(x.at)) })
	return files, nil
}

// save writes a backup beside its name, and renames: a name never stands for half
// a backup. Then it removes those that are too many.
func (a *autoBackup) save() error {
	if err := a.sweep(); err != nil {
		return err
	}
	var f backupName
	err := durable.Create(a.o.Dir, a.temporary()+"*.tmp", func(to *os.File) (string, error) {
		h, err := a.n.writeBackup(to)
		if err != nil {
			return "", err
		}
		f.index, f.at = h.Index, h.Created
		f.name = fmt.Sprintf("botnode-%s-%d-%s.backup", h.Cluster, h.Index, h.Created.UTC().Format(backupTime))
		if info, bad := to.Stat(); bad == nil {
			f.size = info.Size()
		}
		return f.name, nil
	})
	if err != nil {
		return err
	}
	a.note(f, nil)
	a.n.log.Info("backup saved", zap.String("file", f.name), zap.Int64("bytes", f.size), zap.Uint64("index", f.index))
	return a.prune()
}

// temporary is how the names of this node's unfinished files begin. The directory
// may be shared, with other clusters even.
func (a *autoBackup) temporary() string {
	return ".botnode-" + a.n.ClusterID() + "-" + a.n.o.ID + "-"
}

// sweep removes what this node's earlier processes were writing when they ended.
// Each is as large as a backup.
func (a *autoBackup) sweep() error {
	entries, err := os.ReadDir(a.o.Dir)
	if err != nil {
		return err
	}
	own := regexp.MustCompile(`^` + regexp.QuoteMeta(a.temporary()) + `\d+\.tmp$`)
	var errs []error
	for _, e := range entries {
		if own.MatchString(e.Name()) && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(a.o.Dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (a *autoBackup) prune() error {
	if a.o.Keep <= 0 {
		return nil
	}
	files, err := a.files()
	if err != nil || len(files) <= a.o.Keep {
		return err
	}
	var errs []error
	for _, f := range files[a.o.Keep:] {
		if err := os.Remove(filepath.Join(a.o.Dir, f.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// note remembers what came of the newest look.
func (a *autoBackup) note(f backupName, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = ""
	if err != nil {
		a.failed = err.Error()
	} else {
		a.last, a.size = f.at, f.size
	}
	if m := a.n.o.Metrics; m != nil {
		m.Backup(a.last, a.size, err)
	}
}

func (a *autoBackup) report() *backupReport {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &backupReport{EveryMS: a.o.Every.Milliseconds(), Failed: a.failed}
	if !a.last.IsZero() {
		r.LastMS = a.last.UnixMilli()
	}
	return r
}

// overdueBackup says why the cluster's backups are overdue, "" if they aren't or
// no node has any to make. What counts is the newest of all nodes'.
func overdueBackup(reports map[string]report, leader *admin.LeaderID, now time.Time) (why string) {
	var newest, every, since int64
	for _, r := range reports {
		if b := r.Backup; b != nil {
			if b.LastMS <= now.Add(backupSkew).UnixMilli() { // else its clock was ahead
				newest = max(newest, b.LastMS)
			}
			every = max(every, b.EveryMS)
			since = max(since, now.UnixMilli()-r.UptimeS*1000) // the last one that could have made it known
		}
	}
	age := now.UnixMilli() - max(newest, since)
	if every == 0 || age <= 2*every {
		return ""
	}
	last := "no backup has been saved yet"
	if newest > 0 {
		last = "the last backup is of " + time.UnixMilli(newest).UTC().Format(time.RFC3339)
	}
	if leader == nil {
		return last
	}
	switch r, ok := reports[leader.ID]; {
	case ok && r.Backup == nil:
		return last + ": " + leader.ID + ", which leads, has no --backup-dir"
	case ok && r.Backup.Failed != "":
		return last + ": at " + leader.ID + ": " + r.Backup.Failed
	}
	return last
}
