package node

import (
	"strings"
	"testing"

	"github.com/botnode/botnode/trust"
)

// TestAnIdleNodeSaysHowItCanJoin: where its admin API has no certificate yet, nobody
// can tell it to join.
func TestAnIdleNodeSaysHowItCanJoin(t *testing.T) {
	keys, err := trust.OpenKeychain(new(trust.Memory), "n1")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"127.0.0.1:7201": "botnode join --http http://127.0.0.1:7201",
		"10.0.0.1:7201":  "--join PEER_HOST:PORT --join-token-file",
	} {
		n := &Node{o: Options{HTTPAddr: addr}, keys: keys}
		if got := n.howToJoin(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", addr, got)
		}
	}
	n := &Node{o: Options{HTTPAddr: "10.0.0.1:7201"}}
	if got := n.howToJoin(); !strings.Contains(got, "join --http http://10.0.0.1:7201") {
		t.Errorf("without TLS: %s", got)
	}
}
