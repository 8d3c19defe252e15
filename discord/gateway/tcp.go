package gateway

import (
	"context"
	"net"
	"time"
)

// A way to Discord that has gone without a word, as when a cable is pulled, is found by the zombie rule within two
// heartbeats: 82 s at Discord's interval of 41.25 s (events/gateway.mdx, "Sending Heartbeats"). The kernel
// finds it sooner, since it needs no answer of Discord's but the acknowledgement of any of its hosts' kernels. The
// price of a mistake is a RESUME.
const (
	// probeAfter is how long a connection is silent before the kernel asks for an acknowledgement, and probeEvery how
	// long after that it asks again.
	probeAfter = 4 * time.Second
	probeEvery = 2 * time.Second
	// probes is how many unanswered ones end the connection.
	probes = 2
	// unackedMost is how long what was sent may stay without an acknowledgement, where the kernel can be told so. While
	// something is under way nothing else is asked, and it may have been sent in the last moment of a silence: both
	// times may be needed.
	unackedMost = probeAfter + probes*probeEvery
)

// dialTCP opens a connection that ends 8 to 16 s after its way has gone.
func dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes},
		Control:         boundUnacked,
	}
	return d.DialContext(ctx, network, addr)
}
