package policy

import (
	"github.com/pgbulkhead/bulkhead/parser"
)

// inspect guards, parses and judges a text with what is known now.
func (e *Engine) inspect(text string) *Inspection {
	k := e.known.Load()
	i := &Inspection{source: text, known: k}
	how := k.options.parse
	how.Tables = k.tablesOf
	batch, err := parser.Parse(text, how)
	if err != nil {
		e.notUnderstood(i, err)
		return i
	}
	defer batch.Release()
	i.describe(batch)
	i.ResetsInside = k.options.resetsInside(batch)
	i.Begins, i.Ends = transactionOf(batch)
	i.Tenantless = tenantless(batch)
	i.readTerms(batch, k.options.parse.TenantColumns)
	fresh := e.lookup.fresh(k)
	for n := range batch.Statements {
		s := &subject{batch: batch, statement: &batch.Statements[n], options: k.options, known: k, fresh: fresh}
		s.unknown = s.namesUnknown()
		d := e.judge(s)
		if d.Action > i.Decision.Action {
			i.Decision = d
			i.Kind = s.statement.Kind.String()
		}
		i.unknown = i.unknown || s.unknown
	}
	i.anyConstant = ignoresConstants(batch)
	if i.Decision.Action != Allow || len(i.orgConstants)+len(i.OrgParams)+len(i.Executes) > 0 {
		i.Fingerprint = parser.Fingerprint(text)
	}
	return i
}

// ignoresConstants reports whether the facts of the batch, and what rules made
// of them, are the same for every text of its shape. Only queries are: in
// other statements constants are names (COPY, SET), code (DO) or options.
func ignoresConstants(b *parser.Batch) bool {
	if b.ConstantRead() {
		return false
	}
	for i := range b.Statements {
		s := &b.Statements[i]
		if !isQuery(s.Kind) || len(s.Settings) > 0 || len(s.Unclassified) > 0 {
			return false
		}
		for _, k := range s.Nested {
			if !isQuery(k) {
				return false
			}
		}
	}
	return true
}

func isQuery(k parser.Kind) bool {
	switch k {
	case parser.KindSelect, parser.KindInsert, parser.KindUpdate, parser.KindDelete, parser.KindMerge:
		return true
	}
	return false
}

// judge runs the rules over one statement. The first violation that blocks is
// reported, else the first that is observed.
func (e *Engine) judge(s *subject) Decision {
	var observed Decision
	for j := range s.options.rules {
		r, action := &s.options.rules[j], s.options.actions[j]
		if r.check == nil || action == Allow || observed.Action == Observe && action == Observe || s.startup && !r.on(onStartup) {
			continue
		}
		found := r.check(s)
		if len(found) == 0 || e.allowedStatement(s, r.ID) {
			continue
		}
		d := decide(r, action, found[0])
		if action == Block {
			return d
		}
		observed = d
	}
	return observed
}

// action says what a violation of a rule leads to.
func (o *compiledOptions) action(id string) Action {
	switch o.modes[id] {
	case RuleEnforce:
		return Block
	case RuleObserve:
		return Observe
	case RuleOff:
		return Allow
	}
	if o.mode == ObserveMode {
		return Observe
	}
	return Block
}

// decide makes the decision from a violation: the one source of the client's
// error and of the record.
func decide(r *Rule, action Action, v Violation) Decision {
	d := Decision{
		Action: action, Rule: r.ID, Title: r.Title, Reason: v.Reason, Hint: v.Hint,
		SQLState: r.SQLState, Message: "refused by rule " + r.ID + ": " + r.Title,
	}
	if d.Hint == "" {
		d.Hint = r.Remedy
	}
	if d.SQLState == "" {
		d.SQLState = stateRefused
	}
	return d
}

// refuse is the decision of a rule that a method of Engine names.
func (e *Engine) refuse(id, reason string) Decision {
	o := e.options()
	action := o.action(id)
	if action == Allow {
		return Decision{}
	}
	for j := range o.rules {
		if o.rules[j].ID == id {
			return decide(&o.rules[j], action, Violation{Reason: reason})
		}
	}
	panic("policy: no rule " + id) // a broken invariant: ids are constants of this package
}

// allowedStatement reports whether the operator lets pass what a rule has
// found: policy.allow.statements names the command, or the statement by its
// fingerprint. Neither opens the tenant context, the role or what was not
// understood.
func (e *Engine) allowedStatement(s *subject, rule string) bool {
	if len(s.options.allowStatements) == 0 || s.startup {
		return false
	}
	switch rule[:2] {
	case "G6":
		return s.allowedKinds() || s.allowedFingerprint()
	case "G3":
		return rule != "G301" && rule != "G302" && (s.allowedKinds() || s.allowedFingerprint())
	case "G4", "G5":
		return s.allowedFingerprint()
	}
	return false
}

// allowedKinds reports whether every kind in the statement that rules do not
// simply allow was allowed by its command tag.
func (s *subject) allowedKinds() bool {
	named := false
	for _, k := range append([]parser.Kind{s.statement.Kind}, s.statement.Nested...) {
		if classOf(k) == kindPlain {
			continue
		}
		if _, ok := s.options.allowStatements[k.String()]; !ok {
			return false
		}
		named = true
	}
	return named
}

func (s *subject) allowedFingerprint() bool {
	text := s.batch.Text[s.statement.Start:s.statement.End]
	_, ok := s.options.allowStatements[parser.Fingerprint(text)]
	return ok
}
