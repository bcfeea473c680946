package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Load reads the configuration file at path, lays the variables of env (in
// the form of [os.Environ]) over it and checks the whole. With an empty path
// the configuration comes from env alone, and relative paths belong to the
// current folder. What is wrong with the content is an [*Error]; other errors
// are those of reading the file.
func Load(path string, env []string) (*Config, error) {
	if path == "" {
		return Parse("", nil, ".", env)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(filepath.Base(path), data, filepath.Dir(path), env)
}

// LoadSchema is [Load] for the commands that look at a database and serve no
// clients: server.dsn and auth.issuers may be missing.
func LoadSchema(path string, env []string) (*Config, error) {
	if path == "" {
		return parseFor("", nil, ".", env, true)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parseFor(filepath.Base(path), data, filepath.Dir(path), env, true)
}

// Parse is [Load] for a file that is already in memory: name stands for it in
// messages, and relative paths in it belong to the folder dir.
func Parse(name string, data []byte, dir string, env []string) (*Config, error) {
	return parseFor(name, data, dir, env, false)
}

func parseFor(name string, data []byte, dir string, env []string, schemaOnly bool) (*Config, error) {
	c := Default()
	c.origins = origins{"": {file: name}}
	d := &decoder{file: name, origins: c.origins}

	root, err := d.document(data)
	if err != nil {
		return nil, err
	}
	if root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), "")
	}
	d.environment(c, env)
	c.fillAlgorithms()

	v := &validator{c: c, broken: d.broken, schemaOnly: schemaOnly}
	v.all()
	if problems := append(d.problems, v.problems...); len(problems) > 0 {
		sortProblems(problems)
		return nil, &Error{Problems: problems}
	}
	if err := c.resolvePaths(dir); err != nil {
		return nil, err
	}
	return c, nil
}

// quoted matches pieces of the file in an error of the YAML package: they may
// be part of a secret.
var quoted = regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"")

// document returns the root node of the file, or nil if it says nothing. Text
// that is not YAML is the only problem that hides all others.
func (d *decoder) document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = dec.Decode(&second); errors.Is(err, io.EOF) {
			return doc.Content[0], nil
		}
		if err == nil {
			d.problem(&second, "", "a second YAML document", "keep one document in the file")
			return doc.Content[0], nil
		}
	}
	return nil, &Error{Problems: []Problem{{
		Where: origin{file: d.file}.String(),
		What:  "not valid YAML: " + quoted.ReplaceAllString(err.Error(), "'...'"),
		Todo:  "correct the syntax; the other problems show after that",
	}}}
}

// resolvePaths makes all file paths absolute, relative ones from dir.
func (c *Config) resolvePaths(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the folder of the configuration: %w", err)
	}
	eachPath(reflect.ValueOf(c).Elem(), "", func(_ string, p *Path) {
		if *p != "" && !filepath.IsAbs(string(*p)) {
			*p = Path(filepath.Join(dir, string(*p)))
		}
	})
	return nil
}

// eachPath calls f for every Path below v with its key.
func eachPath(v reflect.Value, key string, f func(key string, p *Path)) {
	if p, ok := v.Addr().Interface().(*Path); ok {
		f(key, p)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range fieldsOf(v.Type()) {
			eachPath(v.Field(field.index), join(key, field.name), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachPath(v.Index(i), fmt.Sprintf("%s.%d", key, i), f)
		}
	}
}

// CheckFiles tries to open every file that the configuration names for
// reading, and reports all that fail as an [*Error]. Files that Bulkhead
// itself creates are not looked at.
func (c *Config) CheckFiles() error {
	var problems []Problem
	eachPath(reflect.ValueOf(c).Elem(), "", func(key string, p *Path) {
		if *p == "" || key == "blocked_log.file" {
			return
		}
		if what := openable(string(*p)); what != "" {
			problems = append(problems, Problem{
				Where: c.Origin(key), Key: key, What: what, Todo: "name a file that Bulkhead may read",
			})
		}
	})
	if len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

// openable says why the file cannot be read, or "".
func openable(path string) string {
	// Stat first: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	if info.IsDir() {
		return path + " is a folder"
	}
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	_ = f.Close()
	return ""
}
