// Package condition finds out what the condition of a policy implies: that a
// row belongs to the tenant of the session, or not.
//
// [Judge.Judge] reads the parsed expression and turns it into alternatives,
// each a conjunction of facts about the row and about rows of other tables
// (its disjunctive normal form). Sub-selects, views and the bodies of
// functions dissolve into their tables and conditions: EXISTS (SELECT 1 FROM
// members m WHERE m.org_id = row.org_id AND m.user_id = auth.uid()) becomes
// one alternative that has an instance of members and two equations. Then each
// alternative is asked whether its equations tie the row to the session: to a
// setting, a claim, or a row that is tied itself or that row security of a
// tenant table lets the session see (bind.go).
//
// The answer "sound" errs on the safe side: a conjunct that is not understood
// counts for nothing. What it takes on trust is written where it does so:
// that functions which cannot be read (PL/pgSQL with variables, C) and read
// the context give back what is the session's own; that tenant tables named in
// sub-selects are protected themselves, which is judged on its own; and that
// = is the server's.
package condition
