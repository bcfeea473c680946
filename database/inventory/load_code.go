package inventory

import "context"

func (l *loader) policiesOf(ctx context.Context) error {
	const query = `
SELECT p.oid, p.polrelid, p.polname::text, p.polcmd::text, p.polpermissive,
	ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END FROM unnest(p.polroles) AS r ORDER BY 1),
	COALESCE(pg_get_expr(p.polqual, p.polrelid), ''), COALESCE(pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM pg_policy p ORDER BY p.polrelid, p.polname::text COLLATE "C"`
	var oid, table uint32
	var p Policy
	var command string
	dest := []any{&oid, &table, &p.Name, &command, &p.Permissive, &p.Roles, &p.Using, &p.Check}
	return l.each(ctx, "policies", query, nil, dest, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		policy := p
		policy.Relation, policy.Command = r, command[0]
		r.Policies = append(r.Policies, &policy)
		l.policies[oid] = &policy
		p.Roles = nil
		return nil
	})
}

// triggers reads triggers. Before 15 those that partitions have from their
// parent are marked internal, as are those of constraints.
func (l *loader) triggers(ctx context.Context) error {
	const query = `
SELECT t.tgrelid, t.tgname::text, t.tgfoid, t.tgenabled::text, t.tgparentid <> 0, pg_get_triggerdef(t.oid)
FROM pg_trigger t WHERE NOT t.tgisinternal
OR t.tgparentid <> 0 AND (t.tgconstraint = 0 OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype = 't'))
ORDER BY t.tgrelid, t.tgname::text COLLATE "C"`
	var table, function uint32
	var t Trigger
	var enabled string
	return l.each(ctx, "triggers", query, nil, []any{&table, &t.Name, &function, &enabled, &t.Inherited, &t.Definition}, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		trigger := t
		trigger.Relation, trigger.Enabled, trigger.Function = r, enabled[0], l.functions[function]
		r.Triggers = append(r.Triggers, &trigger)
		if trigger.Function != nil {
			trigger.Function.UsedByTriggers = append(trigger.Function.UsedByTriggers, &trigger)
		}
		return nil
	})
}

// rulesOf reads rewrite rules. That of a view is not a Rule: what it uses is
// the view's.
func (l *loader) rulesOf(ctx context.Context) error {
	const query = `
SELECT w.oid, w.ev_class, w.rulename::text, w.ev_type::text, w.is_instead, w.ev_enabled::text, pg_get_ruledef(w.oid), w.rulename = '_RETURN' AND w.ev_type = '1'
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ` + userSchemas + `
ORDER BY w.ev_class, w.rulename::text COLLATE "C"`
	var oid, table uint32
	var rule Rule
	var event, enabled string
	var isView bool
	return l.each(ctx, "rewrite rules", query, nil, []any{&oid, &table, &rule.Name, &event, &rule.Instead, &enabled, &rule.Definition, &isView}, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		if isView {
			l.rules[oid], l.viewRules[oid] = &r.Uses, r
			return nil
		}
		made := rule
		made.Relation, made.Event, made.Enabled = r, event[0], enabled[0]
		r.Rules = append(r.Rules, &made)
		l.rules[oid] = &made.Uses
		return nil
	})
}

// firstNormalObject is the first OID that is not the server's own
// (FirstNormalObjectId).
const firstNormalObject = 16384

// dependencies reads what policies, views, rules, column defaults and
// SQL-standard function bodies use.
func (l *loader) dependencies(ctx context.Context) error {
	const query = `
SELECT DISTINCT d.classid::regclass::text, d.objid, d.refclassid::regclass::text, d.refobjid, d.refobjsubid FROM pg_depend d
WHERE d.objid >= $1::oid AND d.deptype IN ('n', 'a')
AND d.classid = ANY (ARRAY['pg_policy', 'pg_rewrite', 'pg_attrdef', 'pg_proc']::regclass[])
AND d.refclassid = ANY (ARRAY['pg_class', 'pg_proc']::regclass[]) AND d.refobjid >= $1::oid
ORDER BY 1, 2, 3, 4, 5`
	var class, refClass string
	var object, ref uint32
	var number int32
	return l.each(ctx, "dependencies", query, []any{uint32(firstNormalObject)}, []any{&class, &object, &refClass, &ref, &number}, func() error {
		uses, self := l.usesOf(class, object)
		if uses == nil {
			return nil
		}
		if refClass == "pg_proc" {
			l.usesFunction(class, object, uses, l.functions[ref])
			return nil
		}
		r := l.relations[ref]
		if r == nil || r == self && class != "pg_policy" {
			return nil
		}
		// A policy depends on its own table in any case: only the columns tell.
		if r != self && (len(uses.Relations) == 0 || uses.Relations[len(uses.Relations)-1] != r) {
			uses.Relations = append(uses.Relations, r)
		}
		if c := r.number(int(number)); c != nil && number > 0 {
			uses.Columns = append(uses.Columns, c)
		}
		return nil
	})
}

// usesOf returns where the dependencies of an object go, and the relation that
// it is part of.
func (l *loader) usesOf(class string, oid uint32) (uses *Uses, self *Relation) {
	switch class {
	case "pg_policy":
		if p := l.policies[oid]; p != nil {
			return &p.Uses, p.Relation
		}
	case "pg_rewrite":
		// The rule of a view has its columns for OLD and NEW, before 16.
		return l.rules[oid], l.viewRules[oid]
	case "pg_attrdef":
		if c := l.defaults[oid]; c != nil {
			return &c.DefaultUses, c.Relation
		}
	case "pg_proc":
		if f := l.functions[oid]; f != nil {
			return &f.Uses, nil
		}
	}
	return nil, nil
}

func (l *loader) usesFunction(class string, oid uint32, uses *Uses, f *Function) {
	if f == nil {
		return
	}
	uses.Functions = append(uses.Functions, f)
	switch class {
	case "pg_policy":
		f.UsedByPolicies = append(f.UsedByPolicies, l.policies[oid])
	case "pg_rewrite":
		for _, r := range l.s.Relations {
			if uses == &r.Uses {
				f.UsedByViews = append(f.UsedByViews, r)
			}
		}
	}
}
