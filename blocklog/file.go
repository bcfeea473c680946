package blocklog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
)

// file is what a log file must be able to do; *os.File is the only one
// outside of tests.
type file interface {
	io.Writer
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// openLog opens or creates a log file for its owner alone.
func openLog(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// logFile is the current file of a log. It knows lines and sizes, nothing of
// records but their numbers. One goroutine owns it.
type logFile struct {
	path string
	max  atomic.Int64 // bytes after which a new file is begun; 0 means never. Changed by any goroutine
	keep int
	open func(path string) (file, error)
	log  *slog.Logger

	f        file // nil while the file could not be opened
	size     int64
	firstSeq uint64 // of the first record in the file: its name after rotation
	partial  bool   // a failed write may have left bytes behind size
	unsynced bool
}

func newLogFile(o Options, log *slog.Logger) *logFile {
	l := &logFile{path: o.File, keep: o.Keep, open: openLog, log: log}
	l.max.Store(int64(o.MaxSizeMB) << 20)
	if o.maxSize > 0 {
		l.max.Store(o.maxSize)
	}
	if o.openFile != nil {
		l.open = o.openFile
	}
	return l
}

// beginning is where the chain goes on.
type beginning struct {
	seq  uint64 // of the last record
	hash string // its hash
	torn string // file that keeps the end that was cut off, "" if none was
}

// begin opens the file and finds the end of the chain.
func (l *logFile) begin() (beginning, error) {
	f, err := l.open(l.path)
	if err != nil {
		return beginning{}, err
	}
	found, err := l.findEnd(f)
	if err != nil {
		return beginning{}, errors.Join(err, f.Close())
	}
	l.f = f
	return found, nil
}

func (l *logFile) findEnd(f file) (beginning, error) {
	info, err := f.Stat()
	if err != nil {
		return beginning{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		l.log.Warn("others may read the blocked-query log", "file", l.path, "mode", info.Mode().Perm().String())
	}
	e, err := readEnd(f, info.Size())
	if err != nil {
		return beginning{}, err
	}
	if e.last == nil && !looksTorn(f, info.Size()) {
		return beginning{}, fmt.Errorf("%s holds no record and is no blocked-query log; move it away", l.path)
	}
	found := beginning{hash: genesis}
	if e.last != nil {
		found.seq, found.hash = e.last.Seq, e.last.Hash
	} else if found.seq, found.hash, err = l.lastRotated(); err != nil {
		return beginning{}, err
	}
	if e.after > 0 {
		if found.torn, err = l.setAside(f, e, found.seq+1); err != nil {
			return beginning{}, err
		}
	}
	l.size = e.size
	l.firstSeq = firstSeqIn(f, found.seq+1)
	return found, nil
}

// looksTorn reports whether a file without any record is empty or holds the
// start of one: a first line that a crash cut off.
func looksTorn(f io.ReaderAt, size int64) bool {
	start := []byte(`{"v":`)
	head := make([]byte, min(size, int64(len(start))))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	if !bytes.HasPrefix(start, head) {
		return false
	}
	line := make([]byte, min(size, maxLine))
	n, _ := f.ReadAt(line, 0)
	return int64(n) == size && !bytes.ContainsRune(line, '\n')
}

// lastRotated returns the last record of the newest rotated file.
func (l *logFile) lastRotated() (seq uint64, hash string, err error) {
	files, err := rotatedFiles(l.path)
	if err != nil || len(files) == 0 {
		return 0, genesis, err
	}
	newest := files[len(files)-1]
	f, err := os.Open(newest)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	e, err := readEnd(f, info.Size())
	if err != nil {
		return 0, "", err
	}
	if e.last == nil {
		return 0, "", fmt.Errorf("%s holds no record; move it away", newest)
	}
	return e.last.Seq, e.last.Hash, nil
}

// setAside moves the bytes behind the last record into a file of their own.
func (l *logFile) setAside(f file, e end, nextSeq uint64) (string, error) {
	name := fmt.Sprintf("%s.torn-%d", l.path, nextSeq)
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s.torn-%d-%d", l.path, nextSeq, i)
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep the torn end: %w", err)
	}
	_, err = io.Copy(out, io.NewSectionReader(f, e.size, e.after))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", fmt.Errorf("keep the torn end: %w", err)
	}
	if err := f.Truncate(e.size); err != nil {
		return "", fmt.Errorf("cut off the torn end: %w", err)
	}
	return name, nil
}

// firstSeqIn returns the number of the first record in f, or next if there is
// none.
func firstSeqIn(f io.ReaderAt, next uint64) uint64 {
	line, err := bufio.NewReader(io.NewSectionReader(f, 0, maxLine)).ReadBytes('\n')
	if err != nil {
		return next
	}
	r, _, err := decodeLine(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		return next
	}
	return r.Seq
}

// write appends whole lines, the first of which has the number seq. After an
// error nothing of them counts, and the same call may be tried again.
func (l *logFile) write(lines []byte, seq uint64) error {
	if err := l.prepare(seq); err != nil {
		return err
	}
	if bound := l.max.Load(); bound > 0 && l.size > 0 && l.size+int64(len(lines)) > bound {
		if err := l.rotate(seq); err != nil {
			return err
		}
	}
	n, err := l.f.Write(lines)
	if err != nil {
		l.partial = n > 0
		return fmt.Errorf("write the blocked-query log: %w", errors.Join(err, l.dropPartial()))
	}
	l.size += int64(n)
	l.unsynced = true
	return nil
}

// dropPartial removes what a failed write has left behind the last line.
func (l *logFile) dropPartial() error {
	if !l.partial {
		return nil
	}
	if err := l.f.Truncate(l.size); err != nil {
		return err
	}
	l.partial = false
	return nil
}

func (l *logFile) sync() error {
	if l.f == nil || !l.unsynced {
		return nil
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("sync the blocked-query log: %w", err)
	}
	l.unsynced = false
	return nil
}

func (l *logFile) close() error {
	if l.f == nil {
		return nil
	}
	err := errors.Join(l.sync(), l.f.Close())
	l.f = nil
	return err
}
