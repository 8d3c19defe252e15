package demo

import (
	"os"
	"syscall"
)

// childAttr gives a child a process group of its own, so that Ctrl-C reaches
// only the demo, and lets the kernel kill it should the demo be killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
