package blocklog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// followEvery is how often Follow looks for more.
const followEvery = 250 * time.Millisecond

// Follow calls f for each record that is appended to the log at path after
// the call, across rotations, until ctx ends (which is no error) or f fails.
// The log need not exist yet.
func Follow(ctx context.Context, path string, filter Filter, f func(*Record) error) error {
	t := &tail{path: path, emit: func(r *Record) error {
		if !filter.Match(r) {
			return nil
		}
		return f(r)
	}}
	defer t.close()
	if err := t.openAtEnd(); err != nil {
		return err
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		if err := t.step(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// tail is the state of Follow.
type tail struct {
	path string
	emit func(*Record) error

	f    *os.File // nil while the log does not exist
	rest []byte   // the start of a line whose end is not there yet
	last uint64   // number of the last record that was seen
}

// open opens the current file, if there is one.
func (t *tail) open() error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("follow the blocked-query log: %w", err)
	}
	t.f, t.rest = f, nil
	return nil
}

// openAtEnd opens the current file behind its last record.
func (t *tail) openAtEnd() error {
	if err := t.open(); err != nil || t.f == nil {
		return err
	}
	info, err := t.f.Stat()
	if err != nil {
		return fmt.Errorf("follow the blocked-query log: %w", err)
	}
	e, err := readEnd(t.f, info.Size())
	if err != nil || e.last == nil {
		return err
	}
	t.last = e.last.Seq
	if _, err := t.f.Seek(e.size, io.SeekStart); err != nil {
		return fmt.Errorf("follow the blocked-query log: %w", err)
	}
	return nil
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close()
	}
	t.f = nil
}

// step emits what is new. The file that is open is read to its end before
// another is taken up, so nothing is skipped when it was rotated meanwhile.
func (t *tail) step() error {
	replaced, err := t.replaced()
	if err != nil {
		return err
	}
	if t.f != nil {
		if err := t.drain(t.f); err != nil {
			return err
		}
	}
	if !replaced {
		return nil
	}
	t.close()
	if err := t.open(); err != nil || t.f == nil {
		return err
	}
	if firstSeqIn(t.f, t.last+1) == 1 {
		t.last = 0 // a new chain: the log was removed, its writer started again
	}
	// After opening: should the file just opened be rotated now, it is among
	// the missed ones, and its records are not emitted twice.
	if err := t.missed(); err != nil {
		return err
	}
	return t.drain(t.f)
}

// replaced reports whether the open file is no longer the one at the path.
func (t *tail) replaced() (bool, error) {
	there, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // between the two steps of a rotation, or not there yet
	}
	if err != nil {
		return false, fmt.Errorf("follow the blocked-query log: %w", err)
	}
	if t.f == nil {
		return true, nil
	}
	here, err := t.f.Stat()
	if err != nil {
		return false, fmt.Errorf("follow the blocked-query log: %w", err)
	}
	return !os.SameFile(here, there), nil
}

// missed emits the rotated files that came and went between two steps.
func (t *tail) missed() error {
	if t.last == 0 {
		return nil
	}
	files, err := rotatedFiles(t.path)
	if err != nil {
		return err
	}
	for _, name := range files {
		if first, _ := firstSeqOf(filepath.Clean(t.path), name); first <= t.last {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("follow the blocked-query log: %w", err)
		}
		err = t.drain(f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// drain emits the whole lines from the position of f on.
func (t *tail) drain(f *os.File) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		t.rest = append(t.rest, buf[:n]...)
		for {
			line, after, ok := bytes.Cut(t.rest, []byte("\n"))
			if !ok {
				break
			}
			t.rest = after
			if r, _, err := decodeLine(line); err == nil && r.Seq > t.last {
				t.last = r.Seq
				if err := t.emit(&r); err != nil {
					return err
				}
			}
		}
		if len(t.rest) > maxLine {
			t.rest = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow the blocked-query log: %w", err)
		}
	}
}
