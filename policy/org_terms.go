package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// orgTerm is a place where a column that carries the org meets a constant or a
// parameter. It can be compared with ==.
type orgTerm struct {
	column string
	value  string // of the constant
	param  int    // of the parameter, 0 for a constant
	match  parser.Match
	flags  parser.TermFlags
	write  bool
	// Of a member of a JSON document.
	key   string
	keyed bool // key is known
}

// PreparedStatement is a statement that the statement PREPARE makes.
type PreparedStatement struct {
	Name       string
	Inspection *Inspection // what a session needs of it
}

// Execution is the statement EXECUTE.
type Execution struct {
	Name string // of the prepared statement
	args []orgTerm
}

// readTerms fills in what meets tenant columns. It marks the batch as read
// where it reads a constant.
func (i *Inspection) readTerms(b *parser.Batch, columns []string) {
	for n := range b.Statements {
		s := &b.Statements[n]
		constants, params := len(i.orgConstants), len(i.orgParams)
		i.addTerms(b, s)
		i.addSettings(b, s, columns)
		constantsOf, paramsOf := i.orgConstants[constants:], i.orgParams[params:]
		if s.Kind == parser.KindPrepare && len(constantsOf)+len(paramsOf) > 0 {
			of := &Inspection{Kind: s.Kind.String(), orgConstants: slices.Clone(constantsOf), orgParams: slices.Clone(paramsOf)}
			of.sortParams()
			i.Prepares = append(i.Prepares, PreparedStatement{s.Prepared, of})
		}
		i.addExecution(b, s)
	}
	i.sortParams()
}

func (i *Inspection) addTerms(b *parser.Batch, s *parser.Statement) {
	for k := range s.TenantTerms {
		t := &s.TenantTerms[k]
		term := orgTerm{column: t.Column, param: t.Value.Param, match: t.Match, write: t.Write, key: t.Member, keyed: t.Member != ""}
		text, constant := b.Constant(t.Value)
		term.value, term.flags = text, t.Flags
		if key, ok := b.Constant(t.Key); ok {
			term.key, term.keyed = key, true
		}
		if constant {
			i.orgConstants = append(i.orgConstants, term)
		} else {
			i.orgParams = append(i.orgParams, term)
		}
	}
}

// addSettings adds what is written to settings of the application's own that are
// called as a column of the org: SET app.tenant_id = 'B'. An application that
// still sends them may name its own.
func (i *Inspection) addSettings(b *parser.Batch, s *parser.Statement, columns []string) {
	for k := range s.Settings {
		v := &s.Settings[k]
		if v.Action != parser.SettingSet || len(v.Values) != 1 || !isOrgSetting(v.Name, columns) {
			continue
		}
		term := orgTerm{column: v.Name, param: v.Values[0].Param, flags: parser.FlagAlternative, write: true}
		if text, ok := b.Constant(v.Values[0]); ok {
			term.value = text
			i.orgConstants = append(i.orgConstants, term)
		} else if v.Values[0].Kind == parser.ValueParam {
			i.orgParams = append(i.orgParams, term)
		}
	}
}

// isOrgSetting reports whether a setting is called as a column of the org, with
// current in front or without the id: app.tenant_id, my.current_tenant.
func isOrgSetting(name string, columns []string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return false
	}
	last := strings.TrimPrefix(strings.ToLower(compactName(name[dot+1:])), "current")
	for _, c := range columns {
		c = strings.ToLower(compactName(c))
		if last == c || last == strings.TrimSuffix(c, "id") {
			return true
		}
	}
	return false
}

// StartupOrg is the decision on a startup parameter that is called as a column
// of the org, for a session of that org: SET in another costume.
func (e *Engine) StartupOrg(name, value, org string) Decision {
	if !isOrgSetting(name, e.options().parse.TenantColumns) {
		return Decision{}
	}
	t := orgTerm{column: strings.ToLower(name), flags: parser.FlagAlternative, write: true}
	if isNoOrg(value) || !e.options().form.names(&t, value, org) {
		return Decision{}
	}
	return e.refuse(otherOrgLiteralID, t.reason())
}

// sortParams puts the parameters in order.
func (i *Inspection) sortParams() {
	if len(i.orgParams) == 0 {
		return
	}
	slices.SortStableFunc(i.orgParams, func(a, b orgTerm) int { return cmp.Compare(a.param, b.param) })
	for k := range i.orgParams {
		i.OrgParams = append(i.OrgParams, i.orgParams[k].param)
	}
	i.OrgParams = slices.Compact(i.OrgParams)
}

// addExecution notes EXECUTE, behind EXPLAIN and CREATE TABLE AS too.
func (i *Inspection) addExecution(b *parser.Batch, s *parser.Statement) {
	if s.Prepared == "" || s.Kind != parser.KindExecute && !slices.Contains(s.Nested, parser.KindExecute) {
		return
	}
	x := Execution{Name: s.Prepared}
	for _, a := range s.Arguments {
		if text, ok := b.Constant(a.Value); ok {
			x.args = append(x.args, orgTerm{param: a.Param, value: text, flags: a.Flags})
		}
	}
	i.Executes = append(i.Executes, x)
}

// ForOrg is the decision for a session of that org: the rules' own, then the
// literals that name an org. org "" is a session without tenant; then every
// literal names another's.
func (i *Inspection) ForOrg(e *Engine, org string) Decision {
	if i.Decision.Action == Block || len(i.orgConstants)+len(i.Executes) == 0 {
		return i.Decision
	}
	d := i.Decision
	for k := range i.orgConstants {
		if c := &i.orgConstants[k]; e.options().form.names(c, c.value, org) {
			d = stricter(d, e.refuse(otherOrgLiteralID, c.reason()))
			break
		}
	}
	for k := range i.Executes {
		for _, p := range i.Prepares {
			if x := &i.Executes[k]; p.Name == x.Name {
				d = stricter(d, e.CheckExecute(p.Inspection, x, org))
			}
		}
	}
	return d
}

func stricter(a, b Decision) Decision {
	if b.Action > a.Action {
		return b
	}
	return a
}

func (t *orgTerm) reason() string {
	if strings.Contains(t.column, ".") {
		return "a literal that setting " + t.column + " is given is not this session's org"
	}
	if t.write {
		return "a literal written to column " + t.column + " is not this session's org"
	}
	return "a literal compared with column " + t.column + " is not this session's org"
}

const (
	otherOrgLiteralID   = "G801"
	otherOrgParameterID = "G802"
)

// CheckParam judges the value that a Bind message gives to a parameter of
// i.OrgParams. param counts from 1; format is 0 for text and 1 for binary; a
// nil value is NULL. It does not allocate for the session's own org.
func (e *Engine) CheckParam(i *Inspection, param int, format int16, value []byte, org string) Decision {
	if value == nil {
		return Decision{}
	}
	for k := range i.orgParams {
		if t := &i.orgParams[k]; t.param == param && e.options().form.namesBound(t, format, value, org) {
			return e.refuse(otherOrgParameterID, "the value of a parameter that meets a tenant column is not this session's org")
		}
	}
	return Decision{}
}

// CheckExecute judges the statement EXECUTE of a prepared statement: what it
// was made from, since that may have been under another identity, and the
// values that it is given now.
func (e *Engine) CheckExecute(prepared *Inspection, x *Execution, org string) Decision {
	d := prepared.ForOrg(e, org)
	for k := range x.args {
		arg := &x.args[k]
		for n := range prepared.orgParams {
			t := prepared.orgParams[n]
			if t.param != arg.param {
				continue
			}
			t.flags |= arg.flags & (parser.FlagComputed | parser.FlagAlternative)
			if e.options().form.names(&t, arg.value, org) {
				return stricter(d, e.refuse(otherOrgLiteralID, t.reason()))
			}
		}
	}
	return d
}
