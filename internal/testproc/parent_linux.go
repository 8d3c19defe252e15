package testproc

import "syscall"

// dieWithParent has the kernel kill the child when this process dies: a test
// that is killed or runs out of time runs no cleanup.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
