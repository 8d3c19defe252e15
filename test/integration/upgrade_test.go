//go:build unix

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/testproc"
)

// firstBuild names the commit from which on versions are to work together.
const firstBuild = "testdata/first-build"

// older builds the stock program as it was at firstBuild.
func older(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(firstBuild)
	must(t, err)
	rev := strings.TrimSpace(string(text))
	root, err := filepath.Abs("../..")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := exec.CommandContext(ctx, "git", "-C", root, "cat-file", "-e", rev+"^{commit}").Run(); err != nil {
		t.Skipf("commit %s isn't here (a shallow clone, or no git): %v", rev, err)
	}
	src, dir := filepath.Join(programs.dir, "older-src"), filepath.Join(programs.dir, "older")
	must(t, os.MkdirAll(src, 0o755))
	archive := exec.CommandContext(ctx, "sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh", root, rev, src)
	if out, err := archive.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path, err := testproc.Build(ctx, src, "./cmd/botnode", dir)
	must(t, err)
	return path
}

// rulesAt is the number of the rules that a node has in force; 0 if it is of a
// version that doesn't tell.
func (c *cluster) rulesAt(id string) uint64 {
	c.t.Helper()
	client := &admin.Client{BaseURL: "http://" + c.nodes[id].http}
	st, err := client.Status(c.t.Context(), false)
	must(c.t, err)
	return st.Rules
}

// TestUpgradeFromTheFirstBuild replaces the program of each node by the present
// one, under load: nothing is lost, newer rules come into force once all know
// them and not before, and from then on the older program refuses to go on. Until then
// one that joins is admitted, from then on it is refused.
func TestUpgradeFromTheFirstBuild(t *testing.T) {
	old := older(t)
	c := newCluster(t, simOptions(3))
	present := c.bin
	c.bin = old
	c.Three()
	c.bin = present
	before := max(1, c.rulesAt("joe"))
	r := c.While(func() {
		for _, id := range []string{"robert", "mike", "anna", "joe"} {
			if code := c.Term(id); code != 0 {
				t.Errorf("SIGTERM of %s: exit code %d", id, code)
			}
			c.Launch(c.nodes[id], present)
			c.WaitServing(id)
			c.WaitReady()
			if n := c.rulesAt(id); id != "joe" && n > before {
				t.Errorf("rules %d are in force while a node of the older version is there", n)
			}
			if id == "robert" {
				c.Launch(c.New("anna", "--builtin", "ping"), old)
				c.WaitServing("anna")
				c.Join("anna", "robert")
				c.WaitReady()
			}
		}
	})
	c.poll("the rules of this version are in force", 20*time.Second, func() error {
		for id := range c.nodes {
			if n := c.rulesAt(id); n != fsm.KnownRules {
				return fmt.Errorf("%s has rules %d", id, n)
			}
		}
		return nil
	})
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	t.Logf("an upgrade of four nodes: longest silence %s", r.worst)

	if before == fsm.KnownRules {
		return // the older program knows all that this one does
	}
	c.Launch(c.New("paul", "--builtin", "ping"), old)
	c.WaitServing("paul")
	r2 := c.CLI("paul", "join", c.nodes["robert"].cluster)
	if said := r2.Stdout + r2.Stderr; r2.Code != 1 || !strings.Contains(said, "runs an older version than the cluster") || !strings.Contains(said, "a newer one") {
		t.Errorf("an older node that joins: exit code %d: %s", r2.Code, said)
	}
	if st := c.status(); len(st.Nodes) != 4 {
		t.Errorf("the nodes after that: %+v", st.Nodes)
	}
	if code := c.Term("paul"); code != 0 {
		t.Errorf("SIGTERM of one that was refused: exit code %d", code)
	}
	delete(c.nodes, "paul")
	// Back is no way once newer rules are in force.
	if code := c.Term("robert"); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	c.Launch(c.nodes["robert"], old)
	if code := c.WaitExit("robert", 20*time.Second); code == 0 {
		t.Error("the older program ended as if all were well")
	}
	logs, err := os.ReadFile(c.nodes["robert"].log)
	must(t, err)
	if !strings.Contains(string(logs), "runs an older version than the cluster") {
		t.Error("its log doesn't say why")
	}
	c.Launch(c.nodes["robert"], present)
	c.WaitServing("robert")
	c.WaitReady()
	c.SameDigests()
}
