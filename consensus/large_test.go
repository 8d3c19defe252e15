package consensus

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

// TestTooLargeIsRefusedAlike: what exceeds a bound is refused at once, on the leader and
// on a follower, as something that surely was not appended; what is under way beside it
// isn't disturbed.
func TestTooLargeIsRefusedAlike(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *Options) { o.MaxEntryBytes = 64 })
	for _, n := range []*testNode{c.Leader(), c.follower()} {
		p := c.proposer(n, func(o *ProposerOptions) { o.MaxCommandBytes, o.MaxBatchBytes = 100, 40 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var wg sync.WaitGroup
		for range 20 {
			wg.Add(2)
			p.Submit([]byte("small 1"), func(_ []byte, err error) {
				defer wg.Done()
				if err != nil {
					t.Errorf("%s: one that is small enough: %v", n.id, err)
				}
			})
			p.SubmitRider([]byte(strings.Repeat("r", 101)), func(_ []byte, err error) {
				defer wg.Done()
				if !errors.Is(err, ErrTooLarge) {
					t.Errorf("%s: a large rider: %v", n.id, err)
				}
			})
			for _, size := range []int{80, 101} { // for an entry, and as a command
				if _, err := p.Propose(ctx, []byte(strings.Repeat("l", size))); !errors.Is(err, ErrTooLarge) || !NotAppended(err) {
					t.Errorf("%s: %d bytes: %v", n.id, size, err)
				}
			}
		}
		wg.Wait()
		cancel()
	}
}
