//go:build unix

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
)

// recover runs `botnode recover` on a node's directory.
func (c *cluster) recover(id string, args ...string) (code int, said string) {
	c.t.Helper()
	res := c.CLI(id, append([]string{"recover", "--data-dir", c.nodes[id].dir}, args...)...)
	return res.Code, res.Stdout + res.Stderr
}

// TestRecoverFromALostMajority: two of three nodes are gone with their disks. The
// third becomes a cluster, to which new nodes are joined. A survivor that comes
// back later is refused and told what to do.
func TestRecoverFromALostMajority(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	for i := range 20 {
		c.OK("joe", "kv", "put", fmt.Sprint("k", i), "v")
	}
	c.answers(pingRate)
	c.SameDigests()
	old := c.status().ClusterID
	code, said := c.recover("mike", "--dry-run")
	c.wants("a directory in use", code, 2, said, "in use by another process")
	for _, id := range []string{"joe", "mike", "robert"} {
		c.Kill9(id)
	}
	must(t, os.RemoveAll(c.nodes["joe"].dir))

	damaged := c.dir + "/damaged"
	must(t, os.CopyFS(damaged, os.DirFS(c.nodes["robert"].dir)))
	flip(t, newestLog(t, damaged), 20)
	c.nodes["robert"].dir, damaged = damaged, c.nodes["robert"].dir
	code, said = c.recover("robert", "--dry-run")
	c.wants("a damaged directory", code, 2, said, "had been written up to", "another node")
	c.nodes["robert"].dir = damaged

	code, said = c.recover("mike", "--dry-run")
	c.wants("dry run", code, 0, said, "cluster", old+" of joe, mike, robert", "last entry", "term", "20 keys", "3 shards", "is lost")
	code, said = c.recover("mike")
	c.wants("without a confirmation", code, 2, said, "confirmation")
	code, said = c.recover("mike", "--yes")
	c.wants("recover", code, 0, said, "node mike is cluster", "generation 2")
	code, said = c.recover("mike", "--yes")
	c.wants("again", code, 1, said, "has been recovered already", old, "start the node")

	c.Restart("mike")
	c.waitAll("mike serves alone", func(st admin.Status) error {
		ready := 0
		for _, s := range st.Shards {
			if s.State == "ready" && s.Owner == "mike" {
				ready++
			}
		}
		return yes(ready == 3 && len(st.Nodes) == 1, "%d shards, %d nodes", ready, len(st.Nodes))
	})
	if st := c.status(); st.ClusterID == old {
		t.Errorf("the cluster is still %s", old)
	}
	c.keyIs("k19", "v")

	// Robert's disk turns up again.
	c.Launch(c.nodes["robert"], c.bin)
	c.WaitServing("robert")
	c.poll("robert is told what to do", 20*time.Second, func() error {
		log := c.nodes["robert"].proc.Log()
		return yes(strings.Contains(log, `"other_cluster"`) && strings.Contains(log, "start it with an empty --data-dir"), "nothing yet")
	})
	if st, err := c.Status("robert"); err != nil || st.Leader != nil {
		t.Errorf("robert alone: %+v, %v", st.Leader, err)
	}
	c.Kill9("robert")
	must(t, os.RemoveAll(c.nodes["robert"].dir))

	c.Restart("robert")
	c.Join("robert", "mike")
	c.Start("anna")
	c.Join("anna", "robert")
	c.WaitReady()
	c.answers(pingRate)
	for i := range 20 {
		c.keyIs(fmt.Sprint("k", i), "v")
	}
	c.SameDigests()
	c.Kill9("mike")
	c.answers(pingRate)
}
