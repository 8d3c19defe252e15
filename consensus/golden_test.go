package consensus

import (
	"errors"
	"fmt"
	"testing"

	"github.com/botnode/botnode/internal/golden"
)

// TestGoldenMessages: a follower of one version forwards to a leader of another,
// and both tell each other of a dead leader.
func TestGoldenMessages(t *testing.T) {
	var l golden.Lines
	l.Add("entry", encodeEntry(place{session: 1 << 40, stream: 3, seq: 300}, []byte("entry")))
	l.Add("index", []byte{askIndex})
	l.Add("ok", encodeOutcome(300, []byte("result"), nil))
	l.Add("not-leader", encodeOutcome(0, nil, ErrNotLeader))
	l.Add("too-large", encodeOutcome(0, nil, fmt.Errorf("%w: x", ErrTooLarge)))
	l.Add("unknown", encodeOutcome(0, nil, errors.New("x")))
	l.Add("report", report{Term: 7, LastTerm: 6, LastIndex: 300, Leader: "joe", Voter: "mike"}.encode())
	golden.Check(t, "messages.txt", l.String())
}
