package consensus

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFastElection kills the leader without a farewell and measures how long it takes until a new leader's barrier
// succeeded.
func TestFastElection(t *testing.T) {
	for _, tc := range []struct {
		name      string
		nodes     int
		rounds    int
		bolt      bool
		wantUnder time.Duration
	}{
		{"three in memory", 3, 10, false, 150 * time.Millisecond},
		{"five in memory", 5, 4, false, 150 * time.Millisecond},
		{"three on disk", 3, 4, true, 250 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var took []time.Duration
			for range tc.rounds {
				took = append(took, electOnce(t, tc.nodes, tc.bolt))
			}
			slices.Sort(took)
			median := took[len(took)/2]
			t.Logf("new leader established after: median %v, all %v", median, took)
			// Raft's own timers would take at least one heartbeat timeout of a second.
			if median > tc.wantUnder {
				t.Errorf("median %v, want less than %v", median, tc.wantUnder)
			}
		})
	}
}

func electOnce(t *testing.T, nodes int, bolt bool) time.Duration {
	t.Helper()
	dir := t.TempDir()
	c := newCluster(t, nodes, func(o *Options) {
		o.Timeouts = Safe()
		if bolt {
			o.Memory, o.Dir = nil, dir
		}
	})
	old := c.Leader()
	at := c.propose(old, "a 1")
	c.WaitApplied(at)
	start := time.Now()
	c.Kill(old, true)
	l := c.Leader()
	took := time.Since(start)
	if l == old || l.Term() != old.Term()+1 {
		t.Errorf("%s leads in term %d after %s in %d: more than one stood", l.id, l.Term(), old.id, old.Term())
	}
	c.propose(l, "b 2")
	c.EnsureSame()
	for _, n := range c.live() {
		c.close(n)
	}
	return took
}

func TestNoElectionWithoutAMajority(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	term := l.Term()
	for _, n := range c.live() {
		if n != l {
			n.LeaderLinkDead(l.id) // one node of three believes it
			break
		}
	}
	for range 20 {
		c.propose(l, "a 1")
	}
	if l.Term() != term || !l.IsLeader() {
		t.Error("one lost link deposed a healthy leader")
	}
}

// TestDeathOutlivesTheRestart: a leader that died no longer leads its term, also if its process is back at once.
func TestDeathOutlivesTheRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *Options) { o.Timeouts = Safe() })
	l := c.Leader()
	c.follower()
	start := time.Now()
	c.Kill(l, false)
	for _, n := range c.live() {
		n.LeaderLinkDead(l.id)
		n.NodeAlive(l.id)
	}
	c.Leader()
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("the election waited for a timeout: %v", took)
	}
}

// A node that believed its leader dead and was put right doesn't mislead the
// election that follows when the leader does die in that term.
func TestLossTakenBackSplitsNoVote(t *testing.T) {
	for range 5 {
		c := newCluster(t, 3, func(o *Options) { o.Timeouts = Safe() })
		old := c.Leader()
		var mistaken *testNode
		for _, n := range c.live() {
			// The one that wins ties: it would stand rightly, and the other on an old report.
			if n != old && (mistaken == nil || n.id > mistaken.id) {
				mistaken = n
			}
		}
		mistaken.LeaderLinkDead(old.id)
		c.propose(old, "a 1")
		mistaken.NodeAlive(old.id)
		for range 20 {
			c.WaitApplied(c.propose(old, "b 2"))
		}
		c.Kill(old, true)
		if l := c.Leader(); l.Term() != old.Term()+1 {
			t.Errorf("%s leads in term %d after %d: more than one stood", l.id, l.Term(), old.Term())
		}
		for _, n := range c.live() {
			c.close(n)
		}
	}
}

func TestNonVoterNeverFires(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	n := c.start("z9")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.AddNonvoter(ctx, n.id, n.addr); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitApplied(ctx, l.CommitIndex()); err != nil {
		t.Fatal(err)
	}
	c.Kill(l, true)
	next := c.Leader()
	if next == n {
		t.Error("a non-voter leads")
	}
	if got := n.State(); got != "follower" {
		t.Errorf("the non-voter is %s", got)
	}
	c.EnsureSame()
}

func TestHandleElectionRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	n := c.Leader()
	if _, err := n.HandleElection("a", []byte("nonsense")); err == nil {
		t.Error("nonsense was accepted")
	}
	if _, err := n.HandleElection("a", rep("b", 1, 1).encode()); err == nil {
		t.Error("a report in another's name was accepted")
	}
}

// TestLoadSplitsNoVote kills leaders that are in the middle of appends: what
// they sent reaches one follower later than the other, and neither may judge
// by a log that still grows.
func TestLoadSplitsNoVote(t *testing.T) {
	dir := t.TempDir()
	for round := range 6 {
		c := newCluster(t, 3, func(o *Options) {
			o.Timeouts = Safe()
			o.Memory, o.Dir = nil, filepath.Join(dir, strconv.Itoa(round))
			if raceDetector {
				// It stretches an append beside others' syncs beyond drainMost, and what
				// is told then is what a log that still grows had.
				o.drain = 900 * time.Millisecond
			}
		})
		old := c.Leader()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					old.Propose([]byte("k " + strconv.Itoa(i) + strings.Repeat("x", 20_000)))
				}
			}
		}()
		at := c.propose(old, "a 1")
		c.WaitApplied(at)
		c.Kill(old, true)
		close(stop)
		<-stopped
		l := c.Leader()
		if l.Term() != old.Term()+1 {
			t.Errorf("round %d: %s leads in term %d after %s in %d: more than one stood", round, l.id, l.Term(), old.id, old.Term())
		}
		for _, n := range c.live() {
			c.close(n)
		}
	}
}

// TestMistakeLeavesNoStalePosition: a voter that believed its leader dead told
// where its log was then. Should the leader die later in that term, nobody may
// judge the voter by what it told: it tells where its log is now, or nothing.
func TestMistakeLeavesNoStalePosition(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.Timeouts = Safe() })
	old, mistaken := c.Leader(), c.follower()
	mistaken.LeaderLinkDead(old.id)
	mistaken.NodeAlive(old.id)
	c.eventually("the mistaken voter has told where its log is", func() bool {
		_, told := mistaken.elector.own(old.id, old.Term())
		return told
	})
	c.WaitApplied(c.propose(old, "a 1"))
	if rep, told := mistaken.elector.own(old.id, old.Term()); told && mistaken.elector.moved(rep) {
		t.Errorf("it still tells %+v", rep)
	}
	c.eventually("it has told where its log is now", func() bool {
		rep, told := mistaken.elector.own(old.id, old.Term())
		return told && !mistaken.elector.moved(rep)
	})
	if !old.IsLeader() || old.Term() != c.Leader().Term() {
		t.Error("the mistake has deposed a healthy leader")
	}
}
