// Package audit judges a database: can a tenant reach another's rows?
//
// [Run] takes one consistent snapshot (package inventory), asks every [Check]
// of [Checks] about it, and returns a [Report]. It never writes. A check is a
// function of [Facts] without I/O; what only rows can tell is counted before,
// if [Options].Data asks for it.
//
// Checks have stable ids (A101), findings a stable object spelling and a
// fingerprint of both, by which an operator accepts one: with a baseline file,
// or with an [Allowance] that has a reason and an end.
//
// docs/checks.md is generated from the checks' fields.
package audit

//go:generate go test . -run TestChecksDocument -update
