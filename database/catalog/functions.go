package catalog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/parser"
)

// sqlBody14 is the first version with function bodies in standard SQL.
const sqlBody14 = 140000

const functionsQuery = `
SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text, pg_catalog.pg_get_userbyid(p.proowner)::pg_catalog.text,
	g.lanname::pg_catalog.text, COALESCE(x.extname::pg_catalog.text, ''), p.provolatile::pg_catalog.text, p.prosecdef,
	p.prokind OPERATOR(pg_catalog.=) 'a', t.typname OPERATOR(pg_catalog.=) ANY (ARRAY['trigger', 'event_trigger']::pg_catalog.name[]),
	p.pronargs OPERATOR(pg_catalog.>) 0 AND p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1
		AND EXISTS (SELECT 1 FROM pg_catalog.pg_type y WHERE y.oid OPERATOR(pg_catalog.=) p.proargtypes[0]
			AND y.typtype OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'p', 'd']::pg_catalog."char"[])),
	p.pronargs OPERATOR(pg_catalog.>) 0 AND p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1,
	ARRAY(SELECT pg_catalog.split_part(s, '=', 1) FROM pg_catalog.unnest(p.proconfig) s),
	COALESCE(%s, p.prosrc, '')
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_language g ON g.oid OPERATOR(pg_catalog.=) p.prolang
JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.prorettype
LEFT JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
	AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'
	AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
WHERE ` + userSchemas + `
ORDER BY 1, 2, p.oid`

func (l *loader) functions(ctx context.Context) error {
	body := "NULL"
	if l.snapshot.ServerVersion >= sqlBody14 {
		body = "pg_catalog.pg_get_function_sqlbody(p.oid)"
	}
	rows, err := l.tx.Query(ctx, fmt.Sprintf(functionsQuery, body))
	if err != nil {
		return fmt.Errorf("read functions: %w", err)
	}
	l.snapshot.Functions, err = pgx.CollectRows(rows, scanFunction)
	if err != nil {
		return fmt.Errorf("read functions: %w", err)
	}
	return nil
}

func scanFunction(row pgx.CollectableRow) (Function, error) {
	var f Function
	var volatility, source string
	var aggregate bool
	err := row.Scan(&f.Schema, &f.Name, &f.Owner, &f.Language, &f.Extension, &volatility, &f.SecurityDefiner,
		&aggregate, &f.Trigger, &f.RowArgument, &f.OneArgument, &f.Settings, &source)
	if err != nil {
		return f, fmt.Errorf("scan function: %w", err)
	}
	f.Volatility = volatility[0]
	f.Aggregate = aggregate
	if !aggregate {
		f.Body = readBody(f.Language, source)
	}
	return f, nil
}

const typesQuery = `
SELECT n.nspname::pg_catalog.text, t.typname::pg_catalog.text
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
WHERE t.typcategory OPERATOR(pg_catalog.<>) 'A' AND ` + userSchemas + `
ORDER BY 1, 2`

func (l *loader) types(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, typesQuery)
	if err != nil {
		return fmt.Errorf("read types: %w", err)
	}
	l.snapshot.Types, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (parser.Name, error) {
		var n parser.Name
		err := row.Scan(&n.Schema, &n.Name)
		return n, err
	})
	if err != nil {
		return fmt.Errorf("read types: %w", err)
	}
	return nil
}
