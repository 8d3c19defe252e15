package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	name string
	at   time.Time
	size int64
}

// files lists the cluster's files in the directory, the newest first. Only names
// of this scheme count: nothing else is ever removed.
func (a *autoBackup) files() ([]backupName, error) {
	entries, err := os.ReadDir(a.o.Dir)
	if err != nil {
		return nil, err
	}
	scheme := regexp.MustCompile(`^botnode-` + regexp.QuoteMeta(a.n.ClusterID()) + `-\d+-(\d{8}T\d{6}Z)\.backup$`)
	var files []backupName
	for _, e := range entries {
		m := scheme.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		at, err := time.Parse(backupTime, m[1])
		if err != nil {
			continue
		}
		f := backupName{name: e.Name(), at: at}
		if info, err := e.Info(); err == nil {
			f.size = info.Size()
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(x, y backupName) int { return y.at.Compare(x.at) })
	return files, nil
}

// save writes a backup beside its name, and renames: a name never stands for half
// a backup. Then it removes those that are too many.
func (a *autoBackup) save() error {
	var f backupName
	var index uint64
	err := durable.Create(a.o.Dir, ".botnode-*.tmp", func(to *os.File) (string, error) {
		h, err := a.n.writeBackup(to)
		if err != nil {
			return "", err
		}
		index, f.at = h.Index, h.Created
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
	a.n.log.Info("backup saved", zap.String("file", f.name), zap.Int64("bytes", f.size), zap.Uint64("index", index))
	return a.prune()
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
			newest = max(newest, b.LastMS)
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
