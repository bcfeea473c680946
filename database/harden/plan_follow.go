package harden

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// followFunction makes the function that follows a link. It bypasses row
// security, which would be a circle, and so says itself whose rows count: it
// answers yes for rows of the session's tenant only, and so tells nobody more
// than the tenant may know.
func (p *planner) followFunction(f follower) {
	other := p.m.Tenancy(f.link.key.References)
	var types, on []string
	for i, c := range f.link.key.ReferencedColumns {
		types = append(types, f.link.key.Columns[i].BaseType)
		on = append(on, fmt.Sprintf("t.%s = $%d", inventory.Quote(c.Name), i+1))
	}
	n := 0
	body := "select exists (select 1 from " + other.Relation.SQL() + " t where " + strings.Join(on, " and ") + " and " + p.truth(other, "t", &n) + ")"
	volatility := "stable"
	if f.volatile {
		volatility = "volatile"
	}
	signature := "bulkhead." + f.name + "(" + strings.Join(types, ", ") + ")"
	create := "create function " + signature + " returns boolean\nlanguage sql " + volatility +
		" security definer set search_path = pg_catalog, pg_temp as $bulkhead$" + body + "$bulkhead$"
	p.makeRole(readerRole, "nologin bypassrls", "owns the functions that follow references where policies would be an endless circle; it may read those tables alone")
	have := p.function(inventory.OwnSchema, f.name)
	if have != nil && have.Source == body && have.Owner == readerRole && have.SecurityDefiner {
		p.followRights(other, signature)
		return
	}
	step := Step{
		SQL:     joinSQL(create, "alter function "+signature+" owner to "+readerRole, "revoke all on function "+signature+" from public"),
		Inverse: "drop function " + signature,
		Reason: "follows " + f.link.key.Object() + " to rows of the session's tenant; a sub-select in the policy would be an endless circle of policies, " +
			"or ask for rights on " + other.Relation.Object() + " that not every role has",
		Object: signature,
	}
	if have != nil {
		step.SQL = joinSQL("create or replace function "+strings.TrimPrefix(create, "create function "), "alter function "+signature+" owner to "+readerRole)
		step.Inverse = joinSQL("alter function "+signature+" owner to "+inventory.Quote(have.Owner), strings.TrimSpace(have.Definition))
	}
	p.add(step)
	p.w.owners[functionKeyOf(signature)] = readerRole
	p.followRights(other, signature)
}

// function finds a function of which there is one by that name.
func (p *planner) function(schema, name string) *inventory.Function {
	i := slices.IndexFunc(p.s.Functions, func(f *inventory.Function) bool { return f.Schema == schema && f.Name == name })
	if i < 0 {
		return nil
	}
	return p.s.Functions[i]
}

func functionKeyOf(signature string) string { return "f" + signature }

// followRights grants what the function needs, and who needs the function.
func (p *planner) followRights(other *inventory.Tenancy, signature string) {
	tables := make(map[*inventory.Relation]bool)
	p.truthTables(other, tables)
	for _, r := range slices.SortedFunc(maps.Keys(tables), func(a, b *inventory.Relation) int { return strings.Compare(a.Object(), b.Object()) }) {
		p.useSchema(readerRole, r.Schema, "to follow references")
		p.grant(relationSecurable(r), readerRole, []string{"SELECT"}, "to follow references")
	}
	home := &inventory.Schema{Name: inventory.OwnSchema}
	p.ownerOfOwn()
	p.grant(schemaSecurable(home), readerRole, []string{"USAGE"}, "to ask for the tenant")
	p.grant(securable{object: "bulkhead.org_id()", sql: "function bulkhead.org_id()", key: functionKeyOf("bulkhead.org_id()")}, readerRole, []string{"EXECUTE"}, "to ask for the tenant")
	f := securable{object: signature, sql: "function " + signature, key: functionKeyOf(signature)}
	for _, role := range p.askers() {
		p.grant(f, role, []string{"EXECUTE"}, "policies call it with the rights of whoever asks")
	}
}

// ownerOfOwn notes who owns the schema bulkhead when this plan makes it.
func (p *planner) ownerOfOwn() {
	for _, key := range []string{schemaKey(inventory.OwnSchema), functionKeyOf("bulkhead.org_id()")} {
		if p.w.owners[key] == "" {
			p.w.owners[key] = ourRoles[0]
		}
	}
}
