package botnodetest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeT is a test inside a test or an example: its failures can be looked at.
type fakeT struct {
	testing.TB // nil: what isn't below isn't used

	mu       sync.Mutex // guards what follows
	cleanups []func()
	failed   bool
	log      strings.Builder
	quiet    bool
}

func newT() *fakeT { return &fakeT{} }

// run runs a test on its own goroutine, as package testing does.
func (t *fakeT) run(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.end()
		test()
	}()
	<-done
}

func (t *fakeT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
	if t.cleanups = nil; t.failed && !t.quiet {
		fmt.Print(t.log.String()) // an example shows it
	}
}

func (*fakeT) Helper() {}

func (t *fakeT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *fakeT) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *fakeT) Log(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(&t.log, args...)
}

func (t *fakeT) Errorf(format string, args ...any) {
	t.Log(fmt.Sprintf(format, args...))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

func (t *fakeT) Error(args ...any) { t.Errorf("%s", fmt.Sprint(args...)) }

func (t *fakeT) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}
