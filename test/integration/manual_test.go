//go:build unix

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
)

// Beside starts no node yet of another cluster of the same bot, at the same
// Discord.
func (c *cluster) Beside(name string) *cluster {
	c.t.Helper()
	other := &cluster{t: c.t, sim: c.sim, dir: filepath.Join(c.dir, name), bin: c.bin, token: c.token, nodes: map[string]*member{}}
	other.http.Transport = &http.Transport{DisableKeepAlives: true}
	other.http.Timeout = c.http.Timeout
	must(c.t, os.Mkdir(other.dir, 0o755))
	c.t.Cleanup(func() {
		for _, n := range other.nodes {
			if n.proc != nil {
				n.proc.Close()
			}
		}
		if c.t.Failed() {
			other.dump()
		}
	})
	return other
}

// Cluster starts three nodes with shards of their own and joins them.
func (c *cluster) Cluster(ids [3]string, args ...string) {
	c.t.Helper()
	for _, id := range ids {
		c.Start(id, args...)
	}
	c.Join(ids[1], ids[0])
	c.Join(ids[2], ids[0])
	c.WaitMembers()
}

// WaitMembers waits until every live node votes and is fresh, whatever shards
// there are.
func (c *cluster) WaitMembers() {
	c.t.Helper()
	c.poll("the nodes are members", 30*time.Second, func() error {
		for _, id := range c.alive() {
			st, err := c.Status(id)
			if err != nil {
				return err
			}
			good := 0
			for _, n := range st.Nodes {
				if n.Alive && n.Voter && n.Fresh {
					good++
				}
			}
			if good != len(c.alive()) || len(st.Bots) != 1 {
				return yes(false, "%s sees %d of %d", id, good, len(c.alive()))
			}
		}
		return nil
	})
}

// shard is a shard as the cluster sees it.
func (c *cluster) shard(i int) admin.Shard {
	c.t.Helper()
	for _, s := range c.status().Shards {
		if s.ID == i {
			return s
		}
	}
	return admin.Shard{State: "unknown"}
}

// WaitShard waits until a shard is in a state.
func (c *cluster) WaitShard(i int, state string) {
	c.t.Helper()
	c.poll(fmt.Sprintf("shard %d is %s", i, state), 20*time.Second, func() error {
		s := c.shard(i)
		return yes(s.State == state, "it is %s at %q", s.State, s.Owner)
	})
}

// Once asserts that every ping had one handler start, one answer, and no session
// began but the first ones.
func (c *cluster) Once() {
	c.t.Helper()
	c.Unharmed()
	if s := c.brief(); c.messages() != s.Sent || s.Deduped > 0 {
		c.t.Errorf("%d messages sent for %d pings, %d made invisible by their nonce: handlers started twice", c.messages(), s.Sent, s.Deduped)
	}
}

// figure prints what a part of a test has counted.
func (c *cluster) figure(what string, r round) {
	c.t.Helper()
	s := c.brief()
	c.t.Logf("FIGURE %s: %d pings at %d/s: %d lost, %d doubled, %d IDENTIFYs for %d shards, %d RESUMEs; the shard was silent for %v; the machine itself stalled for %v",
		what, s.Sent, pingRate, len(s.Unanswered), len(s.Duplicated), s.Identifies, c.sim.Info().Shards, s.Resumes, r.worst, r.stall)
}

// TestShardMovesToAnotherCluster carries both shards of a bot, with their guilds,
// from one cluster to another under load, by the commands of docs/operations.md.
func TestShardMovesToAnotherCluster(t *testing.T) {
	parallel(t)
	a := newCluster(t, simOptions(2))
	a.Cluster([3]string{"joe", "mike", "robert"}, "--shards", "manual", "--intents", "all")
	if out := a.OK("joe", "wait", "--for", "ready"); !strings.HasPrefix(out, "ready after") {
		t.Errorf("a cluster without shards that waits for an operator is not ready: %s", out)
	}
	if s := a.brief(); s.Identifies > 0 || len(a.sim.LiveSessions()) > 0 {
		t.Fatalf("--shards manual identifies by itself: %+v", s)
	}
	a.refused("joe", 2, []string{"--of"}, "shard", "connect", "0")
	a.refused("joe", 1, []string{"nobody"}, "shard", "connect", "0", "--of", "2", "--to", "nobody")
	a.OK("joe", "shard", "connect", "0", "--of", "2", "--to", "mike")
	a.OK("mike", "shard", "connect", "1", "--of", "2")
	if owner := a.OwnerOf(0); owner != "mike" {
		t.Errorf("shard 0 was to go to mike and is at %s", owner)
	}
	a.refused("joe", 1, []string{"is connected"}, "shard", "connect", "1")
	b := a.Beside("b")
	b.Cluster([3]string{"anna", "berta", "carla"}, "--shards", "manual", "--intents", "all")

	files := map[int]string{}
	r := a.Load(2*roundPings, func() {
		for shard := range 2 {
			n := strconv.Itoa(shard)
			files[shard] = filepath.Join(a.dir, "shard"+n+".json")
			a.OK("robert", "shard", "disconnect", n, "--with-state", "--out", files[shard])
			b.OK("berta", "shard", "connect", n, "--resume", files[shard])
		}
	})
	for shard := range 2 {
		if s := a.shard(shard); s.State != "manual" || s.Owner != "" {
			t.Errorf("shard %d is %s at %q in the cluster that gave it away", shard, s.State, s.Owner)
		}
		b.WaitShard(shard, "ready")
	}
	if st := a.status(); st.Health != "ok" {
		t.Errorf("the cluster that gave its shards away is %s: %+v", st.Health, st.Problems)
	}
	a.Once()
	a.Emptied()
	b.Emptied()
	b.WaitRead()
	a.SameDigests()
	b.SameDigests()
	for _, id := range b.alive() {
		for _, guild := range a.sim.GuildIDs() {
			b.SameAsTruth(id, guild)
		}
	}
	a.figure("both shards go to another cluster", r)
	a.noSessionInLogs(files[0])
	b.noSessionInLogs(files[0])

	// What the first cluster still has is older than what the second one has.
	a.refused("joe", 1, []string{"is of shard 0, not of 1"}, "shard", "connect", "1", "--resume", files[0])
	back := filepath.Join(a.dir, "back.json")
	r = a.Load(roundPings, func() {
		b.OK("anna", "shard", "disconnect", "0", "--with-state", "--out", back)
		a.OK("joe", "shard", "connect", "0", "--resume", back)
	})
	a.WaitShard(0, "ready")
	a.Once()
	b.Emptied()
	a.figure("one comes back", r)
	b.refused("anna", 1, []string{"is connected"}, "shard", "connect", "1", "--resume", files[1])
	b.OK("anna", "shard", "disconnect", "1")
	b.refused("anna", 1, []string{"ends at event"}, "shard", "connect", "1", "--resume", files[1])
	b.OK("anna", "shard", "connect", "1")
	a.Once()
}

// noSessionInLogs asserts that no node has logged a session id.
func (c *cluster) noSessionInLogs(file string) {
	c.t.Helper()
	var info admin.Resume
	f, err := os.Open(file)
	must(c.t, err)
	defer func() { _ = f.Close() }()
	must(c.t, json.NewDecoder(f).Decode(&info))
	if st, err := f.Stat(); err != nil || st.Mode().Perm() != 0o600 {
		c.t.Errorf("the file with the session has mode %v, %v", st.Mode(), err)
	}
	for id, n := range c.nodes {
		if strings.Contains(n.proc.Log(), info.SessionID) {
			c.t.Errorf("%s has logged a session id", id)
		}
	}
}

// TestDisconnectOutlivesTheLeader disconnects a shard, kills the leader, and
// connects the shard again: nobody takes it in between.
func TestDisconnectOutlivesTheLeader(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	c.Three()
	var worst round
	for range min(rounds(t), 10) {
		leader := c.Leader()
		r := c.Load(roundPings, func() {
			c.OK(leader, "shard", "disconnect", "0")
			c.Kill9(leader)
			c.poll("the others have a leader", 10*time.Second, func() error {
				st := c.status()
				return yes(st.Leader != nil && st.Leader.ID != leader, "%v", st.Leader)
			})
			if s := c.shard(0); s.State != "manual" || s.Owner != "" {
				t.Errorf("after the leader's death the shard is %s at %q", s.State, s.Owner)
			}
			c.OK(c.alive()[0], "shard", "connect", "0")
		})
		if r.worst > worst.worst {
			worst = r
		}
		c.Restart(leader)
		c.WaitReady()
	}
	c.Once()
	c.Emptied()
	c.SameDigests()
	c.figure("disconnect, kill -9 of the leader, connect", worst)
}

// TestDisconnectOutlivesARestart stops every node of a cluster while a shard is
// disconnected.
func TestDisconnectOutlivesARestart(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(2))
	c.Three()
	c.OK("joe", "shard", "disconnect", "1")
	ids := c.alive()
	for _, id := range ids {
		c.Kill9(id)
	}
	for _, id := range ids {
		c.Restart(id)
	}
	c.WaitMembers()
	c.WaitShard(0, "ready")
	if s := c.shard(1); s.State != "manual" || s.Owner != "" {
		t.Errorf("after the restart the shard is %s at %q", s.State, s.Owner)
	}
	c.refused("mike", 1, []string{"disconnected"}, "shard", "move", "1", "--to", "joe")
	c.OK("mike", "shard", "connect", "1", "--to", "mike")
	c.WaitReady()
	c.Load(roundPings/3, func() {})
	c.Once()
}

// TestClustersShareABot gives two clusters a range of shards each.
func TestClustersShareABot(t *testing.T) {
	parallel(t)
	o := simOptions(4)
	a := newCluster(t, o)
	a.Cluster([3]string{"joe", "mike", "robert"}, "--shards", "0-1/4", "--intents", "all")
	b := a.Beside("b")
	b.Cluster([3]string{"anna", "berta", "carla"}, "--shards", "2-3/4", "--intents", "all")
	a.WaitShard(1, "ready")
	b.WaitShard(3, "ready")
	guilds := 0
	for c, want := range map[*cluster][]int{a: {0, 1}, b: {2, 3}} {
		c.WaitReady()
		st := c.status()
		if len(st.Shards) != 2 || st.Shards[0].ID != want[0] || st.Shards[1].ID != want[1] || st.Bots[0].Layout != 4 || st.Shards[0].Total != 4 {
			t.Errorf("shards %+v of %d", st.Shards, st.Bots[0].Layout)
		}
		if n := st.Bots[0].ShardsByState["ready"]; n != 2 || st.Health != "ok" {
			t.Errorf("%d shards ready, %s: %+v", n, st.Health, st.Problems)
		}
		guilds += st.Bots[0].Guilds
		for _, s := range st.Shards {
			if s.Guilds != 4 {
				t.Errorf("shard %d has %d guilds", s.ID, s.Guilds)
			}
		}
	}
	if all := len(a.sim.GuildIDs()); guilds != all {
		t.Errorf("the two clusters have %d guilds of %d", guilds, all)
	}
	r := a.Load(roundPings, func() { a.Kill9(a.Leader()) })
	a.figure("two clusters share a bot, and one loses its leader", r)
	a.Unharmed()
	b.Emptied()
	b.WaitRead()
	for _, guild := range a.sim.GuildIDs() {
		if owner := int(uint64(guild) >> 22 % 4); owner >= 2 {
			b.SameAsTruth("anna", guild)
		}
	}
	// A boundary moves: a shard goes from one range to the other.
	file := filepath.Join(a.dir, "shard1.json")
	at := a.alive()[0]
	r = a.Load(roundPings, func() {
		a.OK(at, "shard", "disconnect", "1", "--with-state", "--out", file)
		b.OK("carla", "shard", "connect", "1", "--resume", file)
	})
	b.WaitShard(1, "ready")
	a.Unharmed()
	a.figure("a shard goes from one range to the other", r)
}

// TestManualShardMovesAndNodesLeave: shards that were connected by hand move as
// others do, and a node that leaves under load has handed everything over.
func TestManualShardMovesAndNodesLeave(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(2))
	c.Cluster([3]string{"joe", "mike", "robert"}, "--shards", "manual")
	c.OK("joe", "shard", "connect", "0", "--of", "2", "--to", "joe")
	c.OK("joe", "shard", "connect", "1", "--to", "joe")
	r := c.Load(roundPings, func() { c.OK("robert", "shard", "move", "0", "--to", "mike") })
	c.WaitOwned(0, "mike")
	c.figure("a manual shard is moved", r)
	r = c.Load(roundPings, func() {
		c.OK("mike", "leave")
		if code := c.WaitExit("mike", 20*time.Second); code != 0 {
			t.Errorf("leave: exit code %d", code)
		}
	})
	c.WaitShard(0, "ready")
	c.figure("the node that has it leaves", r)
	if n := len(c.status().Nodes); n != 2 {
		t.Errorf("%d nodes after one has left", n)
	}
	if owner := c.OwnerOf(1); owner != "joe" {
		t.Errorf("shard 1 was put at joe and is at %s", owner)
	}
	c.Once()
	c.Emptied()
	c.SameDigests()
}

// TestManualCommandsOfTheDocs runs the commands of docs/operations.md about
// shards by hand exactly as they are printed there: only the addresses are those
// of the test.
func TestManualCommandsOfTheDocs(t *testing.T) {
	parallel(t)
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	must(t, err)
	_, section, found := strings.Cut(string(doc), "\n## Connect shards by hand")
	section, _, ended := strings.Cut(section, "\n## ")
	var commands []string
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	if !found || !ended || len(commands) < 6 {
		t.Fatalf("the commands are not where they were: %q", commands)
	}
	a := newCluster(t, simOptions(2))
	a.Cluster([3]string{"joe", "mike", "robert"}, "--shards", "manual", "--intents", "all")
	b := a.Beside("b")
	b.Cluster([3]string{"anna", "berta", "carla"}, "--shards", "manual", "--intents", "all")
	run := func(command string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sh := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", strings.ReplaceAll(command, "127.0.0.1:7301", b.nodes["anna"].http))
		sh.Dir = a.dir
		sh.Env = []string{"PATH=" + filepath.Dir(a.bin) + ":/bin:/usr/bin", "BOTNODE_HTTP=http://" + a.nodes["joe"].http}
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	for _, command := range commands[:2] { // there are shards from here on
		run(command)
	}
	a.While(func() {
		for _, command := range commands[2:] {
			run(command)
		}
	})
	for shard := range 2 {
		b.WaitShard(shard, "ready")
		if s := a.shard(shard); s.State != "manual" {
			t.Errorf("shard %d is %s in the cluster that gave it away", shard, s.State)
		}
	}
	a.Once()
	b.Emptied()
	b.WaitRead()
	for _, guild := range a.sim.GuildIDs() {
		b.SameAsTruth("carla", guild)
	}
}
