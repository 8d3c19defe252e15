//go:build !linux

package gateway

import "syscall"

// boundUnacked does nothing: what was sent waits for the kernel's own bound, or for the zombie rule.
func boundUnacked(string, string, syscall.RawConn) error { return nil }
