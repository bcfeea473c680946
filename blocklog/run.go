package blocklog

import (
	"errors"
	"time"
)

// maxBatch is how many records are written with one system call.
const maxBatch = 256

// run is the writer's goroutine.
func (w *Writer) run() {
	defer close(w.done)
	defer func() {
		w.abandon()
		if err := errors.Join(w.file.close(), w.unlock()); err != nil {
			w.log.Error("cannot close the blocked-query log", "error", err)
		}
	}()
	syncTimer := time.NewTimer(syncEvery)
	syncTimer.Stop()
	batch := make([]Record, 0, maxBatch)
	for {
		var first entry
		select {
		case first = <-w.queue:
		case <-syncTimer.C:
			w.note(w.file.sync())
			continue
		case <-w.quit:
			return
		}
		var request entry
		batch, request = w.collect(batch[:0], first)
		if !w.write(batch) {
			return
		}
		if request.ack == nil {
			syncTimer.Reset(syncEvery)
			continue
		}
		err := w.file.sync()
		w.note(err)
		request.ack <- err
		if request.stop {
			return
		}
	}
}

// abandon counts what is still in the queue when the writer ends.
func (w *Writer) abandon() {
	for {
		select {
		case e := <-w.queue:
			if e.ack == nil {
				w.dropped.Add(1)
			}
		default:
			return
		}
	}
}

// collect takes what waits in the queue, up to a batch or a request, which
// comes back with the records in front of it.
func (w *Writer) collect(batch []Record, e entry) ([]Record, entry) {
	for e.ack == nil {
		batch = append(batch, e.record)
		w.inFlight.Store(int64(len(batch)))
		if len(batch) == maxBatch {
			return batch, entry{}
		}
		select {
		case e = <-w.queue:
		default:
			return batch, entry{}
		}
	}
	return batch, e
}

// write encodes the batch, with a record of what was lost meanwhile, and
// tries until it is in the file. It returns false if Close gave up.
func (w *Writer) write(batch []Record) bool {
	lost := w.unrecorded.Swap(0)
	if lost > 0 {
		batch = append(batch, Record{
			Decision: Lost, Lost: lost, Time: w.clock(), Reason: "records were lost because the log could not keep up or could not be written",
		})
	}
	defer w.inFlight.Store(0)
	if len(batch) == 0 {
		return true
	}
	seq, prev := w.encode(batch)
	for {
		err := w.file.write(w.encoded, w.seq+1)
		w.note(err)
		if err == nil {
			w.seq, w.prev = seq, prev
			return true
		}
		again := time.NewTimer(w.retry)
		select {
		case <-again.C:
		case <-w.quit:
			again.Stop()
			w.dropped.Add(uint64(len(batch)))
			return false
		}
	}
}

// encode puts the lines of batch into w.encoded and returns the number and
// hash of the last.
func (w *Writer) encode(batch []Record) (seq uint64, prev string) {
	const keep = 1 << 20
	if cap(w.encoded) > keep {
		w.encoded = nil
	}
	w.encoded = w.encoded[:0]
	seq, prev = w.seq, w.prev
	for i := range batch {
		r := &batch[i]
		if r.Decision == Lost {
			*r = r.bounded() // empty lists instead of null
		}
		if r.Time.IsZero() {
			r.Time = w.clock()
		}
		r.V, r.Seq, r.PrevHash, r.Time = Version, seq+1, prev, stamp(r.Time)
		line, err := appendLine(w.encoded, r)
		if err != nil { // a year beyond 9999: nothing else in a record can fail
			w.log.Error("cannot encode a record of the blocked-query log", "error", err)
			w.lose(1)
			continue
		}
		w.encoded, seq, prev = line, r.Seq, r.Hash
	}
	return seq, prev
}

// note keeps the state of the file for Err, and logs when it changes.
func (w *Writer) note(err error) {
	was := w.Err()
	switch {
	case err != nil:
		w.failure.Store(&err)
		if was == nil {
			w.log.Error("cannot write the blocked-query log", "error", err)
		}
	case was != nil:
		w.failure.Store(nil)
		w.log.Info("the blocked-query log is written again", "dropped", w.Dropped())
	}
}
