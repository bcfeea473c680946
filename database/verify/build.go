package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// querier is a connection or a transaction of the administrator.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// newPopulation takes all relations of the application from a model. role is
// the role that its sessions run as.
func newPopulation(ctx context.Context, q querier, model *inventory.Model, role string) (*population, error) {
	p := &population{by: make(map[*inventory.Relation]*member)}
	for _, rel := range model.Snapshot.Relations {
		if rel.Extension != "" || rel.Schema == inventory.OwnSchema || rel.Kind == inventory.Sequence {
			continue
		}
		m := &member{rel: rel, privileges: make(map[string]bool), canaryFrom: "none"}
		p.members, p.by[rel] = append(p.members, m), m
		p.classify(m, model)
	}
	for _, m := range p.members {
		if !m.rel.HoldsRows() {
			m.class = p.derivedClass(m.rel, make(map[*inventory.Relation]bool))
			for _, c := range m.rel.Columns {
				if model.IsTenantName(c.Name) {
					m.orgColumn = c
				}
			}
		}
		if err := m.askPrivileges(ctx, q, role); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *population) classify(m *member, model *inventory.Model) {
	t := model.Tenancy(m.rel)
	if t == nil {
		m.class = classDerived
		return
	}
	m.class = string(t.Class)
	switch t.Class {
	case inventory.Root:
		m.tenant, p.root = t.Column, m
	case inventory.Direct:
		m.tenant = t.Column
		if r := t.Reference; r != nil && r.References == model.Root {
			i := slices.Index(r.Columns, t.Column)
			if i >= 0 && r.ReferencedColumns[i] != model.RootKey {
				m.byColumn = r.ReferencedColumns[i]
			}
		}
	case inventory.Indirect:
		m.path = t.Chain[0]
	}
	if m.tenantOwned() && m.tenant == nil && m.path == nil {
		m.class = classUnknown // a root whose key is not one column
	}
}

// derivedClass tells a view that shows tenants' rows from one that does not.
func (p *population) derivedClass(rel *inventory.Relation, seen map[*inventory.Relation]bool) string {
	if seen[rel] {
		return classGlobal
	}
	seen[rel] = true
	if len(rel.Uses.Functions) > 0 {
		return classDerived // what a function shows is not known
	}
	for _, used := range rel.Uses.Relations {
		m := p.member(used)
		switch {
		case m == nil:
		case m.rel.HoldsRows() && m.class != classGlobal:
			return classDerived
		case !m.rel.HoldsRows() && p.derivedClass(used, seen) == classDerived:
			return classDerived
		}
	}
	return classGlobal
}

// askPrivileges asks the server what the application's role may do.
func (m *member) askPrivileges(ctx context.Context, q querier, role string) error {
	const query = `
SELECT p.name, '' FROM unnest($3::text[]) p(name)
WHERE has_table_privilege($1::name, $2::regclass::oid, p.name) AND has_schema_privilege($1::name, (SELECT relnamespace FROM pg_class WHERE oid = $2::regclass::oid), 'USAGE')
UNION ALL
SELECT p.name, a.attname::text FROM unnest($4::text[]) p(name), pg_attribute a
WHERE a.attrelid = $2::regclass::oid AND a.attnum > 0 AND NOT a.attisdropped
	AND has_column_privilege($1::name, a.attrelid, a.attnum, p.name)
	AND has_schema_privilege($1::name, (SELECT relnamespace FROM pg_class WHERE oid = a.attrelid), 'USAGE')
ORDER BY 1, 2`
	rows, err := q.Query(ctx, query, role, m.rel.SQL(),
		[]string{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}, []string{"SELECT", "INSERT", "UPDATE"})
	if err != nil {
		return fmt.Errorf("read the privileges on %s: %w", m.rel.Object(), err)
	}
	var privilege, column string
	_, err = pgx.ForEachRow(rows, []any{&privilege, &column}, func() error {
		m.reachable = true
		switch {
		case column == "":
			m.privileges[privilege] = true
		case privilege == "SELECT":
			m.sees = append(m.sees, column)
			fallthrough
		default:
			m.privileges[privilege+" "+column] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the privileges on %s: %w", m.rel.Object(), err)
	}
	return nil
}

// loadTypes reads the domains and enums of a database.
func loadTypes(ctx context.Context, q querier) (map[string]declaredType, error) {
	const query = `
SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname),
	CASE WHEN t.typtype = 'd' THEN CASE WHEN b.typtype IN ('d', 'e') THEN quote_ident(bn.nspname) || '.' || quote_ident(b.typname) ELSE format_type(t.typbasetype, t.typtypmod) END ELSE '' END,
	ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
	coalesce((SELECT string_agg(pg_get_constraintdef(c.oid), ' ' ORDER BY c.conname) FROM pg_constraint c WHERE c.contypid = t.oid), '')
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_namespace bn ON bn.oid = b.typnamespace
WHERE t.typtype IN ('d', 'e') ORDER BY 1`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	types := make(map[string]declaredType)
	var name, base, check string
	var labels []string
	if _, err = pgx.ForEachRow(rows, []any{&name, &base, &labels, &check}, func() error {
		types[name] = declaredType{base: base, labels: slices.Clone(labels), check: check}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	return types, nil
}

// seen are the columns of a relation that the application may read, as a
// list for SELECT, in the order of the relation.
func (m *member) seen() []*inventory.Column {
	var out []*inventory.Column
	for _, c := range m.rel.Columns {
		if slices.Contains(m.sees, c.Name) {
			out = append(out, c)
		}
	}
	return out
}

func columnList(columns []*inventory.Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = inventory.Quote(c.Name)
	}
	return strings.Join(names, ", ")
}
