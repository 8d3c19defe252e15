//go:build unix

package demo

import (
	"os"
	"syscall"
)

// endSignals end the demo in good order. A broken pipe is one of them, or
// `botnode demo | head` would leave its folder behind.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE}
