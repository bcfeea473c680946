package harden

import (
	"errors"
	"slices"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// tenantContext installs the schema bulkhead, or brings it to what the options
// say: another mode, new roles of the application.
func (p *planner) tenantContext() error {
	p.keyType = p.tenantKeyType()
	if p.keyType == "" {
		return errors.New("the type of the tenant's key is not known: name the root table with --root-table")
	}
	mode := p.o.Context
	have, ok := p.installed.Options()
	if mode == "" && ok {
		mode = have.Mode
	}
	if mode == "" {
		mode = dbcontext.Plain
	}
	p.plan.Context = string(mode)
	o := dbcontext.Options{
		Mode: mode, KeyType: p.keyType, MissingError: ok && have.MissingError, Version: p.s.Server.VersionNum,
		Superuser: p.s.Login.Superuser, OwnerExists: p.s.Role(dbcontext.Owner) != nil, Roles: p.askers(),
	}
	if !o.Superuser && !slices.Contains(o.Roles, p.s.Login.Current) {
		// To write policies that name the function, one must be able to.
		o.Roles = append(o.Roles, p.s.Login.Current)
	}
	statements, err := p.installed.Update(o)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if s.SQL == "create role "+dbcontext.Owner+" nologin" {
			s.SQL, s.Inverse = createRole(dbcontext.Owner, "nologin"), dropRole(dbcontext.Owner)
		}
		p.add(Step{SQL: s.SQL, Inverse: s.Inverse, Reason: s.Reason, Lock: s.Lock, Object: s.Object})
	}
	return nil
}

// askers are the roles as which sessions ask for the tenant: those of the
// application, and the owners of functions that run for it.
func (p *planner) askers() []string {
	var names []string
	for _, r := range p.runAs {
		names = append(names, r.Name)
	}
	for _, f := range p.s.Functions {
		if p.asksAsOwner(f) && !slices.Contains(names, f.Owner) {
			names = append(names, f.Owner)
		}
	}
	return names
}

// asksAsOwner reports whether a function that stays in use reads tables with the
// rights of an owner whom the floor binds: then that one must be able to ask for
// the tenant.
func (p *planner) asksAsOwner(f *inventory.Function) bool {
	owner := p.s.Role(f.Owner)
	return f.SecurityDefiner && !own(f.Schema) && f.Extension == "" && owner != nil && !owner.Superuser && !owner.BypassRLS &&
		(p.kept(f) || f.Trigger && len(f.UsedByTriggers) > 0)
}

// tenantKeyType is the type of the root table's key, or, without a root table,
// the one that most tenant columns have.
func (p *planner) tenantKeyType() string {
	if p.m.RootKey != nil {
		return p.m.RootKey.BaseType
	}
	counts := make(map[string]int)
	best := ""
	for _, t := range p.m.Tenancies() {
		if t.Class == inventory.Direct && t.Column != nil {
			name := t.Column.BaseType
			if counts[name]++; best == "" || counts[name] > counts[best] {
				best = name
			}
		}
	}
	return best
}
