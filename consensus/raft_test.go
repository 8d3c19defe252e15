package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestSingleNodeLeadsAtOnce(t *testing.T) {
	t.Parallel()
	c := emptyCluster(t, func(o *Options) { o.Timeouts = Safe() })
	n := c.start("n1")
	if has, err := n.HasState(); err != nil || has {
		t.Fatalf("fresh node: HasState = %v, %v", has, err)
	}
	start := time.Now()
	if err := n.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	c.Leader()
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("took %v: the bootstrapped node waited for a timeout", took)
	}
	if has, err := n.HasState(); err != nil || !has {
		t.Errorf("bootstrapped node: HasState = %v, %v", has, err)
	}
	if err := n.Bootstrap(); !errors.Is(err, ErrHasState) {
		t.Errorf("second bootstrap: %v", err)
	}
	c.propose(n, "a 1")
	if got := n.toy.read().Register; got != "1" {
		t.Errorf("register = %q", got)
	}
}

func TestReplicatesInOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	var futures []*Future
	for i := range 300 {
		futures = append(futures, l.Propose(fmt.Appendf(nil, "e%d v%d", i, i)))
	}
	var before uint64
	for i, f := range futures {
		index, res, err := f.Result()
		if err != nil || string(res.([]byte)) != fmt.Sprintf("ok e%d", i) {
			t.Fatalf("entry %d: %q, %v", i, res, err)
		}
		if index <= before {
			t.Fatalf("entry %d got index %d after %d", i, index, before)
		}
		before = index
	}
	c.EnsureSame()
	for i, id := range l.toy.read().Applied {
		if id != fmt.Sprintf("e%d", i) {
			t.Fatalf("entry %d applied is %s", i, id)
		}
	}
}

func TestFollowerRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	for _, n := range c.live() {
		if n == l {
			continue
		}
		c.eventually("the leader, on "+n.id, func() bool { return n.Leader().ID == l.id })
		if got := n.Leader(); got.Addr != l.addr || got.Term != l.Term() || !got.Known {
			t.Errorf("%s: leader = %+v", n.id, got)
		}
		_, _, err := n.Propose([]byte("x 1")).Result()
		if !errors.Is(err, ErrNotLeader) || !NotAppended(err) {
			t.Errorf("propose on a follower: %v", err)
		}
		if err := n.Barrier(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("barrier on a follower: %v", err)
		}
		if err := n.Verify(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("verify on a follower: %v", err)
		}
		if _, err := n.LinearizableIndex(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("linearizable read on a follower: %v", err)
		}
	}
	if _, _, err := l.Propose(nil).Result(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("empty entry: %v", err)
	}
}

func TestPartitionedLeaderLosesItsProposal(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	c.commit("a 1")
	old, lost := c.proposedAlone("b 2")
	if index, err := old.LinearizableIndex(t.Context()); err == nil { // it still believes that it leads
		t.Errorf("a leader without a quorum reads at %d", index)
	}
	if err := old.Verify(t.Context()); err == nil {
		t.Error("a leader without a quorum was verified")
	}
	if _, _, err := lost.Result(); !errors.Is(err, ErrUnknownOutcome) || NotAppended(err) {
		t.Fatalf("proposal without a quorum: %v", err)
	}
	c.commit("b 2") // the same bytes again
	c.commit("b 2")
	c.Heal(old)
	c.eventually("the old leader to be one of them", func() bool { return old.Leader().Known && old.Leader().ID == c.Leader().id })
	c.EnsureSame()
	if got := fmt.Sprint(c.Leader().toy.read().Applied); got != "[a b]" {
		t.Errorf("applied %s", got)
	}
}

// proposedAlone cuts the leader off, and has it propose while it still believes that it leads. One that has found out
// before appends nothing, and another is tried.
func (c *cluster) proposedAlone(entry string) (*testNode, *Future) {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		old := c.Leader()
		before := old.LastIndex()
		c.Partition(old)
		lost := old.Propose([]byte(entry))
		c.eventually("the entry in its log, or a refusal", func() bool {
			select {
			case <-lost.Done():
				return true
			default:
				return old.LastIndex() > before
			}
		})
		select {
		case <-lost.Done():
			if _, _, err := lost.Result(); NotAppended(err) {
				c.Heal(old)
				continue
			}
		default:
		}
		return old, lost
	}
	c.t.Fatal("no leader proposes anything while it is alone")
	return nil, nil
}

func TestLinearizableReads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	at := c.propose(l, "a 1")
	index, err := l.LinearizableIndex(t.Context())
	if err != nil || index < at {
		t.Fatalf("LinearizableIndex = %d, %v; want at least %d", index, err, at)
	}
	c.WaitApplied(index)
	for _, n := range c.live() {
		if got := n.toy.read().Register; got != "1" {
			t.Errorf("%s reads %q", n.id, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.WaitApplied(ctx, index+100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for the future: %v", err)
	}
}

func TestWaitAppliedPassesNoops(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	if err := l.raft.Barrier(0).Error(); err != nil { // raft's own kind, which no state machine sees
		t.Fatal(err)
	}
	c.WaitApplied(l.CommitIndex())
}

func TestRestartOnANewAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, 3, func(o *Options) { o.Memory, o.Dir, o.NoSync = nil, dir, true })
	l := c.Leader()
	c.propose(l, "a 1")
	var n *testNode
	for _, n = range c.live() {
		if n != l {
			break
		}
	}
	c.Kill(n, false)
	c.close(n)
	for i := range 20 {
		c.propose(l, fmt.Sprintf("b%d x", i))
	}
	start := time.Now()
	n = c.start(n.id)
	at := c.propose(c.Leader(), "c 3")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.WaitApplied(ctx, at); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted node caught up after %v", time.Since(start))
	c.EnsureSame()
	if raceDetector {
		return
	}
	// The leader may also write the new address into the configuration.
	if err := c.Leader().AddVoter(ctx, n.id, n.addr); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Leader().Servers() {
		if s.ID == n.id && (s.Addr != n.addr || !s.Voter) {
			t.Errorf("server = %+v", s)
		}
	}
}

func TestMembership(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var other *testNode
	for _, other = range c.live() {
		if other != l {
			break
		}
	}
	if err := l.Demote(ctx, other.id); err != nil {
		t.Fatal(err)
	}
	if err := l.TransferLeadership(ctx, other.id); !errors.Is(err, ErrNotVoter) {
		t.Errorf("transfer to a non-voter: %v", err)
	}
	if err := l.AddVoter(ctx, other.id, other.addr); err != nil {
		t.Fatal(err)
	}
	if err := l.TransferLeadership(ctx, other.id); err != nil {
		t.Fatal(err)
	}
	c.eventually("the transfer", func() bool { return c.Leader() == other })
	if err := l.Remove(ctx, other.id); !errors.Is(err, ErrNotLeader) {
		t.Errorf("remove by a follower: %v", err)
	}
	// A leader that removes itself steps down and stays up.
	if err := other.Remove(ctx, other.id); err != nil {
		t.Fatal(err)
	}
	c.eventually("a successor", func() bool { n := c.Leader(); return n != other })
	if got := len(c.Leader().Servers()); got != 2 {
		t.Errorf("%d servers are left", got)
	}
	if got := other.State(); got == "shutdown" {
		t.Error("the removed node shut down")
	}
}

func TestPreVoteAndMonotonicSurviveTheWrappers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	n := c.Leader()
	if _, ok := any(n.wire).(raft.WithPreVote); !ok {
		t.Error("the transport hides RequestPreVote")
	}
	if _, err := n.wire.AppendEntriesPipeline("n1", "x"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("pipelining is on: %v", err)
	}
	for _, want := range []bool{true, false} {
		inner := &monotonic{InmemStore: raft.NewInmemStore(), yes: want}
		var chain raft.LogStore = &guardedLog{inner: inner}
		chain = newLogCache(newLogSizes(chain, 1, 0, nil), 1)
		m, ok := chain.(raft.MonotonicLogStore)
		if !ok || m.IsMonotonic() != want {
			t.Errorf("IsMonotonic is lost for %v", want)
		}
	}
}

type monotonic struct {
	*raft.InmemStore
	yes bool
}

func (m *monotonic) IsMonotonic() bool { return m.yes }

func TestLeadershipShowsTheNewest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	states := l.Leadership()
	if first := <-states; !first.Established || first.Leader.ID != l.id {
		t.Errorf("first state = %+v", first)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.TransferLeadership(ctx, ""); err != nil {
		t.Fatal(err)
	}
	next := c.Leader()
	c.eventually("the new leader", func() bool { return l.Leader().ID == next.id })
	c.eventually("the newest state in the channel", func() bool {
		select {
		case s := <-states:
			return s.Leader.ID == next.id && !s.IsLeader
		default:
			return false
		}
	})
	c.close(l)
	for range states { // closed by Close, after at most one state
	}
}

func TestCloseCompletesFutures(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	c.Partition(l)
	f := l.Propose([]byte("a 1"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-f.Done():
	case <-time.After(patience):
		t.Fatal("the future is open after Close")
	}
	if _, _, err := f.Result(); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("outcome: %v", err)
	}
	if _, _, err := l.Propose([]byte("b 1")).Result(); !errors.Is(err, ErrShutdown) {
		t.Errorf("propose after Close: %v", err)
	}
	if err := l.Verify(t.Context()); !errors.Is(err, ErrShutdown) {
		t.Errorf("verify after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestSnapshotRestoreAndTrailingLogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, 1, func(o *Options) {
		o.Memory, o.Dir, o.NoSync = nil, dir, true
		o.SnapshotBytes, o.TrailingBytes = 64<<10, 8<<10
	})
	l := c.Leader()
	pad := string(bytes.Repeat([]byte("p"), 1000))
	for i := range 200 {
		c.propose(l, fmt.Sprintf("e%d %s", i, pad))
	}
	c.eventually("a snapshot by bytes", func() bool { return l.Stats().SnapshotIndex > 0 })
	c.eventually("the log to be compacted", func() bool { f, _ := l.logs.FirstIndex(); return f > 10 })
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := l.logs.FirstIndex()
	if kept := l.LastIndex() - first + 1; kept < 7 || kept > 20 {
		t.Errorf("%d entries of 1 KiB trail the snapshot, want about 8", kept)
	}
	// A joiner that needs the snapshot, since the log no longer begins at 1.
	joiner := c.start("n2")
	c.add(joiner)
	c.EnsureSame()
	if got := joiner.AppliedIndex(); got < l.Stats().SnapshotIndex {
		t.Errorf("applied index after the installed snapshot = %d", got)
	}
	want := fmt.Sprint(l.toy.read())
	var saved bytes.Buffer
	if _, err := l.SaveSnapshot(t.Context(), &saved); err != nil || saved.Len() == 0 {
		t.Errorf("save: %d bytes, %v", saved.Len(), err)
	}
	c.Kill(joiner, false)
	c.Kill(l, false)
	c.close(joiner)
	c.close(l)
	l, joiner = c.start("n1"), c.start("n2")
	c.Leader()
	c.EnsureSame()
	if got := fmt.Sprint(l.toy.read()); got != want {
		t.Errorf("restarted node differs:\n%.200s\n%.200s", got, want)
	}
	_ = joiner
}

// TestSnapshotsFollowTheState: a small state is saved often, so that a start has little log to apply, a large one no
// more often than it is worth.
func TestSnapshotsFollowTheState(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(o *Options) { o.leastLog, o.SnapshotBytes = 8<<10, 256<<10 })
	l := c.Leader()
	pad := strings.Repeat("p", 1000)
	next := func() (entries int) {
		t.Helper()
		before := l.Stats().SnapshotIndex
		c.eventually("a snapshot", func() bool {
			entries++
			c.propose(l, fmt.Sprintf("e%d-%d %s", before, entries, pad))
			return l.Stats().SnapshotIndex > before
		})
		return entries
	}
	if n := next(); n < 7 || n > 60 {
		t.Errorf("the first snapshot after %d KiB, want some 8", n)
	}
	c.propose(l, "large "+strings.Repeat("l", 60<<10)) // is a part of the state until the next entry
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.snapshotAfter(); got < 120<<10 || got > 140<<10 {
		t.Errorf("after a snapshot of 60 KiB the next is due after %d bytes", got)
	}
	c.propose(l, "huge "+strings.Repeat("h", 600<<10))
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.snapshotAfter(); got != 256<<10 {
		t.Errorf("after a snapshot of 600 KiB the next is due after %d bytes", got)
	}
}

func TestFailedRestoreIsFatal(t *testing.T) {
	t.Parallel()
	fatal := make(chan error, 1)
	c := newCluster(t, 1, func(o *Options) {
		o.TrailingBytes = 1
		if o.ID == "n2" {
			o.Fatal = func(err error) { fatal <- err }
		}
	})
	l := c.Leader()
	for i := range 10 {
		c.propose(l, fmt.Sprintf("e%d x", i))
	}
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	joiner := c.start("n2")
	joiner.toy.mu.Lock()
	joiner.toy.broken = true
	joiner.toy.mu.Unlock()
	if err := l.AddNonvoter(t.Context(), "n2", joiner.addr); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-fatal:
		if !errors.Is(err, ErrRestore) {
			t.Errorf("fatal with %v", err)
		}
	case <-time.After(patience):
		t.Error("Fatal was not called")
	}
}
