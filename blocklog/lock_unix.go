//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package blocklog

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the lock of a log, in a file of its own because the log's file
// changes with rotation: two writers would break the chain. The operating
// system frees it when the process ends, however it ends.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another process writes this log (it holds %s)", path)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
