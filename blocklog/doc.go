// Package blocklog keeps the blocked-query log: one JSON line for each
// statement that was refused (or would have been, in observe mode), chained
// by hashes so that a changed, removed or reordered record shows.
//
// [Record] is one line, version 1; docs/blocked-log.md defines its canonical
// form and the chain. [Open] returns a [Writer], whose Append never waits:
// one goroutine owns the file, and what cannot be written is counted and then
// recorded in the chain itself. [Scan], [Follow], [Verify] and [Summarize]
// read.
//
// The package knows nothing of SQL: a statement enters as [Redacted], which
// only a redaction step may make. It is a leaf of the import picture.
package blocklog
