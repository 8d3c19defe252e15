package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/botnode/botnode/fsm"
)

// TestNewBotWaitsForItsJournal: the leader makes a bot by one entry and says by another what its journal takes. The session
// start limit, before which no session begins, is read after both.
func TestNewBotWaitsForItsJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{machine: fsm.NewMachine()}
		rt := newBotRuntime(n, &Bot{Name: "default"})
		index := uint64(0)
		apply := func(c fsm.Command) {
			index++
			n.machine.Apply(index, fsm.EncodeBatch([][]byte{fsm.Encode(1, c)}))
		}
		ready := make(chan struct{})
		go func() {
			defer close(ready)
			rt.awaitInterests(context.Background())
		}()
		waits := func(after string) {
			t.Helper()
			synctest.Wait()
			select {
			case <-ready:
				t.Fatalf("it doesn't wait after %s", after)
			default:
			}
		}
		waits("the start")
		apply(&fsm.Init{ClusterID: "c"})
		apply(&fsm.Configure{Bot: "default", Config: []byte(`{}`)})
		waits("the configuration")
		apply(&fsm.Interests{Bot: "default", List: interestsOf(nil)})
		<-ready

		began := time.Now()
		newBotRuntime(n, &Bot{Name: "other"}).awaitInterests(context.Background())
		if took := time.Since(began); took != interestsTimeout {
			t.Errorf("without a word of the log it goes on after %v", took)
		}
	})
}
