package condition

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// scope says what names mean in one query or expression. Names that it does
// not have may be of the query around it, as in SQL.
type scope struct {
	outer    *scope
	items    []item
	with     map[string]with
	function *body  // whose body this is, outermost scope only
	role     string // whose rights read tables; "" for the application's
	schemas  []string
	depth    int // of sub-selects, functions, views and WITH queries in each other
}

// with is a WITH query and where its names are looked up.
type with struct {
	query   *ast.Select
	columns []string
	at      *scope
}

// body is the call of a function whose code is read.
type body struct {
	function *inventory.Function
	named    map[string][]alternative
	numbered [][]alternative
}

// item is what one name in FROM stands for: a table, or columns that are
// values.
type item struct {
	alias    string
	schema   string // as written, for s.t.a
	instance *instance
	renamed  []string // alias (a, b) of a table
	columns  map[string][]alternative
	all      []alternative // any column, and the name itself, of a function in FROM
}

// inner makes a scope for a query inside.
func (s *scope) inner() *scope {
	return &scope{outer: s, role: s.role, schemas: s.schemas, depth: s.depth + 1}
}

// adding is the scope with one more item.
func (s *scope) adding(i item) *scope {
	t := *s
	t.items = append(slices.Clip(s.items), i)
	return &t
}

// query returns the WITH query of a name.
func (s *scope) query(name ast.Name) (with, bool) {
	for at := s; at != nil && name.Schema == ""; at = at.outer {
		if w, ok := at.with[name.Name]; ok {
			return w, true
		}
	}
	return with{}, false
}

// column returns what a reference to a column stands for.
func (s *scope) column(c *ast.Column) []alternative {
	if c.Star {
		return s.wholeRow(c)
	}
	if len(c.Parts) == 0 {
		return just(term{})
	}
	name := c.Parts[len(c.Parts)-1]
	qualifier := c.Parts[:len(c.Parts)-1]
	for at := s; at != nil; at = at.outer {
		for i := range at.items {
			if list, ok := at.items[i].column(qualifier, name); ok {
				return list
			}
		}
		if at.function != nil {
			if list, ok := at.function.parameter(qualifier, name); ok {
				return list
			}
		}
	}
	return s.wholeRow(c)
}

// wholeRow is a name that is an alias, as in f(documents) and documents.*.
func (s *scope) wholeRow(c *ast.Column) []alternative {
	for at := s; at != nil; at = at.outer {
		for _, i := range at.items {
			if n := len(c.Parts); n > 0 && i.alias == c.Parts[n-1] && i.instance != nil {
				return just(term{at: i.instance, has: i.instance.mark("")})
			}
		}
	}
	return just(term{})
}

func (b *body) parameter(qualifier []string, name string) ([]alternative, bool) {
	if len(qualifier) > 0 && (len(qualifier) > 1 || qualifier[0] != b.function.Name) {
		return nil, false
	}
	list, ok := b.named[name]
	return list, ok
}

// column returns what a column of the item stands for, if it has it.
func (i *item) column(qualifier []string, name string) ([]alternative, bool) {
	if n := len(qualifier); n > 0 && (qualifier[n-1] != i.alias || n > 1 && i.schema != "" && qualifier[n-2] != i.schema) {
		return nil, false
	}
	if list, ok := i.columns[name]; ok {
		return list, true
	}
	if i.all != nil {
		return i.all, len(qualifier) > 0 || name == i.alias || i.columns == nil && elementNames[name]
	}
	if i.instance == nil {
		return nil, false
	}
	if k := slices.Index(i.renamed, name); k >= 0 && i.instance.table != nil && k < len(i.instance.table.Columns) {
		name = i.instance.table.Columns[k].Name
	}
	if i.instance.table == nil { // a table that we do not know has any column that is asked of it by its name
		if len(qualifier) == 0 {
			return nil, false
		}
	} else if i.instance.table.Column(name) == nil {
		return nil, false
	}
	return just(term{kind: termColumn, at: i.instance, column: name, has: i.instance.mark(name)}), true
}

// elementNames are what the server calls the columns of its functions that
// take arrays and JSON apart.
var elementNames = map[string]bool{"value": true, "key": true, "unnest": true}

// mark is what a value made of a column of the instance has.
func (i *instance) mark(column string) has {
	var h has
	switch {
	case i.row && i.isTenant(column):
		h = hasRow | hasTenant
	case i.row:
		h = hasRow
	default:
		h = hasTable
	}
	if isEditableName(column) {
		h |= hasEditable
	}
	return h
}

// isEditableName reports whether a claim, column or setting holds what users
// of Supabase can write themselves: user_metadata, raw_user_meta_data.
func isEditableName(name string) bool {
	plain := strings.ToLower(strings.ReplaceAll(name, "_", ""))
	return strings.Contains(plain, "usermetadata") || strings.Contains(plain, "rawusermetadata")
}
