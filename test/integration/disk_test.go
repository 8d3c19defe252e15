//go:build unix

package integration

import (
	"crypto/rand"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/disklab"
)

// logFile is the size of a file of the log, which is allocated whole: as long
// as a node writes to one that it has, a full disk does it no harm.
const logFile = 64 << 20

// outgrow writes to the cluster through a node until another one, whose disk is
// full, needs a new file for its log and ends.
func (c *cluster) outgrow(victim, through string) {
	c.t.Helper()
	value := make([]byte, 180<<10)
	for range 2 * logFile / len(value) {
		if !c.nodes[victim].proc.Alive() {
			return
		}
		_, _ = rand.Read(value) // never fails; what is random isn't compressed
		// It may fail while the leader changes.
		_ = c.request(http.MethodPut, through, "/v1/kv/ballast", value, nil)
	}
}

// diskCluster is three nodes of which joe, the leader, has a disk that fails.
func diskCluster(t *testing.T, size int64) (*cluster, *disklab.Disk) {
	t.Helper()
	c := newCluster(t, simOptions(3))
	d, err := disklab.New(filepath.Join(t.TempDir(), "disk"), size)
	if errors.Is(err, disklab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	joe := c.New("joe", "--builtin", "ping")
	t.Cleanup(func() {
		_ = d.Thaw()     // a test that failed may have left it frozen
		joe.proc.Close() // it may have files open there
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	joe.dir = filepath.Join(d.Dir, "joe")
	c.Launch(joe, c.bin)
	c.WaitServing("joe")
	for _, id := range []string{"mike", "robert"} {
		c.Start(id)
		c.Join(id, "joe")
	}
	c.WaitReady()
	if l := c.Leader(); l != "joe" {
		c.OK(l, "leader", "transfer", "--to", "joe")
		c.WaitReady()
	}
	return c, d
}

// settled asserts that a node that is back has lost and doubled nothing.
func (c *cluster) settled() {
	c.t.Helper()
	c.WaitReady()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
}

// TestDiskIsFull fills the disk of the leader, owner of a shard: it must end
// rather than lead a cluster that can't commit, and be back when there is room.
func TestDiskIsFull(t *testing.T) {
	parallel(t)
	// With room for the file after next too: the node that is back may need one before it can delete the first.
	c, d := diskCluster(t, 4*logFile)
	var code int
	r := c.Load(2*roundPings, func() {
		if err := d.Fill(); err != nil {
			t.Fatal(err)
		}
		c.outgrow("joe", "mike")
		code = c.WaitExit("joe", 10*time.Second)
	})
	if code == 0 {
		t.Error("exit code 0")
	}
	c.wants("full disk", code, code, c.nodes["joe"].proc.Log(), "no space left")
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	c.Restart("joe")
	c.settled()
	t.Logf("FIGURE full disk of the leader: the shard hit was silent for %v", r.worst.Round(time.Millisecond))
}

// TestDiskErrs has the disk of the leader, owner of a shard, return errors and
// lose what it had not been made to keep: the node must end at once, and be back
// with what it had answered for.
func TestDiskErrs(t *testing.T) {
	parallel(t)
	c, d := diskCluster(t, 4*logFile)
	var code int
	r := c.Load(roundPings, func() {
		if err := d.Fail(); err != nil {
			t.Fatal(err)
		}
		code = c.WaitExit("joe", 10*time.Second)
	})
	if code == 0 {
		t.Error("exit code 0")
	}
	c.wants("disk that errs", code, code, c.nodes["joe"].proc.Log(), "input/output error")
	if err := d.Replug(); err != nil {
		t.Fatal(err)
	}
	c.Restart("joe")
	c.settled()
	t.Logf("FIGURE the leader's disk errs: the shard hit was silent for %v", r.worst.Round(time.Millisecond))
}

// TestDiskHangs has the disk of the leader, owner of a shard, hang. The log's guard
// ends the node, but the process can't end, since one of its threads is in the
// kernel: the others must not wait for that.
func TestDiskHangs(t *testing.T) {
	parallel(t)
	c, d := diskCluster(t, 4*logFile)
	r := c.While(func() {
		if err := d.Freeze(); err != nil {
			t.Fatal(err)
		}
		c.poll("another node leads, and all shards are ready, while joe's disk hangs", 20*time.Second, func() error {
			st, err := c.Status("mike")
			if err != nil {
				return err
			}
			for _, s := range st.Shards {
				if s.Owner == "joe" || s.State != "ready" {
					return yes(false, "shard %d is %s at %s", s.ID, s.State, s.Owner)
				}
			}
			return yes(st.Leader != nil && st.Leader.ID != "joe", "the leader is %v", st.Leader)
		})
		if !c.nodes["joe"].proc.Alive() {
			t.Error("joe's process has ended: its disk did not hang")
		}
		if err := d.Thaw(); err != nil {
			t.Fatal(err)
		}
	})
	if code := c.WaitExit("joe", 10*time.Second); code == 0 {
		t.Error("exit code 0")
	}
	c.Restart("joe")
	c.settled()
	t.Logf("FIGURE the leader's disk hangs: the shard hit was silent for %v", r.worst.Round(time.Millisecond))
}
