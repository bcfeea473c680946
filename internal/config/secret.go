package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is the only form in which a Secret prints.
const redacted = "[redacted]"

// Secret is a value that must not be seen. It prints as [redacted] with every
// verb of fmt and in slog, JSON, YAML and text; only [Secret.Reveal] gives
// the value. The zero Secret is the empty string.
type Secret struct {
	// A pointer, because fmt does not call methods on unexported fields of
	// another struct: there it prints what a Secret consists of, an address.
	value *string
}

// NewSecret returns a Secret that holds value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value. Its result belongs in no log, error or record.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether the value is other than empty.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML implements yaml.Marshaler.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }
