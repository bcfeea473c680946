package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecret_NeverPrints(t *testing.T) {
	const value = "hunter2"
	s := NewSecret(value)
	type holder struct {
		Public Secret `json:"p" yaml:"p"`
		hidden Secret
	}
	h := holder{Public: s, hidden: s}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		for _, v := range []any{s, &s, h, &h, []Secret{s}, map[string]Secret{"k": s}} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&b, nil)), slog.New(slog.NewJSONHandler(&b, nil))} {
		log.Info("m", "s", s, "h", h, "c", Config{Server: Server{DSN: s}})
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(h.Public)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	b.Write(y)
	if got := b.String(); strings.Contains(got, value) || strings.Contains(got, "68756e74657232") {
		t.Errorf("the secret shows:\n%s", got)
	}
	if !strings.Contains(string(j), redacted) || !strings.Contains(string(y), redacted) {
		t.Errorf("got %s and %s, want %s in both", j, y, redacted)
	}
	if got := s.Reveal(); got != value {
		t.Errorf("Reveal: got %q, want %q", got, value)
	}
}
