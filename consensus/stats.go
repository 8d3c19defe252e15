package consensus

import (
	"strconv"
	"strings"
	"time"
)

// Stats is a node's state for reporting.
type Stats struct {
	State                       string
	Term                        uint64
	Leader                      Leader
	LastIndex, LastLogTerm      uint64
	CommitIndex, AppliedIndex   uint64
	SnapshotIndex, SnapshotTerm uint64
	// Pending is the number of batches that wait for the state machine.
	Pending uint64
	// LogBytes is the log since the last snapshot.
	LogBytes int64
	Servers  []Server
}

// State returns raft's own name of its state in lower case: follower, candidate, leader, shutdown. For reporting only;
// decisions look at Leader.
func (r *Raft) State() string { return strings.ToLower(r.raft.State().String()) }

// Term returns the current term.
func (r *Raft) Term() uint64 { return r.raft.CurrentTerm() }

// CommitIndex returns the highest index known to be committed.
func (r *Raft) CommitIndex() uint64 { return r.raft.CommitIndex() }

// AppliedIndex returns the highest index whose effect is in the machine's state.
func (r *Raft) AppliedIndex() uint64 { return r.fsm.applied.load() }

// LastIndex returns the last index in the log.
func (r *Raft) LastIndex() uint64 { return r.raft.LastIndex() }

// LastContact returns when this node last heard from a leader; on the leader it is now.
func (r *Raft) LastContact() time.Time {
	if r.IsLeader() {
		return time.Now()
	}
	return r.raft.LastContact()
}

// Stats returns the node's state.
func (r *Raft) Stats() Stats {
	m := r.raft.Stats()
	num := func(key string) uint64 {
		n, _ := strconv.ParseUint(m[key], 10, 64) // raft formats these itself
		return n
	}
	r.sizes.mu.Lock()
	logBytes := r.sizes.since
	r.sizes.mu.Unlock()
	return Stats{
		State: strings.ToLower(m["state"]), Term: num("term"), Leader: r.Leader(),
		LastIndex: num("last_log_index"), LastLogTerm: num("last_log_term"),
		CommitIndex: num("commit_index"), AppliedIndex: r.AppliedIndex(),
		SnapshotIndex: num("last_snapshot_index"), SnapshotTerm: num("last_snapshot_term"),
		Pending: num("fsm_pending"), LogBytes: logBytes, Servers: r.Servers(),
	}
}

// lastEntry returns the position of this node's log, as a vote compares it.
func (r *Raft) lastEntry() (term, index uint64) {
	s := r.Stats()
	if s.SnapshotIndex > s.LastIndex {
		return s.SnapshotTerm, s.SnapshotIndex
	}
	return s.LastLogTerm, s.LastIndex
}
