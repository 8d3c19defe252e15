//go:build unix

package chaos

import (
	"testing"
	"time"
)

// TestUnplugged has the way from an owner to Discord swallow every packet, in both directions, while Discord's heartbeats
// are as far from each other as they really are. Its shards are elsewhere long before a heartbeat would have told: the
// kernel finds out in 8 to 16 s, and the leader moves them after some six more.
func TestUnplugged(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real processes are left to the long form, which .ci/run takes")
	}
	o := testOptions(t, max(*seedFlag, 1), 35*time.Second)
	if !o.network {
		t.Skip("a network that swallows packets needs Linux, root and /dev/net/tun")
	}
	buildBot(t)
	o.disks, o.beat = false, 41250*time.Millisecond
	cut := fault{n: 1, kind: kindOf("net-discord"), at: calm, length: 33 * time.Second, seed: o.seed}
	silences := try(t, o, []fault{cut}).silences[cut.kind.name]
	if len(silences) != 1 || silences[0] < second || silences[0] > 30*time.Second {
		t.Errorf("silent for %v: at least one second, or nothing was cut off, and at most 30", silences)
	}
	t.Logf("silent for %v", silences)
}
