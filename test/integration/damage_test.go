//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// flip flips a bit of a file, of the part that isn't zero: in the middle of it, or
// so many bytes before its end.
func flip(t *testing.T, path string, fromEnd int) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	used := len(bytes.TrimRight(b, "\x00"))
	at := used / 2
	if fromEnd > 0 {
		at = used - fromEnd
	}
	b[at] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
}

// newestLog is the newest file of a node's log.
func newestLog(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	must(t, err)
	return slices.Max(files)
}

// TestDamagedDirectory damages the directory of a node that was killed under load,
// in one way after the other: it says so and refuses to start, the cluster goes on,
// and the node is back with an empty directory under its id.
func TestDamagedDirectory(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	c.OK("joe", "kv", "put", "a", "1")
	damages := []struct {
		what string
		do   func(dir string)
		says string
	}{
		{"a byte of the last append", func(dir string) { flip(t, newestLog(t, dir), 20) }, "had been written up to"},
		{"a byte in the middle of the log", func(dir string) { flip(t, newestLog(t, dir), 0) }, "log"},
		{"the log is cut off", func(dir string) { must(t, os.Truncate(newestLog(t, dir), 4<<10)) }, "log"},
		{"the vote", func(dir string) { flip(t, filepath.Join(dir, "vote.json"), 40) }, "vote"},
		{"no vote", func(dir string) { must(t, os.Remove(filepath.Join(dir, "vote.json"))) }, "vote"},
		{"the identity", func(dir string) { flip(t, filepath.Join(dir, "node.json"), 60) }, "node.json"},
		{"no log at all", func(dir string) {
			for _, name := range []string{"wal", "snapshots", "vote.json", "extent"} {
				must(t, os.RemoveAll(filepath.Join(dir, name)))
			}
		}, "its log is gone"},
	}
	for i, d := range damages {
		victim := c.alive()[i%3]
		if i == 0 {
			// All that was appended has been answered: what was not is as good as cut off.
			c.Load(pingRate, func() {})
			c.Emptied()
			c.SameDigests()
			c.Kill9(victim)
		} else {
			c.Load(pingRate, func() { c.Kill9(victim) })
		}
		n := c.nodes[victim]
		d.do(n.dir)
		code, log := c.exits(n)
		c.wants(d.what, code, 2, log, `"data_damaged"`, d.says, "move the directory aside")
		c.answers(pingRate / 4)
		must(t, os.Rename(n.dir, fmt.Sprintf("%s.damaged%d", n.dir, i)))
		c.Restart(victim)
		c.Join(victim, c.leaderBut(victim))
		c.WaitReady()
	}
	c.keyIs("a", "1")
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
}

// leaderBut is the leader by the word of the nodes other than one.
func (c *cluster) leaderBut(but string) (leader string) {
	c.t.Helper()
	for _, id := range c.alive() {
		if id == but {
			continue
		}
		if st, err := c.Status(id); err == nil && st.Leader != nil {
			return st.Leader.ID
		}
	}
	c.t.Fatal("no leader")
	return ""
}

// TestWipedVoterHasNoVote: a voter whose disk was lost starts under its id with
// nothing. While another voter is down, it must not make a majority with the third
// before it has joined anew: it may have voted, and have stored what was committed.
func TestWipedVoterHasNoVote(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	c.OK("joe", "kv", "put", "a", "1")
	ids := c.alive()
	leader := c.Leader()
	rest := slices.DeleteFunc(ids, func(id string) bool { return id == leader })
	wiped, other := rest[0], rest[1]
	c.Kill9(wiped)
	must(t, os.RemoveAll(c.nodes[wiped].dir))
	c.Kill9(leader) // now other alone is no majority
	c.Restart(wiped)
	if res := c.CLI(other, "kv", "put", "b", "1"); res.Code != 3 {
		t.Errorf("a write without a majority: exit code %d, %s%s", res.Code, res.Stdout, res.Stderr)
	}
	if st, err := c.Status(other); err != nil || st.Leader != nil {
		t.Errorf("%s leads with the vote of a disk that is gone: %+v, %v", st.Leader.ID, st.Quorum, err)
	}
	res := c.CLI(wiped, "join", c.nodes[other].cluster)
	if res.Code == 0 {
		t.Error("it joined a cluster without a majority")
	}
	c.Restart(leader)
	c.poll("it joins", 30*time.Second, func() error {
		res := c.CLI(wiped, "join", c.nodes[leader].cluster)
		return yes(res.Code == 0 || strings.Contains(res.Stderr, "already belongs"), "%s%s", res.Stdout, res.Stderr)
	})
	c.WaitReady()
	c.keyIs("a", "1")
	c.keyIs("b", "")
	c.answers(pingRate)
	c.SameDigests()
}
