// Package report writes the forms of a report that other tools read, for audit
// and verify alike: JUnit XML ([WriteJUnit]) and SARIF 2.1.0 ([WriteSARIF]).
//
// Whoever makes a report fills in [Suite] and [Run]; names and texts may hold
// anything that a name in a database can, since what neither form can carry is
// replaced here.
package report
