package inventory

import (
	"maps"
	"slices"
	"strings"
)

// Role is a role of the cluster.
type Role struct {
	Name                                  string
	Superuser, BypassRLS, CreateRole      bool
	CreateDB, Replication, Login, Inherit bool
	ConnectionLimit                       int
	// Memberships are the roles that it was granted, Members the other way
	// round.
	Memberships, Members []*Membership
}

// Object spells the role as reports do.
func (r *Role) Object() string { return "role:" + r.Name }

// Membership is GRANT Role TO Member.
type Membership struct {
	Role, Member *Role
	Grantor      string
	Admin        bool // WITH ADMIN OPTION: may grant it on, to itself as well
	Inherit      bool // the member has the role's privileges; before 16 the member's own attribute
	Set          bool // the member may SET ROLE; always before 16
	// Implicit says that nobody granted it: the owner of the database is a
	// member of pg_database_owner (14+).
	Implicit bool
}

// Step says how one role leads to another.
type Step struct {
	Membership *Membership
	By         string // "set role", "inherit" or "admin option"
}

// Path is a way from one role to another through memberships.
type Path []Step

// String writes the way: app -> rw -> owner.
func (p Path) String() string {
	if len(p) == 0 {
		return ""
	}
	s := p[0].Membership.Member.Name
	for _, step := range p {
		s += " -> " + step.Membership.Role.Name
		if step.By == byAdmin {
			s += " (admin option)"
		}
	}
	return s
}

// The ways of a Step.
const (
	bySet     = "set role"
	byInherit = "inherit"
	byAdmin   = "admin option"
)

// Becomes returns the roles that a session of r can run as, r itself included
// with an empty path: SET ROLE along memberships that allow it, and, with the
// admin option, a grant of the missing right first. Attributes are not
// followed: a superuser can become everybody, CREATEROLE before 16 nearly so.
func (r *Role) Becomes() map[*Role]Path {
	found := map[*Role]Path{r: {}}
	for queue := []*Role{r}; len(queue) > 0; queue = grantable(found) {
		walk(found, queue, bySet, func(m *Membership) bool { return m.Set })
	}
	return found
}

// grantable adds the roles that one of found can grant itself, by an admin
// option of its own or of a role whose privileges it has, and returns them.
func grantable(found map[*Role]Path) (added []*Role) {
	for _, as := range sortedRoles(found) {
		inherits := as.Inherits()
		for _, through := range sortedRoles(inherits) {
			for _, m := range through.Memberships {
				if _, seen := found[m.Role]; seen || !m.Admin {
					continue
				}
				found[m.Role] = slices.Concat(found[as], inherits[through], Path{{m, byAdmin}})
				added = append(added, m.Role)
			}
		}
	}
	return added
}

// Inherits returns the roles whose privileges r has without SET ROLE, r itself
// included with an empty path.
func (r *Role) Inherits() map[*Role]Path {
	found := map[*Role]Path{r: {}}
	walk(found, []*Role{r}, byInherit, func(m *Membership) bool { return m.Inherit })
	return found
}

// Privileges returns the roles whose privileges a session of r can use in one
// way or another: those that it inherits as any of the roles that it can
// become. r itself is included with an empty path.
func (r *Role) Privileges() map[*Role]Path {
	found := make(map[*Role]Path)
	becomes := r.Becomes()
	for _, as := range sortedRoles(becomes) {
		path := becomes[as]
		for role, rest := range as.Inherits() {
			old, ok := found[role]
			if !ok || len(path)+len(rest) < len(old) {
				found[role] = slices.Concat(path, rest)
			}
		}
	}
	return found
}

// walk adds what memberships lead to from the roles of queue, breadth first:
// paths are shortest, and of equally short ones the first by name is kept, as
// Memberships are sorted.
func walk(found map[*Role]Path, queue []*Role, by string, follow func(*Membership) bool) {
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, m := range at.Memberships {
			if _, seen := found[m.Role]; seen || !follow(m) {
				continue
			}
			found[m.Role] = slices.Concat(found[at], Path{{m, by}})
			queue = append(queue, m.Role)
		}
	}
}

func sortedRoles(set map[*Role]Path) []*Role {
	return slices.SortedFunc(maps.Keys(set), func(a, b *Role) int { return strings.Compare(a.Name, b.Name) })
}
