//go:build unix

package integration

import (
	"crypto/rand"
	"net/http"
	"os"
	"testing"
	"time"
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

// TestDiskIsFull fills the disk of the leader, owner of a shard: it must end
// rather than lead a cluster that can't commit, and be back when there is room.
func TestDiskIsFull(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	dir := c.dir + "/small"
	// With room for the file after next too: the node that is back may need one before it can delete the first.
	if err := mountSmall(t, dir, 3*logFile+logFile/2); err != nil {
		t.Skip("a small file system can't be mounted here:", err)
	}
	joe := c.New("joe", "--builtin", "ping")
	joe.dir = dir + "/joe"
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
	ballast := dir + "/ballast"
	var code int
	r := c.Load(2*roundPings, func() {
		fill(t, ballast)
		c.outgrow("joe", "mike")
		code = c.WaitExit("joe", 10*time.Second)
	})
	if code == 0 {
		t.Error("exit code 0")
	}
	c.wants("full disk", code, code, joe.proc.Log(), "no space left")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.Restart("joe")
	c.WaitReady()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	t.Logf("FIGURE full disk of the leader: the shard hit was silent for %v", r.worst.Round(time.Millisecond))
}

// fill writes zeroes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}
