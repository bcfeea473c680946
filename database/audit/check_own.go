package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// ownChecks ask whether Bulkhead's own objects are as they were installed.
func ownChecks() []Check {
	return []Check{
		{
			ID: "A901", Name: "install_changed", Severity: Critical, CWE: "CWE-353", Controls: controlsChange,
			Title: "an object of Bulkhead is not as it was installed",
			Why:   "All policies of the floor rely on the functions of schema bulkhead. Whoever changed one may have changed which tenant it names.",
			Fix:   "Find out who changed it, then install it anew with `bulkhead harden`.",
			Run:   installChanged,
		},
		{
			ID: "A902", Name: "key_readable", Severity: Critical, CWE: "CWE-522", Controls: controlsAccess,
			Title: "the keys of the signed context can be read",
			Why:   "The signature is symmetric: whoever reads the table can sign a context for any tenant.",
			Fix:   "Revoke all privileges on bulkhead.signing_key, take it out of publications, and rotate the keys.",
			Run:   keyReadable,
		},
		{
			ID: "A903", Name: "floor_missing", Severity: Critical, CWE: "CWE-639", Controls: controlsChange,
			Title: "tenant table without Bulkhead's floor",
			Why:   "The database was hardened, and this table was made or changed since: it has no restrictive policy that binds everything to the tenant.",
			Fix:   "Run `bulkhead harden` again.",
			Run:   floorMissing,
		},
		{
			ID: "A904", Name: "key_old", Severity: Low, CWE: "CWE-324", Controls: []string{"ISO 27001:2022 A.8.24"},
			Title: "the key of the signed context is old",
			Why:   "The longer a key is in use, the more copies of it there are.",
			Fix:   "bulkhead key rotate",
			Run:   keyOld,
		},
	}
}

func installChanged(f *Facts) []Finding {
	var found []Finding
	for _, c := range f.Changed {
		if n := len(found); n > 0 && found[n-1].Object == c.Object {
			found[n-1].Detail += "; " + c.Detail
			continue
		}
		found = append(found, Finding{Object: c.Object, Detail: c.Object + ": " + c.Detail})
	}
	return found
}

// keyTable is where the keys of the signed context are.
const keyTable = "signing_key"

func keyReadable(f *Facts) []Finding {
	r := f.Snapshot.Relation(inventory.OwnSchema, keyTable)
	if r == nil {
		return nil
	}
	grants := slices.Clone(r.Grants)
	for _, c := range r.Columns {
		grants = append(grants, c.Grants...)
	}
	var readers, published []string
	for _, g := range grants {
		if g.Grantee != r.Owner && !slices.Contains(readers, g.Grantee) {
			readers = append(readers, g.Grantee)
		}
	}
	for _, p := range f.Snapshot.Publications {
		named := slices.ContainsFunc(p.Tables, func(t inventory.PublishedTable) bool {
			return t.Table == inventory.Name{Schema: r.Schema, Name: r.Name}
		})
		if p.AllTables || named || slices.Contains(p.Schemas, r.Schema) {
			published = append(published, p.Name)
		}
	}
	var detail []string
	if len(readers) > 0 {
		detail = append(detail, roleList(readers)+" has privileges on it")
	}
	if len(published) > 0 {
		detail = append(detail, "publication "+strings.Join(published, ", ")+" ships it")
	}
	if len(detail) == 0 {
		return nil
	}
	finding := Finding{Object: r.Object(), Detail: fmt.Sprintf("Keys in %s can be read: %s.", r.Object(), strings.Join(detail, "; "))}
	if len(published) == 0 {
		finding = finding.withSQL(revokeSQL("ALL", r.SQL(), readers))
	}
	return []Finding{finding}
}

// FloorPolicy is the name of the restrictive policy that harden adds.
const FloorPolicy = "bulkhead_floor"

func floorMissing(f *Facts) []Finding {
	hasFloor := func(r *inventory.Relation) bool {
		return slices.ContainsFunc(r.Policies, func(p *inventory.Policy) bool { return p.Name == FloorPolicy && !p.Permissive })
	}
	if !slices.ContainsFunc(f.Snapshot.Relations, hasFloor) {
		return nil // never hardened
	}
	var found []Finding
	for _, t := range f.Tenancies() {
		r := t.Relation
		if judged(r) && t.Tenant() && r.TakesPolicies() && !hasFloor(r) {
			found = append(found, f.forTable(r, r.Object()+" has no policy "+FloorPolicy+", other tables of this database have."))
		}
	}
	return found
}

// keyAge is how long a key should be in use at most.
const keyAge = 90 * 24 * time.Hour

func keyOld(f *Facts) []Finding {
	var newest *SigningKey
	for i, k := range f.Keys {
		if !k.Retired && (newest == nil || k.CreatedAt.After(newest.CreatedAt)) {
			newest = &f.Keys[i]
		}
	}
	if newest == nil || f.Now.Sub(newest.CreatedAt) <= keyAge {
		return nil
	}
	days := int(f.Now.Sub(newest.CreatedAt).Hours() / 24)
	return []Finding{{Object: inventory.OwnSchema + "." + keyTable, Detail: fmt.Sprintf("The newest key, %d, is %d days old.", newest.ID, days)}}
}
