package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/raft"
)

// savedCluster is a cluster on disks with a backup of its state, and its leader.
func savedCluster(t *testing.T, nodes int, fatal chan<- error) (*cluster, *testNode, *bytes.Buffer) {
	t.Helper()
	c := newCluster(t, nodes, onDisk(t.TempDir(), fatal))
	l := c.Leader()
	c.propose(l, "a 1")
	saved := new(bytes.Buffer)
	if _, err := l.SaveSnapshot(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	return c, l, saved
}

// onDisk gives the nodes directories.
func onDisk(dir string, fatal chan<- error) func(*Options) {
	return func(o *Options) {
		o.Memory, o.Dir = nil, dir
		if fatal != nil {
			o.Fatal = func(err error) { fatal <- err }
		}
	}
}

// reopen opens a node's directory again, and returns what comes of it.
func reopen(t *testing.T, n *testNode) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := n.opts
	o.Addr, o.Layer, o.Machine = ln.Addr().String(), &tcpLayer{ln, n.id, emptyCluster(t, nil).net}, newToy()
	r, err := Open(o)
	if err != nil {
		return err
	}
	return r.Close()
}

// readHook calls f before the first byte is read.
type readHook struct {
	io.Reader
	f func()
}

func (h *readHook) Read(p []byte) (int, error) {
	if h.f != nil {
		h.f()
		h.f = nil
	}
	return h.Reader.Read(p)
}

// TestRestoreTakesEveryNodeAlong restores on disks: nodes that are there, and that
// start later, have the restored state and go on from it.
func TestRestoreTakesEveryNodeAlong(t *testing.T) {
	t.Parallel()
	c, l, saved := savedCluster(t, 3, nil)
	c.propose(l, "b 2")
	last := l.LastIndex()
	if err := l.RestoreSnapshot(t.Context(), Restoration{Body: bytes.NewReader(saved.Bytes()), Size: int64(saved.Len()), Index: last + 1000}); err != nil {
		t.Fatal(err)
	}
	if at := c.propose(l, "c 3"); at <= last+1000 {
		t.Errorf("the log goes on at %d, want above the restored index", at)
	}
	c.EnsureSame()
	if got := l.toy.read(); len(got.Applied) != 2 || got.Applied[1] != "c" {
		t.Errorf("applied %v, want a and c", got.Applied)
	}
	for _, n := range c.live() {
		if _, err := os.Stat(filepath.Join(n.opts.Dir, restoreFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the mark of the restore is left: %v", n.id, err)
		}
		c.Kill(n, false)
		c.close(n)
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.start(id)
	}
	c.propose(c.Leader(), "d 4")
	c.EnsureSame()
	if got := c.Leader().toy.read(); len(got.Applied) != 3 {
		t.Errorf("applied %v after a restart", got.Applied)
	}
}

// TestRestoreOfADeposedLeader cuts the leader off while it restores: what it has
// then was never committed, so it must not go on from it, not even as a follower.
func TestRestoreOfADeposedLeader(t *testing.T) {
	t.Parallel()
	fatal := make(chan error, 3)
	c, l, saved := savedCluster(t, 3, fatal)
	body := &readHook{bytes.NewReader(saved.Bytes()), func() { c.Partition(l) }}
	if err := l.RestoreSnapshot(t.Context(), Restoration{Body: body, Size: int64(saved.Len())}); err == nil || errors.Is(err, ErrNotRestored) {
		t.Errorf("a restore that nobody took: %v", err)
	}
	select {
	case err := <-fatal:
		if !errors.Is(err, ErrRestoreUnfinished) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the node goes on")
	}
	c.Kill(l, false)
	c.close(l)
	if err := reopen(t, l); !errors.Is(err, ErrRestoreUnfinished) {
		t.Errorf("opened again: %v", err)
	}
	c.propose(c.Leader(), "b 2") // the others don't need it
	c.EnsureSame()
}

// TestSnapshotAboveTheLog ends a node between a snapshot that reaches beyond its log
// and the removal of that log: raft takes such a state for good when it starts, and
// its log store would refuse the next entry, now and after every start.
func TestSnapshotAboveTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, onDisk(t.TempDir(), nil))
	l := c.Leader()
	c.propose(l, "a 1")
	c.Kill(l, false)
	c.close(l)
	f, err := OpenOffline(Options{ID: l.id, Dir: l.opts.Dir})
	if err != nil {
		t.Fatal(err)
	}
	machine := newToy()
	s, err := f.Replay(machine)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := machine.Capture()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Found(snap, l.addr, s.LastIndex+1000, s.LastTerm), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{"b 2", "c 3"} {
		n := c.start(l.id)
		if at := c.propose(c.Leader(), entry); at <= s.LastIndex+1000 {
			t.Errorf("%s is at %d", entry, at)
		}
		c.Kill(n, false)
		c.close(n)
	}
	c.start(l.id)
	c.propose(c.Leader(), "d 4")
	if got := c.Leader().toy.read(); len(got.Applied) != 4 {
		t.Errorf("applied %v", got.Applied)
	}
}

// TestRestoreThatDidNotBegin leaves nothing behind.
func TestRestoreThatDidNotBegin(t *testing.T) {
	t.Parallel()
	c, l, saved := savedCluster(t, 2, nil)
	for _, n := range c.live() {
		if n == l {
			continue
		}
		if err := n.RestoreSnapshot(t.Context(), Restoration{Body: bytes.NewReader(saved.Bytes()), Size: int64(saved.Len())}); !errors.Is(err, ErrNotRestored) || !errors.Is(err, ErrNotLeader) {
			t.Errorf("at a follower: %v", err)
		}
	}
	// The process ended between the mark and the snapshot.
	mark, err := l.newRestoreMark()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.markRestore(mark); err != nil {
		t.Fatal(err)
	}
	c.Kill(l, false)
	c.close(l)
	if err := reopen(t, l); err != nil {
		t.Errorf("a restore that left no snapshot: %v", err)
	}
	if err := reopen(t, l); err != nil {
		t.Error(err)
	}
}

// TestNobodyMovesLeadershipOutOfARestore asks the leader to hand over while it
// restores. To do it would leave nobody to say that the restore has ended: the node
// would end, and not start again.
func TestNobodyMovesLeadershipOutOfARestore(t *testing.T) {
	t.Parallel()
	c, l, saved := savedCluster(t, 3, nil)
	refused := 0
	body := &readHook{bytes.NewReader(saved.Bytes()), func() {
		for _, err := range []error{
			l.TransferLeadership(t.Context(), "n1"), l.TransferLeadership(t.Context(), ""),
			l.Remove(t.Context(), l.id), l.Demote(t.Context(), l.id),
		} {
			if refused++; !errors.Is(err, ErrRestoring) {
				t.Errorf("%d: %v", refused, err)
			}
		}
	}}
	term, _ := l.Established()
	if err := l.RestoreSnapshot(t.Context(), Restoration{Body: body, Size: int64(saved.Len())}); err != nil || refused != 4 {
		t.Errorf("the restore: %v, after %d refusals", err, refused)
	}
	if now, ok := l.Established(); !ok || now != term {
		t.Errorf("led in term %d, leads in %d: %v", term, now, ok)
	}
	if err := l.TransferLeadership(t.Context(), ""); err != nil {
		t.Errorf("after it: %v", err)
	}
	c.propose(c.Leader(), "b 2")
	c.EnsureSame()
}

// TestRestoreThatLeftNothing fails in the middle, as on a full disk: the leader goes
// on with the state that it has.
func TestRestoreThatLeftNothing(t *testing.T) {
	t.Parallel()
	c, l, saved := savedCluster(t, 3, nil)
	half := io.MultiReader(bytes.NewReader(saved.Bytes()[:saved.Len()/2]), iotest.ErrReader(errors.New("no space left on device")))
	no := errors.New("no")
	for what, to := range map[string]Restoration{
		"half of a body": {Body: half, Size: int64(saved.Len())},
		"check":          {Body: bytes.NewReader(saved.Bytes()), Size: int64(saved.Len()), Check: func() error { return no }},
	} {
		if err := l.RestoreSnapshot(t.Context(), to); !errors.Is(err, ErrNotRestored) {
			t.Errorf("%s: %v", what, err)
		}
		c.propose(c.Leader(), "b"+what[:1]+" 2")
		if _, err := os.Stat(filepath.Join(l.opts.Dir, restoreFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the mark is left: %v", what, err)
		}
	}
	c.EnsureSame()
	if got := c.Leader().toy.read(); len(got.Applied) != 3 {
		t.Errorf("applied %v", got.Applied)
	}
}

// TestRestoreThatCameToNothingIsPassed refuses a restore while an entry is on its way. Raft has answered that entry by
// then, and left to itself would not apply it here, though it is committed, before another comes.
func TestRestoreThatCameToNothingIsPassed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	logs := map[string]*faultyLog{}
	c := newCluster(t, 3, func(o *Options) {
		o.wrapLog = func(inner raft.LogStore) raft.LogStore {
			mu.Lock()
			defer mu.Unlock()
			logs[o.ID] = &faultyLog{Memory: inner.(*Memory)}
			return logs[o.ID]
		}
	})
	l := c.Leader()
	c.propose(l, "a 1")
	saved := new(bytes.Buffer)
	if _, err := l.SaveSnapshot(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	hang := make(chan struct{})
	release := sync.OnceFunc(func() { close(hang) })
	defer release()
	for id, f := range logs {
		if id != l.id {
			f.mu.Lock()
			f.hang = hang
			f.mu.Unlock()
		}
	}
	before := l.LastIndex()
	b := l.Propose([]byte("b 2"))
	c.eventually("an entry on its way", func() bool { return l.LastIndex() > before })
	to := Restoration{Body: saved, Size: int64(saved.Len()), Check: func() error { return errors.New("no") }}
	if err := l.RestoreSnapshot(t.Context(), to); !errors.Is(err, ErrNotRestored) {
		t.Errorf("a restore that was refused: %v", err)
	}
	if _, _, err := b.Result(); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the entry on its way: %v", err)
	}
	release()
	c.eventually("the entry applied at the leader", func() bool { return len(l.toy.read().Applied) == 2 })
}

// TestRestoreReachesADeposedLeader restores while a node is away whose log goes further than the others', with entries that
// were never committed. Raft, having installed a snapshot below the end of such a log, takes that for its end still,
// though it has removed it: it would refuse all that follows, and be sent the snapshot for ever.
func TestRestoreReachesADeposedLeader(t *testing.T) {
	t.Parallel()
	for _, disk := range []bool{true, false} {
		t.Run(fmt.Sprintf("disk=%v", disk), func(t *testing.T) {
			t.Parallel()
			var tune func(*Options)
			if disk {
				tune = onDisk(t.TempDir(), nil)
			}
			c := newCluster(t, 3, tune)
			old := c.Leader()
			c.propose(old, "a 1")
			saved := new(bytes.Buffer)
			if _, err := old.SaveSnapshot(t.Context(), saved); err != nil {
				t.Fatal(err)
			}
			before := old.LastIndex()
			c.Partition(old)
			for i := range 50 {
				old.Propose(fmt.Appendf(nil, "never%d 1", i))
			}
			c.eventually("entries of one node alone", func() bool { return old.LastIndex() >= before+50 })
			l := c.Leader()
			if err := l.RestoreSnapshot(t.Context(), Restoration{Body: saved, Size: int64(saved.Len())}); err != nil {
				t.Fatal(err)
			}
			c.commit("b 2")
			c.Heal(old)
			c.commit("c 3")
			c.EnsureSame()
		})
	}
}

// TestRestoreOfOneOfTwo ends the leader of two nodes in a restore, before the other has taken the snapshot, and between
// the commit and the removal of the mark. It can be started again: the other can't have gone on without it, and, having
// lost it, waits for it.
func TestRestoreOfOneOfTwo(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprintf("taken=%v", taken), func(t *testing.T) {
			t.Parallel()
			fatal := make(chan error, 3)
			c, l, saved := savedCluster(t, 2, fatal)
			c.propose(l, "b 2")
			mark, err := l.newRestoreMark()
			if err != nil {
				t.Fatal(err)
			}
			body := &readHook{bytes.NewReader(saved.Bytes()), func() {
				if !taken {
					c.Partition(l)
				}
			}}
			err = l.RestoreSnapshot(t.Context(), Restoration{Body: body, Size: int64(saved.Len())})
			if (err == nil) != taken || errors.Is(err, ErrNotRestored) {
				t.Errorf("the restore: %v", err)
			}
			if taken {
				if err := l.markRestore(mark); err != nil {
					t.Fatal(err)
				}
			} else if err := <-fatal; !errors.Is(err, ErrRestoreUnfinished) {
				t.Errorf("it ends for %v", err)
			}
			c.Kill(l, false)
			c.close(l)
			c.Heal(l)
			again := c.start(l.id)
			if _, err := os.Stat(filepath.Join(again.opts.Dir, restoreFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the mark is left: %v", err)
			}
			c.propose(c.Leader(), "c 3")
			c.EnsureSame()
			for _, n := range c.live() {
				if got := n.toy.read(); len(got.Applied) != 2 || got.Applied[1] != "c" {
					t.Errorf("%s applied %v, want a and c", n.id, got.Applied)
				}
			}
		})
	}
}

// TestRestoreThatWasCommitted ends the leader of three between the commit of a restore and the removal of its mark, when
// other entries have come: it knows that the cluster has taken the restore, and starts again.
func TestRestoreThatWasCommitted(t *testing.T) {
	t.Parallel()
	for _, more := range []bool{false, true} {
		t.Run(fmt.Sprintf("more=%v", more), func(t *testing.T) {
			t.Parallel()
			c, l, saved := savedCluster(t, 3, make(chan error, 3))
			mark, err := l.newRestoreMark()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.RestoreSnapshot(t.Context(), Restoration{Body: bytes.NewReader(saved.Bytes()), Size: int64(saved.Len())}); err != nil {
				t.Fatal(err)
			}
			if more {
				c.propose(l, "b 2")
			}
			if err := l.markRestore(mark); err != nil {
				t.Fatal(err)
			}
			c.Kill(l, false)
			c.close(l)
			switch err := reopen(t, l); {
			case more && err != nil:
				t.Error(err)
			case !more && !errors.Is(err, ErrRestoreUnfinished):
				t.Errorf("nothing on its disk says how the restore ended: %v", err)
			case more:
				c.start(l.id)
			}
			c.propose(c.Leader(), "c 3")
			c.EnsureSame()
		})
	}
}
