package condition

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// code is what is known of a function's code.
type code struct {
	function  *inventory.Function
	read      bool
	arguments []parser.Argument
	// queries are what the function may return, one of them; nil if that is
	// not known.
	queries []*ast.Select
	// tokens are those of a body that queries do not tell, nil for languages
	// that are not SQL's relatives.
	tokens []parser.CodeToken
	active bool // being read: a function that calls itself
}

// load reads the code, once.
func (c *code) load() {
	if c.read {
		return
	}
	c.read = true
	f := c.function
	c.arguments, _ = parser.Arguments(f.Arguments) // none are known if that fails, and then no call fits
	switch f.Language {
	case "sql":
		if q, err := parser.ReadSQL(f.Source); err == nil {
			c.queries = []*ast.Select{q}
		}
	case "plpgsql":
		c.queries = returnedQueries(f.Source)
	default:
		return
	}
	c.tokens, _ = parser.Code(f.Source)
}

// returnedQueries returns what PL/pgSQL code may return where that stands in
// its RETURN statements: no variables, no loops. The conditions in front of
// them are left out, so RETURN true behind one tells nothing.
func returnedQueries(source string) []*ast.Select {
	tokens, ok := parser.Code(source)
	if !ok {
		return nil
	}
	var queries []*ast.Select
	conditional := false
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.Kind != parser.CodeWord || t.Quoted:
		case t.Text == "declare", t.Text == "into", t.Text == "loop", t.Text == "execute", t.Text == "next":
			return nil
		case t.Text == "return":
			end := i + 1
			for end < len(tokens) && tokens[end].Text != ";" {
				end++
			}
			if end == len(tokens) || end == i+1 {
				return nil
			}
			text := source[tokens[i+1].Start:tokens[end].Start]
			if tokens[i+1].Text == "query" {
				text = source[tokens[i+1].End:tokens[end].Start]
			} else {
				text = "SELECT " + text
			}
			q, err := parser.Query(text)
			if err != nil {
				return nil
			}
			queries = append(queries, q)
			i = end
		case t.Text == "if", t.Text == "case", t.Text == "exception":
			conditional = true
		}
	}
	if conditional && slices.ContainsFunc(queries, isTrue) {
		return nil
	}
	return queries
}

// isTrue reports whether a query is SELECT true.
func isTrue(q *ast.Select) bool {
	if !q.OnlyTargets() || len(q.Targets) != 1 {
		return false
	}
	c, ok := bare(q.Targets[0].Value).(*ast.Constant)
	return ok && c.Text == "true"
}

// lookup finds the functions that a call may mean: those of that name that
// take so many arguments. A name without a schema is looked up in the path of
// the code that it stands in, and as that may be another one at run time, at
// last in all schemas. core is true if it can only be the server's own.
func (j *Judge) lookup(n ast.Name, count int, s *scope) (found []*code, core bool) {
	if n.Schema == "pg_catalog" {
		return nil, true
	}
	path := []string{n.Schema}
	if n.Schema == "" {
		path = s.searchPath()
	}
	found = j.named(n.Name, count, func(schema string) bool { return slices.Contains(path, schema) })
	if _, known := parser.ClassifyFunction(n.Name); n.Schema == "" && found == nil && !known {
		found = j.named(n.Name, count, func(string) bool { return true })
	}
	return found, n.Schema == "" && found == nil
}

// named are the functions of a name that take so many arguments, or more where
// there are no such.
func (j *Judge) named(name string, count int, in func(schema string) bool) []*code {
	var found []*code
	for _, c := range j.functions[name] {
		if c.load(); in(c.function.Schema) && len(c.arguments) >= count {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b *code) int { return len(a.arguments) - len(b.arguments) })
	for i, c := range found {
		if i > 0 && len(c.arguments) > max(count, len(found[0].arguments)) {
			return found[:i]
		}
	}
	return found
}

// callRows returns the rows of a call of a function whose code is read.
func (j *Judge) callRows(c *ast.Call, s *scope) ([]row, bool) {
	found, _ := j.lookup(c.Name, len(c.Args), s)
	if len(found) == 0 || s.depth >= maxDepth {
		return nil, false
	}
	var list []row
	for _, f := range found {
		if f.queries == nil || f.active {
			return nil, false
		}
		f.active = true
		at := f.scope(s, j.arguments(c, s), c.Names)
		for _, q := range f.queries {
			list = append(list, j.rows(q, at)...)
		}
		f.active = false
	}
	return list, true
}

func (j *Judge) arguments(c *ast.Call, s *scope) [][]alternative {
	list := make([][]alternative, len(c.Args))
	for i, a := range c.Args {
		list[i] = j.values(a, s)
	}
	return list
}

// scope is where the names of the function's body are looked up: its
// arguments, its own search_path or else its schema, its owner's rights.
func (c *code) scope(caller *scope, values [][]alternative, names []string) *scope {
	b := &body{function: c.function, named: make(map[string][]alternative), numbered: make([][]alternative, len(c.arguments))}
	for i, a := range c.arguments {
		value := just(term{})
		for k := range values {
			given := k == i
			if names != nil && names[k] != "" {
				given = names[k] == a.Name
			}
			if given {
				value = values[k]
			}
		}
		b.numbered[i] = value
		if a.Name != "" {
			b.named[a.Name] = value
		}
	}
	s := &scope{function: b, role: caller.role, depth: caller.depth + 1, schemas: c.searchPath()}
	if c.function.SecurityDefiner {
		s.role = c.function.Owner
	}
	return s
}

// searchPath is that of the function, or what it probably is.
func (c *code) searchPath() []string {
	var list []string
	if path, ok := c.function.Setting("search_path"); ok {
		for _, name := range strings.Split(path, ",") {
			list = append(list, strings.Trim(name, `" `))
		}
		return list
	}
	return []string{c.function.Schema, "public"}
}

// call is the value of a function.
func (j *Judge) call(c *ast.Call, s *scope) []alternative {
	found, core := j.lookup(c.Name, len(c.Args), s)
	if core {
		return j.coreCall(c, s)
	}
	if rows, ok := j.callRows(c, s); ok {
		return j.columnOf(rows, "")
	}
	return j.unreadCall(c, found, s)
}

// columnOf are the values of one column of rows, the first without a name.
func (j *Judge) columnOf(rows []row, name string) []alternative {
	var list []alternative
	for _, r := range rows {
		i := slices.IndexFunc(r.columns, func(c ast.Target) bool { return c.Name == name || name == "" })
		if i < 0 {
			return just(term{})
		}
		for _, v := range j.values(r.columns[i].Value, r.at) {
			list = append(list, alternative{v.term, r.holding(r.columns[i].Value).with(v.clause)})
		}
	}
	return list
}

// unreadCall is the value of a function whose code does not tell. If it can
// know the session, what it gives back is taken for the session's own, or for
// what belongs to the columns of the row that it was given.
func (j *Judge) unreadCall(c *ast.Call, found []*code, s *scope) []alternative {
	arguments := slices.Concat(j.arguments(c, s)...)
	t := term{has: hasOf(arguments)}
	reads := len(found) == 0 // of an extension, or of a schema that is hidden
	for _, f := range found {
		reads = reads || j.readsContext(f, 0)
	}
	switch {
	case (reads || t.has&hasContext != 0) && t.has&(hasRow|hasTable) == 0:
		t.kind, t.key = termContext, c.Name.Name
		t.has |= hasContext
	case t.has&(hasRow|hasTable) != 0:
		for _, a := range arguments {
			if a.kind == termColumn && a.at.identifies(a.column) {
				t.kind, t.at, t.column, t.knows = termDerived, a.at, a.column, reads
			}
		}
	}
	return just(t)
}

// readsContext reports whether a function that cannot be read as a query can
// know the session: by its words, or because the language is not SQL's.
func (j *Judge) readsContext(c *code, depth int) bool {
	c.load()
	if c.tokens == nil {
		return true
	}
	for i, t := range c.tokens {
		if t.Kind != parser.CodeWord {
			continue
		}
		switch t.Text {
		case "current_setting", "current_user", "session_user":
			return true
		}
		if depth > maxDepth || i+1 >= len(c.tokens) || c.tokens[i+1].Text != "(" {
			continue
		}
		for _, callee := range j.functions[t.Text] {
			if callee != c && j.readsContext(callee, depth+1) {
				return true
			}
		}
	}
	return false
}

// passing are the server's functions that give back one of what they are
// given, or that text written otherwise.
var passing = map[string]bool{
	"lower": true, "upper": true, "btrim": true, "trim": true, "ltrim": true, "rtrim": true, "unnest": true, "array_agg": true, "min": true, "max": true,
	"any_value": true, "to_jsonb": true, "to_json": true, "uuid": true, "text": true, "int4": true, "int8": true, "varchar": true, "bpchar": true,
	"jsonb_array_elements_text": true, "json_array_elements_text": true, "jsonb_array_elements": true, "json_array_elements": true,
	"array_remove": true, "array_append": true, "string_to_array": true, "regexp_split_to_array": true, "string_to_table": true,
}

// coreCall is the value of one of the server's own functions.
func (j *Judge) coreCall(c *ast.Call, s *scope) []alternative {
	name := c.Name.Name
	arguments := j.arguments(c, s)
	switch {
	case name == "current_setting" && len(arguments) > 0:
		return settingValue(arguments[0])
	case name == "array_append" && len(arguments) == 2:
		return slices.Concat(arguments...)
	case passing[name] && len(arguments) > 0:
		return passed(arguments)
	}
	list := combine(arguments...)
	for _, a := range list {
		if len(a.instances) > 0 { // NULL may become something
			return opaque(slices.Concat(arguments...))
		}
	}
	if strings.HasPrefix(name, "json") && strings.Contains(name, "extract_path") {
		for i := range list {
			for _, key := range keysOf(slices.Concat(arguments[min(1, len(arguments)):]...)) {
				list[i].term = list[i].named(key)
			}
		}
	}
	return list
}

// passed is the first argument if the others are only literals.
func passed(arguments [][]alternative) []alternative {
	for _, other := range arguments[1:] {
		for _, a := range other {
			if a.kind != termLiteral && a.kind != termNull {
				return opaque(slices.Concat(arguments...))
			}
		}
	}
	return arguments[0]
}

// settingValue is current_setting(name).
func settingValue(names []alternative) []alternative {
	key := ""
	if len(names) == 1 && names[0].kind == termLiteral {
		key = strings.ToLower(names[0].text)
	}
	if key == "role" || key == "session_authorization" {
		return just(term{kind: termLogin, has: hasLogin})
	}
	t := term{kind: termContext, key: key, has: hasContext}
	if isEditableName(key) {
		t.has |= hasEditable
	}
	return just(t)
}
