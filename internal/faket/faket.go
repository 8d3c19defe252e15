// Package faket stands in for a *testing.T where there is none, as in examples,
// and where a test is to fail so that another can look at its failure.
package faket

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// T is a test inside a test or an example.
type T struct {
	testing.TB // nil: what isn't below isn't used

	mu       sync.Mutex // guards what follows
	cleanups []func()
	failed   bool
	log      strings.Builder

	// Quiet keeps End from printing why the test has failed.
	Quiet bool
}

// New returns a test that has not failed.
func New() *T { return &T{} }

// Run runs a test on its own goroutine, as package testing does.
func (t *T) Run(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.End()
		test()
	}()
	<-done
}

// End runs the cleanups, and prints why the test has failed: an example's output
// shows it.
func (t *T) End() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
	if t.cleanups = nil; t.failed && !t.Quiet {
		fmt.Print(t.log.String())
	}
}

// Helper does nothing.
func (*T) Helper() {}

// Cleanup notes what End is to do.
func (t *T) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Failed reports whether the test has failed.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Log notes a line.
func (t *T) Log(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(&t.log, args...)
}

// Errorf notes a failure.
func (t *T) Errorf(format string, args ...any) {
	t.Log(fmt.Sprintf(format, args...))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

// Error notes a failure.
func (t *T) Error(args ...any) { t.Errorf("%s", fmt.Sprint(args...)) }

// Fatalf notes a failure and ends the goroutine.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Noted returns what was noted.
func (t *T) Noted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.String()
}
