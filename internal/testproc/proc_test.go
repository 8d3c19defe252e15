//go:build unix

package testproc

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sh starts a shell script.
func sh(t *testing.T, script string) *Proc {
	t.Helper()
	p, err := Start(Options{Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestExitCodeAndLog(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p := sh(t, "echo out; echo err >&2; exit 3")
	if code, err := p.Wait(ctx); code != 3 || err != nil {
		t.Errorf("exit code %d, %v; want 3", code, err)
	}
	if p.Log() != "out\nerr\n" || !p.Logged("err") || p.Logged("nothing") {
		t.Errorf("log %q", p.Log())
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrEnded) {
		t.Errorf("a signal after the end: %v", err)
	}
}

func TestKillStopAndContinue(t *testing.T) {
	p := sh(t, "exec sleep 600")
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT, syscall.SIGSTOP} {
		if err := p.Signal(sig); err != nil || !p.Alive() {
			t.Fatalf("after %v: %v, alive %v", sig, err, p.Alive())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a stopped process: %v", err)
	}
	if err := p.Kill(); err != nil || p.Alive() {
		t.Errorf("kill: %v, alive %v", err, p.Alive())
	}
	if code, _ := p.Wait(t.Context()); code != -1 {
		t.Errorf("exit code %d after a kill", code)
	}
}

func TestRun(t *testing.T) {
	res, err := Run(t.Context(), Options{Path: "/bin/sh", Args: []string{"-c", "echo $X; echo no >&2; exit 2"}, Env: []string{"X=1"}})
	if err != nil || res != (Result{2, "1\n", "no\n"}) {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := Run(t.Context(), Options{Path: "/nonexistent"}); err == nil {
		t.Error("a program that isn't there ran")
	}
}

func TestAddrsDiffer(t *testing.T) {
	var p Ports
	seen := map[string]bool{}
	for range 20 {
		a, err := p.Addr()
		if err != nil || seen[a] {
			t.Fatalf("%s again, or %v", a, err)
		}
		seen[a] = true
	}
}
