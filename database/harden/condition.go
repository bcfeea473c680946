package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// depth is how far a tenant table is from the root: conditions follow
// references towards the root only, so that they end.
func depth(t *inventory.Tenancy) int {
	switch t.Class {
	case inventory.Root:
		return 0
	case inventory.Direct:
		return 1
	}
	return 1 + len(t.Chain)
}

// column writes a column of a table in a policy of that table. With three
// parts it means the table even where a sub-select has an alias of its name.
func column(r *inventory.Relation, c *inventory.Column) string {
	return r.SQL() + "." + inventory.Quote(c.Name)
}

// ownRow is the condition that a row of a root or direct table is the
// tenant's. The context is cast and not the column, whose index would be of no
// use, where there is a cast.
func (p *planner) ownRow(t *inventory.Tenancy, col string) string {
	if key := p.otherKey(t); key != nil {
		return fmt.Sprintf("%s = (select root.%s from %s root where root.%s = %s)",
			col, inventory.Quote(key.Name), p.m.Root.SQL(), inventory.Quote(p.m.RootKey.Name), orgAs(""))
	}
	switch {
	case t.Column.BaseType == p.keyType:
		return col + " = " + orgAs("")
	case castable(p.keyType, t.Column.BaseType):
		return col + " = " + orgAs("::"+t.Column.BaseType)
	}
	return col + "::text = " + orgAs("::text") // no row can be equal, but the policy can be written
}

// eachRow writes a condition so that it is asked of each row. The planner takes
// the equation for interchangeable with others of the statement: with WHERE
// org_id = y it asks once whether y is the tenant, and each row only whether it
// has y. That is right for a y that does not change, and a client can write one
// that does: a STABLE function of what the same statement changes. A CASE is no
// equation; the bare condition stays beside it, for the indexes.
func eachRow(condition string) string {
	return condition + "\n    and case when " + condition + " then true else false end"
}

// otherKey is the column of the root table that the tenant's column references,
// if it is another one than the key: a slug, say.
func (p *planner) otherKey(t *inventory.Tenancy) *inventory.Column {
	if p.m.RootKey == nil {
		return nil
	}
	seen := map[*inventory.Tenancy]bool{}
	for t != nil && t.Reference != nil && !seen[t] {
		seen[t] = true
		k := t.Reference
		key := k.ReferencedColumns[slices.Index(k.Columns, t.Column)]
		if k.References == p.m.Root {
			if key == p.m.RootKey {
				return nil
			}
			return key
		}
		// The tenant's column of another table, which may reference another key.
		if t = p.m.Tenancy(k.References); t == nil || t.Column != key {
			return nil
		}
	}
	return nil
}

var (
	stringTypes = []string{"text", "character varying", "character", "name"}
	numberTypes = []string{"smallint", "integer", "bigint", "numeric"}
)

// castable reports whether the tenant's key can be cast to the type of a
// column. Types of a schema are taken for domains of it.
func castable(from, to string) bool {
	return slices.Contains(stringTypes, to) || slices.Contains(stringTypes, from) ||
		slices.Contains(numberTypes, from) && slices.Contains(numberTypes, to) || strings.Contains(to, ".")
}

// orgAs is the tenant of the session with a cast, such as ::text, or "" for
// none. It is evaluated once for each statement: a bare call would run for each
// row, and forbid a parallel plan.
func orgAs(cast string) string {
	return "(select bulkhead.org_id()" + cast + ")"
}

// link is a foreign key of a table to a tenant table.
type link struct {
	key     *inventory.Constraint
	certain bool // no column of it may be NULL
}

// links are the foreign keys of a table to tenant tables, in the order of
// their names, without those that repeat the tenant's column alone or carry
// the tenant along: these hold anyway.
func (p *planner) links(t *inventory.Tenancy) []link {
	var out []link
	seen := make(map[string]bool)
	for _, k := range t.Relation.Constraints {
		if k.Kind != inventory.ForeignKey || k.References == nil || !p.m.IsTenant(k.References) || ofPartition(k) || p.carriesTenant(t, k) {
			continue
		}
		same := k.References.Object()
		for i := range k.Columns {
			same += "\x00" + k.Columns[i].Name + "\x00" + k.ReferencedColumns[i].Name
		}
		if seen[same] {
			continue
		}
		seen[same] = true
		out = append(out, link{k, !slices.ContainsFunc(k.Columns, func(c *inventory.Column) bool { return !c.NotNull })})
	}
	return out
}

// ofPartition reports whether a foreign key is one that the server has made for
// a partition of the table that another one of the same columns references.
func ofPartition(k *inventory.Constraint) bool {
	return slices.ContainsFunc(k.Relation.Constraints, func(x *inventory.Constraint) bool {
		return x.Kind == inventory.ForeignKey && x != k && x.References != nil && slices.Equal(x.Columns, k.Columns) && partitionOf(k.References, x.References)
	})
}

func partitionOf(r, ancestor *inventory.Relation) bool {
	return r.IsPartition && slices.ContainsFunc(r.Parents, func(x *inventory.Relation) bool { return x == ancestor || partitionOf(x, ancestor) })
}

// carriesTenant reports whether a foreign key ties the tenant's column to the
// tenant's column of the other table.
func (p *planner) carriesTenant(t *inventory.Tenancy, k *inventory.Constraint) bool {
	other := p.m.Tenancy(k.References)
	if t.Column == nil || other.Column == nil {
		return false
	}
	for i, c := range k.Columns {
		if c == t.Column && (k.ReferencedColumns[i] == other.Column || other.Class == inventory.Root) {
			return true
		}
	}
	return false
}

// parents are the links that say whose a row of an indirect table is: all that
// every row has and that lead closer to the root; where there is none, those
// that a row may have.
func (p *planner) parents(t *inventory.Tenancy) (links []link, certain bool) {
	var sure, other []link
	for _, l := range p.links(t) {
		switch {
		case depth(p.m.Tenancy(l.key.References)) >= depth(t):
		case l.certain:
			sure = append(sure, l)
		default:
			other = append(other, l)
		}
	}
	if len(sure) > 0 {
		return sure, true
	}
	return other, false
}

// isNull and notNull are about the columns of a link that may be NULL: with
// one NULL the row references nothing (MATCH SIMPLE).
func (l link) isNull() string {
	var parts []string
	for _, c := range l.key.Columns {
		if !c.NotNull {
			parts = append(parts, column(l.key.Relation, c)+" is null")
		}
	}
	return strings.Join(parts, " or ")
}

// follow writes that the row which a link references is visible.
func (l link) follow() string {
	var on []string
	for i, c := range l.key.Columns {
		on = append(on, "parent."+inventory.Quote(l.key.ReferencedColumns[i].Name)+" = "+column(l.key.Relation, c))
	}
	return "exists (select 1 from " + l.key.References.SQL() + " parent where " + strings.Join(on, " and ") + ")"
}

// functionName is the name of the function that follows a link.
func (l link) functionName(prefix string) string {
	sum := sha256.Sum256([]byte(l.key.Object()))
	return prefix + hex.EncodeToString(sum[:6])
}

// call writes the call of a function that follows a link.
func (l link) call(name string) string {
	var arguments []string
	for _, c := range l.key.Columns {
		arguments = append(arguments, column(l.key.Relation, c))
	}
	return "bulkhead." + name + "(" + strings.Join(arguments, ", ") + ")"
}

// truth is the condition that a row of a table, under an alias, belongs to the
// tenant, without row security: for the body of a function that bypasses it.
// Aliases are numbered, as the conditions nest.
func (p *planner) truth(t *inventory.Tenancy, alias string, n *int) string {
	if t.Class != inventory.Indirect {
		return p.ownRow(t, alias+"."+inventory.Quote(t.Column.Name))
	}
	links, certain := p.parents(t)
	var parts, set []string
	for _, l := range links {
		*n++
		inner := fmt.Sprintf("t%d", *n)
		var on, null []string
		for i, c := range l.key.Columns {
			on = append(on, inner+"."+inventory.Quote(l.key.ReferencedColumns[i].Name)+" = "+alias+"."+inventory.Quote(c.Name))
			if !c.NotNull {
				null = append(null, alias+"."+inventory.Quote(c.Name)+" is null")
			}
		}
		exists := "exists (select 1 from " + l.key.References.SQL() + " " + inner + " where " + strings.Join(on, " and ") +
			" and " + p.truth(p.m.Tenancy(l.key.References), inner, n) + ")"
		if certain {
			parts = append(parts, exists)
			continue
		}
		parts = append(parts, "("+strings.Join(null, " or ")+" or "+exists+")")
		set = append(set, "not ("+strings.Join(null, " or ")+")")
	}
	if len(set) > 0 {
		parts = append(parts, "("+strings.Join(set, " or ")+")")
	}
	if len(parts) == 0 {
		return "false"
	}
	return strings.Join(parts, " and ")
}

// truthTables are the tables that the body of such a function reads.
func (p *planner) truthTables(t *inventory.Tenancy, found map[*inventory.Relation]bool) {
	found[t.Relation] = true
	if t.Class != inventory.Indirect {
		if p.otherKey(t) != nil {
			found[p.m.Root] = true
		}
		return
	}
	links, _ := p.parents(t)
	for _, l := range links {
		p.truthTables(p.m.Tenancy(l.key.References), found)
	}
}
