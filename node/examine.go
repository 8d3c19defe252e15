package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/membership"
)

// examination is an admin.Examination with the node's clock.
type examination struct {
	admin.Examination
	ClockMS int64 `json:"clock_ms"` // Unix milliseconds
}

// Examine implements admin.Backend.
func (n *Node) Examine(ctx context.Context) []admin.Examination {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := []admin.Examination{}
	for _, s := range n.raft.Load().Servers() {
		wg.Go(func() {
			e := n.examineAt(ctx, s.ID)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, e)
		})
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b admin.Examination) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// examineAt has a node examine itself. Its clock is asked for alone, so that the
// disk's time isn't in the answer's.
func (n *Node) examineAt(ctx context.Context, id string) admin.Examination {
	if id == n.o.ID {
		return n.examine(ctx).Examination
	}
	failed := func(err error) admin.Examination { return admin.Examination{ID: id, Error: err.Error()} }
	addr, ok := n.addrOf(id)
	if !ok {
		return failed(admin.ErrUnreachable)
	}
	a, err := n.ask(ctx, addr, clusterRequest{Kind: "examine"})
	if err != nil || a.Examined == nil {
		return failed(orNoAnswer(err))
	}
	e := a.Examined.Examination
	sent := time.Now()
	a, err = n.ask(ctx, addr, clusterRequest{Kind: "clock"})
	way := time.Since(sent)
	if err != nil || a.Examined == nil {
		return failed(orNoAnswer(err))
	}
	middle := sent.Add(way / 2)
	e.ClockAheadMS = float64(a.Examined.ClockMS) - float64(middle.UnixMicro())/1000
	e.ClockWithinMS = float64(way) / 2e6
	return e
}

// examine looks at this node.
func (n *Node) examine(ctx context.Context) examination {
	r := n.raft.Load()
	e := examination{ClockMS: time.Now().UnixMilli()}
	e.ID, e.SyncMS, e.FreeBytes, e.FreePercent = n.o.ID, -1, -1, -1
	e.Linked, e.Gossips = []string{}, []string{}
	for _, s := range r.Servers() {
		if s.ID == n.o.ID {
			continue
		}
		if _, ok := n.linked.Load(s.ID); ok {
			e.Linked = append(e.Linked, s.ID)
		}
		if m, ok := n.members.Lookup(s.ID); ok && m.Status == membership.Alive {
			e.Gossips = append(e.Gossips, s.ID)
		}
	}
	if commit, applied := r.CommitIndex(), r.AppliedIndex(); commit > applied {
		e.Lag = commit - applied
	}
	if n.keys != nil {
		e.CertificateEnds = n.keys.NotAfter().UTC()
	}
	if n.o.Memory == nil {
		e.SyncMS = syncTime(ctx, n.o.DataDir)
		var fs syscall.Statfs_t
		if err := syscall.Statfs(n.o.DataDir, &fs); err == nil && fs.Blocks > 0 {
			e.FreeBytes = int64(fs.Bavail) * int64(fs.Bsize) //nolint:gosec,unconvert // a disk's size; the types differ by system
			e.FreePercent = 100 * float64(fs.Bavail) / float64(fs.Blocks)
		}
	}
	return e
}

// syncTime measures a disk as the log uses it, in milliseconds; -1 if it can't be written.
func syncTime(ctx context.Context, dir string) float64 {
	f, err := os.CreateTemp(dir, "examine-*.tmp")
	if err != nil {
		return -1
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(filepath.Join(dir, filepath.Base(f.Name())))
	}()
	block := make([]byte, 4<<10)
	var took []float64
	for range 9 {
		begun := time.Now()
		if _, err := f.Write(block); err != nil || ctx.Err() != nil {
			return -1
		}
		if err := f.Sync(); err != nil {
			return -1
		}
		took = append(took, float64(time.Since(begun))/1e6)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// orNoAnswer names the answer of a node that knows the request but not this one.
func orNoAnswer(err error) error {
	if err == nil {
		return errOtherVersion
	}
	return err
}

var errOtherVersion = errors.New("it doesn't know the question: it is of another version")
