package audit

import (
	"time"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Facts are all that checks may know: the snapshot, its classes and what the
// application reaches, and what was counted.
type Facts struct {
	*inventory.Model // Snapshot, AppRoles, Root, Tenancy, Can, ...

	// Settings are the settings that carry the tenant context, such as
	// app.org_id: those of the configuration.
	Settings []string
	// Changed are the ways in which Bulkhead's own objects differ from what was
	// shipped.
	Changed []InstallChange
	// Keys are those of the signed context, if they could be read.
	Keys []SigningKey
	// Counts are the results of data checks, nil without Options.Data.
	Counts *Counts
	Now    time.Time

	reviewed *policyReview // of the policies' expressions, by review
}

// InstallChange is one way in which an object of the schema bulkhead differs
// from what was shipped.
type InstallChange struct{ Object, Detail string }

// SigningKey is a key of the signed context, without the key.
type SigningKey struct {
	ID        int
	CreatedAt time.Time
	Retired   bool
}

// judged reports whether a relation is the application's: not Bulkhead's own
// and not part of an extension.
func judged(r *inventory.Relation) bool {
	return r.Schema != inventory.OwnSchema && r.Extension == ""
}

// reached are the tables of all classes that the application can reach.
// Partitions and inheritance children count if they have a grant of their own:
// that an owner reaches them is a finding about the owner.
func (f *Facts) reached() []*inventory.Tenancy {
	var list []*inventory.Tenancy
	for _, t := range f.Tenancies() {
		r := t.Relation
		if judged(r) && f.Reaches(r) != nil && (!isChild(r) || len(f.Grantees(r, "")) > 0) {
			list = append(list, t)
		}
	}
	return list
}

// tenantTables are the tables with rows of tenants that the application can
// reach.
func (f *Facts) tenantTables() []*inventory.Tenancy {
	var list []*inventory.Tenancy
	for _, t := range f.reached() {
		if t.Tenant() {
			list = append(list, t)
		}
	}
	return list
}

// forTable begins a finding about a table.
func (f *Facts) forTable(r *inventory.Relation, detail string) Finding {
	return f.about(r, r.Object(), detail)
}

// about begins a finding about an object of a table.
func (f *Facts) about(r *inventory.Relation, object, detail string) Finding {
	finding := Finding{Object: object, Detail: detail}
	if t := f.Tenancy(r); t != nil {
		finding.Class = string(t.Class)
	}
	return finding
}

// withSQL adds a fix that can be run.
func (f Finding) withSQL(sql string) Finding {
	f.Fix, f.FixIsSQL = sql, true
	return f
}

// withFix adds a fix in words.
func (f Finding) withFix(advice string) Finding {
	f.Fix, f.FixIsSQL = advice, false
	return f
}

// withEvidence adds lines that prove the finding.
func (f Finding) withEvidence(lines ...string) Finding {
	for _, line := range lines {
		if line != "" {
			f.Evidence = append(f.Evidence, line)
		}
	}
	return f
}
