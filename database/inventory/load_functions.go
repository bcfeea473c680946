package inventory

import "context"

// coreFunctionNames are functions of pg_catalog whose privileges matter: they
// run text as SQL, show other sessions, or reach files, large objects and
// other sessions. Other functions of the server are left out.
var coreFunctionNames = []string{
	"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "cursor_to_xml", "cursor_to_xmlschema",
	"table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema",
	"schema_to_xml", "schema_to_xmlschema", "schema_to_xml_and_xmlschema",
	"database_to_xml", "database_to_xmlschema", "database_to_xml_and_xmlschema",
	"ts_stat", "ts_rewrite", "pg_stat_get_activity", "pg_cancel_backend", "pg_terminate_backend",
	"lo_import", "lo_export", "lo_create", "lo_creat", "lo_open", "lo_get", "lo_put", "lo_from_bytea", "lo_unlink",
	"pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file", "set_config",
}

// functionColumns are scanned by scanFunctions. Definitions of what belongs to
// an extension are not read: there can be thousands.
const functionColumns = `
SELECT p.oid, n.nspname::text, p.proname::text, pg_get_function_identity_arguments(p.oid), pg_get_userbyid(p.proowner)::text,
	p.prokind::text, g.lanname::text, p.prosrc, COALESCE(format_type(p.prorettype, NULL), ''), p.provolatile::text, p.proparallel::text,
	p.prosecdef, p.proleakproof, p.proisstrict, p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype),
	COALESCE(p.proconfig, '{}'), p.proacl IS NULL, `

func (l *loader) functionsOf(ctx context.Context) error {
	const bodySince = 14
	body := "''"
	if l.s.Server.Major() >= bodySince {
		body = "COALESCE(pg_get_function_sqlbody(p.oid), '')"
	}
	extension := extensionOf("pg_proc", "p.oid")
	query := functionColumns + extension + `, CASE WHEN p.prokind IN ('f', 'p') AND ` + extension + ` = '' THEN pg_get_functiondef(p.oid) ELSE '' END, ` + body + `
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language g ON g.oid = p.prolang WHERE ` + userSchemas + `
ORDER BY n.nspname::text COLLATE "C", p.proname::text COLLATE "C", 4`
	if err := l.scanFunctions(ctx, &l.s.Functions, query); err != nil {
		return err
	}
	return l.languages(ctx)
}

func (l *loader) coreFunctions(ctx context.Context) error {
	query := functionColumns + `'', '', '' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language g ON g.oid = p.prolang
WHERE n.nspname = 'pg_catalog' AND p.proname = ANY ($1::text[]) ORDER BY p.proname::text COLLATE "C", 4`
	return l.scanFunctions(ctx, &l.s.CoreFunctions, query, coreFunctionNames)
}

func (l *loader) scanFunctions(ctx context.Context, into *[]*Function, query string, args ...any) error {
	var f Function
	var kind, volatility, parallel, body string
	dest := []any{
		&f.oid, &f.Schema, &f.Name, &f.Arguments, &f.Owner, &kind, &f.Language, &f.Source, &f.Result, &volatility, &parallel,
		&f.SecurityDefiner, &f.Leakproof, &f.Strict, &f.Trigger, &f.Settings, &f.DefaultGrants, &f.Extension, &f.Definition, &body,
	}
	err := l.each(ctx, "functions", query, args, dest, func() error {
		function := f
		function.Kind, function.Volatility, function.Parallel = kind[0], volatility[0], parallel[0]
		if body != "" {
			function.Source = body
		}
		*into = append(*into, &function)
		l.functions[function.oid] = &function
		f.Settings = nil // the next row must not share it
		return nil
	})
	if err != nil {
		return err
	}
	var oids []uint32
	for _, f := range *into {
		oids = append(oids, f.oid)
	}
	const grants = `SELECT p.oid, ` + exploded + ` FROM pg_proc p CROSS JOIN aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) x
WHERE p.oid = ANY ($1::oid[]) ORDER BY 1, 2, 3, 5, 4`
	var oid uint32
	var g Grant
	return l.each(ctx, "privileges on functions", grants, []any{oids}, append([]any{&oid}, scanGrant(&g)...), func() error {
		if f := l.functions[oid]; f != nil {
			f.Grants = append(f.Grants, g)
		}
		return nil
	})
}

func (l *loader) languages(ctx context.Context) error {
	const query = `
SELECT l.lanname::text, pg_get_userbyid(l.lanowner)::text, l.lanpltrusted, ` + exploded + `
FROM pg_language l CROSS JOIN aclexplode(COALESCE(l.lanacl, acldefault('l', l.lanowner))) x
WHERE l.lanispl ORDER BY l.lanname::text COLLATE "C", 4, 5, 7, 6`
	var lang Language
	var g Grant
	return l.each(ctx, "languages", query, nil, append([]any{&lang.Name, &lang.Owner, &lang.Trusted}, scanGrant(&g)...), func() error {
		list := l.s.Languages
		if n := len(list); n > 0 && list[n-1].Name == lang.Name {
			list[n-1].Grants = append(list[n-1].Grants, g)
			return nil
		}
		language := lang
		language.Grants = []Grant{g}
		l.s.Languages = append(list, language)
		return nil
	})
}
