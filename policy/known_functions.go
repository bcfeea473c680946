package policy

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// judgeFunction fills in what rules say to a call of f by a client.
func (k *known) judgeFunction(f *knownFunction, o *compiledOptions) {
	name := "function " + f.Schema + "." + f.Name
	switch {
	case f.Trigger:
		return // the server refuses a call
	case f.Schema == contextSchema:
		judgeContextFunction(f)
		return
	case f.SecurityDefiner:
		f.rule, f.reason = "G408", name+" runs with its owner's rights"
		return
	}
	for _, setting := range f.Settings {
		if o.isTenantSetting(setting) || setting == "role" || setting == "session_authorization" || setting == "row_security" {
			f.rule, f.reason = "G409", name+" changes setting "+setting
			return
		}
	}
	if f.Extension != "" {
		if reason := judgeExtension(f.CatalogFunction); reason != "" {
			f.rule, f.reason = "G410", name+" of extension "+f.Extension+": "+reason
			return
		}
		if f.Language == "c" || f.Language == "internal" {
			return
		}
	}
	if reason := k.judgeBody(f, o); reason != "" {
		f.rule, f.reason = "G409", name+" "+reason
	}
}

// judgeBody returns why a body is not safe, "" if it is.
func (k *known) judgeBody(f *knownFunction, o *compiledOptions) string {
	switch b := f.Body; {
	case b == nil:
		return "" // an aggregate: its transition function is trusted
	case b.Unreadable != "":
		return "cannot be read: " + b.Unreadable
	case b.Batch != nil:
		if v := k.judgeBatch(b.Batch, o, functionBody); v.rule != "" {
			return "would be refused: " + v.reason + " (" + v.rule + ")"
		}
		return ""
	default:
		return k.judgeWords(b, o)
	}
}

// judgeDefinition judges what a view's query calls; what it reads is judged by
// exposure.
func (k *known) judgeDefinition(r *knownRelation, o *compiledOptions) verdict {
	d := r.Definition
	if d == nil {
		return verdict{}
	}
	name := r.Schema + "." + r.Name
	if d.Batch == nil {
		return verdict{"G502", "the query of view " + name + " cannot be read"}
	}
	if v := k.judgeBatch(d.Batch, o, viewBody); v.rule != "" {
		return verdict{"G502", "view " + name + ": " + v.reason + " (" + v.rule + ")"}
	}
	return verdict{}
}

// judgeBatch runs the rules over code that whoever owns the schema wrote, and
// returns the first violation.
func (k *known) judgeBatch(b *parser.Batch, o *compiledOptions, place place) verdict {
	rules := o.rules
	for i := range b.Statements {
		s := &subject{batch: b, statement: &b.Statements[i], options: o, known: k, place: place}
		for j := range rules {
			if rules[j].check == nil || o.modes[rules[j].ID] == RuleOff {
				continue
			}
			if found := rules[j].check(s); len(found) > 0 {
				return verdict{rules[j].ID, found[0].Reason}
			}
		}
	}
	return verdict{}
}

// judgeWords judges PL/pgSQL by its identifiers and keywords.
func (k *known) judgeWords(b *CatalogBody, o *compiledOptions) string {
	s := &subject{options: o, known: k, place: functionBody}
	for _, call := range b.Calls {
		n := splitName(call)
		_, builtin := s.judgeBuiltin(n.Name)
		if isKeywordBeforeParenthesis(n.Name) || n.Schema == "" && len(k.functions[n.Name]) == 0 && !builtin {
			continue // a keyword, a column list, a type with a length
		}
		if v := s.judgeCall(&parser.Function{Name: n}); v.rule != "" && v.rule != "G411" {
			return "calls what would be refused: " + v.reason + " (" + v.rule + ")"
		}
		if n.Name == "set_config" {
			return "calls set_config"
		}
	}
	for i, word := range b.Words {
		if reason := k.judgeWord(b.Words[:i], word, o); reason != "" {
			return reason
		}
	}
	return ""
}

// judgeWord judges one word of PL/pgSQL, with those before it.
func (k *known) judgeWord(before []string, word string, o *compiledOptions) string {
	switch {
	case word == "execute":
		return "runs SQL text (EXECUTE)"
	case word == "truncate":
		return "runs TRUNCATE"
	case o.isTenantSetting(word) && follows(before, "set", "local", "session"):
		return "changes setting " + word
	case (word == "role" || word == "authorization" || word == "row_security") && follows(before, "set", "local", "session"):
		return "changes the role or row security"
	}
	for _, r := range k.findRelations(splitName(word)) {
		if r.rule != "" && r.Reachable && !o.allowRelations.has(r.Schema, r.Name) {
			return "names what would be refused: " + r.reason + " (" + r.rule + ")"
		}
	}
	return ""
}

// follows reports whether the last word is first, or first and then one of
// the others: SET LOCAL x.
func follows(before []string, first string, others ...string) bool {
	n := len(before)
	if n > 0 && slices.Contains(others, before[n-1]) {
		n--
	}
	return n > 0 && before[n-1] == first
}

func splitName(word string) parser.Name {
	parts := strings.Split(word, ".")
	n := parser.Name{Name: parts[len(parts)-1]}
	if len(parts) > 1 {
		n.Schema = parts[len(parts)-2]
	}
	return n
}

// isKeywordBeforeParenthesis lists keywords that stand before a parenthesis
// and are names of functions of the server too, or look like a call.
func isKeywordBeforeParenthesis(word string) bool {
	switch word {
	case "if", "in", "and", "or", "not", "exists", "values", "any", "all", "some", "array", "when", "then", "else", "using",
		"on", "over", "filter", "within", "group", "by", "select", "return", "returns", "returning", "where", "as", "from",
		"join", "lateral", "case", "cast", "coalesce", "nullif", "greatest", "least", "row", "rows", "elsif", "while", "loop":
		return true
	}
	return false
}

// judgeExtension returns why a function of an extension is refused, "" if it
// may be judged like any other, or, in C, passes.
func judgeExtension(f *CatalogFunction) string {
	if reason, ok := dangerousExtension(f.Extension); ok {
		return reason
	}
	for _, prefix := range dangerousOfHarmless(f.Extension) {
		if strings.HasPrefix(f.Name, prefix) {
			return "it runs SQL text or reads statistics of tables by name"
		}
	}
	if f.Language == "c" && !harmlessExtension(f.Extension) {
		return "it is not known to be harmless"
	}
	return ""
}

// dangerousExtension names extensions that reach beyond the tenant.
func dangerousExtension(extension string) (reason string, ok bool) {
	switch extension {
	case "dblink", "postgres_fdw", "mysql_fdw", "oracle_fdw", "tds_fdw", "http", "pg_net", "pgsql_http", "aws_s3", "aws_lambda",
		"aws_commons", "azure_storage", "pg_azure_storage", "plproxy", "pg_amqp", "wrappers":
		return "it reaches other machines", true
	case "adminpack", "file_fdw", "parquet_s3_fdw", "orafce":
		return "it reaches files of the server", true
	case "lo":
		return "it handles large objects", true
	case "xml2", "pg_cron", "pg_background", "pgagent", "pg_jobmon", "pg_partman", "hypopg", "pg_hint_plan", "pg_repack", "pg_squeeze":
		return "it runs SQL text or acts later in another session", true
	case "pageinspect", "pgrowlocks", "pg_buffercache", "pg_stat_statements", "pg_stat_monitor", "pg_stat_kcache", "pg_visibility",
		"pg_freespacemap", "pgstattuple", "amcheck", "pg_walinspect", "pg_surgery", "old_snapshot", "pg_prewarm", "pg_logicalinspect",
		"pg_wait_sampling", "pg_track_settings", "pgaudit", "test_decoding", "wal2json", "pglogical":
		return "it shows or changes data of all tenants", true
	}
	if strings.HasPrefix(extension, "plpython") || strings.HasSuffix(extension, "u") && strings.HasPrefix(extension, "pl") {
		return "its language is not trusted", true
	}
	return "", false
}

// harmlessExtension names extensions whose C functions only compute.
func harmlessExtension(extension string) bool {
	switch extension {
	case "pgcrypto", "uuid-ossp", "citext", "hstore", "pg_trgm", "ltree", "intarray", "btree_gin", "btree_gist", "unaccent",
		"fuzzystrmatch", "cube", "earthdistance", "isn", "seg", "bloom", "vector", "tablefunc", "postgis",
		"pg_uuidv7", "pg_bigm", "ip4r", "semver", "prefix", "unit", "h3", "hll", "topn", "tdigest", "dict_int", "dict_xsyn",
		"tsm_system_rows", "tsm_system_time", "intagg", "rum", "plpgsql", "plperl", "pltcl", "plv8", "address_standardizer",
		"pg_hashids", "pg_similarity", "pgjwt", "sslinfo", "jsquery", "numeral":
		return true
	}
	return false
}

// dangerousOfHarmless names, by prefix, the functions of otherwise harmless
// extensions that are refused.
func dangerousOfHarmless(extension string) []string {
	switch extension {
	case "tablefunc":
		return []string{"crosstab", "connectby"}
	case "postgis":
		return []string{"st_estimatedextent", "_postgis_", "postgis_index_"}
	}
	return nil
}
