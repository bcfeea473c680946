package catalog

import (
	"context"
	"fmt"
)

// maxPath bounds the chain of foreign keys that makes a table a tenant's.
const maxPath = 6

const foreignKeysQuery = `
SELECT k.conrelid, k.confrelid,
	EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) k.conrelid
		AND a.attnum OPERATOR(pg_catalog.=) ANY (k.conkey)
		AND pg_catalog.lower(pg_catalog.replace(a.attname::pg_catalog.text, '_', '')) OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
		AND pg_catalog.array_length(k.conkey, 1) OPERATOR(pg_catalog.=) 1,
	COALESCE((SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) k.confrelid
		AND a.attnum OPERATOR(pg_catalog.=) k.confkey[1]), '')
FROM pg_catalog.pg_constraint k
WHERE k.contype OPERATOR(pg_catalog.=) 'f' ORDER BY 1, 2, 3`

type foreignKey struct {
	child, parent uint32
	byTenant      bool   // the column that carries the org, alone, references parent
	key           string // the (first) column that is referenced
}

// foreignKeys marks tables that belong to tenants without carrying the org:
// the table of orgs, and those from which foreign keys lead to a tenant table.
func (l *loader) foreignKeys(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, foreignKeysQuery, normalised(l.options.TenantColumns))
	if err != nil {
		return fmt.Errorf("read foreign keys: %w", err)
	}
	defer rows.Close()
	var keys []foreignKey
	for rows.Next() {
		var k foreignKey
		if err := rows.Scan(&k.child, &k.parent, &k.byTenant, &k.key); err != nil {
			return fmt.Errorf("read foreign keys: %w", err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read foreign keys: %w", err)
	}
	l.markRoots(keys)
	l.markChildren(keys)
	return nil
}

// markRoots marks what the column that carries the org references: the table
// of orgs itself.
func (l *loader) markRoots(keys []foreignKey) {
	for _, k := range keys {
		child, parent := l.relation(k.child), l.relation(k.parent)
		if k.byTenant && child != nil && parent != nil && child != parent && !isTenant(parent) {
			parent.OrgKey = k.key
			parent.TenantPath = "its key, which " + child.Schema + "." + child.Name + "." + child.TenantColumn + " references"
		}
	}
}

// markChildren follows foreign keys from children to tenant tables, one step
// of the chain a round.
func (l *loader) markChildren(keys []foreignKey) {
	for range maxPath {
		marks := make(map[*Relation]string)
		for _, k := range keys {
			child, parent := l.relation(k.child), l.relation(k.parent)
			if child == nil || parent == nil || isTenant(child) || !isTenant(parent) || marks[child] != "" {
				continue
			}
			marks[child] = child.Name + " -> " + parent.Name
		}
		if len(marks) == 0 {
			return
		}
		for child, path := range marks {
			child.TenantPath = path
		}
	}
}

func (l *loader) relation(oid uint32) *Relation {
	if i, ok := l.byOID[oid]; ok {
		return &l.snapshot.Relations[i]
	}
	return nil
}

func isTenant(r *Relation) bool { return r.TenantColumn != "" || r.TenantPath != "" }
