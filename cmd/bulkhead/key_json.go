package main

import (
	"encoding/json"
	"io"
	"time"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
)

// keyRecord is a key as key list --json prints it.
type keyRecord struct {
	ID       int        `json:"kid"`
	Created  time.Time  `json:"created"`
	NotAfter *time.Time `json:"not_after"` // null: no end
	Active   bool       `json:"active"`
}

func printKeysJSON(w io.Writer, keys []dbcontext.KeyInfo) error {
	out := make([]keyRecord, 0, len(keys))
	for _, k := range keys {
		r := keyRecord{ID: k.ID, Created: k.Created.UTC(), Active: !k.Ended(time.Now())}
		if k.NotAfter != nil {
			end := k.NotAfter.UTC()
			r.NotAfter = &end
		}
		out = append(out, r)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"keys": out})
}
