package parser

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// repeated is an input made of a part that is repeated: before, part n times,
// after n times the closing part, after.
type repeated struct {
	before, part, middle, closing, after string
	passes                               bool // at a megabyte too: it costs little
}

func (r repeated) text(n int) string {
	return r.before + strings.Repeat(r.part, n) + r.middle + strings.Repeat(r.closing, n) + r.after
}

// killers kill, stall or strain libpg_query when they are long.
func killers() map[string]repeated {
	return map[string]repeated{
		"plus":            {before: "SELECT 1", part: "+1"},
		"empty comments":  {before: "SELECT ", part: "/**/", after: "1"},
		"nested comments": {before: "SELECT ", part: "/*/**/*/", after: "1"},
		"plus comment":    {before: "SELECT 1", part: "+/**/", after: "1"},
		"apart comments":  {before: "SELECT ", part: "/**/ ", after: "1", passes: true},
		"banners":         {before: "SELECT ", part: "/*" + strings.Repeat("*", 120) + "*/\n", after: "1", passes: true},
		"plus column":     {before: "SELECT a", part: " + a", after: " FROM t"},
		"concatenate":     {before: "SELECT a", part: "||a"},
		"arrow":           {before: "SELECT a", part: "->>'a'"},
		"cast":            {before: "SELECT 1", part: "::int"},
		"is null":         {before: "SELECT 1", part: " IS NULL"},
		"isnull":          {before: "SELECT 1", part: " ISNULL"},
		"is distinct":     {before: "SELECT (1)", part: " IS NOT DISTINCT FROM 1"},
		"collate":         {before: "SELECT a", part: ` COLLATE "C"`},
		"at time zone":    {before: "SELECT a", part: " AT TIME ZONE 'x'"},
		"between is null": {before: "SELECT 1", part: " IS NULL BETWEEN 1 AND 2"},
		"column and":      {before: "SELECT a", part: " + a.and"},
		"column or":       {before: "SELECT a", part: " + a . /* x */ or"},
		"case column end": {before: "SELECT 1", part: " + CASE WHEN a.end AND b THEN 1 END"},
		"operator()":      {before: "SELECT 1", part: " OPERATOR(pg_catalog.+) 1"},
		"cross join":      {before: "SELECT 1 FROM a", part: " CROSS JOIN a"},
		"join on":         {before: "SELECT 1 FROM a", part: " JOIN b ON x AND y"},
		"join nested":     {before: "SELECT 1 FROM a", part: " JOIN b", closing: " ON true"},
		"natural join":    {before: "SELECT 1 FROM a", part: " NATURAL JOIN a"},
		"union":           {before: "SELECT 1, 2", part: " UNION SELECT 1, 2"},
		"intersect":       {before: "SELECT 1", part: " INTERSECT SELECT 1"},
		"except":          {before: "VALUES (1)", part: " EXCEPT VALUES (1)"},
		"parentheses":     {before: "SELECT ", part: "(", middle: "1", closing: ")"},
		"sub-selects":     {before: "SELECT ", part: "(SELECT ", middle: "1", closing: ")"},
		"sub-selects 2":   {part: "SELECT * FROM (", middle: "SELECT 1", closing: ") x"},
		"exists":          {before: "SELECT 1", part: " WHERE EXISTS (SELECT 1", closing: ")"},
		"with":            {part: "WITH a AS (", middle: "SELECT 1", closing: ") SELECT 1"},
		"calls":           {before: "SELECT ", part: "f(", middle: "1", closing: ")"},
		"calls in lists":  {before: "SELECT ", part: "f(1, 1+1+1, ", middle: "1", closing: ")"},
		"arrays":          {before: "SELECT ", part: "ARRAY[", middle: "1", closing: "]"},
		"rows":            {before: "SELECT ", part: "ROW(1,", middle: "1", closing: ")"},
		"not":             {before: "SELECT ", part: "NOT ", middle: "true"},
		"minus":           {before: "SELECT ", part: "- ", middle: "a"},
		"plus minus":      {before: "SELECT ", part: "+-", middle: "a"},
		"tilde":           {before: "SELECT ", part: "~ ", middle: "a"},
		"case":            {before: "SELECT ", part: "CASE WHEN true THEN ", middle: "1", closing: " END"},
		"case else":       {before: "SELECT ", part: "CASE WHEN a THEN b ELSE ", middle: "1", closing: " END"},
		"brackets chains": {before: "SELECT ", part: "(1+1+1+1+1+1+", middle: "1", closing: "+1)"},
		"comments":        {part: "/*", closing: "*/", after: "SELECT 1"},
		"open comments":   {before: "SELECT 1 ", part: "/*"},
		"operator run":    {before: "SELECT 1 ", part: "@", after: " 1"},
		"operator run 2":  {before: "SELECT 1 ", part: "+", after: " 1"},
		"global temp":     {part: "CREATE GLOBAL TEMP TABLE a();"},
		"atomic":          {part: "CREATE FUNCTION f() BEGIN ATOMIC ", middle: "SELECT 1; ", closing: "END; "},
		"in select":       {before: "SELECT 1", part: " IN (SELECT 1)"},
		"any":             {before: "SELECT 1", part: " = ANY (a)"},
		"subscript":       {before: "SELECT a", part: "[1]", passes: true},
		"fields":          {before: "SELECT (a)", part: ".b", passes: true},
		"array type":      {before: "SELECT a::int", part: "[]", passes: true},
		"and":             {before: "SELECT 1 WHERE a = 1", part: " AND a = 1", passes: true},
		"or":              {before: "SELECT 1 WHERE a = 1", part: " OR a = 1", passes: true},
		"and or":          {before: "SELECT 1 WHERE a = 1", part: " OR a = 1 AND b BETWEEN 1 AND 2", passes: true},
		"in":              {before: "SELECT 1 WHERE a IN (1", part: ",1", after: ")", passes: true},
		"values":          {before: "INSERT INTO t VALUES (1, -1)", part: ",(1, -1)", passes: true},
		"targets":         {before: "SELECT 1+1", part: ", a+1", passes: true},
		"chains":          {before: "SELECT 1", part: ", " + strings.Repeat("1+", 1990) + "1", passes: true},
		"from":            {before: "SELECT 1 FROM a", part: ", a", passes: true},
		"when":            {before: "SELECT CASE", part: " WHEN a = 1 THEN 2", after: " END", passes: true},
		"statements":      {part: "SELECT 1;", passes: true},
		"semicolons":      {before: "SELECT 1", part: ";", passes: true},
		"long names":      {before: "SELECT a", part: ", " + strings.Repeat("n", 70), passes: true},
		"string":          {before: "SELECT '", part: "x''", after: "'", passes: true},
		"strings":         {before: "SELECT 'a'", part: "\n'b'", passes: true},
		"escape string":   {before: "SELECT E'", part: `\x41`, after: "'", passes: true},
		"dollars":         {before: "SELECT $a$", part: "$b$", after: "$a$", passes: true},
		"comment line":    {part: "--\n", after: "SELECT 1", passes: true},
		"digits":          {before: "SELECT ", part: "1", passes: true},
		"parameters":      {before: "SELECT $1", part: ", $1", passes: true},
		"with list":       {before: "WITH a AS (SELECT 1)", part: ", b AS (SELECT 1)", after: " SELECT 1", passes: true},
		"grouping sets":   {before: "SELECT 1 GROUP BY GROUPING SETS (a", part: ", (a, b)", after: ")", passes: true},
		"partial indexes": {before: "CREATE TABLE a (a int", part: ", CHECK (a > 1)", after: ")", passes: true},
	}
}

const (
	megabyte    = 1 << 20
	killerEntry = "BULKHEAD_KILLER"
	// killerTime is far more than any text needs on a slow machine under
	// the race detector.
	killerTime = 60 * time.Second
)

// largest returns the longest of an input's forms that the guard passes.
func (r repeated) largest() string {
	low, high := 0, megabyte/len(r.part+r.closing)
	for low < high {
		middle := (low + high + 1) / 2
		if Guard(r.text(middle), Options{}) == nil {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return r.text(low)
}

// TestKillers: at a megabyte the guard refuses what kills; the longest form
// that it passes neither kills nor stalls. Each runs in a process of its own,
// which a stack overflow would end.
func TestKillers(t *testing.T) {
	if name := os.Getenv(killerEntry); name != "" {
		text := killers()[name].largest()
		_, err := Parse(text, testOptions)
		Redact(text)
		Fingerprint(text)
		t.Logf("%s: %d bytes, %v", name, len(text), err)
		return
	}
	for name, r := range killers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Guard(r.text(megabyte/len(r.part+r.closing)-100), Options{})
			if passed := err == nil; passed != r.passes {
				t.Errorf("a megabyte: got %v, want passed %v", err, r.passes)
			}
			if testing.Short() {
				t.Skip("a process for each input")
			}
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillers$", "-test.v")
			c.Env = append(os.Environ(), killerEntry+"="+name)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("the process ended: %v\n%.2000s", err, out)
			}
			// Time of the processor: that on the wall depends on the machine's other work.
			if took := c.ProcessState.UserTime() + c.ProcessState.SystemTime(); took > killerTime {
				t.Errorf("took %v", took)
			} else {
				t.Logf("%v %.300s", took, out)
			}
		})
	}
}

// TestGuardPasses: what applications write is far from the bounds.
func TestGuardPasses(t *testing.T) {
	for _, text := range []string{
		"", ";", "-- a", "/* a /* b */ c */ SELECT 1", "SELECT 1e5, 1.5, .5, 1., 1e-5, 1.5E+10", "SELECT 'a' AS case, 'b' AS end",
		"SELECT a FROM t WHERE a IN (" + strings.Repeat("1,", 100_000) + "1)",
		"SELECT a FROM t WHERE " + strings.Repeat("a BETWEEN 1 AND 2 OR ", 10_000) + "true",
		"INSERT INTO t VALUES (1)" + strings.Repeat(", (-1, 'a' || 'b', 1+1)", 20_000),
		"SELECT $$;$$, $a$ '$a$, E'\\'', U&'\\0041', U&\"a\", \"a\"\"b\", B'1', X'1F', N'a'",
		"SELECT '" + strings.Repeat("(", 100_000) + "'",
		"SELECT a$1, é, a.é FROM été",
	} {
		if err := Guard(text, Options{}); err != nil {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

// TestGuardRefuses: each with the kind and state of its error.
func TestGuardRefuses(t *testing.T) {
	for text, want := range map[string]Error{
		"SELECT 1\x00":                  {Kind: ErrorNotText, SQLState: "22021"},
		"SELECT '\xff'":                 {Kind: ErrorNotText, SQLState: "22021"},
		strings.Repeat(" ", megabyte+1): {Kind: ErrorTooLarge, SQLState: "54000"},
		"SELECT\v1":                     {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT B''\v\n''":              {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 1_000":                  {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 0x1F":                   {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 0b1":                    {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 0o7":                    {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 1a":                     {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 1.5e":                   {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 1.a":                    {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT .5x":                    {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT $1a":                    {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT 1$a$b$a$":               {Kind: ErrorUnsafe, SQLState: "42601"},
		"SELECT E'a' 'b'":               {Kind: ErrorSyntax, SQLState: "42601"},
		"SELECT 1 WHERE a " + strings.Repeat("+", 64) + " b":           {Kind: ErrorTooDeep, SQLState: "54001"},
		"SELECT" + strings.Repeat("/*", 17) + strings.Repeat("*/", 17): {Kind: ErrorTooDeep, SQLState: "54001"},
	} {
		var got *Error
		if err := Guard(text, Options{}); !errors.As(err, &got) || got.Kind != want.Kind || got.SQLState != want.SQLState {
			t.Errorf("%.80q: got %+v, want kind %d state %s", text, err, want.Kind, want.SQLState)
		}
	}
}

// TestErrorReason: the reason may be logged, so it quotes nothing.
func TestErrorReason(t *testing.T) {
	for _, text := range []string{
		"SELEC 'geheim'", "SELECT geheim geheim geheim", "SELECT 'geheim", "SELECT \"geheim", "SELECT 'a' geheim 'geheim'",
		"CREATE TABLE t (a int CHECK (a) geheim)", "SET x TO geheim geheim", "SELECT E'\\ugeheim'", "SELECT * FROM t ORDER BY 1 USING geheim",
	} {
		var e *Error
		if _, err := Parse(text, Options{}); !errors.As(err, &e) {
			t.Errorf("%s: got %v, want a syntax error", text, err)
			continue
		}
		if strings.Contains(e.Reason, "geheim") || strings.Contains(e.Error(), "geheim") {
			t.Errorf("%s: reason %q quotes the text", text, e.Reason)
		}
		if e.Message == "" || e.SQLState != stateSyntaxError {
			t.Errorf("%s: got message %q, state %s", text, e.Message, e.SQLState)
		}
	}
}
