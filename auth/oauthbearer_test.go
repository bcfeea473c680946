package auth

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenSource(t *testing.T) {
	const limit = 20
	file := writeKey(t, []byte("first\n"))
	s, err := NewTokenSource(file, limit)
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, token, problem string) {
		t.Helper()
		got, err := s.Token()
		switch {
		case problem == "" && (err != nil || string(got) != token):
			t.Errorf("%s: got %q, %v; want %q", when, got, err, token)
		case problem != "" && (ReasonOf(err) != ReasonTokenFile || !strings.Contains(err.Error(), problem) || got != nil):
			t.Errorf("%s: got %q, %v; want an error with %q", when, got, err, problem)
		}
	}
	full := strings.Repeat("x", limit)
	want("at first", "first", "")
	want("once more", "first", "")
	replace(t, file, "other\n")
	want("after a rotation within a tick of the clock", "other", "")
	replace(t, file, full+"\r\n")
	want("as large as may be", full, "")
	replace(t, file, full+"x")
	want("too large by a byte", "", "more than 20 bytes")
	replace(t, file, full+full)
	want("far too large", "", "more than 20 bytes")
	replace(t, file, "")
	want("empty", "", "is empty")
	replace(t, file, " \n")
	want("blank", "", "is empty")
	replace(t, file, "third")
	want("filled again", "third", "")

	// A token that was withdrawn must not live on in memory.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("removed", "", "cannot be read")
	if err := os.WriteFile(file, []byte("fourth"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("there again", "fourth", "")

	// Errors are told at the start, too, and name no token.
	if _, err := NewTokenSource(filepath.Join(t.TempDir(), "none"), limit); ReasonOf(err) != ReasonTokenFile {
		t.Errorf("no such file: got %v", err)
	}
	if _, err := NewTokenSource(t.TempDir(), 1<<20); ReasonOf(err) != ReasonTokenFile {
		t.Errorf("a folder: got %v", err)
	}
	if _, err := NewTokenSource(writeKey(t, bytes.Repeat([]byte("secret"), 10)), limit); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("too large: got %v, want an error without the token", err)
	}
}

// Kubernetes rotates by turning a symbolic link to another folder.
func TestTokenSource_Link(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("token "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "token")
	var s *TokenSource
	for _, name := range []string{"a", "b", "a"} {
		next := filepath.Join(dir, "next")
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, link); err != nil {
			t.Fatal(err)
		}
		if s == nil {
			var err error
			if s, err = NewTokenSource(link, 100); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Token(); err != nil || string(got) != "token "+name {
			t.Errorf("got %q, %v; want token %s", got, err, name)
		}
	}
}
