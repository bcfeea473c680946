package blocklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// The defaults of [Options].
const (
	defaultBuffer = 1024
	defaultRetry  = time.Second
)

// syncEvery is how long a written record may stay in the memory of the
// operating system only. The death of the process loses none of them, that of
// the host those of this time.
const syncEvery = time.Second

// ErrClosed is the error of Flush and Close after Close.
var ErrClosed = errors.New("blocked-query log is closed")

// Options are the options of [Open].
type Options struct {
	File      string           // path of the log; its folder must exist
	MaxSizeMB int              // size in MiB after which a new file is begun; 0 means never
	Keep      int              // rotated files that are kept; 0 means all
	Buffer    int              // records that may wait for the disk; 0 means 1024
	Logger    *slog.Logger     // nil means no lines
	Clock     func() time.Time // for records without a time; nil means time.Now

	maxSize  int64                           // in bytes, for tests; 0 means MaxSizeMB
	retry    time.Duration                   // between attempts to write, for tests; 0 means defaultRetry
	openFile func(path string) (file, error) // for tests; nil means openLog
}

// Writer appends records to a log. All its methods may be called at once from
// any goroutine; one goroutine of its own owns the file and the chain.
type Writer struct {
	// Immutable.
	queue chan entry
	quit  chan struct{} // closed when Close gives up waiting
	done  chan struct{} // closed when the goroutine has ended
	log   *slog.Logger
	clock func() time.Time
	retry time.Duration

	// Shared.
	dropped    atomic.Uint64 // lost since Open
	unrecorded atomic.Uint64 // of these, not yet told in the chain
	inFlight   atomic.Int64  // taken from the queue, not yet written
	failure    atomic.Pointer[error]
	closing    atomic.Bool
	giveUp     sync.Once

	// Owned by the goroutine.
	file    *logFile // its max is anybody's
	seq     uint64   // of the last record
	prev    string   // its hash
	unlock  func() error
	encoded []byte // reused
}

// entry is what waits in the queue: a record, or a request to say when all
// before it is on disk.
type entry struct {
	record Record
	ack    chan error // not nil: no record
	stop   bool       // with ack: end after it
}

// Open opens or creates the log and continues its chain behind the last
// record, wherever rotation has left it. If a crash has cut off the end of
// the file, that end is moved to a file of its own and the loss is recorded
// in the chain. Open fails if another process writes the log, and if the file
// is something else than a log.
func Open(o Options) (*Writer, error) {
	w := &Writer{
		queue: make(chan entry, orDefault(o.Buffer, defaultBuffer)),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
		log:   o.Logger,
		clock: o.Clock,
		retry: orDefault(o.retry, defaultRetry),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.clock == nil {
		w.clock = time.Now
	}
	unlock, err := lock(o.File + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open the blocked-query log %s: %w", o.File, err)
	}
	w.unlock = unlock
	w.file = newLogFile(o, w.log)
	found, err := w.file.begin()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the blocked-query log %s: %w", o.File, err), unlock())
	}
	w.seq, w.prev = found.seq, found.hash
	if found.torn != "" {
		w.log.Warn("the end of the blocked-query log was cut off, it is kept aside", "file", o.File, "kept_in", found.torn)
		w.queue <- entry{record: Record{Decision: Lost, Lost: 1, Reason: "the end of the file was cut off, what was left of it is kept in " + found.torn}}
	}
	go w.run()
	return w, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// Append hands a record over and never waits. Its V, Seq, PrevHash and Hash
// are set by the writer, Time if it is zero; texts beyond their bounds are
// cut. A record that does not fit into the buffer is lost: Dropped counts it,
// and a record of the chain will tell of it.
func (w *Writer) Append(r Record) {
	if w.closing.Load() {
		w.dropped.Add(1)
		return
	}
	if len(w.queue) == cap(w.queue) { // spare the copy
		w.lose(1)
		return
	}
	if r.Time.IsZero() {
		r.Time = w.clock()
	}
	r = r.bounded()
	r.Lost = 0
	select {
	case w.queue <- entry{record: r}:
	default:
		w.lose(1)
	}
}

func (w *Writer) lose(n uint64) {
	w.dropped.Add(n)
	w.unrecorded.Add(n)
}

// Dropped returns the number of records lost since Open.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Err returns why the log cannot be written at the moment, or nil. The writer
// goes on trying.
func (w *Writer) Err() error {
	if p := w.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Pending returns the number of records that wait to be written.
func (w *Writer) Pending() int { return len(w.queue) + int(w.inFlight.Load()) }

// Flush waits until all records appended before are on disk. If ctx ends
// first, the error tells why the log cannot be written, if it cannot.
func (w *Writer) Flush(ctx context.Context) error {
	if w.closing.Load() {
		return ErrClosed
	}
	return w.ask(ctx, entry{ack: make(chan error, 1)})
}

// Close writes what waits and closes the log. If ctx ends first, what is left
// is lost and the error says so. Records appended after Close count as
// dropped.
func (w *Writer) Close(ctx context.Context) error {
	if w.closing.Swap(true) {
		return ErrClosed
	}
	err := w.ask(ctx, entry{ack: make(chan error, 1), stop: true})
	if err == nil {
		<-w.done
		return nil
	}
	left := w.Pending()
	w.giveUp.Do(func() { close(w.quit) })
	select {
	case <-w.done:
	case <-time.After(w.retry): // a write that hangs, on a network disk
	}
	return fmt.Errorf("close the blocked-query log with %d records unwritten: %w", left, err)
}

// ask sends e through the queue and waits for its answer.
func (w *Writer) ask(ctx context.Context, e entry) error {
	select {
	case w.queue <- e:
	case <-w.done:
		return ErrClosed
	case <-ctx.Done():
		return errors.Join(ctx.Err(), w.Err())
	}
	select {
	case err := <-e.ack:
		return err
	case <-w.done:
		return ErrClosed
	case <-ctx.Done():
		return errors.Join(ctx.Err(), w.Err())
	}
}

// SetMaxSize changes Options.MaxSizeMB.
func (w *Writer) SetMaxSize(mb int) { w.file.max.Store(int64(mb) << 20) }
