package condition

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// Judge judges the conditions of one database. It is not for concurrent use:
// it remembers what it has read.
type Judge struct {
	model     *inventory.Model
	functions map[string][]*code // by name
	parsed    map[string]ast.Expr
	byObject  map[*inventory.Function]*code

	// orgs and users count the policies that ask which org the session is of,
	// and which user. Where most ask for the org, the user alone does not say to
	// which tenant a row belongs.
	orgs, users int
	// memberships are the tables in which policies look up the session's user.
	memberships map[*inventory.Relation]bool
}

// NewJudge reads all policies once to learn how the context is read.
func NewJudge(m *inventory.Model) *Judge {
	j := &Judge{
		model: m, functions: make(map[string][]*code), parsed: make(map[string]ast.Expr),
		byObject: make(map[*inventory.Function]*code), memberships: make(map[*inventory.Relation]bool),
	}
	for _, f := range m.Snapshot.Functions {
		if f.Kind == 'f' {
			c := &code{function: f}
			j.byObject[f] = c
			j.functions[f.Name] = append(j.functions[f.Name], c)
		}
	}
	for _, r := range m.Snapshot.Relations {
		for _, p := range r.Policies {
			for _, text := range []string{p.Using, p.Check} {
				if e, err := j.Parse(text); err == nil && text != "" {
					j.learn(j.condition(e, j.rowScope(r), false))
				}
			}
		}
	}
	return j
}

// Parse parses the text of a condition.
func (j *Judge) Parse(text string) (ast.Expr, error) {
	if e, ok := j.parsed[text]; ok {
		return e, nil
	}
	e, err := parser.Expression(text)
	if err == nil {
		j.parsed[text] = e
	}
	return e, err
}

// rowScope is the scope of a policy: the columns of its table, with its name
// and without.
func (j *Judge) rowScope(r *inventory.Relation) *scope {
	i := j.instance(r, "")
	i.row = true
	return &scope{items: []item{{alias: r.Name, schema: r.Schema, instance: i}}}
}

func (j *Judge) instance(r *inventory.Relation, role string) *instance {
	i := &instance{table: r, role: role}
	if r != nil {
		i.tenancy = j.model.Tenancy(r)
	}
	return i
}

// table finds a relation by the name that a query writes. What is not in the
// path of the code is the only relation of that name, wherever it is: the path
// may be another one at run time.
func (j *Judge) table(n ast.Name, s *scope) *inventory.Relation {
	if n.Schema != "" {
		return j.model.Snapshot.Relation(n.Schema, n.Name)
	}
	for _, schema := range s.searchPath() {
		if r := j.model.Snapshot.Relation(schema, n.Name); r != nil {
			return r
		}
	}
	var only *inventory.Relation
	for _, r := range j.model.Snapshot.Relations {
		if r.Name != n.Name {
			continue
		}
		if only != nil {
			return nil
		}
		only = r
	}
	return only
}

// searchPath is where unqualified names are looked up.
func (s *scope) searchPath() []string {
	for at := s; at != nil; at = at.outer {
		if at.schemas != nil {
			return at.schemas
		}
	}
	return []string{"public"}
}

// LooksUpUser reports whether policies look up the session's user in a table:
// whoever can write it can make himself a member.
func (j *Judge) LooksUpUser(r *inventory.Relation) bool { return j.memberships[r] }

// learn notes which tables look up the user, and what a policy asks for.
func (j *Judge) learn(clauses []clause) {
	var org, user bool
	for _, c := range clauses {
		for _, class := range c.classes() {
			kind, ok := class.context()
			if !ok {
				continue
			}
			org = org || kind == contextOrg
			user = user || kind == contextUser
			for _, t := range class {
				if t.kind == termColumn && !t.at.row && t.at.table != nil && kind == contextUser {
					j.memberships[t.at.table] = true
				}
			}
		}
	}
	switch {
	case org:
		j.orgs++
	case user:
		j.users++
	}
}

// contextKind is what a part of the context says.
type contextKind uint8

const (
	contextOther contextKind = iota // a role, a language: nothing that ties a row to the session
	contextUser
	contextOrg
)

// words of names that tell what a part of the context is. Names are cut at
// everything that is not a letter; what matches none is an org.
var (
	userWords  = []string{"user", "uid", "sub", "subject", "member", "person", "email", "profile", "actor", "principal"}
	otherWords = []string{"role", "roles", "scope", "scopes", "plan", "locale", "language", "lang", "timezone", "admin", "superadmin", "permission", "permissions", "aud", "iss", "mode"}
)

func kindOfKey(key string) contextKind {
	last := key[strings.LastIndexByte(key, '.')+1:]
	words := strings.FieldsFunc(strings.ToLower(last), func(r rune) bool { return r < 'a' || r > 'z' })
	for _, w := range words {
		switch {
		case slices.Contains(userWords, w) || strings.HasPrefix(w, "userid"):
			return contextUser
		case slices.Contains(otherWords, w):
			return contextOther
		}
	}
	return contextOrg
}
