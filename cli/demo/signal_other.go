//go:build !unix

package demo

import "os"

// endSignals end the demo in good order.
var endSignals = []os.Signal{os.Interrupt}
