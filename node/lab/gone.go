package lab

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// labelled runs f so that the goroutines that it starts, and those that they
// start, can be told from all others.
func (l *Lab) labelled(f func()) {
	pprof.Do(context.Background(), pprof.Labels(labelKey, l.label), func(context.Context) { f() })
}

const labelKey = "botnode_lab"

// labs numbers the labs of the process.
var labs atomic.Uint64

func newLabel() string { return fmt.Sprintf("lab-%d-", labs.Add(1)) }

// goneTimeout is how long Close waits for goroutines that nobody waits for:
// gossip's last probe takes up to a second if its peer is gone, and a handler
// may have left some behind for good.
const goneTimeout = 2 * time.Second

// waitGone waits until no labelled goroutine is left, so that a test which looks
// for leaks finds its own.
func (l *Lab) waitGone() {
	label := []byte(l.label)
	for end := time.Now().Add(goneTimeout); time.Now().Before(end); {
		var b bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil || !bytes.Contains(b.Bytes(), label) {
			return
		}
		<-time.After(interval)
	}
}
