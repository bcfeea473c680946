package parser

import "github.com/pgbulkhead/bulkhead/parser/ast"

// Argument is one argument of a function that a caller gives.
type Argument struct {
	Name     string // "" if it has none
	Type     ast.Name
	Variadic bool
}

// Arguments parses what pg_get_function_identity_arguments writes. Arguments
// that only return something are left out. The error is an [*Error].
func Arguments(text string) ([]Argument, error) {
	statement := "CREATE FUNCTION f(" + text + ") RETURNS void LANGUAGE sql AS ''"
	if err := Guard(statement, Options{}); err != nil {
		return nil, err
	}
	list, err := inC(func() ([]Argument, error) { return withTree(statement, readArguments) })
	if err != nil {
		return nil, syntaxError(statement, err)
	}
	return list, nil
}

func readArguments(tree []byte) ([]Argument, error) {
	var list []Argument
	for _, statement := range (node{loadSchema()["ParseResult"], tree}).list("stmts") {
		function := statement.child("stmt")
		if !function.is("CreateFunctionStmt") {
			return nil, newError(ErrorSyntax, "the text is not a list of arguments", stateSyntaxError)
		}
		for _, p := range function.list("parameters") {
			mode := p.enum("mode")
			if mode == "FUNC_PARAM_OUT" || mode == "FUNC_PARAM_TABLE" {
				continue
			}
			list = append(list, Argument{p.text("name"), astName(p.child("arg_type").list("names")), mode == "FUNC_PARAM_VARIADIC"})
		}
	}
	return list, nil
}
