package blocklog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// prepare makes sure that l.f is the file at l.path and ends with a whole
// line: others may have removed, replaced or cut it since the last write.
func (l *logFile) prepare(seq uint64) error {
	if l.f == nil {
		return l.reopen(seq)
	}
	if err := l.dropPartial(); err != nil {
		return fmt.Errorf("cut off a partial record: %w", err)
	}
	here, err := l.f.Stat()
	if err != nil {
		return fmt.Errorf("look at the blocked-query log: %w", err)
	}
	there, err := os.Stat(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the blocked-query log: %w", err)
	}
	if err != nil || !os.SameFile(here, there) {
		l.log.Warn("the blocked-query log was removed or replaced, its chain goes on in a new file", "file", l.path)
		_ = l.f.Close()
		l.f = nil
		return l.reopen(seq)
	}
	if here.Size() == l.size {
		return nil
	}
	l.log.Warn("the blocked-query log was changed by someone else", "file", l.path, "size", here.Size(), "written", l.size)
	l.size = here.Size()
	return l.endLine()
}

// endLine begins a new line if the file does not end with one.
func (l *logFile) endLine() error {
	if l.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := l.f.ReadAt(last, l.size-1); err != nil {
		return fmt.Errorf("look at the blocked-query log: %w", err)
	}
	if last[0] == '\n' {
		return nil
	}
	if _, err := l.f.Write([]byte("\n")); err != nil {
		return fmt.Errorf("write the blocked-query log: %w", err)
	}
	l.size++
	return nil
}

// reopen opens or creates the file at l.path, for records from seq on.
func (l *logFile) reopen(seq uint64) error {
	f, err := l.open(l.path)
	if err != nil {
		return fmt.Errorf("open the blocked-query log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("look at the blocked-query log: %w", err), f.Close())
	}
	l.f, l.size, l.partial = f, info.Size(), false
	l.firstSeq = firstSeqIn(f, seq)
	return l.endLine()
}

// rotate gives the file its own name and begins a new one with record seq. A
// file that cannot be renamed is written on: a record matters more than a
// size.
func (l *logFile) rotate(seq uint64) error {
	name := rotatedName(l.path, l.firstSeq)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot rotate the blocked-query log: the name is taken", "name", name)
		return nil
	}
	if err := l.sync(); err != nil {
		return err
	}
	if err := os.Rename(l.path, name); err != nil {
		l.log.Warn("cannot rotate the blocked-query log", "error", err)
		return nil
	}
	_ = l.f.Close() // synced above
	l.f = nil
	if err := l.reopen(seq); err != nil {
		return err
	}
	l.prune()
	return nil
}

// prune removes rotated files beyond l.keep, oldest first.
func (l *logFile) prune() {
	if l.keep <= 0 {
		return
	}
	files, err := rotatedFiles(l.path)
	if err != nil {
		l.log.Warn("cannot remove old files of the blocked-query log", "error", err)
		return
	}
	for len(files) > l.keep {
		if err := os.Remove(files[0]); err != nil {
			l.log.Warn("cannot remove an old file of the blocked-query log", "error", err)
			return
		}
		files = files[1:]
	}
}
