package rest

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/golden"
)

// TestGoldenMessages: nodes of two versions count one bucket together.
func TestGoldenMessages(t *testing.T) {
	var l golden.Lines
	for i, b := range someMessages() {
		l.Add(fmt.Sprint("message", i+1), b)
	}
	l.Add("granted", acquireAns{code: ansGranted, view: stamp{3, 4}}.append(nil))
	l.Add("refused", acquireAns{code: ansRefused, wait: time.Second, scope: ScopeUser}.append(nil))
	l.Add("moved", acquireAns{code: ansMoved, view: stamp{1, 2}}.append(nil))
	l.Add("lane", laneAns{code: ansGranted, held: 3, target: 2}.append(nil))
	golden.Check(t, "wire.txt", l.String())
}
