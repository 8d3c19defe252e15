//go:build unix

package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// keyIs asserts what every live node has under a key; "" for nothing.
func (c *cluster) keyIs(key, want string) {
	c.t.Helper()
	for _, id := range c.alive() {
		res := c.CLI(id, "kv", "get", "--linearizable", key)
		if got := strings.TrimSpace(res.Stdout); got != want || (want == "") != (res.Code == 1) {
			c.t.Errorf("%s: %s is %q (exit code %d, %s), want %q", id, key, got, res.Code, res.Stderr, want)
		}
	}
}

// answers waits until pings that are sent from now on are answered, whatever
// became of those before.
func (c *cluster) answers(n int) {
	c.t.Helper()
	from := len(c.sim.Ledger().Posted())
	if err := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: pingRate, N: n}).Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.waitPongs(from, n)
}

// watchEpochs begins to watch the shards' epochs by the word of every node. The
// function that it returns ends that.
func (c *cluster) watchEpochs() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	ids := c.alive()
	go func() {
		defer close(done)
		highest := map[string]map[int]uint64{}
		for ctx.Err() == nil {
			for _, id := range ids {
				st, err := c.Status(id)
				if err != nil {
					continue
				}
				if highest[id] == nil {
					highest[id] = map[int]uint64{}
				}
				for _, s := range st.Shards {
					if s.Epoch < highest[id][s.ID] {
						c.t.Errorf("%s: the epoch of shard %d went from %d to %d", id, s.ID, highest[id][s.ID], s.Epoch)
					}
					highest[id][s.ID] = s.Epoch
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// TestRestoreUnderLoad restores a backup at a follower while the bot is busy: the
// state is the file's on every node, the bot goes on, and so it does after all
// nodes were killed.
func TestRestoreUnderLoad(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	c.OK("joe", "kv", "put", "a", "1")
	load := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: pingRate})
	c.waitPongs(0, pingRate/2)
	at, file := c.follower(), filepath.Join(c.dir, "state.backup")
	c.OK(at, "snapshot", "save", file)
	shown := c.OK(at, "snapshot", "inspect", file)
	for _, words := range []string{"generation", "encryption", "none", "3 shards, 12 guilds, 1 key", "every checksum holds"} {
		if !strings.Contains(shown, words) {
			t.Errorf("no %q in:\n%s", words, shown)
		}
	}
	c.OK("joe", "kv", "put", "a", "2")
	c.OK("joe", "kv", "put", "b", "1")
	c.refused(at, 2, []string{"confirmation", "--yes"}, "snapshot", "restore", file)
	damaged := filepath.Join(c.dir, "damaged.backup")
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(damaged, b, 0o600))
	c.refused(at, 2, []string{"damaged"}, "snapshot", "inspect", damaged)
	c.refused(at, 2, []string{"damaged"}, "snapshot", "restore", "--yes", damaged)
	c.keyIs("a", "2")

	away := slices.DeleteFunc(c.alive(), func(id string) bool { return id == at })[0] // it is down meanwhile
	c.Kill9(away)
	c.OK(at, "snapshot", "restore", "--yes", file)
	stop := c.watchEpochs()
	c.keyIs("a", "1")
	c.keyIs("b", "")
	c.Restart(away)
	c.WaitReady()
	c.keyIs("a", "1")
	c.keyIs("b", "")
	must(t, load.Stop())
	c.answers(pingRate)
	stop()
	c.SameDigests()

	for _, id := range c.alive() {
		c.Kill9(id)
	}
	for id := range c.nodes {
		c.Launch(c.nodes[id], c.bin)
	}
	for id := range c.nodes {
		c.WaitServing(id)
	}
	c.WaitReady()
	c.keyIs("a", "1")
	c.answers(pingRate)
	c.SameDigests()
}

// TestRestoreOntoAFreshCluster restores onto nodes of other ids, and then lets
// the leader die.
func TestRestoreOntoAFreshCluster(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	c.OK("joe", "kv", "put", "a", "1")
	file := filepath.Join(c.dir, "state.backup")
	c.OK("mike", "snapshot", "save", file)
	old := c.status().ClusterID
	for _, id := range c.alive() {
		c.Kill9(id)
	}
	for _, id := range []string{"anna", "bert", "carl"} {
		c.Start(id)
	}
	c.refused("anna", 1, []string{"--bootstrap"}, "snapshot", "restore", "--yes", file)
	c.Join("bert", "anna")
	c.Join("carl", "anna")
	fresh := c.status().ClusterID
	c.OK("bert", "snapshot", "restore", "--yes", file)
	c.WaitReady()
	st := c.status()
	if st.ClusterID != fresh || fresh == old || len(st.Nodes) != 3 {
		t.Errorf("cluster %s with %d nodes, want %s (the backup is of %s)", st.ClusterID, len(st.Nodes), fresh, old)
	}
	c.keyIs("a", "1")
	c.answers(pingRate)
	leader := c.Leader()
	c.Kill9(leader)
	c.answers(pingRate)
	c.Restart(leader)
	c.WaitReady()
	c.keyIs("a", "1")
	c.SameDigests()
}

// TestBackupsAreSaved runs nodes with one folder for backups: the leader saves, and
// the node after it goes on in the same folder.
func TestBackupsAreSaved(t *testing.T) {
	c := newCluster(t, simOptions(1))
	folder := filepath.Join(c.dir, "backups")
	c.Trio("--backup-dir", folder, "--backup-every", "1s", "--backup-keep", "3")
	saved := func() (files []string) {
		files, err := filepath.Glob(filepath.Join(folder, "botnode-"+c.status().ClusterID+"-*.backup"))
		must(t, err)
		return files
	}
	c.poll("three backups", 15*time.Second, func() error { return yes(len(saved()) == 3, "%v", saved()) })
	c.Kill9(c.Leader())
	before := slices.Max(saved())
	c.poll("a backup by the next leader", 15*time.Second, func() error { return yes(!slices.Contains(saved(), before), "%v", saved()) })
	files := saved()
	newest := files[len(files)-1]
	at := c.alive()[0]
	if shown := c.OK(at, "snapshot", "inspect", newest); !strings.Contains(shown, "every checksum holds") {
		t.Error(shown)
	}
	if len(files) > 4 { // one too many for a moment
		t.Errorf("%d files, want 3: %v", len(files), files)
	}
}
