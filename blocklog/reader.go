package blocklog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Filter chooses records. A field that is empty or zero chooses all.
type Filter struct {
	Org, Rule, Subject string
	Decision           Decision
	Since, Until       time.Time // since is included, until is not
}

// Match reports whether r is chosen. Records that tell of lost ones belong to
// no org, rule or subject; they are chosen wherever the time and the decision
// match, because any of the lost ones could have been.
func (f Filter) Match(r *Record) bool {
	switch {
	case !f.Since.IsZero() && r.Time.Before(f.Since),
		!f.Until.IsZero() && !r.Time.Before(f.Until),
		f.Decision != "" && r.Decision != f.Decision:
		return false
	case r.Decision == Lost:
		return true
	}
	return (f.Org == "" || r.Org == f.Org) &&
		(f.Rule == "" || r.Rule == f.Rule) &&
		(f.Subject == "" || r.Subject == f.Subject)
}

// Scan calls f for each record of the log at path that filter chooses, oldest
// first, rotated files included. It returns how many lines it could not read
// (Verify tells which), and f's error if that ends it.
func Scan(path string, filter Filter, f func(*Record) error) (unreadable int, err error) {
	files, err := Files(path)
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		err := eachLine(name, func(_ int, line []byte, complete bool) error {
			r, _, err := decodeLine(line)
			if err != nil {
				if complete { // else a record that is being written
					unreadable++
				}
				return nil
			}
			if !filter.Match(&r) {
				return nil
			}
			return f(&r)
		})
		if err != nil {
			return unreadable, err
		}
	}
	return unreadable, nil
}

// Read returns all records that filter chooses, oldest first. What it cannot
// read it leaves out; Scan counts that.
func Read(path string, filter Filter) ([]Record, error) {
	records, _, err := Last(path, filter, 0)
	return records, err
}

// Last returns the newest limit records that filter chooses, oldest first;
// all of them if limit is 0.
func Last(path string, filter Filter, limit int) (records []Record, unreadable int, err error) {
	unreadable, err = Scan(path, filter, func(r *Record) error {
		records = append(records, *r)
		if limit > 0 && len(records) >= 2*limit { // now and then, not for each record
			records = append(records[:0], records[len(records)-limit:]...)
		}
		return nil
	})
	if limit > 0 && len(records) > limit {
		records = records[len(records)-limit:]
	}
	return records, unreadable, err
}

// eachLine calls f for each line of a file, numbered from 1 and without its
// newline; complete is false for a last line that has none. Of a line longer
// than maxLine, f sees that much.
func eachLine(name string, f func(number int, line []byte, complete bool) error) error {
	in, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the blocked-query log: %w", err)
	}
	defer in.Close()
	br := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		line, complete, err := readLine(br)
		if err == nil || len(line) > 0 {
			if err := f(number, line, complete); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the blocked-query log: %w", err)
		}
	}
}

// readLine reads one line of bounded length.
func readLine(br *bufio.Reader) (line []byte, complete bool, err error) {
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxLine-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return line, false, err
		}
		return bytes.TrimSuffix(line, []byte("\n")), true, nil
	}
}
