package consensus

import (
	"errors"
	"testing"
	"time"
)

// TestVerifyTakesNoOldAnswer: what followers said to heartbeats that were sent before a call doesn't verify a leader that
// has lost them since.
func TestVerifyTakesNoOldAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *Options) {
		o.Timeouts = Timeouts{Heartbeat: 2 * time.Second, Election: 2 * time.Second, Lease: 2 * time.Second, Commit: 10 * time.Millisecond}
	})
	l := c.Leader()
	release := make(chan struct{})
	c.net.mu.Lock()
	c.net.held = release
	c.net.mu.Unlock()
	// Two followers, with one request of the heartbeat and one of the replication each.
	c.eventually("answers on their way", func() bool {
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		return c.net.holds >= 4
	})
	c.Partition(l)
	verified := make(chan error, 1)
	go func() { verified <- l.Verify(t.Context()) }()
	c.eventually("the verification to begin", func() bool {
		l.verify.mu.Lock()
		defer l.verify.mu.Unlock()
		return l.verify.flying
	})
	c.eventually("raft to wait for votes", func() bool { return l.raft.Stats()["state"] == "Leader" }) // its loop has answered
	close(release)
	if err := <-verified; err == nil {
		t.Error("a leader without a quorum was verified")
	}
}

// TestVerifyTermOfALeaderElectedAgain: who leads again has not led since.
func TestVerifyTermOfALeaderElectedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	l := c.Leader()
	term, _ := l.Established()
	if err := l.VerifyTerm(t.Context(), term); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"", l.id} {
		if err := c.Leader().TransferLeadership(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		if to == l.id {
			c.eventually("the leader is back", func() bool { return c.Leader() == l })
		} else {
			c.eventually("another leader", func() bool { return c.Leader() != l })
		}
	}
	if err := l.VerifyTerm(t.Context(), term); !errors.Is(err, ErrNotLeader) {
		t.Errorf("it has led since term %d: %v", term, err)
	}
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
