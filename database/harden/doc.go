// Package harden makes a database refuse on its own: it plans, writes, applies
// and undoes the change after which a session reaches the rows of one tenant
// only, whatever SQL it sends.
//
// The core is the floor, one restrictive policy on every tenant table.
// Restrictive policies are ANDed, so the application's own policies stay as
// they are and go on working inside the tenant, and the way back is DROP
// POLICY. Around it goes what no policy binds: owners, TRUNCATE, views and
// functions that run as somebody else, memberships in mightier roles.
//
//   - [Build] reads the database (package inventory) and makes a [Plan]: a list
//     of [Step], each with its inverse, reason and lock, and warnings. It is the
//     difference between the state and the target, made on a world that every
//     step changes, so a second plan has no steps.
//   - [Render] writes a plan as files of a migration tool.
//   - [Apply] runs it in transactions that a fingerprint of the start state
//     guards, and records it in bulkhead.migration; [Rollback] runs the inverses
//     and proves, by the fingerprint, that the database is as before.
//
// Read plan.go first, then the plan_*.go files in the order in which its
// function main calls them.
package harden
