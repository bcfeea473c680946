package harden

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// The policies of harden.
const (
	floorPolicy = "bulkhead_floor"
	basePolicy  = "bulkhead_base"
)

// floors puts the floor under every tenant table. Tables near the root come
// first: the condition of others follows references to them.
func (p *planner) floors() error {
	p.policyEdges()
	tables := slices.DeleteFunc(p.m.Tenancies(), func(t *inventory.Tenancy) bool {
		return !t.Tenant() || !t.Relation.TakesPolicies() || own(t.Relation.Schema)
	})
	slices.SortStableFunc(tables, func(a, b *inventory.Tenancy) int { return depth(a) - depth(b) })
	for _, t := range tables {
		if t.Class != inventory.Indirect && t.Column == nil {
			return fmt.Errorf("%s has no key of one column to tell tenants apart: name another root table", t.Relation.Object())
		}
	}
	// What the conditions read is known for all tables before any check is
	// written: a check must not lead back to its own table.
	texts := make([]floorText, len(tables))
	for i, t := range tables {
		if texts[i] = p.usingText(t); texts[i].using == "" && len(p.bad) == 0 {
			return fmt.Errorf("%s: no foreign key tells whose its rows are", t.Relation.Object())
		}
	}
	if len(p.bad) > 0 {
		return fmt.Errorf("only a function that bypasses row security can follow %s, and %s cannot make one: run this as a superuser",
			strings.Join(p.bad, ", "), p.s.Login.Current)
	}
	for i, t := range tables {
		p.checkText(t, &texts[i])
		p.in(t.Relation.Object(), func() { p.floor(t.Relation, &texts[i]) })
	}
	p.seal(tables)
	return nil
}

// floorNote begins the comment on a floor. Two digests follow: of the text that
// harden wrote, which tells whether the table needs another one by now; and of
// what the server made of it, which tells whether somebody has changed it.
const floorNote = "bulkhead floor 1 "

// sealFloors adds the second digest to the comments that lack it.
const sealFloors = `do $bulkhead$
declare
  f record;
begin
  for f in
    select p.polrelid::regclass::text as t, (regexp_match(d.description, '^bulkhead floor 1 [0-9a-f]{16}'))[1] as note,
      ' ' || left(encode(sha256(convert_to(pg_get_expr(p.polqual, p.polrelid) || ' / ' || pg_get_expr(p.polwithcheck, p.polrelid), 'UTF8')), 'hex'), 16) as seal, d.description
    from pg_catalog.pg_policy p join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_policy'::regclass and d.objoid = p.oid
    where p.polname = 'bulkhead_floor'
  loop
    if f.note || f.seal <> f.description then
      execute format('comment on policy bulkhead_floor on %s is %L', f.t, f.note || f.seal);
    end if;
  end loop;
end
$bulkhead$`

// seal adds the step that seals the floors, if the plan writes one or finds one
// that was not sealed.
func (p *planner) seal(tables []*inventory.Tenancy) {
	open := slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return strings.HasSuffix(s.Object, ":"+floorPolicy) })
	for _, t := range tables {
		open = open || len(strings.Fields(p.comments[t.Relation.Object()+":"+floorPolicy])) == len(strings.Fields(floorNote))+1
	}
	if open {
		p.add(Step{
			SQL: sealFloors, Inverse: nothingToUndo, Object: "database:" + p.s.Database,
			Reason: "notes in the comments of the floors what the server made of them, so that a change shows",
			Lock:   "SHARE UPDATE EXCLUSIVE on the tables with a new floor",
		})
	}
}

// policyEdges notes which tables the policies of each table read: PostgreSQL
// expands row security inside row security, and refuses a circle.
func (p *planner) policyEdges() {
	p.edges = make(map[*inventory.Relation][]*inventory.Relation)
	for _, r := range p.s.Relations {
		for _, policy := range r.Policies {
			if policy.Name == floorPolicy {
				continue
			}
			for _, used := range policy.Uses.Relations {
				if used != r {
					p.edges[r] = append(p.edges[r], used)
				}
			}
		}
	}
}

// leads reports whether reading a table leads, through policies and views, to
// another one.
func (p *planner) leads(from, to *inventory.Relation) bool {
	seen := make(map[*inventory.Relation]bool)
	var walk func(r *inventory.Relation) bool
	walk = func(r *inventory.Relation) bool {
		if r == to {
			return true
		}
		if seen[r] {
			return false
		}
		seen[r] = true
		return slices.ContainsFunc(p.edges[r], walk) || slices.ContainsFunc(r.Uses.Relations, walk)
	}
	return walk(from)
}

// readable reports whether every role that can do anything with a table may
// read the columns of another one that a link needs: a policy reads with the
// rights of whoever asks.
func (p *planner) readable(l link) bool {
	for _, role := range p.runAs {
		if !slices.ContainsFunc(dml, func(privilege string) bool { return p.may(role, l.key.Relation, privilege) }) {
			continue
		}
		if !p.effective(role, schemaKey(l.key.References.Schema), "USAGE") {
			// Only the parser asks for USAGE, and it has read the policy already.
			continue
		}
		if !p.mayRead(role, l.key.References, l.key.ReferencedColumns) {
			return false
		}
	}
	return true
}

func (p *planner) mayRead(role *inventory.Role, r *inventory.Relation, columns []*inventory.Column) bool {
	if p.inherits[role] == nil {
		p.inherits[role] = p.inherited(role, p.ended)
	}
	if p.effective(role, relationKey(r), "SELECT") {
		return true
	}
	if len(columns) == 0 { // count(*) asks for some column, whichever
		return p.may(role, r, "SELECT")
	}
	return !slices.ContainsFunc(columns, func(c *inventory.Column) bool { return !p.effective(role, columnKey(c), "SELECT") })
}

// floorText is the condition of a floor.
type floorText struct {
	using, check string
	// own is the condition that the row itself is the tenant's, for the check;
	// "" where that is what using says.
	own       string
	parents   []link // that using follows
	functions []follower
}

// follower is a function that follows a link where a sub-select cannot.
type follower struct {
	name     string
	link     link
	volatile bool
}

// usingText writes which rows of a table are the tenant's.
func (p *planner) usingText(t *inventory.Tenancy) floorText {
	var f floorText
	if t.Class != inventory.Indirect {
		f.own = p.ownRow(t, column(t.Relation, t.Column))
		f.using = eachRow(f.own)
		if p.otherKey(t) == nil {
			return f
		}
		if slug := (link{t.Reference, t.Column.NotNull}); p.leads(p.m.Root, t.Relation) || !p.readable(slug) {
			f.using, f.own = p.follows(t, &f, slug, true), ""
			if f.using == "" {
				p.bad = append(p.bad, slug.key.Object())
			}
			return f
		}
		p.edges[t.Relation] = append(p.edges[t.Relation], p.m.Root)
		return f
	}
	links, certain := p.parents(t)
	f.parents = links
	f.using = p.followParents(t, &f, links, certain)
	return f
}

// checkText adds what must hold for a row that is written: whatever it
// references is the tenant's as well.
func (p *planner) checkText(t *inventory.Tenancy, f *floorText) {
	checks := []string{cmp.Or(f.own, f.using)}
	for _, l := range p.links(t) {
		if slices.ContainsFunc(f.parents, func(x link) bool { return x.key == l.key }) {
			continue
		}
		follow := p.follows(t, f, l, false)
		if follow == "" {
			p.warn(l.key.Object(), "reference is not checked by the floor", "only a function that bypasses row security could follow it, and "+
				p.s.Login.Current+" cannot make one: run this as a superuser, or close it with the integrity phase")
			continue
		}
		if !l.certain {
			follow = "(" + l.isNull() + " or " + follow + ")"
		}
		checks = append(checks, follow)
	}
	f.check = strings.Join(checks, "\n    and ")
}

func (p *planner) followParents(t *inventory.Tenancy, f *floorText, links []link, certain bool) string {
	var parts, set []string
	for _, l := range links {
		follow := p.follows(t, f, l, true)
		if follow == "" {
			p.bad = append(p.bad, l.key.Object())
			continue
		}
		if !certain {
			follow = "(" + l.isNull() + " or " + follow + ")"
			set = append(set, "not ("+l.isNull()+")")
		}
		parts = append(parts, follow)
	}
	if len(set) > 0 {
		parts = append(parts, "("+strings.Join(set, " or ")+")")
	}
	return strings.Join(parts, "\n    and ")
}

// follows writes that the row which a link references is the tenant's: by a
// sub-select, or by a function where that would be an endless circle of
// policies or where not everybody may read the other table. It is "" where no
// such function can be made.
func (p *planner) follows(t *inventory.Tenancy, f *floorText, l link, using bool) string {
	other := l.key.References
	if other != t.Relation && !p.leads(other, t.Relation) && p.readable(l) {
		if using {
			p.edges[t.Relation] = append(p.edges[t.Relation], other)
		}
		return l.follow()
	}
	if !p.s.Login.Superuser { // only a superuser makes roles that bypass row security
		return ""
	}
	// In a check the function is volatile: it then sees rows that the same
	// statement has written, as a row of a tree may reference one.
	prefix := "sees_"
	if using {
		prefix = "owns_"
	}
	fn := follower{name: l.functionName(prefix), link: l, volatile: !using}
	f.functions = append(f.functions, fn)
	return l.call(fn.name)
}

// floor adds the steps for one table: the policies first, then row security,
// so that no moment denies everything.
func (p *planner) floor(r *inventory.Relation, f *floorText) {
	for _, fn := range f.functions {
		p.followFunction(fn)
	}
	p.floorPolicy(r, f)
	permissive := slices.ContainsFunc(r.Policies, func(x *inventory.Policy) bool { return x.Permissive })
	if !r.RowSecurity && !permissive {
		if i := slices.IndexFunc(r.Policies, func(x *inventory.Policy) bool { return x.Name == basePolicy }); i >= 0 {
			p.renamePolicy(r.Policies[i])
		}
		p.add(Step{
			SQL:     "create policy " + basePolicy + " on " + r.SQL() + " for all to public using (true)",
			Inverse: "drop policy " + basePolicy + " on " + r.SQL(),
			Reason:  "the table had no row security and no policy: inside the tenant, everything that is granted goes on working",
			Lock:    accessExclusive(r), Object: r.Object() + ":" + basePolicy,
		})
	}
	if !r.RowSecurity {
		p.add(Step{
			SQL: "alter table " + r.SQL() + " enable row level security", Inverse: "alter table " + r.SQL() + " disable row level security",
			Reason: "policies do nothing until row security is on", Lock: accessExclusive(r), Object: r.Object(),
		})
	}
	if !r.Force {
		p.add(Step{
			SQL: "alter table " + r.SQL() + " force row level security", Inverse: "alter table " + r.SQL() + " no force row level security",
			Reason: "the owner, and views and functions that run as it, are bound as well", Lock: accessExclusive(r), Object: r.Object(),
		})
	}
}

func (p *planner) floorPolicy(r *inventory.Relation, f *floorText) {
	body := "using (" + f.using + ")\n  with check (" + f.check + ")"
	note := floorNote + shortDigest(body)
	object := r.Object() + ":" + floorPolicy
	i := slices.IndexFunc(r.Policies, func(x *inventory.Policy) bool { return x.Name == floorPolicy })
	comment := func(text string) string {
		return "comment on policy " + floorPolicy + " on " + r.SQL() + " is " + text
	}
	create := "create policy " + floorPolicy + " on " + r.SQL() + " as restrictive for all to public\n  " + body
	if i < 0 {
		p.add(Step{
			SQL: joinSQL(create, comment(inventory.QuoteLiteral(note))), Inverse: "drop policy " + floorPolicy + " on " + r.SQL(),
			Reason: p.floorReason(r), Lock: accessExclusive(r), Object: object,
		})
		return
	}
	old := r.Policies[i]
	if strings.HasPrefix(p.comments[object], note) && isFloor(old, p.comments[object]) {
		return
	}
	if !strings.HasPrefix(p.comments[object], floorNote) {
		p.renamePolicy(old)
		p.add(Step{
			SQL: joinSQL(create, comment(inventory.QuoteLiteral(note))), Inverse: "drop policy " + floorPolicy + " on " + r.SQL(),
			Reason: p.floorReason(r), Lock: accessExclusive(r), Object: object,
		})
		return
	}
	oldComment := "null"
	if text, ok := p.comments[object]; ok {
		oldComment = inventory.QuoteLiteral(text)
	}
	p.add(Step{
		SQL: joinSQL("drop policy "+floorPolicy+" on "+r.SQL(), create, comment(inventory.QuoteLiteral(note))),
		Inverse: joinSQL("drop policy "+floorPolicy+" on "+r.SQL(), policySQL(old),
			comment(oldComment)),
		Reason: "the floor is not the one that the table needs: foreign keys have changed, or somebody changed the policy",
		Lock:   accessExclusive(r), Object: object,
	})
}

// renamePolicy makes room for one of ours where somebody else's policy has its
// name: that one is the application's own and goes on as it is.
func (p *planner) renamePolicy(x *inventory.Policy) {
	r, name := x.Relation, ""
	for n := 1; name == "" || slices.ContainsFunc(r.Policies, func(y *inventory.Policy) bool { return y.Name == name }); n++ {
		name = fmt.Sprintf("%s_before_%d", x.Name, n)
	}
	rename := func(from, to string) string {
		return "alter policy " + inventory.Quote(from) + " on " + r.SQL() + " rename to " + inventory.Quote(to)
	}
	p.add(Step{
		SQL: rename(x.Name, name), Inverse: rename(name, x.Name),
		Reason: "the policy is not Bulkhead's and stays in force, but its name is needed", Lock: accessExclusive(r), Object: x.Object(),
	})
}

func (p *planner) floorReason(r *inventory.Relation) string {
	t := p.m.Tenancy(r)
	why := "whatever other policies allow, only rows of the session's tenant can be read or written"
	switch {
	case len(r.Parents) > 0:
		return why + "; policies of the parent do not count where this table is named itself"
	case t.Class == inventory.Indirect:
		return why + "; whose a row is, the rows that it references tell"
	}
	return why
}

// shortDigest is enough to tell that something has changed.
func shortDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// isFloor reports whether a policy is still what harden made. A floor whose
// comment is not sealed yet is taken for one.
func isFloor(x *inventory.Policy, note string) bool {
	if x.Permissive || x.Command != '*' || !slices.Equal(x.Roles, []string{inventory.Public}) || x.Using == "" || x.Check == "" {
		return false
	}
	words := strings.Fields(note)
	if sealed := len(strings.Fields(floorNote)) + 2; len(words) != sealed {
		return true
	}
	return words[len(words)-1] == shortDigest(x.Using+" / "+x.Check)
}

// policySQL writes an existing policy anew, as it was read.
func policySQL(x *inventory.Policy) string {
	kind := "restrictive"
	if x.Permissive {
		kind = "permissive"
	}
	var roles []string
	for _, r := range x.Roles {
		roles = append(roles, grantee(r))
	}
	sql := fmt.Sprintf("create policy %s on %s as %s for %s to %s", inventory.Quote(x.Name), x.Relation.SQL(), kind,
		strings.ToLower(x.CommandName()), strings.Join(roles, ", "))
	if x.Using != "" {
		sql += " using (" + x.Using + ")"
	}
	if x.Check != "" {
		sql += " with check (" + x.Check + ")"
	}
	return sql
}
