//go:build !linux

package pgtest

import (
	"os/exec"
	"syscall"
)

func processAttributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: cred}
}

func startOnLockedThread(cmd *exec.Cmd) error { return cmd.Start() }
