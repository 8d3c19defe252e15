//go:build unix

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

// exits starts a node that is expected to end by itself, and returns its exit
// code and what it wrote.
func (c *cluster) exits(n *member) (code int, log string) {
	c.t.Helper()
	c.Launch(n, c.bin)
	code = c.WaitExit(n.id, 15*time.Second)
	return code, n.proc.Log()
}

// wants asserts an exit code and words of a text.
func (c *cluster) wants(what string, code, wantCode int, text string, words ...string) {
	c.t.Helper()
	if code != wantCode {
		c.t.Errorf("%s: exit code %d, want %d: %s", what, code, wantCode, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			c.t.Errorf("%s: no %q in: %s", what, w, text)
		}
	}
}

// refused asserts that a client command fails with a code and words.
func (c *cluster) refused(id string, code int, words []string, args ...string) {
	c.t.Helper()
	begun := time.Now()
	res := c.CLI(id, args...)
	c.wants("botnode "+strings.Join(args, " "), res.Code, code, res.Stdout+res.Stderr, words...)
	if took := time.Since(begun); took > 10*time.Second {
		c.t.Errorf("botnode %s took %v to say so", strings.Join(args, " "), took)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	joe := c.Start("joe", "--bootstrap")
	c.WaitReady()

	taken := c.New("mike")
	taken.cluster = joe.cluster
	code, log := c.exits(taken)
	c.wants("the cluster port is taken", code, 1, log, "--cluster-addr", joe.cluster)

	taken = c.New("mike2")
	taken.http = joe.http
	code, log = c.exits(taken)
	c.wants("the http port is taken", code, 1, log, "--http-addr")

	taken = c.New("mike3")
	taken.dir = joe.dir
	code, log = c.exits(taken)
	if code == 0 {
		t.Error("a directory that is in use was used")
	}
	c.wants("the directory is in use", code, code, log, "--data-dir")

	if code := c.Term("joe"); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	other := c.New("mike4")
	other.dir = joe.dir
	code, log = c.exits(other)
	c.wants("another node's directory", code, 2, log, "another node")

	joe.args = append(joe.args, "--bootstrap")
	c.Restart("joe")
	c.WaitReady()
	if n := strings.Count(joe.proc.Log(), "--bootstrap has no effect"); n != 1 {
		t.Errorf("a second --bootstrap is mentioned %d times, want once", n)
	}
	if s := c.brief(); s.Identifies > 2 {
		t.Errorf("%d IDENTIFYs", s.Identifies)
	}
}

func TestJoinsThatMustFail(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	joe := c.Start("joe", "--bootstrap")
	mike := c.Start("mike")
	dead, err := programs.ports.Addr()
	if err != nil {
		t.Fatal(err)
	}
	c.refused("mike", 3, []string{dead}, "join", dead) // another try may succeed
	c.refused("mike", 2, []string{"itself"}, "join", mike.cluster)
	c.refused("joe", 1, []string{"already"}, "join", mike.cluster)
	c.Join("mike", "joe") // none of it is in the way of a join that can be done

	// A node of another cluster.
	c.Start("anna", "--bootstrap")
	c.refused("anna", 1, []string{"already"}, "join", joe.cluster)
	// A second node of the same name.
	twin := c.New("twin")
	twin.id = "mike"
	c.nodes["twin"] = twin
	twin.args = []string{"--builtin", "ping"}
	c.Launch(twin, c.bin)
	c.WaitServing("twin")
	c.refused("twin", 1, []string{"mike", "in use"}, "join", joe.cluster)
	twin.proc.Close()
	c.nodes["anna"].proc.Close()
	delete(c.nodes, "twin")
	delete(c.nodes, "anna")
	c.WaitReady()
	if n := len(c.status().Nodes); n != 2 {
		t.Errorf("%d nodes, want 2", n)
	}
}

// TestCrossedJoins has two fresh nodes join each other at the same time. There
// must be one cluster in the end, or none and a join that can be repeated.
func TestCrossedJoins(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	joe, mike := c.Start("joe"), c.Start("mike")
	first := make(chan testproc.Result)
	go func() {
		res, _ := testproc.Run(t.Context(), testproc.Options{
			Path: c.bin, Args: []string{"join", mike.cluster}, Env: []string{"BOTNODE_HTTP=http://" + joe.http},
		})
		first <- res
	}()
	second := c.CLI("mike", "join", joe.cluster)
	res := <-first
	t.Logf("joe joins mike: %d %s; mike joins joe: %d %s", res.Code, res.Stderr, second.Code, second.Stderr)
	a, errA := c.Status("joe")
	b, errB := c.Status("mike")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.ClusterID != "" && b.ClusterID != "" && a.ClusterID != b.ClusterID {
		t.Fatalf("two clusters: %s and %s", a.ClusterID, b.ClusterID)
	}
	if res.Code != 0 && second.Code != 0 {
		c.Join("mike", "joe")
	}
	c.WaitReady()
	if n := len(c.status().Nodes); n != 2 {
		t.Errorf("%d nodes, want 2", n)
	}
}

func TestCommandsThatAreRefused(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three()
	c.refused("mike", 1, []string{"77"}, "shard", "move", "77", "--to", "joe")
	c.refused("mike", 1, []string{"nobody"}, "shard", "move", "0", "--to", "nobody")
	c.refused("mike", 1, []string{"nobody"}, "node", "drain", "nobody")
	c.refused("mike", 1, []string{"nobody"}, "node", "remove", "nobody")
	c.refused("mike", 2, nil, "shard", "mvoe")
	c.OK("mike", "kv", "put", "color", "blue")

	c.Kill9("joe")
	c.Kill9("robert")
	c.poll("mike knows that it is alone", 10*time.Second, func() error {
		st, err := c.Status("mike")
		if err != nil {
			return err
		}
		return yes(st.Health == "down" && st.Leader == nil, "health %s, leader %v", st.Health, st.Leader)
	})
	for _, args := range [][]string{
		{"kv", "put", "color", "red"}, {"shard", "move", "0", "--to", "robert"}, {"leader", "transfer"},
	} {
		c.refused("mike", 3, []string{"no quorum", "botnode status"}, args...)
	}
	c.refused("joe", 3, nil, "status")
	// What it has it still tells, and says that it may be old.
	if res := c.CLI("mike", "kv", "get", "color"); res.Code != 0 || !strings.Contains(res.Stdout, "blue") {
		t.Errorf("a local read without a quorum: %d %s%s", res.Code, res.Stdout, res.Stderr)
	}
	if err := c.request(http.MethodGet, "mike", "/livez", nil, nil); err != nil {
		t.Errorf("a node without a quorum is not dead: %v", err)
	}
	if err := c.request(http.MethodGet, "mike", "/readyz", nil, nil); err == nil {
		t.Error("a node without a quorum is ready")
	}
	c.Restart("joe")
	c.Restart("robert")
	c.WaitReady()
	c.Load(roundPings/3, func() {})
	c.SameDigests()
	c.Unharmed()
}

// must is for what fails only if the machine does.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("unexpected: %w", err))
	}
}
