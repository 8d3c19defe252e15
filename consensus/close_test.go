package consensus

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestCloseAnswersWhatIsCommitted: a state machine that takes longer than Close waits for proposals at all has what is
// committed before raft stops. Raft would forget the futures, and a goroutine would wait for each.
func TestCloseAnswersWhatIsCommitted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	n := c.Leader()
	n.toy.mu.Lock()
	var futures []*Future
	for i := range 10 { // one by one, or raft takes them together
		before := n.raft.CommitIndex()
		futures = append(futures, n.Propose(fmt.Appendf(nil, "%d x", i)))
		for n.raft.CommitIndex() == before {
			time.Sleep(waitPoll)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	<-n.ctx.Done()
	for range 50 {
		if n.raft.State() == raft.Shutdown {
			t.Error("raft stops before its entries are applied")
			break
		}
		time.Sleep(waitPoll)
	}
	n.toy.mu.Unlock()
	for i, f := range futures {
		if _, _, err := f.Wait(t.Context()); err != nil {
			t.Errorf("proposal %d: %v", i, err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
