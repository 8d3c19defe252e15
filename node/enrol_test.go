package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/trust"
)

// TestNoTwoMachinesShareAnEnrolment has many machines ask at once for one id,
// with one token, at two nodes: what the first ones got is void, so each must
// have another number.
func TestNoTwoMachinesShareAnEnrolment(t *testing.T) {
	l, ctx := secureLab(t, 2)
	token, _, err := l.Node("node1").CreateJoinToken(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := make(map[uint64]int)
	var asking sync.WaitGroup
	for i := range 12 {
		asking.Go(func() {
			e, err := l.Node(name(i%2)).Enrol(ctx, token, "twin", fmt.Sprint("10.0.0.", i, ":1"))
			mu.Lock()
			defer mu.Unlock()
			if got[e]++; err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for e, n := range got {
		if n > 1 {
			t.Errorf("%d machines have certificates by enrolment %d", n, e)
		}
	}
}

// TestAMachineThatWouldNotBeLetInShutsNobodyOut asks under the id of a voter that
// is down, from another address: its certificate stays good.
func TestAMachineThatWouldNotBeLetInShutsNobodyOut(t *testing.T) {
	l, ctx := secureLab(t, 3)
	token, _, err := l.Node("node1").CreateJoinToken(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	l.Kill("node3")
	until(ctx, t, "the refusal", func() bool {
		err := l.TryJoin(ctx, "node3", token)
		return err != nil && strings.Contains(err.Error(), "belongs to a voter at")
	})
	if err := l.Restart(ctx, "node3"); err != nil {
		t.Error(err)
	}
}

// TestANodeWithoutItsKeysDoesNotSpeakPlainly loses the keys of a node on
// loopback, where TLS isn't the default, with and without a snapshot: it ends as
// soon as it sees that its cluster has TLS.
func TestANodeWithoutItsKeysDoesNotSpeakPlainly(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			lost, fatal := false, make(chan error, 1)
			l, ctx := secureLabOf(t, 1, func(_ string, o *node.Options) {
				if lost {
					o.ClusterTLS = false
					o.Memory.LoseKeys()
					o.Fatal = func(err error) { fatal <- err }
				}
			})
			put(ctx, t, l, "a")
			if snapshot {
				if err := l.Node("node1").TakeSnapshot(ctx); err != nil {
					t.Fatal(err)
				}
			}
			l.Kill("node1")
			lost = true
			once, cancel := context.WithCancel(ctx)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- l.Restart(once, "node1") }()
			var err error
			select {
			case err = <-ended:
			case err = <-fatal:
				cancel()
				<-ended
			}
			if !errors.Is(err, node.ErrKeysGone) || snapshot && !errors.Is(err, trust.ErrNoKey) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// TestAQuietClusterOutlivesItsSecrets rotates more often than a node keeps
// secrets, after the last snapshot that its log would ask for.
func TestAQuietClusterOutlivesItsSecrets(t *testing.T) {
	l, ctx := secureLab(t, 1)
	put(ctx, t, l, "a")
	if err := l.Node("node1").TakeSnapshot(ctx); err != nil {
		t.Fatal(err)
	}
	for epoch := uint64(2); epoch <= 19; epoch++ {
		if err := l.Node("node1").RotateTLS(ctx); err != nil {
			t.Fatal(err)
		}
		until(ctx, t, fmt.Sprint("epoch ", epoch), rotated(l.Node("node1"), epoch))
	}
	l.Kill("node1")
	if err := l.Restart(ctx, "node1"); err != nil {
		t.Fatal(err)
	}
	put(ctx, t, l, "b")
}
