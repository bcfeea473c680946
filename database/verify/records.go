package verify

import (
	"context"
	"strings"
	"time"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

// recordTimeout bounds the wait for the blocked-query log, which is written
// behind the answers.
const recordTimeout = 10 * time.Second

// findRecords looks up the record of each refusal in the blocked-query log:
// attempts by the application name of their session, cells by their order.
func (r *runner) findRecords(ctx context.Context) error {
	if r.o.BlockedLog == "" {
		return nil
	}
	want := 0
	for i := range r.report.Attacks {
		if r.report.Attacks[i].Rule != "" {
			want++
		}
	}
	for i := range r.report.Matrix {
		if r.report.Matrix[i].Rule != "" {
			want++
		}
	}
	records, err := r.waitForRecords(ctx, want)
	if err != nil {
		return err
	}
	byLabel := make(map[string][]blocklog.Record)
	for _, rec := range records {
		byLabel[rec.ApplicationName] = append(byLabel[rec.ApplicationName], rec)
	}
	for i := range r.report.Attacks {
		a := &r.report.Attacks[i]
		for _, rec := range byLabel[a.label] {
			if a.Rule != "" && rec.Rule == a.Rule {
				a.Seq = rec.Seq
			}
		}
	}
	// Sessions of the matrix have one name; refusals of one rule come in the
	// order of the cells.
	next := make(map[string]int)
	for i := range r.report.Matrix {
		c := &r.report.Matrix[i]
		if c.Rule == "" {
			continue
		}
		list := byLabel[r.o.label]
		for n := next[c.Rule]; n < len(list); n++ {
			if list[n].Rule == c.Rule {
				c.Seq, next[c.Rule] = list[n].Seq, n+1
				break
			}
		}
	}
	return nil
}

func (r *runner) waitForRecords(ctx context.Context, want int) ([]blocklog.Record, error) {
	ctx, stop := context.WithTimeout(ctx, recordTimeout)
	defer stop()
	for {
		all, err := blocklog.Read(r.o.BlockedLog, blocklog.Filter{})
		if err != nil {
			r.report.Caveats = append(r.report.Caveats, "the blocked-query log could not be read: refusals have no record numbers")
			return nil, nil
		}
		var ours []blocklog.Record
		for i := range all {
			if strings.HasPrefix(all[i].ApplicationName, r.o.label) {
				ours = append(ours, all[i])
			}
		}
		if len(ours) >= want {
			return ours, nil
		}
		select {
		case <-ctx.Done():
			r.report.Caveats = append(r.report.Caveats, "the blocked-query log lacks records of some refusals")
			return ours, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}
