package harden

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed fingerprint.sql
var databaseState string

//go:embed roles.sql
var rolesState string

// State is what a fingerprint is made of: one line for each property, sorted
// by its bytes.
type State []string

// Fingerprint is the SHA-256 of the lines, as the guard in a migration file
// computes it.
func (s State) Fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join(s, "\n")))
	return hex.EncodeToString(sum[:])
}

// Difference returns what is in one state and not in the other, in the form
// of a diff: lines that begin with - or +.
func Difference(before, after State) []string {
	var out []string
	for i, j := 0, 0; i < len(before) || j < len(after); {
		switch {
		case j == len(after) || i < len(before) && before[i] < after[j]:
			out = append(out, "-"+before[i])
			i++
		case i == len(before) || after[j] < before[i]:
			out = append(out, "+"+after[j])
			j++
		default:
			i, j = i+1, j+1
		}
	}
	return out
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// statePath makes names mean the catalogue's, and those that are printed
// qualified. It is set inside a transaction.
const statePath = "set local search_path = pg_catalog, pg_temp"

// DatabaseState reads what decides who reaches what in the database: owners,
// access lists, row security, policies, definitions. It must run in a
// transaction whose search_path holds pg_catalog alone.
func DatabaseState(ctx context.Context, q querier) (State, error) {
	return readState(ctx, q, databaseState, "the database")
}

// RolesState reads the role graph around the given roles. It must run in a
// transaction whose search_path holds pg_catalog alone.
func RolesState(ctx context.Context, q querier, roles []string) (State, error) {
	return readState(ctx, q, rolesStateOf(roles), "the roles")
}

func rolesStateOf(roles []string) string {
	list := make([]string, 0, len(roles))
	for _, r := range roles {
		list = append(list, quoteLiteral(r))
	}
	return strings.ReplaceAll(rolesState, ":roles", "array["+strings.Join(list, ", ")+"]::pg_catalog.name[]")
}

func readState(ctx context.Context, q querier, sql, what string) (State, error) {
	rows, err := q.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read the fingerprint of %s: %w", what, err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the fingerprint of %s: %w", what, err)
	}
	slices.Sort(lines)
	return lines, nil
}

// guard is a DO block that fails unless the state that the query reads has the
// fingerprint. Comments of the query would only swell the file.
func guard(query, fingerprint, what string) string {
	var kept []string
	for line := range strings.Lines(query) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, "    "+strings.TrimRight(line, "\n"))
		}
	}
	return `do $bulkhead$
begin
  if (select encode(sha256(convert_to(coalesce(string_agg(s.l, e'\n' order by s.l collate "C"), ''), 'UTF8')), 'hex') from (
` + strings.Join(kept, "\n") + `
  ) s) <> '` + fingerprint + `' then
    raise exception using errcode = '55000',
      message = 'bulkhead: ` + what + ` changed since this migration was planned',
      hint = 'Nothing was done. Plan again.';
  end if;
end
$bulkhead$`
}

// quoteLiteral writes a string constant that every setting reads alike.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
