package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Path is the path of a file. In the file it may be relative to the folder of
// the configuration; in a loaded Config it is joined with that folder.
type Path string

// Day is a date such as 2026-12-31, which YAML takes without quotes as well.
type Day string

// Size is a number of bytes. In the file it is a plain number or one with a
// unit of 1024: 1048576, 1024kB, 1MB, 1GB (the units of postgresql.conf).
type Size int64

// parseSize reads a Size.
func parseSize(s string) (Size, error) {
	number, unit := s, int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, err
	}
	if n > (1<<63-1)/unit || n < -(1<<63-1)/unit {
		return 0, fmt.Errorf("too large")
	}
	return Size(n * unit), nil
}

// choice is a string with a closed list of values.
type choice interface{ choices() []string }

// TLSMode says what TLS is asked of clients.
type TLSMode string

// The TLS modes. With TLSPrefer and no certificate, TLS is off, which is
// accepted on loopback and unix sockets only.
const (
	TLSDisable      TLSMode = "disable"
	TLSPrefer       TLSMode = "prefer"
	TLSRequire      TLSMode = "require"
	TLSVerifyClient TLSMode = "verify-client" // require, and the client shows a certificate of client_ca_file
)

func (TLSMode) choices() []string {
	return []string{string(TLSDisable), string(TLSPrefer), string(TLSRequire), string(TLSVerifyClient)}
}

// AuthMethod is a way for a client to show its token.
type AuthMethod string

// The methods.
const (
	MethodPassword    AuthMethod = "password"
	MethodOAuthBearer AuthMethod = "oauthbearer" // RFC 7628
)

func (AuthMethod) choices() []string {
	return []string{string(MethodPassword), string(MethodOAuthBearer)}
}

// Algorithm is a signature algorithm of RFC 7518 or RFC 8037.
type Algorithm string

func (Algorithm) choices() []string {
	return []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
	}
}

// OrgType is the form that the org claim must have.
type OrgType string

// The forms.
const (
	OrgUUID    OrgType = "uuid"
	OrgInteger OrgType = "integer"
	OrgText    OrgType = "text"
)

func (OrgType) choices() []string {
	return []string{string(OrgUUID), string(OrgInteger), string(OrgText)}
}

// ContextMode says how the database knows the tenant of a session.
type ContextMode string

// The modes of the tenant context. ContextAuto stands for signed with a
// signing key and for plain without.
const (
	ContextAuto   ContextMode = "auto"
	ContextPlain  ContextMode = "plain"
	ContextSigned ContextMode = "signed"
	ContextSealed ContextMode = "sealed"
)

func (ContextMode) choices() []string {
	return []string{string(ContextAuto), string(ContextPlain), string(ContextSigned), string(ContextSealed)}
}

// ContextMode returns the mode in force.
func (t *Tenant) ContextMode() ContextMode {
	switch {
	case t.Context != ContextAuto:
		return t.Context
	case t.SigningKeyFile != "":
		return ContextSigned
	}
	return ContextPlain
}

// PoolMode says for how long a client keeps a server connection.
type PoolMode string

// The pool modes.
const (
	PoolTransaction PoolMode = "transaction"
	PoolSession     PoolMode = "session"
)

func (PoolMode) choices() []string { return []string{string(PoolTransaction), string(PoolSession)} }

// Sharing says whether a server connection may serve several tenants.
type Sharing string

// The ways of sharing.
const (
	SharingDedicated Sharing = "dedicated"
	SharingShared    Sharing = "shared"
)

func (Sharing) choices() []string { return []string{string(SharingDedicated), string(SharingShared)} }

// PolicyMode says what happens to a violation.
type PolicyMode string

// The policy modes.
const (
	PolicyEnforce PolicyMode = "enforce"
	PolicyObserve PolicyMode = "observe"
)

func (PolicyMode) choices() []string { return []string{string(PolicyEnforce), string(PolicyObserve)} }

// RuleMode is the mode of one rule.
type RuleMode string

// The rule modes.
const (
	RuleEnforce RuleMode = "enforce"
	RuleObserve RuleMode = "observe"
	RuleOff     RuleMode = "off"
)

func (RuleMode) choices() []string {
	return []string{string(RuleEnforce), string(RuleObserve), string(RuleOff)}
}

// LogLevel is the least level that is logged.
type LogLevel string

// The levels.
const (
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

func (LogLevel) choices() []string {
	return []string{string(LevelDebug), string(LevelInfo), string(LevelWarn), string(LevelError)}
}

// LogFormat is the form of log lines.
type LogFormat string

// The formats.
const (
	FormatJSON LogFormat = "json"
	FormatText LogFormat = "text"
)

func (LogFormat) choices() []string { return []string{string(FormatJSON), string(FormatText)} }
