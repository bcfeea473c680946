package harden

import (
	"strings"
)

// Phase is a part of the hardening with files, and a way back, of its own.
type Phase string

// The phases, in the order in which they are applied.
const (
	// Main is everything inside the database that no data can make fail: the
	// tenant context, ownership, row security, grants, views, functions.
	Main Phase = "main"
	// Roles is the role graph. It belongs to the whole cluster.
	Roles Phase = "roles"
	// Integrity makes wrong rows impossible: NOT NULL, foreign keys, indexes.
	// It can fail on data, and takes as long as the tables are large.
	Integrity Phase = "integrity"
)

// Phases are all phases in their order.
func Phases() []Phase { return []Phase{Main, Roles, Integrity} }

// Step is one change: a statement (seldom several that belong together), and
// what undoes it exactly.
type Step struct {
	SQL     string `json:"sql"`
	Inverse string `json:"inverse"`
	Reason  string `json:"reason"`
	Lock    string `json:"lock"`   // what others may have to wait for
	Object  string `json:"object"` // as the findings of audit spell it
	Phase   Phase  `json:"phase"`
	// Alone says that the statement cannot run in a transaction: CONCURRENTLY.
	Alone bool `json:"alone,omitempty"`
	// Check is a query that must return 0 before the step: rows that would
	// make it fail.
	Check string `json:"check,omitempty"`
	// Repair is SQL that an operator may run where Check finds rows.
	Repair string `json:"repair,omitempty"`

	// group keeps steps together that leave a table open or shut between them:
	// with --per-table each group is a transaction.
	group string
}

// noLock is the Lock of what nobody waits for.
const noLock = "none on existing relations"

// batch is what one transaction holds, or the one step that runs outside of
// any.
type batch struct {
	phase Phase
	steps []Step
	alone bool
}

// batches cuts the steps into transactions: one for each phase, or, with
// perTable, one for each group of the main phase. Each step of the integrity phase is one of
// its own: its locks must not add up.
func batches(steps []Step, perTable bool) []batch {
	var out []batch
	for i := range steps {
		s := &steps[i]
		if n := len(out); n > 0 && !s.Alone && !out[n-1].alone && together(&out[n-1].steps[0], s, perTable) {
			out[n-1].steps = append(out[n-1].steps, *s)
			continue
		}
		out = append(out, batch{s.Phase, []Step{*s}, s.Alone})
	}
	return out
}

func together(a, b *Step, perTable bool) bool {
	switch {
	case a.Phase != b.Phase:
		return false
	case b.Phase == Integrity:
		return a.group == b.group && a.group != ""
	case b.Phase == Main && perTable:
		return a.group == b.group
	}
	return true
}

// Warning is something that no statement of the plan changes, but that the
// operator must know before anything is done.
type Warning struct {
	Object string `json:"object"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Plan is what has to be done to a database, for the state in which it was
// read.
type Plan struct {
	Database string    `json:"database"`
	Context  string    `json:"context"` // plain, signed, sealed
	Steps    []Step    `json:"steps"`
	Warnings []Warning `json:"warnings"`
	// Fingerprint is that of the database's state, RolesFingerprint that of
	// the role graph: applying the plan to any other state is refused.
	Fingerprint      string `json:"fingerprint"`
	RolesFingerprint string `json:"roles_fingerprint"`
	// AppRoles are the roles of the application, as the plan understood it.
	AppRoles []string `json:"app_roles"`
}

// joinSQL makes one step of several statements.
func joinSQL(statements ...string) string { return strings.Join(statements, ";\n") }
