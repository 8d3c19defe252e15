package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/shard"
	"github.com/botnode/botnode/trust"
)

// keeper is a bot that keeps the last message in its store.
type keeper struct{}

func (keeper) Handle(_ context.Context, d shard.Delivery) shard.Outcome {
	return shard.Outcome{Writes: []fsm.KVChange{{Key: "last", Value: d.Entry.Raw}}}
}

func (keeper) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{} }

// cluster starts nodes of a cluster of its own.
func cluster(t *testing.T, ids ...string) (*lab.Lab, context.Context) {
	t.Helper()
	return tuned(t, "", nil, ids...)
}

// tuned is cluster with changed options, on disks if there is a folder for them.
func tuned(t *testing.T, dir string, tune func(string, *node.Options), ids ...string) (*lab.Lab, context.Context) {
	t.Helper()
	l, err := lab.New(lab.Options{
		Dir: dir, Tune: tune,
		Discord: sim.Options{Shards: 2, MaxConcurrency: 2, Members: 5, GlobalLimit: -1, NoRouteLimits: true},
		Program: func(string) node.Program {
			return node.Program{
				Intents: discord.IntentsAll, Handlers: keeper{},
				Interests: []fsm.Interest{{Type: discord.EventMessageCreate, Handlers: []string{"keeper"}}},
			}
		},
		Fatal: func(id string, err error) { t.Errorf("%s: %v", id, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	for _, id := range ids {
		if err := l.Add(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	must(t, l.WaitSettled(ctx))
	return l, ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// say has a user write and waits until the bot has kept it.
func say(t *testing.T, ctx context.Context, l *lab.Lab, text string) {
	t.Helper()
	_, err := l.Discord().Say(sim.Say{Content: text})
	must(t, err)
	must(t, l.WaitSettled(ctx))
	if got := value(t, l, "last"); !bytes.Contains(got, []byte(text)) {
		t.Errorf("the bot kept %s, want %q", got, text)
	}
}

func value(t *testing.T, l *lab.Lab, key string) (v []byte) {
	t.Helper()
	must(t, l.View(func(b *fsm.Bot) {
		item, _ := b.KVGet(key)
		v = item.Value
	}))
	return v
}

// someFollower returns a node that doesn't lead.
func someFollower(t *testing.T, ctx context.Context, l *lab.Lab) *node.Node {
	t.Helper()
	leader, err := l.WaitLeader(ctx)
	must(t, err)
	for _, id := range l.Living() {
		if id != leader {
			return l.Node(id)
		}
	}
	t.Fatal("there is no follower")
	return nil
}

func save(t *testing.T, ctx context.Context, n *node.Node) []byte {
	t.Helper()
	must(t, n.Sync(ctx))
	var b bytes.Buffer
	must(t, n.SaveSnapshot(ctx, &b))
	return b.Bytes()
}

// view is what the test compares of a node's state.
type view struct {
	generation uint64
	cluster    string
	digest     string
	nodes      int
	epochs     map[fsm.ShardKey]uint64
}

func look(n *node.Node) view {
	v := view{epochs: map[fsm.ShardKey]uint64{}}
	n.State(func(s *fsm.State) {
		v.generation, v.cluster, v.digest, v.nodes = s.Generation, s.ClusterID, s.Digest().String(), len(s.Nodes())
		if b := s.Bot("default"); b != nil {
			for _, sh := range b.Shards() {
				v.epochs[sh.Key] = sh.Epoch
			}
		}
	})
	return v
}

// agree waits until all nodes have the same state.
func agree(t *testing.T, ctx context.Context, l *lab.Lab) {
	t.Helper()
	for ctx.Err() == nil {
		digests := map[string]bool{}
		for _, id := range l.Living() {
			must(t, l.Node(id).Sync(ctx))
			digests[look(l.Node(id)).digest] = true
		}
		if len(digests) == 1 {
			return
		}
		select {
		case <-l.Node(l.Living()[0]).Changed():
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("the nodes' digests differ")
}

// TestRestore restores a backup onto the cluster that made it, at a node that
// doesn't lead, while proposals of the old generation go on coming. None of them
// may count: neither in the moment between the restored state and the new
// generation, which there must not be, nor later.
func TestRestore(t *testing.T) {
	l, ctx := cluster(t, "joe", "mike", "robert")
	must(t, l.PutKV(ctx, "a", []byte("1")))
	say(t, ctx, l, "before")
	file := save(t, ctx, someFollower(t, ctx, l))
	saved := lastPos(t, l)
	before := look(someFollower(t, ctx, l))
	must(t, l.PutKV(ctx, "a", []byte("2")))
	must(t, l.PutKV(ctx, "b", []byte("1")))
	say(t, ctx, l, "lost")
	given, shown := version(t, l, "b"), lastPos(t, l)

	n := someFollower(t, ctx, l)
	watched := watchIndexes(ctx, l)
	flood, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for from, id := range l.Living() {
		wg.Go(func() {
			for i := 0; flood.Err() == nil; i++ {
				key := fmt.Sprintf("flood/%d", from)
				cmd := fsm.Encode(before.generation, &fsm.KVWrite{Bot: "default", ID: uint64(from)<<32 + uint64(i) + 1, Change: fsm.KVChange{Key: key, Value: []byte("x")}})
				once, cancel := context.WithTimeout(flood, time.Second)
				_, _ = l.Node(id).ProposeRaw(once, cmd) // some are refused, some are lost
				cancel()
			}
		})
	}
	res, err := n.RestoreSnapshot(ctx, bytes.NewReader(file), admin.RestoreOptions{ClusterID: before.cluster})
	must(t, err)
	must(t, l.WaitSettled(ctx))
	stop()
	wg.Wait()
	for _, bad := range watched() {
		t.Error(bad)
	}

	if got := look(n); res.Generation != before.generation+1 || got.generation != res.Generation || got.cluster != before.cluster || got.nodes != 3 {
		t.Errorf("%+v, result %+v, want generation %d", got, res, before.generation+1)
	}
	if a, b := value(t, l, "a"), value(t, l, "b"); string(a) != "1" || b != nil {
		t.Errorf("a=%q b=%q, want what the file has", a, b)
	}
	must(t, l.View(func(b *fsm.Bot) {
		for key := range b.KVScan("flood/", "") {
			t.Errorf("%s was written by a proposal of the old generation", key)
		}
	}))
	late, err := n.ProposeRaw(ctx, fsm.Encode(before.generation, &fsm.KVWrite{Bot: "default", ID: 1, Change: fsm.KVChange{Key: "late", Value: []byte("x")}}))
	if err != nil || late.Code != fsm.StaleGeneration || value(t, l, "late") != nil {
		t.Errorf("a late proposal of the old generation: %+v, %v", late, err)
	}
	for _, id := range l.Living() {
		if !l.Node(id).Registered() {
			t.Errorf("%s has not registered again", id)
		}
	}
	say(t, ctx, l, "after")
	agree(t, ctx, l)
	must(t, l.View(func(b *fsm.Bot) { // nobody who knows a number from before meets it again
		for e := range b.RetainedFrom(saved + 1) {
			if e.Pos <= shown {
				t.Errorf("position %d was shown before the restore, and is %s now", e.Pos, e.Type)
			}
		}
	}))
	must(t, l.PutKV(ctx, "c", []byte("1")))
	if v := version(t, l, "c"); v <= given {
		t.Errorf("version %d was given before the restore, %d after it", given, v)
	}

	// What raft holds of the restore survives its nodes, and their snapshots.
	for _, id := range l.Living() {
		l.Kill(id)
	}
	for _, id := range l.Nodes() {
		must(t, l.Restart(ctx, id))
	}
	must(t, l.WaitSettled(ctx))
	say(t, ctx, l, "after a restart")
	if got := look(l.Node("joe")); got.generation != res.Generation {
		t.Errorf("generation %d after a restart, want %d", got.generation, res.Generation)
	}
	agree(t, ctx, l)
}

// TestRestoreOntoAnotherCluster: the state takes the id and the members of the
// cluster that it comes to, and a generation above both.
func TestRestoreOntoAnotherCluster(t *testing.T) {
	old, ctx := cluster(t, "joe", "mike")
	must(t, old.PutKV(ctx, "a", []byte("1")))
	file := save(t, ctx, old.Node("joe"))
	file2 := file
	for range 2 { // two generations in the old cluster, and a long log
		_, err := old.Node("joe").RestoreSnapshot(ctx, bytes.NewReader(file2), admin.RestoreOptions{})
		must(t, err)
		must(t, old.WaitSettled(ctx))
		file2 = save(t, ctx, old.Node("joe"))
	}
	for i := range 100 {
		must(t, old.PutKV(ctx, fmt.Sprint("k", i), []byte("v")))
	}
	file = save(t, ctx, old.Node("joe"))

	l, ctx := cluster(t, "anna", "bert", "carl")
	fresh := look(l.Node("anna"))
	res, err := l.Node("anna").RestoreSnapshot(ctx, bytes.NewReader(file), admin.RestoreOptions{})
	must(t, err)
	must(t, l.WaitSettled(ctx))
	if got := look(l.Node("bert")); got.cluster != fresh.cluster || got.nodes != 3 || got.generation != 4 || res.Generation != 4 {
		t.Errorf("%+v, want cluster %s, 3 nodes, generation 4; %+v", got, fresh.cluster, res)
	}
	if a := value(t, l, "a"); string(a) != "1" {
		t.Errorf("a=%q", a)
	}
	say(t, ctx, l, "hello")
	agree(t, ctx, l)
}

// TestRestoreRefuses: what can't be restored changes nothing.
func TestRestoreRefuses(t *testing.T) {
	l, ctx := cluster(t, "joe")
	n := l.Node("joe")
	file := save(t, ctx, n)
	bad := bytes.Clone(file)
	bad[len(bad)/2] ^= 1
	before := look(n)
	for what, c := range map[string]struct {
		file []byte
		o    admin.RestoreOptions
		want error
	}{
		"a flipped bit":   {bad, admin.RestoreOptions{}, admin.ErrBadRequest},
		"half a file":     {file[:len(file)/2], admin.RestoreOptions{}, admin.ErrBadRequest},
		"another file":    {[]byte("hello"), admin.RestoreOptions{}, admin.ErrBadRequest},
		"another cluster": {file, admin.RestoreOptions{ClusterID: "nope"}, admin.ErrRefused},
	} {
		if _, err := n.RestoreSnapshot(ctx, bytes.NewReader(c.file), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if got := look(n); got.generation != before.generation {
		t.Errorf("generation %d", got.generation)
	}
}

// TestRestoreKeepsSessions: nobody identifies.
func TestRestoreKeepsSessions(t *testing.T) {
	l, ctx := cluster(t, "joe", "mike", "robert")
	file := save(t, ctx, l.Node("mike"))
	say(t, ctx, l, "one")
	_, err := l.Node("mike").RestoreSnapshot(ctx, bytes.NewReader(file), admin.RestoreOptions{KeepSessions: true})
	must(t, err)
	must(t, l.WaitSettled(ctx))
	say(t, ctx, l, "two")
	if s := l.Discord().Ledger().Summary(); s.Identifies != 2 {
		t.Errorf("%d IDENTIFYs for 2 shards", s.Identifies)
	}
	agree(t, ctx, l)
}

// TestBackupsBySchedule: whoever leads saves, each name is a whole backup, and
// nothing is removed but what is too much of the cluster's own.
func TestBackupsBySchedule(t *testing.T) {
	dir := t.TempDir()
	l, ctx := tuned(t, "", func(id string, o *node.Options) {
		o.Backup = node.BackupOptions{Dir: filepath.Join(dir, id), Every: time.Second, Keep: 2}
	}, "joe", "mike", "robert")
	own := func(id string) (files []string) {
		all, err := filepath.Glob(filepath.Join(dir, id, "botnode-"+l.Node(l.Living()[0]).ClusterID()+"-*.backup"))
		must(t, err)
		return all
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal("never: " + what)
			}
		}
	}
	leader, err := l.WaitLeader(ctx)
	must(t, err)
	until("a backup", func() bool { return len(own(leader)) > 0 })
	first := own(leader)[0]
	cluster := l.Node(leader).ClusterID()
	foreign := []string{"notes.backup", "botnode-other-1-20200101T000000Z.backup", "botnode-" + cluster + "-before-the-upgrade.backup"}
	for _, name := range append(foreign, "botnode-"+cluster+"-1-20200101T000000Z.backup", "botnode-"+cluster+"-2-20200102T000000Z.backup") {
		must(t, os.WriteFile(filepath.Join(dir, leader, name), []byte("x"), 0o600))
	}
	until("the first is too much", func() bool {
		_, err := os.Stat(first)
		return errors.Is(err, os.ErrNotExist)
	})
	// The index of the newest may be the same: nothing has to happen between two.
	until("two are left", func() bool { return len(own(leader)) == 2+1 }) // and the one by hand
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, leader, name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	for _, path := range own(leader) {
		if strings.Contains(path, "before-the-upgrade") {
			continue
		}
		f, err := os.Open(path)
		must(t, err)
		if b, err := node.ReadBackup(f, nil); err != nil || b.Header.Cluster != cluster || b.Header.Counts.Shards != 2 {
			t.Errorf("%s: %v", path, err)
		}
		must(t, f.Close())
	}
	l.Kill(leader)
	next, err := l.WaitLeader(ctx)
	must(t, err)
	until("a backup by the next leader", func() bool { return len(own(next)) > 0 })
}

// TestEncryptedBackups are restored by the cluster that made them, and by another
// one once they were opened with the backup key.
func TestEncryptedBackups(t *testing.T) {
	secure := func(_ string, o *node.Options) { o.ClusterTLS = true }
	a, ctx := tuned(t, "", secure, "joe")
	b, _ := tuned(t, "", secure, "mike")
	must(t, a.PutKV(ctx, "looked-for", []byte("1")))
	var file bytes.Buffer
	must(t, a.Node("joe").SaveSnapshot(ctx, &file))
	if bytes.Contains(file.Bytes(), []byte("BNSNAP")) || !bytes.Contains(file.Bytes(), []byte("epoch 1")) {
		t.Error("the backup is in clear, or doesn't say that it isn't")
	}
	_, err := b.Node("mike").RestoreSnapshot(ctx, bytes.NewReader(file.Bytes()), admin.RestoreOptions{})
	if !errors.Is(err, admin.ErrRefused) || !strings.Contains(admin.Hint(err), "--key-file") {
		t.Errorf("another cluster's backup: %v (%s)", err, admin.Hint(err))
	}
	text, err := a.Node("joe").BackupKey()
	must(t, err)
	key, err := trust.ParseBackupKey(text)
	must(t, err)
	r, err := backupfile.NewReader(bytes.NewReader(file.Bytes()), node.UnsealWith(func(epoch uint64) (trust.BackupKey, bool) { return key, epoch == key.Epoch }))
	must(t, err)
	var plain bytes.Buffer
	w, err := backupfile.NewWriter(&plain, r.Header, backupfile.Seal{})
	must(t, err)
	_, err = io.Copy(w, r)
	must(t, err)
	must(t, w.Close())
	for _, c := range []struct {
		l    *lab.Lab
		id   string
		file []byte
	}{{b, "mike", plain.Bytes()}, {a, "joe", file.Bytes()}} {
		epoch := c.l.Node(c.id).TLS().Authorities[0].Fingerprint
		_, err := c.l.Node(c.id).RestoreSnapshot(ctx, bytes.NewReader(c.file), admin.RestoreOptions{})
		must(t, err)
		if got := value(t, c.l, "looked-for"); string(got) != "1" {
			t.Errorf("%s has %q", c.id, got)
		}
		if now := c.l.Node(c.id).TLS(); len(now.Members) != 1 || now.Members[0].ID != c.id || now.Authorities[0].Fingerprint != epoch {
			t.Errorf("%s: its certificates are of the backup: %+v", c.id, now)
		}
	}
}
