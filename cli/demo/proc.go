package demo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// spawner starts processes, all from one OS thread that lives as long as the
// spawner: Linux sends a child its parent-death signal when the thread that
// forked it ends, not when the process does.
type spawner struct {
	work chan func()
	done chan struct{} // closed when the thread is given up
}

func newSpawner() *spawner { return &spawner{work: make(chan func()), done: make(chan struct{})} }

// run serves start until close.
func (s *spawner) run() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for f := range s.work {
		f()
	}
}

// close ends run. Every process must have ended before.
func (s *spawner) close() {
	close(s.work)
	<-s.done
}

func (s *spawner) start(c *exec.Cmd) (err error) {
	ready := make(chan struct{})
	s.work <- func() {
		defer close(ready)
		err = c.Start()
	}
	<-ready
	return err
}

// process is one running child.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
	err  error         // why it ended; set before done is closed
}

// startProcess starts a program with its output appended to a file.
func startProcess(s *spawner, program string, args, env []string, dir, logFile string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, log, log
	p.cmd.SysProcAttr = childAttr()
	if err := s.start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process and what it may have started, at once, and waits.
func (p *process) kill() {
	if p.ended() == nil { // else its id may be another process's by now
		killGroup(p.cmd.Process)
	}
	<-p.done
}

// ended says why the process has ended, or nil while it runs.
func (p *process) ended() error {
	select {
	case <-p.done:
		if p.err == nil {
			return errors.New("exited")
		}
		return p.err
	default:
		return nil
	}
}

// childEnv is the environment of a node: the demo's own without the settings of
// a botnode that is installed here, and with the token of the simulator.
func childEnv(env []string, token string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, "BOTNODE_") && !strings.HasPrefix(v, "DISCORD_TOKEN=") && !strings.HasPrefix(v, "STATE_DIRECTORY=") {
			out = append(out, v)
		}
	}
	return append(out, "BOTNODE_TOKEN="+token)
}

// lastLines is the end of a log, for a node that has ended by itself.
func lastLines(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
