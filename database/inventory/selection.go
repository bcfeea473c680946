package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// Selection is what the operator says about the database. What is left empty
// is guessed by Resolve.
type Selection struct {
	AppRoles      []string // roles that the application logs in or runs as
	RootTable     string   // the table of tenants
	GlobalTables  []string // tables that belong to no tenant
	TenantColumns []string // names of columns that carry the tenant's key
}

// DefaultTenantColumns are the names where the operator gives none.
var DefaultTenantColumns = []string{"org_id", "tenant_id"}

// Model is a snapshot seen with a selection: whose rows each table holds, and
// what the application can reach.
type Model struct {
	Snapshot *Snapshot
	AppRoles []*Role
	Root     *Relation // nil if there is none
	RootKey  *Column   // nil without a root, or if its key is not one column
	// TenantColumns are the names in use, as given or guessed.
	TenantColumns []string
	// Guessed are the parts of the selection that were not given: "app roles",
	// "root table", "tenant columns".
	Guessed []string

	tenancies  map[*Relation]*Tenancy
	global     map[*Relation]bool
	identities []identity
}

// SelectionError says what of a selection the database does not have.
type SelectionError struct{ Problems []string }

// Error lists all problems.
func (e *SelectionError) Error() string { return strings.Join(e.Problems, "; ") }

// Resolve applies a selection to a snapshot. The error is a *SelectionError.
func Resolve(s *Snapshot, sel Selection) (*Model, error) {
	m := &Model{Snapshot: s, global: make(map[*Relation]bool)}
	var problems []string
	for _, name := range sel.AppRoles {
		role := s.findRole(name)
		if role == nil {
			problems = append(problems, fmt.Sprintf("there is no role %q", name))
			continue
		}
		if !slices.Contains(m.AppRoles, role) {
			m.AppRoles = append(m.AppRoles, role)
		}
	}
	for _, name := range sel.GlobalTables {
		if r, err := s.FindTable(name); err != nil {
			problems = append(problems, "global table: "+err.Error())
		} else {
			m.global[r] = true
		}
	}
	if sel.RootTable != "" {
		r, err := s.FindTable(sel.RootTable)
		switch {
		case err != nil:
			problems = append(problems, "root table: "+err.Error())
		case m.global[r]:
			problems = append(problems, "root table: "+r.Object()+" is declared global as well")
		}
		m.Root = r
	}
	if len(problems) > 0 {
		return nil, &SelectionError{problems}
	}
	m.guess(sel)
	m.classify()
	if len(m.AppRoles) == 0 {
		m.Guessed = append(m.Guessed, "app roles")
		m.AppRoles = guessAppRoles(m)
	}
	m.identify()
	return m, nil
}

// findRole finds a role by its name, as it is or as SQL spells it: in double
// quotes, or in upper case that SQL folds.
func (s *Snapshot) findRole(written string) *Role {
	if role := s.Role(written); role != nil {
		return role
	}
	if parts := splitName(written); len(parts) == 1 && parts[0].quoted {
		return s.Role(parts[0].text)
	}
	return s.Role(strings.ToLower(written))
}

// guess fills in root table and tenant columns.
func (m *Model) guess(sel Selection) {
	for _, name := range sel.TenantColumns {
		if parts := splitName(name); len(parts) == 1 {
			name = parts[0].text
		}
		m.TenantColumns = append(m.TenantColumns, name)
	}
	if len(m.TenantColumns) == 0 {
		m.TenantColumns = slices.Clone(DefaultTenantColumns)
		m.Guessed = append(m.Guessed, "tenant columns")
	}
	if m.Root == nil {
		m.Guessed = append(m.Guessed, "root table")
		m.Root = m.guessRoot()
	}
	if m.Root == nil {
		return
	}
	if len(sel.TenantColumns) == 0 {
		if name := m.commonReference(); name != "" && !m.IsTenantName(name) {
			m.TenantColumns = append(m.TenantColumns, name)
		}
	}
	m.RootKey = m.guessRootKey()
}

// IsTenantName reports whether a column of that name carries the tenant's
// key. Names are compared in lower case without underscores.
func (m *Model) IsTenantName(name string) bool {
	return slices.ContainsFunc(m.TenantColumns, func(t string) bool { return plainName(t) == plainName(name) })
}

func plainName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// reference is how often single-column foreign keys of one column name point
// at a table.
type reference struct {
	table  *Relation
	column string // plain
	name   string // as it was seen first
	count  int
}

// references counts foreign keys, most frequent first. Those of partitions
// repeat their parent's.
func (m *Model) references() []reference {
	var list []reference
	for _, r := range m.Snapshot.Relations {
		for _, k := range r.Constraints {
			if k.Kind != ForeignKey || len(k.Columns) != 1 || k.Inherited || k.References == nil || k.References == r || m.global[k.References] {
				continue
			}
			i := slices.IndexFunc(list, func(e reference) bool {
				return e.table == k.References && e.column == plainName(k.Columns[0].Name)
			})
			if i < 0 {
				i = len(list)
				list = append(list, reference{table: k.References, column: plainName(k.Columns[0].Name), name: k.Columns[0].Name})
			}
			list[i].count++
		}
	}
	slices.SortStableFunc(list, func(a, b reference) int { return b.count - a.count })
	return list
}

// guessRoot takes the table that most single-column foreign keys of one name
// point at, those with a tenant's name first. Where columns have such a name
// and no foreign key, only a table's own name can tell.
func (m *Model) guessRoot() *Relation {
	refs := m.references()
	for _, ref := range refs {
		if m.IsTenantName(ref.name) {
			return ref.table
		}
	}
	named := false
	for _, r := range m.Snapshot.Relations {
		for _, c := range r.Columns {
			named = named || r.HoldsRows() && m.IsTenantName(c.Name)
		}
	}
	if named {
		return m.rootByName()
	}
	if len(refs) > 0 {
		return refs[0].table
	}
	return nil
}

// rootNames are names of tables of tenants, beside those that the tenant
// columns suggest.
var rootNames = []string{
	"organizations", "organisations", "organization", "organisation", "tenants", "tenant", "orgs", "org",
	"accounts", "account", "workspaces", "workspace", "companies", "company", "customers", "customer", "teams", "team",
}

func (m *Model) rootByName() *Relation {
	var names []string
	for _, c := range m.TenantColumns {
		stem := strings.TrimSuffix(plainName(c), "id")
		names = append(names, stem+"s", stem)
	}
	for _, name := range append(names, rootNames...) {
		for _, r := range m.Snapshot.Relations {
			if r.TakesPolicies() && !r.IsPartition && !m.global[r] && plainName(r.Name) == name && r.PrimaryKey() != nil && !m.hasTenantName(r) {
				return r
			}
		}
	}
	return nil
}

func (m *Model) hasTenantName(r *Relation) bool {
	return slices.ContainsFunc(r.Columns, func(c *Column) bool { return m.IsTenantName(c.Name) })
}

// commonReference is the name that most foreign keys to the root table have,
// if more than one has it.
func (m *Model) commonReference() string {
	for _, ref := range m.references() {
		if ref.table == m.Root && ref.count > 1 {
			return ref.name
		}
	}
	return ""
}

// guessRootKey is the root table's primary key, or else the column that most
// foreign keys reference.
func (m *Model) guessRootKey() *Column {
	if pk := m.Root.PrimaryKey(); pk != nil && len(pk.Columns) == 1 {
		return pk.Columns[0]
	}
	counts := make(map[*Column]int)
	var best *Column
	for _, r := range m.Snapshot.Relations {
		for _, k := range r.Constraints {
			if k.Kind == ForeignKey && k.References == m.Root && len(k.ReferencedColumns) == 1 {
				c := k.ReferencedColumns[0]
				if counts[c]++; best == nil || counts[c] > counts[best] {
					best = c
				}
			}
		}
	}
	return best
}

// guessAppRoles are the LOGIN roles without SUPERUSER that can read or write
// a table. Roles that own tables or bypass row security are for migrations
// and backups, unless there are no others.
func guessAppRoles(m *Model) []*Role {
	var plain, special []*Role
	for _, role := range m.Snapshot.Roles {
		if !role.Login || role.Superuser {
			continue
		}
		probe := &Model{Snapshot: m.Snapshot, AppRoles: []*Role{role}}
		probe.identify()
		owns, writes := false, false
		for _, r := range m.Snapshot.Relations {
			if !r.HoldsRows() || r.Extension != "" || r.Schema == OwnSchema {
				continue
			}
			owns = owns || probe.Owns(r.Owner) != nil
			writes = writes || probe.ReachesRows(r) != nil
			if owns && writes {
				break
			}
		}
		switch {
		case writes && (owns || role.BypassRLS):
			special = append(special, role)
		case writes:
			plain = append(plain, role)
		}
	}
	if len(plain) > 0 {
		return plain
	}
	return special
}
