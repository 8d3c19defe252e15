package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Server is a member of the group.
type Server struct {
	ID, Addr string
	Voter    bool
}

// Servers returns the newest configuration, which may not be committed yet.
func (r *Raft) Servers() []Server {
	rf := r.live.Load()
	if rf == nil {
		return nil
	}
	return servers(rf.GetConfiguration().Configuration())
}

// replicating reports whether this node leads in term and id is a member other than itself.
func (r *Raft) replicating(term uint64, id raft.ServerID) bool {
	rf := r.live.Load()
	if rf == nil || rf.State() != raft.Leader || rf.CurrentTerm() != term {
		return false
	}
	for _, s := range rf.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// follows reports whether this node is a follower in term, and has not been deposed or begun an election.
func (r *Raft) follows(term uint64) bool {
	rf := r.live.Load()
	return rf != nil && rf.State() == raft.Follower && rf.CurrentTerm() == term
}

// liveCommit returns the commit index, 0 before raft runs.
func (r *Raft) liveCommit() uint64 {
	if rf := r.live.Load(); rf != nil {
		return rf.CommitIndex()
	}
	return 0
}

// AddNonvoter adds a node that receives the log but doesn't vote, or updates its address. A new node is always added
// this way: an empty voter counts for the quorum before it can help to reach one.
func (r *Raft) AddNonvoter(ctx context.Context, id, addr string) error {
	return r.change(ctx, "add non-voter", id, func() raft.IndexFuture {
		return r.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0)
	})
}

// AddVoter makes a node a voter, or updates a voter's address. The caller has seen that the node caught up, and should
// see that every voter applied the change before it goes on: raft's voters refuse a candidate that they don't know as a
// voter yet. If the leader dies in between, and only the new voter has the entry, nobody can be elected until it is back.
func (r *Raft) AddVoter(ctx context.Context, id, addr string) error {
	return r.change(ctx, "add voter", id, func() raft.IndexFuture {
		return r.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0)
	})
}

// Demote takes a node's vote away.
func (r *Raft) Demote(ctx context.Context, id string) error {
	return r.change(ctx, "demote", id, func() raft.IndexFuture {
		return r.raft.DemoteVoter(raft.ServerID(id), 0, 0)
	})
}

// Remove removes a node. A leader that removes itself steps down once that is committed, and stays up.
func (r *Raft) Remove(ctx context.Context, id string) error {
	return r.change(ctx, "remove", id, func() raft.IndexFuture {
		return r.raft.RemoveServer(raft.ServerID(id), 0, 0)
	})
}

// change runs one change of the configuration. Raft makes one at a time, and none before the leader committed an entry
// of its term: until then the request waits in its own goroutine, as raft's call has no way to be taken back.
func (r *Raft) change(ctx context.Context, what, id string, request func() raft.IndexFuture) error {
	if !r.IsLeader() {
		return fmt.Errorf("%s %s: %w", what, id, ErrNotLeader)
	}
	if err := r.inOffice(ctx, func() error { return request().Error() }); err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// inOffice is await for what may end this node's leadership. It is refused during a restore, whose end the leader alone
// can tell.
func (r *Raft) inOffice(ctx context.Context, f func() error) error {
	if !r.tenure.TryRLock() {
		return ErrRestoring
	}
	return r.await(ctx, func() error {
		defer r.tenure.RUnlock()
		return f()
	})
}

// await runs f, which raft may never answer once it stops, and waits for it until ctx or the node ends.
func (r *Raft) await(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- f() }()
	select {
	case err := <-answer:
		return classify(err)
	case <-ctx.Done():
		return unknown(context.Cause(ctx))
	case <-r.ctx.Done():
		return unknown(ErrShutdown)
	}
}

// TransferLeadership gives the leadership to the voter named, or to the one that is furthest if to is empty.
func (r *Raft) TransferLeadership(ctx context.Context, to string) error {
	if !r.IsLeader() {
		return fmt.Errorf("transfer leadership: %w", ErrNotLeader)
	}
	if to == "" {
		return wrapTransfer(r.inOffice(ctx, func() error { return r.raft.LeadershipTransfer().Error() }))
	}
	for _, s := range r.Servers() {
		if s.ID == to && s.Voter {
			return wrapTransfer(r.inOffice(ctx, func() error {
				return r.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(s.Addr)).Error()
			}))
		}
	}
	return fmt.Errorf("transfer leadership to %s: %w", to, ErrNotVoter)
}

// ErrNotVoter says that the node named isn't a voter.
var ErrNotVoter = errors.New("not a voter")

func wrapTransfer(err error) error {
	if err != nil {
		return fmt.Errorf("transfer leadership: %w", err)
	}
	return nil
}
