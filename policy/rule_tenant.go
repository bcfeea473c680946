package policy

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/parser"
)

func otherOrgLiteral() Rule {
	return Rule{
		ID:       "G801",
		Title:    "another org named in a literal",
		Attack:   "SELECT * FROM accounts WHERE org_id = 'B': on tables with row security nothing is found, on others everything of B; either way somebody tries.",
		Surfaces: []string{onStatement},
		Why: "A literal that meets a column that carries the org must be the session's own org. It is compared as the server compares it " +
			"(spellings of a uuid, forms of an integer); a literal that is no id of this form is refused.",
		Gap: "Only columns of tenant.columns, and only where the text shows the column beside the value: not behind an alias, a function of the column, " +
			"<>, LIKE, or an INSERT without a list of columns.",
		Blocked: "SELECT * FROM accounts WHERE org_id = 'B'",
		Allowed: "SELECT * FROM accounts WHERE org_id = current_setting('app.org_id')::uuid",
		Remedy:  "Leave the condition on the org out: row security adds it.",
	}
}

func otherOrgParameter() Rule {
	return Rule{
		ID:       "G802",
		Title:    "another org bound to a parameter",
		Attack:   "WHERE org_id = $1 with B's id bound, as text or in binary form.",
		Surfaces: []string{onBind},
		Why: "A value bound to a parameter that meets a column that carries the org must be the session's own org, or an array of it alone. " +
			"A value that is no id of this form is refused, NULL passes: it equals nothing.",
		Gap:     "The parameter's type is not known to the guard; a binary value of 2, 4 or 8 bytes is read as an integer when orgs are integers.",
		Blocked: "SELECT * FROM accounts WHERE org_id = $1 -- B's id bound",
		Allowed: "SELECT * FROM accounts WHERE org_id = $1 -- the own id bound",
		Remedy:  "Leave the condition on the org out: row security adds it.",
	}
}

func noOrgPicked() Rule {
	return Rule{
		ID:       "G803",
		Title:    "no org picked",
		Attack:   "The pool of a service, or a worker over all orgs, runs a statement before it says for whom: on tables without row security it would reach every org.",
		Surfaces: []string{onStatement, onBind},
		Why: "Without an org there is no tenant context. Only the control of transactions and of the session, and queries that read and call nothing " +
			"(SELECT 1), may run. It is refused in every mode.",
		Blocked: "SELECT name FROM accounts -- in a session whose token names no org",
		Allowed: "BEGIN",
		Remedy:  "Send SET bulkhead.token = '...', or SET bulkhead.org_id = '...' if the token grants several orgs, first.",
	}
}

func orgNotGranted() Rule {
	return Rule{
		ID:       "G804",
		Title:    "org that the token does not grant",
		Attack:   "SET bulkhead.org_id = 'B' by a worker whose token lists other orgs.",
		Surfaces: []string{onStatement},
		Why:      "Only a verified token says for which orgs its holder may act. It is refused in every mode.",
		Blocked:  "SET bulkhead.org_id = 'B' -- with a token for A and C",
		Allowed:  "SET bulkhead.org_id = 'A'",
		Remedy:   "Pick an org of the token's org claim, in the form of tenant.org_type.",
	}
}

// orgTerms collects what meets tenant columns: parameters for Inspection, and
// constants for ForOrg. It marks the batch as read where it reads a constant.
func orgTerms(b *parser.Batch) (params []int, constants []orgConstant) {
	for i := range b.Statements {
		for _, t := range b.Statements[i].TenantTerms {
			if t.Value.Kind == parser.ValueParam {
				params = append(params, t.Value.Param)
				continue
			}
			if text, ok := b.Constant(t.Value); ok {
				constants = append(constants, orgConstant{column: t.Column, value: text, write: t.Write})
			}
		}
	}
	slices.Sort(params)
	return slices.Compact(params), constants
}

// ForOrg is the decision for a session of that org: the rules' own, then the
// literals that name an org. org "" is a session without tenant; then every
// literal names another's.
func (i *Inspection) ForOrg(e *Engine, org string) Decision {
	if i.Decision.Action == Block || len(i.orgConstants) == 0 {
		return i.Decision
	}
	for _, c := range i.orgConstants {
		if org != "" && (e.options().form.same(c.value, org) || e.options().form.sameText([]byte(c.value), org)) {
			continue // the own org, or an array of it
		}
		reason := "a literal compared with column " + c.column + " is not this session's org"
		if c.write {
			reason = "a literal written to column " + c.column + " is not this session's org"
		}
		d := e.refuse(otherOrgLiteralID, reason)
		if d.Action > i.Decision.Action {
			return d
		}
		break
	}
	return i.Decision
}

const (
	otherOrgLiteralID   = "G801"
	otherOrgParameterID = "G802"
)

// CheckParam judges the value that a Bind message gives to a parameter of
// i.OrgParams. param counts from 1; format is 0 for text and 1 for binary; a
// nil value is NULL. It does not allocate for the session's own org.
func (e *Engine) CheckParam(i *Inspection, param int, format int16, value []byte, org string) Decision {
	if value == nil || !slices.Contains(i.OrgParams, param) {
		return Decision{}
	}
	if org != "" && e.options().form.sameBound(format, value, org) {
		return Decision{}
	}
	return e.refuse(otherOrgParameterID, "the value of a parameter that meets a tenant column is not this session's org")
}
