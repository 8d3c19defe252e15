package consensus

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestFollowersLearnAtOnce: with a commit timeout of minutes only the push tells the followers.
func TestFollowersLearnAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *Options) { o.Timeouts.Commit = 10 * time.Minute })
	l := c.Leader()
	for i := range 200 {
		index := c.propose(l, fmt.Sprintf("e%d x", i))
		if i%10 == 0 {
			c.WaitApplied(index)
		}
	}
	c.EnsureSame()
}

func TestPushStaysWithinWhatIsAcknowledged(t *testing.T) {
	t.Parallel()
	commit, leads := uint64(0), true
	w := &wire{wanted: func(term uint64, _ raft.ServerID) bool { return leads && term == 3 }}
	p := newPusher(w, func() uint64 { return commit })
	ask := func(prev, leaderCommit uint64, logs ...*raft.Log) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: prev, PrevLogTerm: 2, Entries: logs, LeaderCommitIndex: leaderCommit}
	}
	yes := &raft.AppendEntriesResponse{Success: true}
	exchange := func(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, err error) {
		p.sending("f", "addr", req)
		if got := p.due(); len(got) != 0 {
			t.Errorf("pushed while a request is on its way: %+v", got)
		}
		p.answered("f", req, resp, err)
	}

	if got := p.due(); len(got) != 0 {
		t.Errorf("pushed to nobody: %+v", got)
	}
	exchange(ask(9, 8, &raft.Log{Index: 10, Term: 3}, &raft.Log{Index: 11, Term: 3}), yes, nil)
	if got := p.due(); len(got) != 0 {
		t.Errorf("nothing is committed: %+v", got)
	}
	commit = 20 // the others are further than this follower
	got := p.due()["f"].req
	if got.LeaderCommitIndex != 11 || got.PrevLogEntry != 11 || got.PrevLogTerm != 3 || got.Entries != nil || got.Term != 3 {
		t.Errorf("pushed %+v", got)
	}
	if again := p.due(); len(again) != 0 {
		t.Errorf("pushed twice: %+v", again)
	}
	p.answered("f", &got, yes, nil)
	if again := p.due(); len(again) != 0 {
		t.Errorf("pushed what the follower was told: %+v", again)
	}

	exchange(ask(11, 11, &raft.Log{Index: 12, Term: 3}), &raft.AppendEntriesResponse{}, nil)
	if got := p.due(); len(got) != 0 {
		t.Errorf("pushed after a refusal: %+v", got)
	}
	exchange(ask(11, 11, &raft.Log{Index: 12, Term: 3}), yes, nil)
	leads = false
	if got := p.due(); len(got) != 0 {
		t.Errorf("pushed by a deposed leader: %+v", got)
	}
}
