package blocklog

import "time"

// Version is the version of the records that this package writes. Fields may
// be added to a version, never changed or removed.
const Version = 1

// Redacted is SQL text without literals. Whoever makes one vouches for that.
type Redacted string

// Decision is what happened to the statement.
type Decision string

// The decisions.
const (
	Blocked  Decision = "blocked"
	Observed Decision = "observed" // a rule was violated and the statement forwarded: observe mode
	// Lost marks a record that the writer makes itself, in the place of
	// records that could not be written; see Record.Lost.
	Lost Decision = "lost"
)

// Record is one line of the log. All text but Statement is bounded by
// maxField, Statement by maxStatement; the writer cuts what is longer.
// No field holds a literal, a parameter value or a token.
type Record struct {
	V        int       `json:"v"`         // set by the writer
	Time     time.Time `json:"time"`      // UTC; set by the writer if zero
	Seq      uint64    `json:"seq"`       // number in the chain, from 1; set by the writer
	PrevHash string    `json:"prev_hash"` // hash of the record before; set by the writer
	Hash     string    `json:"hash"`      // set by the writer

	Decision        Decision `json:"decision"`
	Rule            string   `json:"rule"` // "G203"
	Title           string   `json:"title"`
	Reason          string   `json:"reason"`
	Org             string   `json:"org"`
	Subject         string   `json:"subject"`
	Role            string   `json:"role"`
	TokenID         string   `json:"token_id"` // jti
	Issuer          string   `json:"issuer"`
	ClientAddr      string   `json:"client_addr"`
	ApplicationName string   `json:"application_name"`
	User            string   `json:"user"` // of the startup packet
	Database        string   `json:"database"`
	Statement       Redacted `json:"statement"`
	Fingerprint     string   `json:"fingerprint"`
	StatementKind   string   `json:"statement_kind"`
	Relations       []string `json:"relations"`
	Functions       []string `json:"functions"`
	Settings        []string `json:"settings"`
	Protocol        string   `json:"protocol"`  // simple, extended, fastpath, startup, copy
	TxStatus        string   `json:"tx_status"` // I, T, E as in ReadyForQuery, before the statement
	SessionID       string   `json:"session_id"`
	TraceID         string   `json:"trace_id"`
	SpanID          string   `json:"span_id"`
	SQLState        string   `json:"sqlstate"`

	// Lost is the number of records that are missing at this place, only in
	// records whose Decision is Lost.
	Lost uint64 `json:"lost,omitempty"`
}
