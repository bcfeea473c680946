package parser

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// spell writes an expression with every operator and name in brackets.
func spell(e ast.Expr) string {
	switch e := e.(type) {
	case nil:
		return "-"
	case *ast.And:
		return "(and " + spellAll(e.Args) + ")"
	case *ast.Or:
		return "(or " + spellAll(e.Args) + ")"
	case *ast.Not:
		return "(not " + spell(e.Arg) + ")"
	case *ast.Operator:
		return "(" + spellAST(e.Name) + " " + spell(e.Left) + " " + spell(e.Right) + ")"
	case *ast.Quantified:
		return fmt.Sprintf("(%s all=%t %s %s)", spellAST(e.Name), e.All, spell(e.Left), spell(e.Right))
	case *ast.Distinct:
		return "(distinct " + spell(e.Left) + " " + spell(e.Right) + ")"
	case *ast.IsNull:
		return "(null? " + spell(e.Arg) + ")"
	case *ast.IsTruth:
		return fmt.Sprintf("(truth%d %s)", e.Test, spell(e.Arg))
	case *ast.Column:
		if e.Star {
			return strings.Join(append(e.Parts, "*"), ".")
		}
		return strings.Join(e.Parts, ".")
	case *ast.Parameter:
		return fmt.Sprintf("$%d", e.Number)
	case *ast.Constant:
		return fmt.Sprintf("%d'%s'", e.Kind, e.Text)
	case *ast.Cast:
		return fmt.Sprintf("(cast %s%s %s)", spellAST(e.Type), strings.Repeat("[]", boolToInt(e.Array)), spell(e.Arg))
	case *ast.Call:
		s := "(call " + spellAST(e.Name)
		for i, a := range e.Args {
			s += " "
			if e.Names != nil && e.Names[i] != "" {
				s += e.Names[i] + ":"
			}
			s += spell(a)
		}
		return s + strings.Repeat(" aggregate", boolToInt(e.Aggregate)) + ")"
	default:
		return spellRest(e)
	}
}

func spellRest(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Value:
		return "<" + e.Keyword + ">"
	case *ast.Coalesce:
		return "(coalesce " + spellAll(e.Args) + ")"
	case *ast.MinMax:
		return "(minmax " + spellAll(e.Args) + ")"
	case *ast.NullIf:
		return "(nullif " + spell(e.Left) + " " + spell(e.Right) + ")"
	case *ast.Case:
		s := "(case " + spell(e.Arg)
		for _, w := range e.Whens {
			s += " " + spell(w.Condition) + ">" + spell(w.Result)
		}
		return s + " else " + spell(e.Else) + ")"
	case *ast.Row:
		return "(row " + spellAll(e.Args) + ")"
	case *ast.Array:
		return "[" + spellAll(e.Elements) + "]"
	case *ast.Member:
		return "(member " + spell(e.Arg) + " ." + e.Field + ")"
	case *ast.Sublink:
		test := ""
		if e.Test != nil {
			test = spellAST(e.Operator) + " " + spell(e.Test) + " "
		}
		return fmt.Sprintf("(sublink%d %s%s)", e.Kind, test, spellQuery(e.Query))
	case *ast.Unknown:
		return "?" + e.Node
	}
	return fmt.Sprintf("%T", e)
}

func spellAll(list []ast.Expr) string {
	s := make([]string, len(list))
	for i, e := range list {
		s[i] = spell(e)
	}
	return strings.Join(s, " ")
}

func spellAST(n ast.Name) string {
	if n.Schema == "" {
		return n.Name
	}
	return n.Schema + "." + n.Name
}

func spellQuery(q *ast.Select) string {
	var s strings.Builder
	for _, w := range q.With {
		fmt.Fprintf(&s, "with %s %v ", w.Name, w.Recursive)
		if w.Query != nil {
			s.WriteString(spellQuery(w.Query) + " ")
		}
	}
	if q.Set != ast.SetNone {
		fmt.Fprintf(&s, "set%d {%s} {%s}", q.Set, spellQuery(q.Left), spellQuery(q.Right))
		return s.String()
	}
	s.WriteString("select")
	for _, t := range q.Targets {
		s.WriteString(" " + spell(t.Value))
		if t.Name != "" {
			s.WriteString(":" + t.Name)
		}
	}
	for _, f := range q.From {
		s.WriteString(" from " + spellFrom(f))
	}
	if q.Where != nil {
		s.WriteString(" where " + spell(q.Where))
	}
	if q.Grouped {
		s.WriteString(" grouped")
	}
	if q.Having != nil {
		s.WriteString(" having " + spell(q.Having))
	}
	for _, row := range q.Values {
		s.WriteString(" values " + spellAll(row))
	}
	if q.Unknown != "" {
		s.WriteString(" ?" + q.Unknown)
	}
	return s.String()
}

func spellFrom(f ast.FromItem) string {
	switch f := f.(type) {
	case *ast.Table:
		return spellAST(f.Name) + " " + f.Alias + strings.Join(f.Columns, ",")
	case *ast.Derived:
		return "{" + spellQuery(f.Query) + "} " + f.Alias + strings.Join(f.Columns, ",")
	case *ast.FunctionTable:
		return "f{" + spellAll(f.Calls) + "} " + f.Alias + strings.Join(f.Columns, ",")
	case *ast.Join:
		return fmt.Sprintf("(join%d %s %s on %s using %v natural=%t)", f.Kind, spellFrom(f.Left), spellFrom(f.Right), spell(f.On), f.Using, f.Natural)
	case *ast.UnknownFrom:
		return "?" + f.Node
	}
	return fmt.Sprintf("%T", f)
}

// expressionCases are texts as pg_get_expr and people write them.
var expressionCases = []struct{ text, want string }{
	{"true", "1'true'"},
	{"(org_id = (current_setting('app.org_id'::text, true))::uuid)", "(= org_id (cast uuid (call current_setting (cast text 4'app.org_id') 1'true')))"},
	{"((a = 1) AND (b = 2.5) AND (c IS NULL))", "(and (= a 2'1') (= b 3'2.5') (null? c))"},
	{"((a = 1) OR (NOT b))", "(or (= a 2'1') (not b))"},
	{"(a IS NOT NULL)", "(not (null? a))"},
	{"(NOT (a IS DISTINCT FROM b))", "(not (distinct a b))"},
	{"(a IS NOT DISTINCT FROM b)", "(not (distinct a b))"},
	{"(x IS TRUE)", "(truth0 x)"},
	{"(x IS NOT FALSE)", "(truth3 x)"},
	{"a IN (1, 2)", "(= all=false a [2'1' 2'2'])"},
	{"a NOT IN (1, 2)", "(not (= all=false a [2'1' 2'2']))"},
	{"(a = ANY (ARRAY['x'::text, 'y'::text]))", "(= all=false a [(cast text 4'x') (cast text 4'y')])"},
	{"(a <> ALL (b))", "(<> all=true a b)"},
	{"a LIKE 'x%'", "(~~ a 4'x%')"},
	{"a BETWEEN 1 AND 2", "(and (>= a 2'1') (<= a 2'2'))"},
	{"a NOT BETWEEN 1 AND 2", "(not (and (>= a 2'1') (<= a 2'2')))"},
	{"a BETWEEN SYMMETRIC 1 AND 2", "(or (and (>= a 2'1') (<= a 2'2')) (and (>= a 2'2') (<= a 2'1')))"},
	{"(- a)", "(- - a)"},
	{"(a OPERATOR(app.=) b)", "(app.= a b)"},
	{"NULLIF(a, ''::text)", "(nullif a (cast text 4''))"},
	{"COALESCE(a, b, NULL::uuid)", "(coalesce a b (cast uuid 0''))"},
	{"GREATEST(a, b)", "(minmax a b)"},
	{"CASE WHEN a THEN b ELSE false END", "(case - a>b else 1'false')"},
	{"CASE x WHEN 1 THEN true END", "(case x 2'1'>1'true' else -)"},
	{"CURRENT_USER", "<current_user>"},
	{"SESSION_USER", "<session_user>"},
	{"CURRENT_TIMESTAMP(3)", "<current_timestamp>"},
	{"current_user()", "?ERROR"},
	{"(owner = CURRENT_USER)", "(= owner <current_user>)"},
	{"auth.uid()", "(call auth.uid)"},
	{"f(a => 1, b)", "(call f a:2'1' b)"}, // refused by analysis only,
	{"app.f(1, b => x)", "(call app.f 2'1' b:x)"},
	{"count(*)", "(call count aggregate)"},
	{"count(a)", "(call count a)"},
	{"array_agg(a ORDER BY b)", "(call array_agg a aggregate)"},
	{"((auth.jwt() -> 'app_metadata'::text) ->> 'org_id'::text)", "(->> (-> (call auth.jwt) (cast text 4'app_metadata')) (cast text 4'org_id'))"},
	{"( SELECT auth.uid() AS uid)", "(sublink3 select (call auth.uid):uid)"},
	{
		"(EXISTS ( SELECT 1 FROM members m WHERE ((m.org_id = t.org_id) AND (m.user_id = auth.uid()))))",
		"(sublink0 select 2'1' from members m where (and (= m.org_id t.org_id) (= m.user_id (call auth.uid))))",
	},
	{"(org_id IN ( SELECT members.org_id FROM public.members))", "(sublink1 = org_id select members.org_id from public.members )"},
	{"(NOT (org_id IN ( SELECT o.id FROM o)))", "(not (sublink1 = org_id select o.id from o ))"},
	{"a <> ALL (SELECT 1)", "(sublink2 <> a select 2'1')"},
	{"a > ANY (SELECT 1)", "(sublink1 > a select 2'1')"},
	{"(a = ANY (ARRAY( SELECT x FROM y)))", "(= all=false a (sublink4 select x from y ))"},
	{"ROW(a, b) = ROW(c, d)", "(= (row a b) (row c d))"},
	{"(a, b) IN (SELECT 1, 2)", "(sublink1 = (row a b) select 2'1' 2'2')"},
	{"(tags)[1]", "(member tags .)"},
	{"((t.c).org).id", "(member (member t.c .org) .id)"},
	{"t.*", "t.*"},
	{"(a COLLATE \"C\")", "a"},
	{"'{}'::uuid[]", "(cast uuid[] 4'{}')"},
	{"'a'::app.org_key", "(cast app.org_key 4'a')"},
	{"B'01'", "5'b01'"},
	{"$1 = a", "(= $1 a)"},
	{"\"Org Id\" = \"Tenant\".\"Id\"", "(= Org Id Tenant.Id)"},
	{"EXISTS (SELECT 1 FROM a LEFT JOIN b ON a.x = b.y)", "(sublink0 select 2'1' from (join1 a  b  on (= a.x b.y) using [] natural=false))"},
	{"EXISTS (SELECT 1 FROM a JOIN b USING (x))", "(sublink0 select 2'1' from (join0 a  b  on - using [x] natural=false))"},
	{"EXISTS (SELECT FROM a NATURAL JOIN b, LATERAL (SELECT 2) c(d))", "(sublink0 select from (join0 a  b  on - using [] natural=true) from {select 2'2'} cd)"},
	{"EXISTS (SELECT 1 FROM unnest(a) u(x))", "(sublink0 select 2'1' from f{(call unnest a)} ux)"},
	{"x IN (SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3)", "(sublink1 = x set3 {set1 {select 2'1'} {select 2'2'}} {select 2'3'})"},
	{"x IN (WITH w AS (SELECT 1) SELECT * FROM w)", "(sublink1 = x with w false select 2'1' select * from w )"},
	{"x IN (VALUES (1), (2))", "(sublink1 = x select values 2'1' values 2'2')"},
	{"x IN (SELECT a FROM b GROUP BY a HAVING count(*) > 1)", "(sublink1 = x select a from b  grouped having (> (call count aggregate) 2'1'))"},
	{"EXISTS (SELECT 1 FROM (a JOIN b ON true) AS j)", "(sublink0 select 2'1' from ?JoinExpr)"},
	{"EXISTS (SELECT 1 FROM a TABLESAMPLE system (1))", "(sublink0 select 2'1' from ?RangeTableSample)"},
	{"xmlforest(a)", "?XmlExpr"},
	{"a IS JSON", "?JsonIsPredicate"},
	{"", "?ERROR"},
	{"1, 2", "?ERROR"},
	{"1 FROM t", "?ERROR"},
	{"1 AS x", "?ERROR"},
	{"1; SELECT 2", "?ERROR"},
	{"1 UNION SELECT 2", "?ERROR"},
	{"1 INTO t", "?ERROR"},
	{"1 ORDER BY 1", "2'1'"}, // changes nothing
}

func TestExpression(t *testing.T) {
	for _, tt := range expressionCases {
		got := "?ERROR"
		if e, err := Expression(tt.text); err == nil {
			got = spell(e)
		}
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

func TestReadSQL(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1;":                                 "select 2'1'",
		"RETURN (a + 1)":                            "select (+ a 2'1')",
		"BEGIN ATOMIC\n SELECT org FROM t;\nEND":    "select org from t ",
		"SELECT 1; SELECT 2":                        "?ERROR",
		"INSERT INTO t VALUES (1) RETURNING id":     "?ERROR",
		"WITH d AS (DELETE FROM t) SELECT 1 FROM d": "with d false select 2'1' from d ",
	} {
		got := "?ERROR"
		if q, err := ReadSQL(text); err == nil {
			got = spellQuery(q)
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	tokens, ok := Code("BEGIN -- set_config\n RETURN \"Odd\"(current_setting('app.org''s'), $$x$$, $1); END")
	var got []string
	for _, c := range tokens {
		got = append(got, fmt.Sprintf("%d:%s", c.Kind, c.Text))
	}
	want := "0:begin 0:return 0:Odd 2:( 0:current_setting 2:( 1:app.org's 2:) 2:, 1:x 2:, 2:$1 2:) 2:; 0:end"
	if !ok || strings.Join(got, " ") != want {
		t.Errorf("got %v %s\nwant %s", ok, strings.Join(got, " "), want)
	}
	if _, ok := Code("a\x00b"); ok {
		t.Error("a NUL is code")
	}
}

// FuzzExpression: whatever stands in a catalogue, reading it neither panics
// nor loses a part without a word.
func FuzzExpression(f *testing.F) {
	for _, tt := range expressionCases {
		f.Add(tt.text)
	}
	for _, k := range killers() {
		f.Add(strings.TrimPrefix(k.text(20), "SELECT "))
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Expression(text)
		if err != nil {
			var known *Error
			if !errors.As(err, &known) || known.Reason == "" || len(known.SQLState) != 5 {
				t.Errorf("error %#v is not complete", err)
			}
			return
		}
		if e == nil || strings.Contains(spell(e), "*ast.") {
			t.Errorf("%q: got %s", text, spell(e))
		}
		Code(text)
	})
}

func TestArguments(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"org uuid, integer, double precision": "org=uuid =int4 =float8",
		"INOUT a integer, OUT b text, VARIADIC \"Odd Name\" text[]": "a=int4 Odd Name=text+",
		"timestamp without time zone, x app.org_key":                "=timestamp x=app.org_key",
	} {
		list, err := Arguments(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var got []string
		for _, a := range list {
			a.Type.Schema = strings.TrimSuffix(a.Type.Schema, "pg_catalog")
			got = append(got, a.Name+"="+spellAST(a.Type)+strings.Repeat("+", boolToInt(a.Variadic)))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", text, strings.Join(got, " "), want)
		}
	}
	if _, err := Arguments("a int) RETURNS int LANGUAGE sql AS ''; DROP TABLE t; --"); err == nil {
		t.Error("another statement was taken for arguments")
	}
}
