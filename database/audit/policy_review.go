package audit

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/condition"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// policyReview is what there is to say about policies: it is made once for
// all checks that ask.
type policyReview struct {
	judge *condition.Judge
	// faults are those of the policies that let the application reach other
	// tenants' rows, by policy.
	faults map[*inventory.Policy]*policyFault
	// policies are those that bind the application on tables with rows of
	// tenants, in the order of the snapshot, with what they read.
	policies []reviewedPolicy
	// called are the functions that any policy calls, by calledByPolicies.
	called map[*inventory.Function]bool
}

type reviewedPolicy struct {
	*inventory.Policy
	tenancy *inventory.Tenancy
	reading condition.Reading
}

// policyFault is what is wrong with one policy.
type policyFault struct {
	using, check condition.Verdict
	// editable and login are as in condition.Judgement.
	editable, login bool
	// floored says that restrictive policies alone keep tenants apart, in all
	// that the policy lets the application do.
	floored bool
}

// bad reports whether the policy has a fault that lets tenants reach rows of
// others, or that makes its condition worthless.
func (p *policyFault) bad() bool {
	return p != nil && (p.using != condition.Sound || p.check != condition.Sound || p.editable || p.login)
}

// review reviews all policies, once.
func (f *Facts) review() *policyReview {
	if f.reviewed != nil {
		return f.reviewed
	}
	v := &policyReview{judge: condition.NewJudge(f.Model), faults: make(map[*inventory.Policy]*policyFault)}
	f.reviewed = v
	sessions := f.sessions()
	for _, t := range f.tenantTables() {
		if !t.Relation.RowSecurity {
			continue // A102
		}
		var binding []*inventory.Policy
		for _, p := range t.Relation.Policies {
			if slices.ContainsFunc(sessions, func(s session) bool { return s.bound(p) }) {
				binding = append(binding, p)
			}
		}
		r := tableReview{policyReview: v, table: t.Relation, sessions: sessions, policies: binding}
		for _, p := range binding {
			r.permissive(p)
			v.policies = append(v.policies, reviewedPolicy{p, t, v.judge.Read(t.Relation, p.Using, p.Check)})
		}
		r.restrictive()
	}
	return v
}

// session is a role that sessions of the application can run as, with the
// roles whose privileges it has then. Those that bypass row security are not
// here: no policy binds them, which is a finding of its own.
type session map[string]bool

func (f *Facts) sessions() []session {
	var list []session
	for role := range f.Identities() {
		if role.Superuser || role.BypassRLS {
			continue
		}
		s := session{inventory.Public: true}
		for other := range role.Inherits() {
			s[other.Name] = true
		}
		list = append(list, s)
	}
	return list
}

// bound reports whether a policy is for the session.
func (s session) bound(p *inventory.Policy) bool {
	return slices.ContainsFunc(p.Roles, func(role string) bool { return s[role] })
}

// can reports whether the session has a privilege on a table or a column.
func (s session) can(r *inventory.Relation, privilege string) bool {
	granted := func(g inventory.Grant) bool { return g.Privilege == privilege && s[g.Grantee] }
	return s[r.Owner] || slices.ContainsFunc(r.Grants, granted) ||
		slices.ContainsFunc(r.Columns, func(c *inventory.Column) bool { return slices.ContainsFunc(c.Grants, granted) })
}

// policyCommand is a command as policies see it.
type policyCommand struct {
	letter    byte // pg_policy.polcmd
	privilege string
	// reads says that USING is asked, writes that WITH CHECK is.
	reads, writes bool
}

var policyCommands = []policyCommand{
	{'r', "SELECT", true, false},
	{'a', "INSERT", false, true},
	{'w', "UPDATE", true, true},
	{'d', "DELETE", true, false},
}

// covers reports whether a policy is for a command.
func (c policyCommand) covers(p *inventory.Policy) bool {
	return p.Command == '*' || p.Command == c.letter
}

// tableReview reviews the policies of one table.
type tableReview struct {
	*policyReview
	table    *inventory.Relation
	sessions []session
	policies []*inventory.Policy
	// blamed are restrictive policies that were meant as a floor and are none,
	// where something leaks through.
	blamed []*inventory.Policy
}

// checkOf is what rows must meet to be written: WITH CHECK, or else USING.
func checkOf(p *inventory.Policy) string {
	if p.Check != "" || p.Command == 'a' {
		return p.Check
	}
	return p.Using
}

// permissive judges a permissive policy for all that it lets the application
// do.
func (t *tableReview) permissive(p *inventory.Policy) {
	if !p.Permissive {
		return
	}
	using := t.judgeOne(p.Using, false)
	check := t.judgeOne(checkOf(p), true)
	fault := &policyFault{editable: using.Editable || check.Editable, floored: true}
	for _, s := range t.sessions {
		for _, c := range policyCommands {
			if !s.bound(p) || !c.covers(p) || !s.can(t.table, c.privilege) {
				continue
			}
			fault.floored = fault.floored && fault.editable && t.floor(s, c)
			if c.reads {
				t.holds(s, c, p.Using, using, false, &fault.using)
			}
			if c.writes {
				t.holds(s, c, checkOf(p), check, true, &fault.check)
			}
		}
	}
	fault.login = (using.Login || check.Login) && fault.using == condition.Sound && fault.check == condition.Sound
	if fault.check == fault.using && fault.check != condition.Sound {
		fault.check = condition.Sound // said once
	}
	if checkOf(p) == p.Using && fault.using != condition.Sound {
		fault.check = condition.Sound
	}
	t.faults[p] = fault
}

// judgeOne judges one text; none lets nothing pass.
func (t *tableReview) judgeOne(text string, write bool) condition.Judgement {
	if text == "" {
		return condition.Judgement{Verdict: condition.Sound}
	}
	return t.judge.Judge(t.table, write, text)
}

// holds judges a condition of a permissive policy for one command together
// with the restrictive policies, and notes the verdict on it if rows of other
// tenants pass.
func (t *tableReview) holds(s session, c policyCommand, text string, alone condition.Judgement, write bool, verdict *condition.Verdict) {
	if text == "" || alone.Verdict == condition.Sound {
		return
	}
	floor, texts := t.restrictions(s, c, write)
	if len(floor) > 0 && t.judge.Judge(t.table, write, append(texts, text)...).Verdict == condition.Sound {
		return
	}
	if !t.blame(floor, write) {
		*verdict = alone.Verdict
	}
}

// restrictions are the restrictive policies for a command, and their
// conditions.
func (t *tableReview) restrictions(s session, c policyCommand, write bool) (floor []*inventory.Policy, texts []string) {
	for _, p := range t.policies {
		restriction := p.Using
		if write {
			restriction = checkOf(p)
		}
		if !p.Permissive && c.covers(p) && s.bound(p) && restriction != "" {
			floor, texts = append(floor, p), append(texts, restriction)
		}
	}
	return floor, texts
}

// floor reports whether restrictive policies alone keep tenants apart.
func (t *tableReview) floor(s session, c policyCommand) bool {
	for _, write := range []bool{false, true} {
		if write && !c.writes || !write && !c.reads {
			continue
		}
		if _, texts := t.restrictions(s, c, write); len(texts) == 0 || t.judge.Judge(t.table, write, texts...).Verdict != condition.Sound {
			return false
		}
	}
	return true
}

// blame looks for a restrictive policy that speaks of the tenant but does not
// hold, or does so for reading only: then that one is to be mended, not each permissive policy that relies
// on it.
func (t *tableReview) blame(floor []*inventory.Policy, write bool) bool {
	found := false
	for _, p := range floor {
		text := p.Using
		if write {
			text = checkOf(p)
		}
		switch g := t.judgeOne(text, write); g.Verdict {
		case condition.Sound:
			continue
		case condition.AlwaysTrue, condition.WithoutTenant:
			if !write || p.Check == "" || p.Using == "" || t.judgeOne(p.Using, false).Verdict != condition.Sound {
				continue
			}
		}
		found = true
		if !slices.Contains(t.blamed, p) {
			t.blamed = append(t.blamed, p)
		}
	}
	return found
}

// restrictive notes the faults of restrictive policies.
func (t *tableReview) restrictive() {
	for _, p := range t.policies {
		if p.Permissive {
			continue
		}
		using, check := t.judgeOne(p.Using, false), t.judgeOne(checkOf(p), true)
		fault := &policyFault{editable: using.Editable || check.Editable}
		if slices.Contains(t.blamed, p) {
			fault.using, fault.check = using.Verdict, check.Verdict
			if fault.check == fault.using || checkOf(p) == p.Using {
				fault.check = condition.Sound
			}
		} else {
			fault.login = using.Login || check.Login
		}
		t.faults[p] = fault
	}
}
