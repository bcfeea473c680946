package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// The classes of relations: those of audit, and derived for what shows other
// relations' rows.
const (
	classRoot     = "root"
	classDirect   = "direct"
	classIndirect = "indirect"
	classGlobal   = "global"
	classUnknown  = "unknown"
	classDerived  = "derived"
)

// member is one relation of the population, and what this run knows of it.
type member struct {
	rel   *inventory.Relation
	class string
	// tenant is the column that carries the org: of a root its key. nil for
	// indirect tables.
	tenant *inventory.Column
	// byColumn is the root's column that tenant holds, if it is not its key.
	byColumn *inventory.Column
	path     *inventory.Constraint // of an indirect table: the first step to its tenant
	// reachable says that the application's role has some privilege on it.
	reachable  bool
	privileges map[string]bool   // of the application's role
	sees       []string          // columns that it may read
	orgColumn  *inventory.Column // of a view: the column that, by its name, carries the org

	canary     [2]row
	canaryFrom string // existing, generated, copied, none
	noCanary   string // why there is none

	visible  [2]bool // positive control: the own row was seen
	denied   bool    // the role may not read it at all, own rows included
	unproven string  // why the relation is not proven
	leaked   bool
}

// population is all relations that a run is about.
type population struct {
	members []*member
	by      map[*inventory.Relation]*member
	root    *member
	orgs    [2]string
}

func (p *population) member(r *inventory.Relation) *member { return p.by[r] }

// takesRows reports whether rows can be put into the relation itself.
func (m *member) takesRows() bool {
	return m.rel.Kind == inventory.Table || m.rel.Kind == inventory.PartitionedTable
}

// foreign reports whether the rows are on another server, which may not answer:
// row security cannot apply there, so nothing is asked of it.
func (m *member) foreign() bool { return m.rel.Kind == inventory.ForeignTable }

// shared reports whether both orgs use the same rows.
func (m *member) shared() bool { return m.class == classGlobal || m.class == classUnknown }

// tenantOwned reports whether each row belongs to one org.
func (m *member) tenantOwned() bool {
	return m.class == classRoot || m.class == classDirect || m.class == classIndirect
}

// foreignKeys are those that PostgreSQL enforces.
func (m *member) foreignKeys() []*inventory.Constraint {
	var out []*inventory.Constraint
	for _, c := range m.rel.Constraints {
		if c.Kind == inventory.ForeignKey && c.Enforced && c.References != nil {
			out = append(out, c)
		}
	}
	return out
}

func (m *member) onPath(fk *inventory.Constraint) bool { return m.path == fk }

// carriesOrg reports whether a column holds the org.
func (m *member) carriesOrg(column string) bool { return m.tenant != nil && m.tenant.Name == column }

// unique reports whether a column is part of a key.
func (m *member) unique(c *inventory.Column) bool {
	for _, i := range m.rel.Indexes {
		if !i.Unique {
			continue
		}
		for _, k := range i.Keys {
			if k.Column == c {
				return true
			}
		}
	}
	return false
}

// keyed reports whether a column must get a value of its own in a copied row.
func (m *member) keyed(c *inventory.Column) bool {
	if m.unique(c) || m.tenant == c {
		return true
	}
	for _, fk := range m.foreignKeys() {
		if slices.Contains(fk.Columns, c) {
			return true
		}
	}
	return false
}

// checked reports whether a check constraint looks at a column.
func (m *member) checked(c *inventory.Column) bool {
	for _, k := range m.rel.Constraints {
		if k.Kind == inventory.Check && slices.Contains(k.Columns, c) {
			return true
		}
	}
	return false
}

// textColumn returns the type and width of a column that holds any text.
func (m *member) textColumn(c *inventory.Column) (base string, width int, ok bool) {
	base, width, _ = splitType(c.Type)
	switch base {
	case "text", "citext", "character varying", "character", "name":
		return base, width, true
	}
	return "", 0, false
}

// checkOf returns the column and definition of the check constraint, of the
// table or of a domain, that an error names.
func (m *member) checkOf(pg *pgconn.PgError, types map[string]declaredType) (*inventory.Column, string) {
	if c, definition := m.checkNamed(pg.ConstraintName); c != nil {
		return c, definition
	}
	if pg.DataTypeName != "" {
		domain := inventory.Quote(pg.SchemaName) + "." + inventory.Quote(pg.DataTypeName)
		for _, c := range m.rel.Columns {
			if c.Type == domain {
				return c, types[domain].check
			}
		}
	}
	return nil, ""
}

// checkNamed returns the first column and the definition of a check
// constraint.
func (m *member) checkNamed(name string) (*inventory.Column, string) {
	for _, k := range m.rel.Constraints {
		if k.Kind == inventory.Check && k.Name == name && len(k.Columns) > 0 {
			return k.Columns[0], k.Definition
		}
	}
	return nil, ""
}

// key is the columns by which one row is told from all others: of the primary
// key, or of a unique index without NULL. The column of the org is left out
// where the others tell enough: a statement that names another org is refused
// by the proxy for that, and would prove nothing about the rest.
func (m *member) key() []*inventory.Column {
	var best []*inventory.Column
	for _, i := range m.rel.Indexes {
		if !i.Unique || i.Predicate != "" {
			continue
		}
		var columns []*inventory.Column
		for _, k := range i.Keys {
			if k.Column == nil || !k.Column.NotNull {
				columns = nil
				break
			}
			columns = append(columns, k.Column)
		}
		if len(columns) > 0 && (best == nil || i.Primary) {
			best = columns
		}
	}
	return best
}

// predicate is a condition that holds for one row and, as far as can be told,
// for no row of another org. ok is false if there is none.
func (m *member) predicate(r row) (sql string, ok bool) {
	if r == nil {
		return "", false
	}
	columns := slices.DeleteFunc(slices.Clone(m.key()), func(c *inventory.Column) bool { return m.tenant == c && len(m.key()) > 1 })
	if len(columns) == 0 {
		for _, c := range m.rel.Columns {
			if _, width, text := m.textColumn(c); text && (width == 0 || width > 10) && !r[c.Name].null && len(r[c.Name].text) > 10 {
				columns = append(columns, c)
			}
		}
	}
	if len(columns) == 0 && m.tenant != nil {
		columns = append(columns, m.tenant)
	}
	var parts []string
	for _, c := range columns {
		v, known := r[c.Name]
		if !known || v.null {
			continue
		}
		parts = append(parts, inventory.Quote(c.Name)+" = "+v.sql())
	}
	return strings.Join(parts, " AND "), len(parts) > 0
}

// harmless is a column that an UPDATE can set to itself.
func (m *member) harmless() *inventory.Column {
	for _, c := range m.rel.Columns {
		if c.Generated == 0 && c.Identity != 'a' && m.may("UPDATE", c) {
			return c
		}
	}
	return nil
}

// may reports whether the application's role has a privilege, on the table or
// on that column.
func (m *member) may(privilege string, c *inventory.Column) bool {
	return m.privileges[privilege] || c != nil && m.privileges[privilege+" "+c.Name]
}

// partitionColumns are the columns of the keys by which the relation, and
// those that it is a partition of, are split.
func (m *member) partitionColumns() []string {
	var out []string
	for rel := m.rel; rel != nil; rel = parentOf(rel) {
		out = append(out, keyColumns(rel)...)
	}
	return out
}

// parentOf is the partitioned table of a partition, or nil.
func parentOf(rel *inventory.Relation) *inventory.Relation {
	if rel.IsPartition && len(rel.Parents) == 1 {
		return rel.Parents[0]
	}
	return nil
}

// keyColumns are the plain columns of a partition key, as "RANGE (at)".
func keyColumns(rel *inventory.Relation) []string {
	open := strings.IndexByte(rel.PartitionKey, '(')
	if open < 0 {
		return nil
	}
	var out []string
	for _, part := range strings.Split(strings.TrimSuffix(rel.PartitionKey[open+1:], ")"), ",") {
		part = strings.Trim(strings.TrimSpace(part), `"`)
		if rel.Column(part) != nil {
			out = append(out, part)
		}
	}
	return out
}

func (m *member) partitionKey(c *inventory.Column) bool {
	return slices.Contains(m.partitionColumns(), c.Name)
}

// bound is one level of partitioning: the columns of its key, and values that
// lead to one partition; none where hashes decide.
type bound struct {
	columns []string
	values  [][]string
}

// bounds are what a row of the relation must satisfy, level by level: to be in
// the partition that it is, and to find one where it is partitioned itself.
func (m *member) bounds() []bound {
	var out []bound
	if m.rel.PartitionKey != "" {
		b := bound{columns: keyColumns(m.rel)}
		for _, child := range m.rel.Children {
			b.values = append(b.values, boundValues(child.PartitionBound)...)
		}
		out = append(out, b)
	}
	for rel := m.rel; parentOf(rel) != nil; rel = parentOf(rel) {
		out = append(out, bound{keyColumns(parentOf(rel)), boundValues(rel.PartitionBound)})
	}
	return out
}

var boundFrom = regexp.MustCompile(`(?s)FOR VALUES (FROM|IN) \((.*?)\)(?: TO \(|$)`)

// boundValues reads FOR VALUES FROM (...) TO (...) and FOR VALUES IN (...).
func boundValues(bound string) [][]string {
	m := boundFrom.FindStringSubmatch(bound)
	if m == nil {
		return nil
	}
	var values []string
	for _, v := range strings.Split(m[2], ",") {
		values = append(values, strings.ReplaceAll(strings.Trim(strings.TrimSpace(v), "'"), "''", "'"))
	}
	if m[1] == "FROM" {
		if slices.Contains(values, "MINVALUE") {
			return nil
		}
		return [][]string{values}
	}
	var out [][]string
	for _, v := range values {
		out = append(out, []string{v})
	}
	return out
}

// tenantValue is what a member's tenant column holds for an org.
func (p *population) tenantValue(m *member, org string, side Side) string {
	if m.byColumn != nil && p.root != nil && p.root.canary[side] != nil {
		return p.root.canary[side][m.byColumn.Name].text
	}
	return org
}

// condition is a condition under which a row of the relation, known by an
// alias, belongs to an org. It looks through the eyes of an administrator.
func (p *population) condition(m *member, alias, org string) string {
	return p.conditionAt(m, alias, org, 0)
}

// deepest is how many foreign keys lead to a tenant at most.
const deepest = 6

func (p *population) conditionAt(m *member, alias, org string, depth int) string {
	if m.tenant != nil {
		column := alias + "." + inventory.Quote(m.tenant.Name)
		if m.byColumn != nil && p.root != nil {
			return fmt.Sprintf("%s = (SELECT %s FROM %s WHERE %s = %s)", column, inventory.Quote(m.byColumn.Name), p.root.rel.SQL(),
				inventory.Quote(p.root.tenant.Name), literal(org))
		}
		return column + " = " + literal(org)
	}
	if m.path == nil || depth >= deepest {
		return "false"
	}
	if !optional(m.path) {
		return p.through(m.path, alias, org, depth)
	}
	// It belongs to whom those of its parents that it has belong to.
	var all, some []string
	for _, fk := range m.foreignKeys() {
		parent := p.member(fk.References)
		if fk != m.path && (parent == nil || parent.class != classDirect && parent.class != classRoot || !optional(fk)) {
			continue
		}
		var null []string
		for _, c := range fk.Columns {
			null = append(null, alias+"."+inventory.Quote(c.Name)+" IS NULL")
		}
		missing := "(" + strings.Join(null, " OR ") + ")"
		all, some = append(all, "("+missing+" OR "+p.through(fk, alias, org, depth)+")"), append(some, "NOT "+missing)
	}
	return strings.Join(all, " AND ") + " AND (" + strings.Join(some, " OR ") + ")"
}

// optional reports whether a row may be without a reference.
func optional(fk *inventory.Constraint) bool {
	return slices.ContainsFunc(fk.Columns, func(c *inventory.Column) bool { return !c.NotNull })
}

// through is the condition that the row which a foreign key references belongs
// to an org.
func (p *population) through(fk *inventory.Constraint, alias, org string, depth int) string {
	parent := p.member(fk.References)
	if parent == nil {
		return "false"
	}
	inner := fmt.Sprintf("p%d", depth)
	var on []string
	for i, c := range fk.Columns {
		on = append(on, inner+"."+inventory.Quote(fk.ReferencedColumns[i].Name)+" = "+alias+"."+inventory.Quote(c.Name))
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s %s WHERE %s AND %s)", parent.rel.SQL(), inner, strings.Join(on, " AND "),
		p.conditionAt(parent, inner, org, depth+1))
}
