// Package context writes the SQL of the tenant context inside the database: the
// schema bulkhead, whose functions org_id() and claims() the policies ask who
// the tenant is. It has three modes.
//
//   - [Plain]: the setting bulkhead.org_id is believed. The proxy guards it.
//   - [Signed]: the setting counts only with a signature over org, claims,
//     expiry and this very backend, checked at each statement. A backend serves
//     one tenant for its whole life. Works on a hot standby.
//   - [Sealed]: the signature answers a fresh challenge once, at checkout, and
//     what was proven is kept in session memory that the application's role
//     cannot write. Backends may be shared by tenants; needs a primary.
//
// In each mode org_id() is one function, so that a policy that calls it stays as
// it is when the mode changes. [Install] returns the statements, each with its
// exact inverse, which package database/harden puts into its plan. The text
// of the functions is in sql/.
package context
