package blocklog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A rotated file is named after the number of its first record, so that names
// sort as the chain runs and a missing file shows: blocked.jsonl.000000000042.
const seqDigits = 12

func rotatedName(path string, firstSeq uint64) string {
	return fmt.Sprintf("%s.%0*d", path, seqDigits, firstSeq)
}

// firstSeqOf returns the number in the name of a file rotated from path.
func firstSeqOf(path, rotated string) (uint64, bool) {
	suffix, ok := strings.CutPrefix(rotated, path+".")
	if !ok || len(suffix) < seqDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(suffix, 10, 64)
	return n, err == nil
}

// rotatedFiles returns the files rotated from path, oldest first.
func rotatedFiles(path string) ([]string, error) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the rotated files: %w", err)
	}
	type numbered struct {
		seq  uint64
		path string
	}
	var found []numbered
	for _, e := range entries {
		full := filepath.Join(dir, e.Name())
		if seq, ok := firstSeqOf(filepath.Join(dir, filepath.Base(path)), full); ok && e.Type().IsRegular() {
			found = append(found, numbered{seq, full})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return int(int64(a.seq) - int64(b.seq)) })
	files := make([]string, len(found))
	for i, f := range found {
		files[i] = f.path
	}
	return files, nil
}

// Files returns the files of the log at path that exist, in the order of the
// chain: those rotated from it, oldest first, then path itself. It fails if
// there is none.
func Files(path string) ([]string, error) {
	files, err := rotatedFiles(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err == nil {
		files = append(files, path)
	} else if !errors.Is(err, fs.ErrNotExist) || len(files) == 0 {
		return nil, fmt.Errorf("open the blocked-query log: %w", err)
	}
	return files, nil
}

// end is what the end of a file tells.
type end struct {
	last  *Record // the last valid record, nil if there is none
	size  int64   // bytes up to the end of that record
	after int64   // bytes behind it: cut off by a crash, or changed
}

// tailStep is how much of a file's end is read at first; it is doubled while
// no valid record is in it.
const tailStep = 256 << 10

// readEnd finds the last record of f whose hash is right.
func readEnd(f io.ReaderAt, size int64) (end, error) {
	for step := int64(tailStep); size > 0; step *= 2 {
		from := max(0, size-step)
		tail := make([]byte, size-from)
		if _, err := f.ReadAt(tail, from); err != nil {
			return end{}, fmt.Errorf("read the end of the log: %w", err)
		}
		if e, ok := endIn(tail, from, size); ok {
			return e, nil
		}
		if from == 0 {
			break
		}
	}
	return end{after: size}, nil
}

// endIn looks for the last valid line in tail, which begins at offset from. A
// line counts only if its start is in tail as well.
func endIn(tail []byte, from, size int64) (end, bool) {
	for stop := bytes.LastIndexByte(tail, '\n'); stop >= 0; {
		start := bytes.LastIndexByte(tail[:stop], '\n')
		if start < 0 && from > 0 {
			return end{}, false
		}
		if r, ok, err := decodeLine(tail[start+1 : stop]); err == nil && ok {
			upTo := from + int64(stop) + 1
			return end{last: &r, size: upTo, after: size - upTo}, true
		}
		stop = start
	}
	return end{}, false
}
