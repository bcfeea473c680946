package main

import (
	"github.com/pgbulkhead/bulkhead/database/catalog"
	"github.com/pgbulkhead/bulkhead/policy"
)

// policyCatalog gives the rules what they need of a snapshot. Packages policy
// and catalog do not know each other.
func policyCatalog(s *catalog.Snapshot) *policy.Catalog {
	c := &policy.Catalog{
		TakenAt:      s.TakenAt,
		SessionRoles: s.SessionRoles,
		Types:        s.Types,
	}
	for i := range s.Roles {
		r := &s.Roles[i]
		c.Roles = append(c.Roles, policy.CatalogRole{
			Name: r.Name, Bypasses: r.Superuser || r.BypassRLS, Inherits: r.Inherits,
		})
	}
	for i := range s.Relations {
		r := &s.Relations[i]
		c.Relations = append(c.Relations, policy.CatalogRelation{
			Schema: r.Schema, Name: r.Name, Kind: policy.RelationKind(r.Kind), Owner: r.Owner,
			Reachable: r.Reachable, RowSecurity: r.RowSecurity, ForceRowSecurity: r.Force,
			TenantColumn: r.TenantColumn, OrgKey: r.OrgKey, Columns: r.Columns, TenantPath: r.TenantPath, Parent: r.Parent,
			SecurityInvoker: r.Invoker, Uses: r.Uses, Definition: policyBody(r.Definition),
		})
	}
	for i := range s.Functions {
		f := &s.Functions[i]
		c.Functions = append(c.Functions, policy.CatalogFunction{
			Schema: f.Schema, Name: f.Name, Language: f.Language, Extension: f.Extension,
			SecurityDefiner: f.SecurityDefiner, Trigger: f.Trigger, RowArgument: f.RowArgument, OneArgument: f.OneArgument,
			Settings: f.Settings, Body: policyBody(f.Body),
		})
	}
	return c
}

func policyBody(b *catalog.Body) *policy.CatalogBody {
	if b == nil {
		return nil
	}
	return &policy.CatalogBody{Batch: b.Batch, Words: b.Words, Calls: b.Calls, Unreadable: b.Unreadable}
}
