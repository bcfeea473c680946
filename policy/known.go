package policy

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// known is a catalogue with what follows from it, worked out once. It is never
// changed after newKnown, and shared by all sessions.
type known struct {
	catalog   *Catalog // never nil; empty if there is none
	absent    bool     // there is no catalogue
	options   *compiledOptions
	roles     map[string]*CatalogRole
	relations map[string][]*knownRelation // by unqualified name
	functions map[string][]*knownFunction // by unqualified name
	types     map[string][]string         // schemas by unqualified name
	layouts   map[string][]parser.Table   // of the relations of that name, in their order
	tablesOf  func(parser.Name) []parser.Table
}

// knownRelation is a relation and what rules say to its use.
type knownRelation struct {
	*CatalogRelation
	verdict            // of its use
	definition verdict // of what its query calls
}

// knownFunction is a function and what rules say to its call.
type knownFunction struct {
	*CatalogFunction
	verdict // of its call
}

// newKnown works out what follows from c for the roles of sessions.
func newKnown(c *Catalog, o *compiledOptions) *known {
	k := &known{catalog: c, absent: c == nil, options: o}
	k.tablesOf = k.tables // made once
	if c == nil {
		k.catalog = &Catalog{}
		return k
	}
	k.index()
	for k.judgeAll(o) { // what calls or reads a refused thing is refused too
	}
	return k
}

// judgeAll judges what was not refused so far by what is known so far, and
// reports whether anything new was refused.
func (k *known) judgeAll(o *compiledOptions) bool {
	changed := false
	for _, list := range k.functions {
		for _, f := range list {
			if f.rule == "" {
				k.judgeFunction(f, o)
				changed = changed || f.rule != ""
			}
		}
	}
	for _, list := range k.relations {
		for _, r := range list {
			if r.rule == "" {
				k.judgeRelation(r, o)
				changed = changed || r.rule != ""
			}
		}
	}
	return changed
}

func (k *known) index() {
	c := k.catalog
	k.roles = make(map[string]*CatalogRole, len(c.Roles))
	for i := range c.Roles {
		k.roles[c.Roles[i].Name] = &c.Roles[i]
	}
	k.relations = make(map[string][]*knownRelation, len(c.Relations))
	for i := range c.Relations {
		r := &c.Relations[i]
		k.relations[r.Name] = append(k.relations[r.Name], &knownRelation{CatalogRelation: r})
	}
	k.layOut()
	k.functions = make(map[string][]*knownFunction, len(c.Functions))
	for i := range c.Functions {
		f := &c.Functions[i]
		k.functions[f.Name] = append(k.functions[f.Name], &knownFunction{CatalogFunction: f})
	}
	k.types = make(map[string][]string, len(c.Types))
	for _, t := range c.Types {
		k.types[t.Name] = append(k.types[t.Name], t.Schema)
	}
}

// layOut notes the columns of relations. The key of the table of orgs carries
// the org, unless the operator lets everybody read that table.
func (k *known) layOut() {
	k.layouts = make(map[string][]parser.Table, len(k.relations))
	for name, list := range k.relations {
		for _, r := range list {
			t := parser.Table{Columns: r.Columns}
			if r.TenantColumn != "" {
				t.Org = append(t.Org, r.TenantColumn)
			}
			if r.OrgKey != "" && !k.options.allowRelations.has(r.Schema, r.Name) {
				t.Key = r.OrgKey
			}
			k.layouts[name] = append(k.layouts[name], t)
		}
	}
}

// tables returns the columns of the relations that a name may stand for.
func (k *known) tables(n parser.Name) []parser.Table {
	all := k.layouts[n.Name]
	if n.Schema == "" || len(all) == 0 {
		return all
	}
	for i, r := range k.relations[n.Name] {
		if r.Schema == n.Schema {
			return all[i : i+1]
		}
	}
	return nil
}

// findRelations returns the relations that a name may stand for. An
// unqualified name may mean any schema's: the client chooses its search_path.
func (k *known) findRelations(n parser.Name) []*knownRelation {
	all := k.relations[n.Name]
	if n.Schema == "" {
		return all
	}
	var found []*knownRelation
	for _, r := range all {
		if r.Schema == n.Schema {
			found = append(found, r)
		}
	}
	return found
}

// findFunctions returns the functions that a name may stand for. One without a
// schema is none of the tenant context's, which no search_path holds (G206).
func (k *known) findFunctions(n parser.Name) []*knownFunction {
	all := k.functions[n.Name]
	inContext := func(f *knownFunction) bool { return f.Schema == contextSchema }
	if n.Schema == "" && !slices.ContainsFunc(all, inContext) {
		return all
	}
	var found []*knownFunction
	for _, f := range all {
		if f.Schema == n.Schema || n.Schema == "" && !inContext(f) {
			found = append(found, f)
		}
	}
	return found
}

func (k *known) isType(n parser.Name) bool {
	schemas := k.types[n.Name]
	return len(schemas) > 0 && (n.Schema == "" || slices.Contains(schemas, n.Schema))
}

// bound reports whether row security of r applies to a role that reads it:
// it is on, the role does not bypass it, and the role is not its owner, which
// is bound only by FORCE.
func (k *known) bound(r *CatalogRelation, role string) bool {
	who := k.roles[role]
	if who == nil || who.Bypasses || !r.RowSecurity {
		return false
	}
	return r.ForceRowSecurity || !slices.Contains(who.Inherits, r.Owner)
}

// boundAll is bound for every role that sessions run as.
func (k *known) boundAll(r *CatalogRelation, roles []string) bool {
	if len(roles) == 0 {
		return false
	}
	for _, role := range roles {
		if !k.bound(r, role) {
			return false
		}
	}
	return true
}

// holdsTenantData reports whether rows of r belong to tenants: it carries the
// org, a chain of foreign keys leads to a table that does, or it is a view
// over such a relation. seen ends loops.
func (k *known) holdsTenantData(r *knownRelation, seen map[*knownRelation]bool) bool {
	if r.TenantColumn != "" || r.TenantPath != "" {
		return true
	}
	if seen[r] {
		return false
	}
	seen[r] = true
	for _, use := range r.Uses {
		for _, u := range k.findRelations(use) {
			if k.holdsTenantData(u, seen) {
				return true
			}
		}
	}
	return false
}

// judgeRelation fills in what rules say to a use of r by a client.
func (k *known) judgeRelation(r *knownRelation, o *compiledOptions) {
	if r.definition.rule == "" {
		r.definition = k.judgeDefinition(r, o)
	}
	r.verdict = k.exposure(r, k.catalog.SessionRoles, make(map[*knownRelation]bool))
}

// exposure returns the rule that is violated when one of the roles reads r,
// and why. It follows views to the tables below, with the roles that the
// server reads those as.
func (k *known) exposure(r *knownRelation, roles []string, seen map[*knownRelation]bool) verdict {
	if seen[r] || k.options.allowRelations.has(r.Schema, r.Name) {
		return verdict{}
	}
	seen[r] = true
	defer delete(seen, r)
	name := r.Schema + "." + r.Name
	switch r.Kind {
	case KindForeign:
		return verdict{"G505", "row security cannot apply to foreign table " + name}
	case KindMatview:
		if k.holdsTenantData(r, make(map[*knownRelation]bool)) {
			return verdict{"G503", "materialized view " + name + " holds rows of all orgs and has no row security"}
		}
		return verdict{}
	case KindView:
		if r.definition.rule != "" {
			return r.definition
		}
		return k.exposureBehind(r, roles, seen)
	case KindTable, KindPartitioned:
		if v := k.tableExposure(r, roles); v.rule != "" || len(r.Uses) == 0 {
			return v
		}
		return k.exposureBehind(r, roles, seen) // rewrite rules act as the owner
	}
	return verdict{}
}

func (k *known) tableExposure(r *knownRelation, roles []string) verdict {
	if r.TenantColumn == "" && r.TenantPath == "" || k.boundAll(r.CatalogRelation, roles) {
		return verdict{}
	}
	name := r.Schema + "." + r.Name
	why := "has no row security"
	if r.RowSecurity {
		why = "has row security, but it does not bind role " + k.firstUnbound(r.CatalogRelation, roles)
	}
	switch {
	case r.Parent != "":
		return verdict{"G504", "table " + name + ", a part of " + r.Parent + ", " + why + " of its own"}
	case r.TenantColumn != "":
		return verdict{"G501", "table " + name + " carries the org in column " + r.TenantColumn + " and " + why}
	default:
		return verdict{"G506", "table " + name + " belongs to orgs through " + r.TenantPath + " and " + why}
	}
}

func (k *known) firstUnbound(r *CatalogRelation, roles []string) string {
	for _, role := range roles {
		if !k.bound(r, role) {
			return role
		}
	}
	return "of the session"
}

// exposureBehind judges what a view or a rewrite rule names.
func (k *known) exposureBehind(r *knownRelation, roles []string, seen map[*knownRelation]bool) verdict {
	if !r.SecurityInvoker {
		roles = []string{r.Owner}
	}
	for _, use := range r.Uses {
		below := k.findRelations(use)
		if len(below) == 0 {
			return verdict{"G502", "what " + r.Schema + "." + r.Name + " reads is not known: " + spell(use)}
		}
		for _, u := range below {
			v := k.exposure(u, roles, seen)
			switch {
			case v.rule == "":
				continue
			case r.SecurityInvoker:
				return verdict{v.rule, "through view " + r.Schema + "." + r.Name + ": " + v.reason}
			default:
				return verdict{"G502", "view " + r.Schema + "." + r.Name + " runs as " + r.Owner + ": " + v.reason}
			}
		}
	}
	return verdict{}
}

// spell writes a name as people read it.
func spell(n parser.Name) string {
	parts := make([]string, 0, 3)
	for _, p := range []string{n.Catalog, n.Schema, n.Name} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ".")
}
