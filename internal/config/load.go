package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// Parse is [Load] for a file that is already in memory: name stands for it in
// messages, and relative paths in it belong to the folder dir.
func Parse(name string, data []byte, dir string, env []string) (*Config, error) {
	return nil, errors.New("not yet")
}
