// Package policy decides whether a client's message may go to the server.
//
// It turns facts (package parser) and a tenant's org into a [Decision]. Rules
// are one file each, rule_<name>.go; rules.go holds the ordered list that a
// reviewer reads, and docs/rules.md is generated from it. A rule is a function
// of the facts, the options and a snapshot of the database's catalogue
// ([Catalog]); it does no I/O and keeps no state.
//
// [Engine] runs the rules, caches their outcome by exact text and asks for a
// fresh snapshot when a statement names something that the last one does not
// know. An [Inspection] does not depend on the tenant, so all sessions share
// it; what does depend on the tenant, the org ids in literals and parameters,
// is compared by [Inspection.ForOrg] and [Engine.CheckParam].
//
// What no rule allows is refused: a statement kind, a setting, a function or a
// relation that nobody classified is a violation of the rule of its class.
package policy

//go:generate go test . -run TestRulesDocument -update
