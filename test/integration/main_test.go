//go:build unix

package integration

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

var roundsFlag = flag.Int("rounds", 0, "rounds of each repeated scenario; 0 is BOTNODE_ROUNDS, else 1")

// programs builds what the tests run, each program once.
var programs = struct {
	dir   string
	ports testproc.Ports

	mu    sync.Mutex // guards paths
	paths map[string]string
}{paths: map[string]string{}}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testproc.Main(m, "botnode-integration", func(dir string) { programs.dir = dir }))
}

// program returns the path of a program of the module, built at its first use
// unless BOTNODE_BINS names a folder of programs.
func program(t *testing.T, pkg string) string {
	t.Helper()
	if dir := os.Getenv("BOTNODE_BINS"); dir != "" {
		return filepath.Join(dir, filepath.Base(pkg))
	}
	return build(t, pkg, programs.dir)
}

// release returns the path of a program of the module that was built as a
// version of its own. Its guilds don't compete for one counter.
func release(t *testing.T, pkg, version string) string {
	t.Helper()
	return build(t, pkg, filepath.Join(programs.dir, version), "-ldflags", "-X main.version="+version+" -X main.counter=")
}

// build builds a program into a folder, once.
func build(t *testing.T, pkg, dir string, flags ...string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	path := filepath.Join(dir, filepath.Base(pkg))
	if programs.paths[path] != "" {
		return path
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if programs.paths[path], err = testproc.Build(ctx, root, pkg, dir, flags...); err != nil {
		t.Fatal(err)
	}
	return path
}

// atOnce is how many tests run beside each other, if -parallel and the cores let
// so many: each has three nodes or more under load, which sync to one disk.
const atOnce = 4

var running = make(chan struct{}, atOnce)

// parallel has a test run beside others. It is for scenarios that assert what
// happens; those that assert how fast have the machine to themselves, and in the
// long form, whose figures are published, all do.
func parallel(t *testing.T) {
	t.Helper()
	if long() {
		return
	}
	t.Parallel()
	running <- struct{}{}
	t.Cleanup(func() { <-running }) // the last of all: the processes are gone by then
}

// long reports whether the long form is asked for.
func long() bool { return *roundsFlag > 0 || os.Getenv("BOTNODE_ROUNDS") != "" }

// few is how often a scenario of long rounds runs.
func few(t *testing.T) int {
	t.Helper()
	return min((rounds(t)+1)/2, 10)
}

// rounds is how often a repeated scenario runs: once in the short form, in which
// TestCachesAreTrueAfterThreeKills kills again and again.
func rounds(t *testing.T) int {
	t.Helper()
	if *roundsFlag > 0 {
		return *roundsFlag
	}
	text := os.Getenv("BOTNODE_ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BOTNODE_ROUNDS=%q is no number of rounds", text)
	}
	return n
}
