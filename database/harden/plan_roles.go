package harden

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// roleGraph takes from the application's roles what leads around row security
// by being, or becoming, somebody else.
func (p *planner) roleGraph() {
	p.group = ""
	p.attributes()
	gone := make(map[*inventory.Membership]bool)
	for _, role := range p.s.Roles {
		for _, m := range role.Memberships {
			if p.ended[m] {
				p.endMembership(m, gone)
			}
		}
	}
	p.settings()
}

// attributes takes what a role of the application is. The role that runs this,
// and the one that made the cluster, are left alone: somebody must be able to
// undo it.
func (p *planner) attributes() {
	for _, r := range p.runAs {
		var on []string
		for _, a := range []struct {
			has  bool
			name string
		}{
			{r.Superuser, "superuser"},
			{r.BypassRLS, "bypassrls"},
			{r.CreateRole, "createrole"},
			{r.CreateDB, "createdb"},
			{r.Replication, "replication"},
		} {
			if a.has {
				on = append(on, a.name)
			}
		}
		if len(on) == 0 {
			continue
		}
		if r.Name == p.s.Login.Role || r.Name == p.s.Login.Current {
			p.warn(r.Object(), "application runs as a powerful role", "it is the role that runs this, with "+strings.Join(on, ", ")+
				": give the application a role of its own")
			continue
		}
		p.add(Step{
			SQL:     "alter role " + inventory.Quote(r.Name) + " no" + strings.Join(on, " no"),
			Inverse: "alter role " + inventory.Quote(r.Name) + " " + strings.Join(on, " "),
			Reason:  "row security does not bind it, or it can make itself a role that is not bound", Object: r.Object(),
		})
	}
}

// version16 is the first with options on memberships, and several of them
// between two roles.
const version16 = 16

// endMembership ends a membership, and first those that its member has granted
// to others: since 16 the server would refuse else.
func (p *planner) endMembership(m *inventory.Membership, gone map[*inventory.Membership]bool) {
	if gone[m] {
		return
	}
	gone[m] = true
	if m.Admin && p.s.Server.Major() >= version16 {
		for _, x := range m.Role.Members {
			if x.Grantor == m.Member.Name && x != m {
				p.endPassedOn(m, x, gone)
			}
		}
	}
	p.add(Step{
		SQL: p.revokeRole(m, m.Grantor), Inverse: p.grantRole(m, m.Grantor), Object: m.Member.Object(),
		Reason: m.Member.Name + " can act as " + m.Role.Name + ": " + p.dangerous(m.Role),
	})
}

// endPassedOn ends a membership that the member of m has granted. A role that
// is none of the application's keeps it, from who granted m.
func (p *planner) endPassedOn(m, x *inventory.Membership, gone map[*inventory.Membership]bool) {
	if p.ended[x] {
		p.endMembership(x, gone)
		return
	}
	if gone[x] {
		return
	}
	gone[x] = true
	for _, next := range m.Role.Members {
		if next.Grantor == x.Member.Name && next != x {
			p.endPassedOn(m, next, gone)
		}
	}
	step := Step{
		SQL: p.revokeRole(x, x.Grantor), Inverse: p.grantRole(x, x.Grantor), Object: x.Member.Object(),
		Reason: x.Grantor + " has granted it, and loses the right to: " + x.Member.Name + " keeps it from " + m.Grantor,
	}
	if !slices.ContainsFunc(m.Role.Members, func(y *inventory.Membership) bool { return y.Member == x.Member && y.Grantor == m.Grantor }) {
		step.SQL = joinSQL(step.SQL, p.grantRole(x, m.Grantor))
		step.Inverse = joinSQL(p.revokeRole(x, m.Grantor), step.Inverse)
	}
	p.add(step)
}

func (p *planner) revokeRole(m *inventory.Membership, grantor string) string {
	sql := "revoke " + inventory.Quote(m.Role.Name) + " from " + inventory.Quote(m.Member.Name)
	if p.s.Server.Major() >= version16 {
		sql += " granted by " + inventory.Quote(grantor)
	}
	return sql
}

func (p *planner) grantRole(m *inventory.Membership, grantor string) string {
	sql := "grant " + inventory.Quote(m.Role.Name) + " to " + inventory.Quote(m.Member.Name)
	if p.s.Server.Major() >= version16 {
		sql += fmt.Sprintf(" with admin %t, inherit %t, set %t", m.Admin, m.Inherit, m.Set)
	} else if m.Admin {
		sql += " with admin option"
	}
	if grantor != "" {
		sql += " granted by " + inventory.Quote(grantor)
	}
	return sql
}

// readsSetting finds the settings that policies and their functions read.
var readsSetting = regexp.MustCompile(`current_setting\(\s*'([^']+)'`)

// settings removes a tenant that sessions have by default: whoever forgets to
// say which one gets that one.
func (p *planner) settings() {
	names := map[string]bool{"app.org_id": true, "bulkhead.org_id": true, "request.jwt.claims": true}
	note := func(text string) {
		for _, found := range readsSetting.FindAllStringSubmatch(text, -1) {
			names[strings.ToLower(found[1])] = true
		}
	}
	for _, r := range p.s.Relations {
		for _, policy := range r.Policies {
			note(policy.Using + " " + policy.Check)
			for _, f := range policy.Uses.Functions {
				note(f.Source)
			}
		}
	}
	for i := range p.s.RoleSettings {
		s := &p.s.RoleSettings[i]
		mine := s.Database == "" || s.Database == p.s.Database
		role := s.Role == "" || p.appRoles[s.Role]
		if mine && role && (names[strings.ToLower(s.Name)] || strings.EqualFold(s.Name, "row_security")) && (s.Role != "" || s.Database != "") {
			p.resetSetting(s)
		}
	}
}

func (p *planner) resetSetting(s *inventory.RoleSetting) {
	alter := "alter role " + inventory.Quote(s.Role)
	switch {
	case s.Role == "":
		alter = "alter database " + inventory.Quote(s.Database)
	case s.Database != "":
		alter += " in database " + inventory.Quote(s.Database)
	}
	name := quoteSetting(s.Name)
	p.add(Step{
		SQL: alter + " reset " + name, Inverse: alter + " set " + name + " = " + inventory.QuoteLiteral(s.Value), Object: s.Object(),
		Reason: "sessions that name no tenant would have this one",
	})
}

// quoteSetting quotes each part of a dotted name.
func quoteSetting(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = inventory.Quote(parts[i])
	}
	return strings.Join(parts, ".")
}

// otherRoles are roles that the floor binds beside the application's, with what
// they reach, sorted.
func (p *planner) otherRoles() map[string]int {
	count := make(map[string]int)
	askers := p.askers()
	for _, t := range p.m.Tenancies() {
		if !t.Tenant() {
			continue
		}
		here := make(map[string]bool)
		for _, e := range *p.w.list(relationKey(t.Relation)) {
			here[e.grantee] = true
		}
		for name := range maps.Keys(here) {
			role := p.s.Role(name)
			if role != nil && !role.Superuser && !role.BypassRLS && !p.appRoles[name] && !slices.Contains(ourRoles, name) && !slices.Contains(askers, name) {
				count[name]++
			}
		}
	}
	return count
}
