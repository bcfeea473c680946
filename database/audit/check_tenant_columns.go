package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
)

// tenantColumnChecks ask whether the column that carries the tenant can be
// trusted.
func tenantColumnChecks() []Check {
	return []Check{
		{
			ID: "A501", Name: "tenant_column_nullable", Severity: High, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "the tenant column may be NULL",
			Why:   "A row without a tenant belongs to nobody: it is invisible, or visible to all where a policy tolerates NULL.",
			Fix:   "SET NOT NULL, after the rows that are NULL have been given a tenant.",
			Run:   tenantColumnNullable,
		},
		{
			ID: "A502", Name: "tenant_column_without_fk", Severity: Medium, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "the tenant column has no foreign key",
			Why:   "Rows can name a tenant that does not exist, and stay when theirs is deleted: the next tenant with that key gets them.",
			Fix:   "Add a foreign key to the root table, NOT VALID first, then VALIDATE.",
			Run:   tenantColumnWithoutFK,
		},
		{
			ID: "A506", Name: "tenant_column_type", Severity: High, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "the tenant column's type is not that of the tenant's key",
			Why:   "No foreign key is possible, comparisons need casts (that raise on garbage and spoil indexes), and two spellings of one tenant may differ.",
			Fix:   "Change the column's type to that of the root table's key.",
			Run:   tenantColumnType,
		},
		{
			ID: "A507", Name: "tenant_like_column", Severity: Info, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "another column looks like a tenant",
			Why:   "Code that filters by the wrong one of two columns isolates by luck.",
			Fix:   "Drop it, or make sure that nothing decides by it.",
			Run:   tenantLikeColumn,
		},
		{
			ID: "A508", Name: "ambiguous_tenant_column", Severity: Medium, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "several columns could be the tenant column",
			Why:   "Two columns carry a tenant: a policy on one of them says nothing about the other.",
			Fix:   "Decide which one owns the row; name it in tenant.columns, and rename or drop the other.",
			Run:   ambiguousTenantColumn,
		},
		{
			ID: "A512", Name: "tenant_column_default", Severity: High, CWE: "CWE-639", Controls: controlsIntegrity,
			Title: "the tenant column has a constant default",
			Why:   "A row whose tenant was forgotten goes to that one tenant. A default that calls the context's function is right.",
			Fix:   "Drop the default, or take it from the context.",
			Run:   tenantColumnDefault,
		},
	}
}

// directTables are the reached tables with a tenant column of their own. What
// a foreign table's columns hold the other server decides: A109 says it all.
// Columns and constraints that partitions and children have from their parent
// are judged there.
func (f *Facts) directTables() []*inventory.Tenancy {
	return slices.DeleteFunc(f.tenantTables(), func(t *inventory.Tenancy) bool {
		return t.Class != inventory.Direct || t.Column == nil || !t.Relation.TakesPolicies() || f.judgedAtParent(t)
	})
}

// judgedAtParent reports whether the table is a partition or child of a table
// that the application reaches as well: that it reaches the child itself is
// A107, and not one more finding for each of its columns.
func (f *Facts) judgedAtParent(t *inventory.Tenancy) bool {
	return slices.ContainsFunc(ancestors(t.Relation), func(p *inventory.Relation) bool { return f.Reaches(p) != nil })
}

// ancestors are the parents of a table, theirs, and so on.
func ancestors(r *inventory.Relation) []*inventory.Relation {
	list := slices.Clone(r.Parents)
	for i := 0; i < len(list); i++ {
		for _, p := range list[i].Parents {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return list
}

func tenantColumnNullable(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.directTables() {
		c, r := t.Column, t.Relation
		if c.NotNull && !c.NotNullUnchecked || checkedNotNull(c) {
			continue
		}
		finding := f.about(r, c.Object(), fmt.Sprintf("%s may be NULL.", c.Object())).
			withSQL("ALTER TABLE " + r.SQL() + " ALTER COLUMN " + inventory.Quote(c.Name) + " SET NOT NULL;")
		if c.NotNullUnchecked {
			finding.Detail = fmt.Sprintf("%s is NOT NULL, but NOT VALID: rows from before may be NULL.", c.Object())
			for _, k := range r.Constraints {
				if k.Kind == inventory.NotNull && slices.Contains(k.Columns, c) {
					finding = finding.withSQL("ALTER TABLE " + r.SQL() + " VALIDATE CONSTRAINT " + inventory.Quote(k.Name) + ";")
				}
			}
		}
		found = append(found, finding)
	}
	return found
}

// checkedNotNull reports whether a validated CHECK says the same as NOT NULL.
func checkedNotNull(c *inventory.Column) bool {
	want := "CHECK ((" + inventory.Quote(c.Name) + " IS NOT NULL))"
	return slices.ContainsFunc(c.Relation.Constraints, func(k *inventory.Constraint) bool {
		return k.Kind == inventory.Check && k.Validated && k.Enforced && k.Definition == want
	})
}

func tenantColumnWithoutFK(f *Facts) []Finding {
	if f.Root == nil || f.RootKey == nil {
		return nil
	}
	var found []Finding
	for _, t := range f.directTables() {
		c, r := t.Column, t.Relation
		if t.Reference != nil && t.Reference.Enforced || !sameType(c.BaseType, f.RootKey.BaseType) || !r.TakesPolicies() {
			continue // another type is A506, a foreign table takes no constraint
		}
		name := shortName(r.Name + "_" + c.Name + "_fkey")
		found = append(found, f.about(r, c.Object(), fmt.Sprintf("%s has no foreign key to %s.", c.Object(), f.Root.Object())).
			withSQL("ALTER TABLE "+r.SQL()+" ADD CONSTRAINT "+inventory.Quote(name)+" FOREIGN KEY ("+inventory.Quote(c.Name)+") REFERENCES "+
				f.Root.SQL()+" ("+inventory.Quote(f.RootKey.Name)+") ON DELETE CASCADE;"))
	}
	return found
}

// shortName cuts a name to what the server keeps of it (NAMEDATALEN).
func shortName(name string) string {
	const longest = 63
	if len(name) > longest {
		return strings.ToValidUTF8(name[:longest], "")
	}
	return name
}

// sameType compares types as far as a tenant's key goes: text and varchar have
// the same operators.
func sameType(a, b string) bool {
	textual := []string{"text", "character varying"}
	return a == b || slices.Contains(textual, a) && slices.Contains(textual, b)
}

func tenantColumnType(f *Facts) []Finding {
	if f.RootKey == nil {
		return nil
	}
	const domain = 'd'
	var found []Finding
	for _, t := range f.directTables() {
		c, key := t.Column, f.RootKey
		if k := t.Reference; k != nil && k.References == f.Root && len(k.ReferencedColumns) == 1 {
			key = k.ReferencedColumns[0]
		}
		if sameType(c.BaseType, key.BaseType) || c.Category == domain || key.Category == domain {
			continue
		}
		found = append(found, f.about(t.Relation, c.Object(), fmt.Sprintf("%s is %s, the key %s is %s.", c.Object(), c.Type, key.Object(), key.Type)).
			withFix(typeFix(c, key)))
	}
	return found
}

func typeFix(c, key *inventory.Column) string {
	column := inventory.Quote(c.Name)
	return "Check that all values convert, drop policies and indexes that use the column, then: ALTER TABLE " + c.Relation.SQL() + " ALTER COLUMN " + column +
		" TYPE " + key.Type + " USING " + column + "::" + key.Type + ";"
}

// tenantLike are names of columns that people take for the tenant.
var tenantLike = regexp.MustCompile(`^(tenant|org|organi[sz]ation|customer|account|company|workspace|slug)(name|slug|code|key)?$`)

func tenantLikeColumn(f *Facts) []Finding {
	texts := []string{"text", "character varying", "character"}
	var found []Finding
	for _, t := range f.directTables() {
		for _, c := range t.Relation.Columns {
			plain := strings.ToLower(strings.ReplaceAll(c.Name, "_", ""))
			if c == t.Column || !slices.Contains(texts, c.BaseType) || !tenantLike.MatchString(plain) || slices.Contains(t.Candidates, c) {
				continue
			}
			found = append(found, f.about(t.Relation, c.Object(), fmt.Sprintf("%s stands beside the tenant column %s.", c.Object(), t.Column.Name)))
		}
	}
	return found
}

func ambiguousTenantColumn(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.directTables() {
		if len(t.Candidates) < 2 {
			continue
		}
		var names []string
		for _, c := range t.Candidates {
			names = append(names, c.Name)
		}
		found = append(found, f.forTable(t.Relation, fmt.Sprintf("%s could belong to the tenant of %s; %s is taken.", t.Relation.Object(), strings.Join(names, " or "), t.Column.Name)))
	}
	return found
}

func tenantColumnDefault(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.directTables() {
		c := t.Column
		if c.Default == "" || c.Identity != 0 || c.Generated != 0 || !isConstant(c.Default) {
			continue
		}
		found = append(found, f.about(t.Relation, c.Object(), fmt.Sprintf("%s has a constant default: rows whose tenant was forgotten go to one tenant.", c.Object())).
			withSQL("ALTER TABLE "+t.Relation.SQL()+" ALTER COLUMN "+inventory.Quote(c.Name)+" DROP DEFAULT;"))
	}
	return found
}

var nullConstant = regexp.MustCompile(`(?i)^\(*null(::[a-z0-9_ ."()]+)?\)*$`)

// isConstant reports whether a default is a value that is the same for all:
// it calls nothing, and is not NULL.
func isConstant(expression string) bool {
	if nullConstant.MatchString(expression) {
		return false
	}
	batch, err := parser.Parse("SELECT "+expression, parser.Options{})
	if err != nil || len(batch.Statements) != 1 {
		return false
	}
	s := &batch.Statements[0]
	return len(s.Functions) == 0 && len(s.Settings) == 0 && !valueFunction.MatchString(stringConstant.ReplaceAllString(expression, "''"))
}

var stringConstant = regexp.MustCompile(`'(?:[^']|'')*'`)

// valueFunction are calls without parentheses.
var valueFunction = regexp.MustCompile(`(?i)\b(current_|session_|system_)?(user|role|catalog|schema|date|time|timestamp|localtime|localtimestamp)\b`)
