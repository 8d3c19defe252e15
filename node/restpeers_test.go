package node

import (
	"encoding/binary"
	"testing"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/transport"
)

// A message for the process that a node was before is not taken for the next one's.
func TestMessagesOfLimitersAreForOneProcess(t *testing.T) {
	n := &Node{self: fsm.NodeRef{ID: "joe", Inc: 5}}
	for inc, want := range map[uint64]string{
		4: "this is not the process that the message is for",
		5: "no bot x in this node's program",
	} {
		msg := append(binary.AppendUvarint(nil, inc), 1, 'x')
		calls := 0
		n.handleREST(transport.Peer{ID: "mike", Incarnation: 1}, msg, func(_ []byte, err error) {
			if calls++; err == nil || err.Error() != want {
				t.Errorf("for process %d: %v, want %s", inc, err, want)
			}
		})
		if calls != 1 {
			t.Errorf("answered %d times", calls)
		}
	}
}
