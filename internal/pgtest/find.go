package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bin is a folder with PostgreSQL's programs.
type Bin struct {
	Dir     string
	Version int // major
}

// Oldest is the oldest major version that Bulkhead supports.
const Oldest = 13

// ErrNotFound is returned if there is no fit PostgreSQL.
var ErrNotFound = errors.New("no PostgreSQL server programs found (initdb, postgres): install PostgreSQL 13 or newer, " +
	"for example with scripts/install-postgresql, or name their folder in PG_BIN")

// Find returns the programs of the given major version; 0 means the newest
// that is found. It looks at PG_BIN (folders, separated by colons), PATH, and
// the places where packages put them.
func Find(version int) (Bin, error) {
	all := All()
	for _, b := range slices.Backward(all) {
		if version == 0 || b.Version == version {
			return b, nil
		}
	}
	if len(all) > 0 {
		return Bin{}, fmt.Errorf("PostgreSQL %d: %w", version, ErrNotFound)
	}
	return Bin{}, ErrNotFound
}

// All returns one Bin for each major version that is found, oldest first.
func All() []Bin {
	found := make(map[int]Bin)
	for _, dir := range candidates() {
		v, err := versionOf(dir)
		if err != nil || v < Oldest {
			continue
		}
		if _, ok := found[v]; !ok {
			found[v] = Bin{Dir: dir, Version: v}
		}
	}
	var out []Bin
	for _, b := range found {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Bin) int { return a.Version - b.Version })
	return out
}

func candidates() []string {
	dirs := filepath.SplitList(os.Getenv("PG_BIN"))
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	patterns := []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/usr/local/pgsql/bin",
	}
	if cache, err := CacheDir(); err == nil {
		patterns = append(patterns, filepath.Join(cache, "*", "bin"))
	}
	for _, p := range patterns {
		m, _ := filepath.Glob(p)
		dirs = append(dirs, m...)
	}
	return dirs
}

// CacheDir is where scripts/postgresql-get puts versions that the system's
// packages lack. PostgreSQL's own user must be able to read it.
func CacheDir() (string, error) {
	if dir := os.Getenv("BULKHEAD_PG_CACHE"); dir != "" {
		return dir, nil
	}
	if os.Getuid() == 0 {
		return "/var/cache/bulkhead/postgresql", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "bulkhead", "postgresql"), nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func versionOf(dir string) (int, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return 0, ErrNotFound
		}
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask for the version: %w", err)
	}
	m := versionPattern.FindStringSubmatch(strings.TrimSpace(string(out)))
	if m == nil {
		return 0, fmt.Errorf("cannot read version %q", out)
	}
	return strconv.Atoi(m[1])
}
