//go:build unix && !linux

package demo

import (
	"os"
	"syscall"
)

// childAttr gives a child a process group of its own, so that Ctrl-C reaches
// only the demo.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
