package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/condition"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
)

// functionSetsContext reports functions that set custom settings.
func functionSetsContext(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		runs, set := f.runs(fn), settingOf(fn)
		if runs == "" || set == "" || f.calls(fn) == nil && !f.readByPolicies(set) {
			continue
		}
		finding := Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s sets %s, and the application %s.", fn.Object(), set, runs)}
		found = append(found, f.withRevoke(finding, fn))
	}
	return found
}

// readByPolicies reports whether policies read a setting: what triggers set
// for themselves is their own business otherwise.
func (f *Facts) readByPolicies(setting string) bool {
	return slices.ContainsFunc(f.review().policies, func(p reviewedPolicy) bool {
		return slices.ContainsFunc(p.reading.Settings, func(s condition.SettingRead) bool { return strings.EqualFold(s.Name, setting) })
	})
}

// setStatement is SET of a custom setting in text that is run as SQL.
var setStatement = regexp.MustCompile(`(?i)\bset\s+(?:local\s+|session\s+)?("?[a-z_][a-z0-9_$]*"?\."?[a-z_][a-z0-9_$]*"?)\s*(?:=|to\b)`)

// settingOf is the custom setting that a function sets, in its definition or
// in its code, "" for none.
func settingOf(fn *inventory.Function) string {
	for _, s := range fn.Settings {
		if name, _, _ := strings.Cut(s, "="); isCustom(name) {
			return name
		}
	}
	tokens, ok := parser.Code(fn.Source)
	if !ok {
		return ""
	}
	for i, t := range tokens {
		rest := tokens[i+1:]
		switch {
		case t.Kind == parser.CodeString && setStatement.MatchString(t.Text):
			return setStatement.FindStringSubmatch(t.Text)[1]
		case t.Kind == parser.CodeString && strings.Contains(strings.ToLower(t.Text), "set_config("):
			return "a setting"
		case t.Kind != parser.CodeWord:
		case t.Text == "set_config" && len(rest) > 1 && rest[0].Text == "(":
			if name := constantAt(rest[1:]); name == "" || isCustom(name) || isIdentity(name) {
				return orText(name, "a setting that its caller names")
			}
		case !t.Quoted && t.Text == "set" && fn.Language == "plpgsql":
			if name := setTarget(rest); isCustom(name) || isIdentity(name) {
				return name
			}
		}
	}
	return ""
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// isCustom reports whether a setting is one of those that anybody can invent:
// with a dot.
func isCustom(name string) bool { return strings.Contains(name, ".") }

// isIdentity reports whether a setting decides who the session is for row
// security.
func isIdentity(name string) bool {
	switch strings.ToLower(name) {
	case "role", "session_authorization", "row_security":
		return true
	}
	return false
}

// constantAt is the literal that tokens begin with, if it is a whole argument.
func constantAt(tokens []parser.CodeToken) string {
	if len(tokens) < 2 || tokens[0].Kind != parser.CodeString || tokens[1].Text != "," && !strings.HasPrefix(tokens[1].Text, ":") {
		return ""
	}
	return tokens[0].Text
}

// setTarget is what SET [LOCAL | SESSION] name = sets, "" where SET is no
// statement of its own, as in UPDATE t SET a.
func setTarget(tokens []parser.CodeToken) string {
	if len(tokens) > 0 && (tokens[0].Text == "local" || tokens[0].Text == "session") {
		tokens = tokens[1:]
	}
	var name strings.Builder
	for _, t := range tokens {
		switch {
		case t.Kind == parser.CodeWord && t.Text == "to", t.Text == "=":
			return name.String()
		case t.Kind == parser.CodeWord || t.Text == ".":
			name.WriteString(t.Text)
		default:
			return ""
		}
	}
	return ""
}

// dynamicSQL reports functions that make SQL of what they are given.
func dynamicSQL(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		way := f.calls(fn)
		if way == nil || !takesText(fn) || !runsArgument(fn) {
			continue
		}
		finding := Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s runs SQL that it makes of its arguments, and the application can call it (%s).", fn.Object(), way)}
		found = append(found, f.withRevoke(finding, fn))
	}
	return found
}

// values are the types of arguments that cannot carry SQL.
var values = map[string]bool{
	"bool": true, "int2": true, "int4": true, "int8": true, "numeric": true, "float4": true, "float8": true, "oid": true, "uuid": true,
	"date": true, "time": true, "timetz": true, "timestamp": true, "timestamptz": true, "interval": true, "inet": true, "cidr": true,
}

// takesText reports whether a function takes anything that could carry SQL.
func takesText(fn *inventory.Function) bool {
	arguments, err := parser.Arguments(fn.Arguments)
	return err != nil || slices.ContainsFunc(arguments, func(a parser.Argument) bool { return !values[a.Type.Name] })
}

// runsArgument reports whether the code of a function runs text that is not
// fixed: in PL/pgSQL by EXECUTE, in SQL too by the server's functions that
// run text.
func runsArgument(fn *inventory.Function) bool {
	tokens, ok := parser.Code(fn.Source)
	if !ok || fn.Language != "plpgsql" && fn.Language != "sql" {
		return false
	}
	for i, t := range tokens {
		if t.Kind != parser.CodeWord || t.Quoted || i+1 >= len(tokens) {
			continue
		}
		rest := tokens[i+1:]
		switch {
		case t.Text == "execute" && fn.Language == "plpgsql" && !slices.Contains([]string{"function", "procedure", "on"}, rest[0].Text):
			if !isFixed(statementText(rest)) {
				return true
			}
		case (runsSQL(t.Text) || runnerNames[t.Text]) && rest[0].Text == "(":
			if !isFixed(argumentText(rest[1:])) {
				return true
			}
		}
	}
	return false
}

// runnerNames are functions of extensions that run text as SQL.
var runnerNames = map[string]bool{"dblink": true, "dblink_exec": true, "dblink_open": true, "crosstab": true, "xpath_table": true, "connectby": true}

// statementText are the tokens behind EXECUTE that make the statement.
func statementText(tokens []parser.CodeToken) []parser.CodeToken {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.Text == "(" && t.Kind == parser.CodeOther:
			depth++
		case t.Text == ")" && t.Kind == parser.CodeOther:
			depth--
		case t.Text == ";" && t.Kind == parser.CodeOther:
			return tokens[:i]
		case depth == 0 && t.Kind == parser.CodeWord && !t.Quoted && (t.Text == "using" || t.Text == "into" || t.Text == "loop"):
			return tokens[:i]
		}
	}
	return tokens
}

// argumentText are the tokens of the first argument of a call.
func argumentText(tokens []parser.CodeToken) []parser.CodeToken {
	depth := 0
	for i, t := range tokens {
		if t.Kind != parser.CodeOther {
			continue
		}
		switch t.Text {
		case "(":
			depth++
		case ")":
			if depth--; depth < 0 {
				return tokens[:i]
			}
		case ",":
			if depth == 0 {
				return tokens[:i]
			}
		}
	}
	return tokens
}

// isFixed reports whether an expression makes text in which only values
// differ: literals, quote_literal, and format with %L alone. Names chosen by
// an argument are not fixed: what they reach is not seen by a parser either.
func isFixed(tokens []parser.CodeToken) bool {
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.Kind == parser.CodeString:
		case t.Kind == parser.CodeWord && i+2 < len(tokens) && tokens[i+1].Text == "(":
			end := i + 2 + len(callText(tokens[i+2:]))
			if !isFixedCall(t.Text, tokens[i+2:min(end, len(tokens))]) {
				return false
			}
			i = end
		case t.Kind == parser.CodeWord, strings.HasPrefix(t.Text, "$"):
			return false
		}
	}
	return true
}

// callText are the tokens of all arguments of a call.
func callText(tokens []parser.CodeToken) []parser.CodeToken {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.Kind != parser.CodeOther:
		case t.Text == "(":
			depth++
		case t.Text == ")":
			if depth--; depth < 0 {
				return tokens[:i]
			}
		}
	}
	return tokens
}

func isFixedCall(name string, arguments []parser.CodeToken) bool {
	switch name {
	case "quote_literal", "quote_nullable":
		return true
	case "format":
		return len(arguments) > 0 && arguments[0].Kind == parser.CodeString && onlyValues(arguments[0].Text)
	case "concat", "text", "lower", "upper":
		return isFixed(arguments)
	}
	return false
}

// onlyValues reports whether a format string takes nothing but values.
func onlyValues(format string) bool {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		i++
		for i < len(format) && (format[i] == '$' || format[i] == '-' || '0' <= format[i] && format[i] <= '9') {
			i++
		}
		if i >= len(format) || format[i] != 'L' && format[i] != '%' {
			return false
		}
	}
	return true
}
