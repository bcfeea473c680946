package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// checkID matches the ids of checks; which there are is known to package
// audit.
var checkID = regexp.MustCompile(`^A[1-9][0-9][0-9]$`)

func (v *validator) audit() {
	a := v.c.Audit
	v.noEmpty("audit.app_roles", a.AppRoles)
	v.noEmpty("audit.global_tables", a.GlobalTables)
	v.allowances("audit.allow", a.Allow)
}

func (v *validator) allowances(list string, allowances []Allowance) {
	for i, allow := range allowances {
		key := list + "." + itoa(i)
		if !checkID.MatchString(allow.Check) {
			v.problem(key+".check", fmt.Sprintf("%q is not the id of a check", allow.Check), "write one such as A111; docs/checks.md lists them")
		}
		if allow.Object == "" {
			v.problem(key+".object", "is missing", `write the object as the finding does, or "*" for all`)
		}
		if strings.TrimSpace(allow.Reason) == "" {
			v.problem(key+".reason", "is missing", "write why the finding is accepted: a reviewer will ask")
		}
		if _, err := allow.Until(); err != nil {
			v.problem(key+".expires", fmt.Sprintf("%q is not a day", allow.Expires), "write the last day, such as 2026-12-31")
		}
	}
}

// LoadAllowances reads a file with a list such as audit.allow holds, as
// strictly as [Load] reads a configuration.
func LoadAllowances(path string) ([]Allowance, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read allowances: %w", err)
	}
	c := &Config{origins: origins{"": {file: filepath.Base(path)}}}
	d := &decoder{file: filepath.Base(path), origins: c.origins}
	root, err := d.document(data)
	if err != nil || root == nil {
		return nil, err
	}
	var list []Allowance
	const key = "allow"
	d.value(root, reflect.ValueOf(&list).Elem(), key)
	v := &validator{c: c, broken: d.broken}
	v.allowances(key, list)
	if problems := append(d.problems, v.problems...); len(problems) > 0 {
		sortProblems(problems)
		return nil, &Error{Problems: problems}
	}
	return list, nil
}

// Until is the last day on which the allowance applies; the zero time is
// never.
func (a Allowance) Until() (time.Time, error) {
	if a.Expires == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, string(a.Expires))
}
