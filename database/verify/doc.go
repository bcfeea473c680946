// Package verify proves that one org's session cannot reach another's rows, by
// trying, and writes down what it tried.
//
// [Run] works in one of three modes. Snapshot compares what sessions of two
// existing orgs see with the truth, in one shared snapshot, and writes nothing.
// Canary makes two orgs with marked rows in one transaction and rolls it back.
// Scratch does the same in a copy of the schema, committed, with real logins:
// the whole list of attacks runs there.
//
// The matrix is relation x command x context x path (commands.go, session.go);
// the attacks are one file per class, in the order of attacks.go. A pass counts
// only with a positive control: the same command on an own row must work, or at
// least the own row must be visible, since what is broken looks isolated. What
// could not be tried is listed as not proven, never left out.
//
// The oracle is data, not error texts: marks of the other org's rows in
// whatever a session receives, rows that were counted or touched, and the
// other org's rows afterwards.
//
// A [Report] is the evidence. It is built once and then only read; its records
// are chained by hashes (chain.go). No literal, key or token is in it.
package verify
