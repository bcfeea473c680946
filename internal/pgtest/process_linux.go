package pgtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// processAttributes makes a child lead a process group, run as another user,
// and die with us.
func processAttributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: cred, Pdeathsig: syscall.SIGQUIT}
}

// startOnLockedThread starts cmd from a thread that lives as long as the
// process: Pdeathsig is sent when the thread that started the child ends, and
// the Go runtime ends threads.
func startOnLockedThread(cmd *exec.Cmd) error {
	errs := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		errs <- err
		if err == nil {
			select {} // keeps the thread
		}
	}()
	return <-errs
}
