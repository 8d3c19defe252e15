// Package testproc runs the programs of this module as real processes, for
// tests that kill, stop and restart them.
//
// A process ends with the test that started it, whatever way the test ends:
// Close kills it, and on Linux the kernel does when the test process dies. Only
// processes that this package started are ever signalled, by their id.
//
// The package refuses to look into a process: what one says of itself is in its
// log, and what it does is asked over its own interfaces.
package testproc
