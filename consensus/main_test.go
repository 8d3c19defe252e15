package consensus

import (
	"testing"

	"go.uber.org/goleak"
)

// One goroutine may stay behind where raft stopped with an entry queued for the state machine: see abandon. Whatever else of
// a node that wasn't closed is left shows beside it.
func TestMain(m *testing.M) {
	const of = "github.com/botnode/botnode/consensus.(*proposals)."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(of+"wait"), goleak.IgnoreAnyFunction(of+"abandon.func1"))
}
