//go:build unix

package demo

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// program writes a shell script that is run in place of botnode.
func program(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "botnode")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return file
}

func TestNodesThatEndAreReportedWithTheirLogs(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	err := Run(t.Context(), Options{
		Executable: program(t, "mkdir -p joe; echo these are my last words; exit 7"), Stdout: io.Discard,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"has ended by itself", "these are my last words", "logs are kept in " + tmp} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	var left []string
	_ = filepath.WalkDir(tmp, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != tmp && filepath.Dir(path) != tmp {
			left = append(left, d.Name())
		}
		return nil
	})
	if !slices.Equal(left, []string{"joe.log", "mike.log", "robert.log"}) {
		t.Errorf("left behind: %q", left)
	}
}

// waitingOut cancels when all nodes are started and keeps what was printed.
type waitingOut struct {
	text   strings.Builder
	cancel context.CancelFunc
}

func (w *waitingOut) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "--id robert") {
		w.cancel()
	}
	return w.text.Write(p)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	out := &waitingOut{cancel: cancel}
	err := Run(ctx, Options{Executable: program(t, "exec sleep 60"), Stdout: out})
	if !errors.Is(err, ErrInterrupted) || strings.Contains(err.Error(), "logs") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for line := range strings.SplitSeq(out.text.String(), "\n") {
		if _, pid, ok := strings.Cut(line, "pid "); ok {
			checkGone(t, pid)
		}
	}
}

func checkGone(t *testing.T, pid string) {
	t.Helper()
	n := 0
	for _, c := range pid {
		n = 10*n + int(c-'0')
	}
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", n, err)
	}
}

func TestDemoWithoutAProgram(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	err := Run(t.Context(), Options{Executable: filepath.Join(tmp, "none"), Stdout: io.Discard})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestChildEnv(t *testing.T) {
	got := childEnv([]string{"PATH=/bin", "BOTNODE_HTTP=x", "BOTNODE_TOKEN=real", "DISCORD_TOKEN=real", "STATE_DIRECTORY=/var/lib"}, "simulated")
	if want := []string{"PATH=/bin", "BOTNODE_TOKEN=simulated"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(6)
	if err != nil || len(ports) != 6 {
		t.Fatal(ports, err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 6 {
		t.Errorf("a port twice: %q", ports)
	}
}
