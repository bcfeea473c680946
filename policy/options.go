package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Options say what an [Engine] enforces. The zero value enforces every rule
// and knows no tenant and no relation.
type Options struct {
	Mode  Mode
	Rules map[string]RuleMode // by rule id; an unknown id is an error

	// What an operator lets pass although a rule refuses it. Functions and
	// relations may be qualified by their schema, an unqualified name means
	// any schema. Statements are command tags ("TRUNCATE") or fingerprints.
	AllowFunctions, AllowSettings, AllowStatements, AllowRelations []string

	TenantColumns  []string // columns that carry the org
	OrgType        string   // uuid, integer or text; "" means text
	TenantSettings []string // settings that carry the tenant context
	ContextRole    string   // the role that sessions run as, "" for the login role

	MaxStatementBytes int // of one text; 0 means the parser's default

	// Catalog is the snapshot to begin with. Without it and without Lookup
	// every relation and every function that is not PostgreSQL's own is
	// unknown, and so refused.
	Catalog *Catalog
	// Lookup takes a fresh snapshot. The Engine calls it when a statement
	// names something unknown: one at a time and not often (lookup.go).
	Lookup func(ctx context.Context) (*Catalog, error)
	// AssumeRelations lets unknown relations pass when there is neither a
	// Catalog nor a Lookup. It is for looking at SQL files without a
	// database, never for a proxy.
	AssumeRelations bool

	CacheEntries int // texts whose decision is kept; 0 means defaultCacheEntries
}

const defaultCacheEntries = 10_000

// compiledOptions are Options in the form that rules use.
type compiledOptions struct {
	mode            Mode
	modes           map[string]RuleMode
	allowFunctions  nameSet
	allowRelations  nameSet
	allowSettings   map[string]struct{}
	allowStatements map[string]struct{} // command tags in capitals, fingerprints as given
	form            orgForm
	tenantSettings  map[string]struct{}
	contextRole     string
	assumeRelations bool
	parse           parser.Options
	rules           []Rule
	actions         []Action // what a violation of each leads to
}

func compile(o Options) (*compiledOptions, error) {
	c := &compiledOptions{
		mode:            o.Mode,
		modes:           o.Rules,
		allowFunctions:  newNameSet(o.AllowFunctions),
		allowRelations:  newNameSet(o.AllowRelations),
		allowSettings:   lowerSet(o.AllowSettings),
		allowStatements: make(map[string]struct{}, len(o.AllowStatements)),
		tenantSettings:  lowerSet(o.TenantSettings),
		contextRole:     o.ContextRole,
		assumeRelations: o.AssumeRelations,
		rules:           Rules(),
	}
	for _, s := range o.AllowStatements {
		c.allowStatements[s] = struct{}{}
		c.allowStatements[strings.ToUpper(s)] = struct{}{}
	}
	c.parse.TenantColumns = o.TenantColumns
	c.parse.MaxBytes = o.MaxStatementBytes
	var err error
	c.form, err = parseOrgForm(o.OrgType)
	for i := range c.rules {
		c.actions = append(c.actions, c.action(c.rules[i].ID))
	}
	return c, errors.Join(err, checkRuleModes(o.Rules))
}

func parseOrgForm(s string) (orgForm, error) {
	switch s {
	case "uuid":
		return orgUUID, nil
	case "integer":
		return orgInteger, nil
	case "text", "":
		return orgText, nil
	}
	return orgText, fmt.Errorf("org type %q: want uuid, integer or text", s)
}

func checkRuleModes(modes map[string]RuleMode) error {
	var errs []error
	for id, mode := range modes {
		if ruleByID(id) == nil {
			errs = append(errs, fmt.Errorf("rule %q does not exist", id))
		}
		if mode > RuleOff {
			errs = append(errs, fmt.Errorf("rule %s: mode %d does not exist", id, mode))
		}
	}
	return errors.Join(errs...)
}

func lowerSet(names []string) map[string]struct{} {
	set := make(map[string]struct{}, len(names))
	for _, n := range names {
		set[strings.ToLower(n)] = struct{}{}
	}
	return set
}

// nameSet holds names as an operator writes them: schema.name or name.
type nameSet map[string]struct{}

func newNameSet(names []string) nameSet {
	set := make(nameSet, len(names))
	for _, n := range names {
		set[n] = struct{}{}
	}
	return set
}

// has reports whether the name, in that schema, was allowed.
func (s nameSet) has(schema, name string) bool {
	if len(s) == 0 {
		return false
	}
	if _, ok := s[name]; ok {
		return true
	}
	_, ok := s[schema+"."+name]
	return ok && schema != ""
}
