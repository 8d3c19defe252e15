//go:build unix

package testproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// ErrEnded is returned for a signal to a process that has ended.
var ErrEnded = errors.New("testproc: the process has ended")

// Options say what to run.
type Options struct {
	// Path of the program, and its arguments without its name.
	Path string
	Args []string
	// Env is added to a small environment: PATH, HOME and TMPDIR.
	Env []string
	// Dir is the working directory.
	Dir string
	// Enter, if set, is called on the thread that starts the process, which
	// inherits what it changes there: a network namespace.
	Enter func() error
	// Log is the file that standard output and error are appended to.
	Log string
}

// Proc is a running process, or one that has ended.
type Proc struct {
	o    Options
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for

	mu    sync.Mutex // guards what follows, and that no signal follows the wait
	ended bool
	err   error // of Wait; set before done is closed
}

// Start starts a process.
func Start(o Options) (*Proc, error) {
	log, err := os.OpenFile(o.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("testproc: %w", err)
	}
	cmd := exec.Command(o.Path, o.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	cmd.Env = append(baseEnv(), o.Env...)
	cmd.SysProcAttr = dieWithParent()
	p := &Proc{o: o, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("testproc: %w", err)
	}
	return p, nil
}

// run starts the process and waits for it. The kernel ties a child's life to
// the thread that made it, so the goroutine keeps its thread until the end; one
// that was changed ends with it.
func (p *Proc) run(log *os.File, started chan<- error) {
	runtime.LockOSThread()
	if p.o.Enter == nil {
		defer runtime.UnlockOSThread()
	}
	defer func() { _ = log.Close() }()
	if p.o.Enter != nil {
		if err := p.o.Enter(); err != nil {
			started <- err
			return
		}
	}
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := p.cmd.Wait()
	p.mu.Lock()
	p.ended, p.err = true, err
	p.mu.Unlock()
	close(p.done)
}

func baseEnv() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// PID is the process's id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Path is the path of the process's program.
func (p *Proc) Path() string { return p.o.Path }

// Signal sends a signal to the process, if it has not been waited for.
func (p *Proc) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return ErrEnded
	}
	return p.cmd.Process.Signal(sig)
}

// Kill kills the process as kill -9 does, and waits for its end.
func (p *Proc) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Close kills the process if it lives.
func (p *Proc) Close() { _ = p.Kill() }

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Alive reports whether the process has not ended.
func (p *Proc) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits for the process's end and returns its exit code, -1 if a signal
// ended it.
func (p *Proc) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("testproc: %s runs on: %w", p.cmd.Path, context.Cause(ctx))
	}
}

// Log returns what the process has written, all its lives in one file.
func (p *Proc) Log() string {
	b, err := os.ReadFile(p.o.Log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Logged reports whether the log has a text.
func (p *Proc) Logged(text string) bool { return strings.Contains(p.Log(), text) }

// Result is what a command that ended by itself came to.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs a command to its end.
func Run(ctx context.Context, o Options) (Result, error) {
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, o.Path, o.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, &out, &errs
	cmd.Env = append(baseEnv(), o.Env...)
	err := cmd.Run()
	res := Result{Stdout: out.String(), Stderr: errs.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		res.Code = exit.ExitCode()
		err = nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("testproc: %s: %w", strings.Join(o.Args, " "), context.Cause(ctx))
	}
	return res, err
}
