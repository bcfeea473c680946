package parser

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// Expression parses an expression as pg_get_expr writes one. It has the
// bounds of [Guard]. The error is an [*Error].
func Expression(text string) (ast.Expr, error) {
	query, err := Query("SELECT " + text)
	if err != nil {
		return nil, err
	}
	if len(query.Targets) != 1 || query.Targets[0].Name != "" || !query.OnlyTargets() {
		return nil, newError(ErrorSyntax, "the text is not one expression", stateSyntaxError)
	}
	return query.Targets[0].Value, nil
}

// Query parses the text of exactly one query: a view's, or the body of a
// function. It has the bounds of [Guard]. The error is an [*Error].
func Query(text string) (*ast.Select, error) {
	if err := Guard(text, Options{}); err != nil {
		return nil, err
	}
	query, err := inC(func() (*ast.Select, error) { return withTree(text, readQuery) })
	if err != nil {
		if known, ok := err.(*Error); ok { //nolint:errorlint // our own, never wrapped
			return nil, known
		}
		return nil, syntaxError(text, err)
	}
	return query, nil
}

// readQuery reads the tree of a text that is one SELECT.
func readQuery(tree []byte) (*ast.Select, error) {
	statements := node{loadSchema()["ParseResult"], tree}.list("stmts")
	if len(statements) != 1 {
		return nil, newError(ErrorSyntax, "the text is not one statement", stateSyntaxError)
	}
	statement := statements[0].child("stmt")
	if !statement.is("SelectStmt") {
		return nil, newError(ErrorSyntax, "the statement is not a query", stateSyntaxError)
	}
	return readSelect(statement), nil
}

// ReadSQL turns a function's body into a query: one in standard SQL, as
// pg_get_function_sqlbody writes it (RETURN e, BEGIN ATOMIC ... END), or one
// that is a string. It fails where the body is more than one query.
func ReadSQL(body string) (*ast.Select, error) {
	s := strings.TrimSpace(body)
	upper := strings.ToUpper(s)
	switch {
	case strings.HasPrefix(upper, "BEGIN ATOMIC") && strings.HasSuffix(upper, "END"):
		s = s[len("BEGIN ATOMIC") : len(s)-len("END")]
	case strings.HasPrefix(upper, "RETURN ") || strings.HasPrefix(upper, "RETURN("):
		s = "SELECT " + s[len("RETURN"):]
	}
	return Query(s)
}
