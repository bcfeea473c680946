package condition

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// Reading is what a condition reads, functions that it calls included.
type Reading struct {
	Settings []SettingRead
	// Functions are all that it calls, directly or not. PerRow are those that
	// it calls outside of a sub-select without any column of the row, and
	// which so might be called once.
	Functions, PerRow []*inventory.Function
	// SettingPerRow says that it calls current_setting outside of a sub-select.
	SettingPerRow bool
	Relations     []*inventory.Relation // in sub-selects
	// Direct are those of Relations that the condition itself names.
	Direct []*inventory.Relation
	// ColumnCasts are tenant columns of the row that are compared as another
	// type or through a function.
	ColumnCasts []*inventory.Column
}

// SettingRead is one current_setting(...).
type SettingRead struct {
	Name      string
	In        *inventory.Function // nil for the condition itself
	MissingOK bool                // its second argument is true
	// CastTo is the type that the setting is cast to where an empty value would
	// fail, "" if it is not.
	CastTo string
}

// Read returns what the conditions of a table's policy read.
func (j *Judge) Read(r *inventory.Relation, texts ...string) Reading {
	w := &reader{judge: j, row: j.rowScope(r), seen: make(map[*code]bool)}
	for _, text := range texts {
		if e, err := j.Parse(text); err == nil && text != "" {
			ast.Visitor{Table: func(t *ast.Table) { w.table(t, w.row) }}.Visit(e) // first: what is named directly
			w.expression(e, w.row)
			w.perRow(e)
			w.casts(e)
		}
	}
	return w.Reading
}

// reader fills in a Reading.
type reader struct {
	Reading
	judge *Judge
	row   *scope
	in    *inventory.Function
	seen  map[*code]bool
}

// expression reads an expression and what it calls. Only names of tables and
// functions are looked up in the scope.
func (w *reader) expression(e ast.Expr, s *scope) {
	ast.Visitor{
		Expr:  func(e ast.Expr) bool { w.part(e, s); return true },
		Table: func(t *ast.Table) { w.table(t, s) },
	}.Visit(e)
}

func (w *reader) query(q *ast.Select, s *scope) {
	ast.Visitor{
		Expr:  func(e ast.Expr) bool { w.part(e, s); return true },
		Table: func(t *ast.Table) { w.table(t, s) },
	}.VisitQuery(q)
}

func (w *reader) table(t *ast.Table, s *scope) {
	if r := w.judge.table(t.Name, s); r != nil && !slices.Contains(w.Relations, r) {
		w.Relations = append(w.Relations, r)
		if w.in == nil {
			w.Direct = append(w.Direct, r)
		}
	}
}

func (w *reader) part(e ast.Expr, s *scope) {
	switch e := e.(type) {
	case *ast.Cast:
		if !isText(e.Type) {
			w.castSetting(bareText(e.Arg), e.Type.Name)
		}
	case *ast.Call:
		if isCurrentSetting(e) {
			w.setting(e, "")
			return
		}
		found, _ := w.judge.lookup(e.Name, len(e.Args), s)
		for _, c := range found {
			w.function(c)
		}
	}
}

// castSetting notes a setting that is cast as it is: COALESCE does not help
// against an empty one.
func (w *reader) castSetting(e ast.Expr, cast string) {
	switch e := e.(type) {
	case *ast.Call:
		if isCurrentSetting(e) {
			w.setting(e, cast)
		}
	case *ast.Coalesce:
		for _, a := range e.Args {
			w.castSetting(bareText(a), cast)
		}
	case *ast.Sublink:
		if e.Kind == ast.SublinkScalar && e.Query.OnlyTargets() && len(e.Query.Targets) == 1 {
			w.castSetting(bareText(e.Query.Targets[0].Value), cast)
		}
	}
}

// setting notes one current_setting. The cast around it is met before it.
func (w *reader) setting(c *ast.Call, cast string) {
	read := SettingRead{In: w.in, CastTo: cast}
	if len(c.Args) > 0 {
		if name, ok := bare(c.Args[0]).(*ast.Constant); ok {
			read.Name = strings.ToLower(name.Text)
		}
	}
	if len(c.Args) > 1 {
		missing, ok := bare(c.Args[1]).(*ast.Constant)
		read.MissingOK = !ok || missing.Text == "true"
	}
	same := func(o SettingRead) bool {
		return o.Name == read.Name && o.In == read.In && o.MissingOK == read.MissingOK
	}
	if i := slices.IndexFunc(w.Settings, same); i >= 0 {
		if w.Settings[i].CastTo == "" {
			w.Settings[i].CastTo = cast
		}
		return
	}
	w.Settings = append(w.Settings, read)
}

func isCurrentSetting(c *ast.Call) bool {
	return c.Name.Name == "current_setting" && (c.Name.Schema == "" || c.Name.Schema == "pg_catalog")
}

// bareText is an expression without casts to text.
func bareText(e ast.Expr) ast.Expr {
	for {
		c, ok := e.(*ast.Cast)
		if !ok || !isText(c.Type) {
			return e
		}
		e = c.Arg
	}
}

func isText(n ast.Name) bool {
	switch n.Name {
	case "text", "varchar", "bpchar", "name", "citext":
		return true
	}
	return false
}

// function notes a function and reads its code.
func (w *reader) function(c *code) {
	if w.seen[c] {
		return
	}
	w.seen[c] = true
	c.load()
	w.Functions = append(w.Functions, c.function)
	outer := w.in
	w.in = c.function
	s := c.scope(&scope{}, nil, nil)
	for _, q := range c.queries {
		w.query(q, s)
	}
	if c.queries == nil {
		w.tokens(c, s)
	}
	w.in = outer
}

// tokens reads code that is no query: calls, settings without what is around
// them, and tables behind FROM and JOIN.
func (w *reader) tokens(c *code, s *scope) {
	for i, t := range c.tokens {
		if t.Kind != parser.CodeWord || i+1 >= len(c.tokens) {
			continue
		}
		if !t.Quoted && (t.Text == "from" || t.Text == "join") {
			w.table(&ast.Table{Name: nameAt(c.tokens[i+1:])}, s)
		}
		if c.tokens[i+1].Text != "(" {
			continue
		}
		if t.Text == "current_setting" {
			w.settingTokens(c.tokens[i+2:])
			continue
		}
		for _, callee := range w.judge.functions[t.Text] {
			w.function(callee)
		}
	}
}

// nameAt is the name that tokens begin with.
func nameAt(tokens []parser.CodeToken) ast.Name {
	if len(tokens) == 0 || tokens[0].Kind != parser.CodeWord {
		return ast.Name{}
	}
	if len(tokens) > 2 && tokens[1].Text == "." && tokens[2].Kind == parser.CodeWord {
		return ast.Name{Schema: tokens[0].Text, Name: tokens[2].Text}
	}
	return ast.Name{Name: tokens[0].Text}
}

// settingTokens notes current_setting('x', true) by its tokens. Whether a cast
// would fail is not known.
func (w *reader) settingTokens(tokens []parser.CodeToken) {
	if len(tokens) < 2 || tokens[0].Kind != parser.CodeString {
		return
	}
	w.Settings = append(w.Settings, SettingRead{Name: strings.ToLower(tokens[0].Text), In: w.in, MissingOK: tokens[1].Text == ","})
}

// perRow notes the functions that a condition calls for each row, though they
// know nothing of it.
func (w *reader) perRow(e ast.Expr) {
	ast.Visitor{Expr: func(e ast.Expr) bool {
		if _, ok := e.(*ast.Sublink); ok {
			return false
		}
		c, ok := e.(*ast.Call)
		if !ok {
			return true
		}
		w.SettingPerRow = w.SettingPerRow || isCurrentSetting(c)
		found, core := w.judge.lookup(c.Name, len(c.Args), w.row)
		if core || mentionsColumns(c) {
			return true
		}
		for _, f := range found {
			if !slices.Contains(w.PerRow, f.function) {
				w.PerRow = append(w.PerRow, f.function)
			}
		}
		return false
	}}.Visit(e)
}

func mentionsColumns(e ast.Expr) bool {
	found := false
	ast.Visitor{Expr: func(e ast.Expr) bool {
		_, column := e.(*ast.Column)
		found = found || column
		return true
	}}.Visit(e)
	return found
}

// casts notes tenant columns under a cast or function, outside of sub-selects.
func (w *reader) casts(e ast.Expr) {
	ast.Visitor{Expr: func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Sublink:
			return false
		case *ast.Cast:
			w.castOf(e.Arg, func(c *inventory.Column) bool { return !coercible(c, e) })
		case *ast.Call:
			if _, core := w.judge.lookup(e.Name, len(e.Args), w.row); core && passing[e.Name.Name] && len(e.Args) > 0 {
				w.castOf(bare(e.Args[0]), func(*inventory.Column) bool { return true })
			}
		}
		return true
	}}.Visit(e)
}

func (w *reader) castOf(e ast.Expr, counts func(*inventory.Column) bool) {
	c, ok := e.(*ast.Column)
	if !ok {
		return
	}
	for _, v := range w.row.column(c) {
		if v.kind != termColumn || !v.at.isTenant(v.column) {
			continue
		}
		if column := v.at.table.Column(v.column); counts(column) && !slices.Contains(w.ColumnCasts, column) {
			w.ColumnCasts = append(w.ColumnCasts, column)
		}
	}
}

// coercible reports whether a cast changes nothing of the stored value, so
// that an index on the column still serves.
func coercible(c *inventory.Column, to *ast.Cast) bool {
	if c.Category == 'd' || to.Array {
		return true // a domain is compared as its base type
	}
	switch c.BaseType {
	case "text", "character varying":
		return to.Type.Name == "text" || to.Type.Name == "varchar"
	}
	return false
}

// DependsOnSession reports whether the result of a function depends on who
// asks: it reads a setting or a table, or a function that does.
func (j *Judge) DependsOnSession(f *inventory.Function) bool {
	c := j.byObject[f]
	if c == nil {
		return false
	}
	w := &reader{judge: j, row: &scope{}, seen: make(map[*code]bool)}
	w.function(c)
	if len(w.Settings) > 0 || len(w.Relations) > 0 {
		return true
	}
	for other := range w.seen {
		if other.tokens != nil && j.readsContext(other, 0) {
			return true
		}
	}
	return false
}
