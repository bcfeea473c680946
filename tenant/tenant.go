// Package tenant maps a verified identity to a [Context]: which org a session
// acts for, and which settings PostgreSQL sees.
//
// The settings have two layers. Those that depend on the org alone
// ([Context.Fixed]) go into the startup packet of the server connection, which
// belongs to that context for life: RESET leads back to them. Those that differ
// between users of one org ([Context.PerUser]) are set afterwards and again
// whenever they may have been reset. Where server connections are shared
// between orgs ([Options.Shared]), all are of the second kind, the role too.
package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options of a [Resolver].
type Options struct {
	OrgType string
	// Settings are templates by the name of the setting: ${org}, ${subject},
	// ${role} and ${claims} (the claims as JSON) are replaced.
	Settings map[string]string
	Role     string            // database role of every session; "" the login role
	Roles    map[string]string // role claim -> database role; if set, any other claim is refused
	// Shared: server connections serve many orgs, so nothing is fixed to them.
	Shared bool
	// Signed: the database believes the org and the claims only with a
	// signature for the one server connection (signature.go).
	Signed bool
	// Sealed: the database believes them once they were proven by the answer
	// to a challenge, so both are set after the login.
	Sealed bool
}

// Claims are what a verified token says.
type Claims struct {
	Org, Subject, Role string
	JSON               []byte // all claims
}

// Setting is a setting and its value.
type Setting struct{ Name, Value string }

// Context is the tenant context of a session. It is immutable.
type Context struct {
	Org, Subject string
	Role         string // database role, "" the login role
	// Fixed depends on the org and the role alone; it includes the setting
	// role. Sorted by name.
	Fixed []Setting
	// PerUser depends on the user as well, or is too large for a startup
	// packet, or the server connection is shared between orgs; then it
	// includes the setting role. Sorted by name.
	PerUser []Setting
	Key     string // equal for equal Fixed; a hash
	Label   string // equal for equal PerUser; a hash, "" if there is none

	sql []string
}

// maxStartupBytes is what Fixed may take of a startup packet, which the server
// takes up to 10,000 bytes (MAX_STARTUP_PACKET_LENGTH); the rest is the
// client's.
const maxStartupBytes = 6000

// tokenSetting is the name under which a client changes its identity in band.
const tokenSetting = "bulkhead.token"

// Error is why an identity maps to no tenant. It quotes no claim.
type Error struct{ Reason string }

// Error implements error.
func (e *Error) Error() string { return "no tenant: " + e.Reason }

var (
	settingName = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$`)
	variable    = regexp.MustCompile(`\$\{[^}]*\}?`)
)

// Resolver maps identities to contexts. It is immutable.
type Resolver struct {
	opts  Options
	names []string
}

// NewResolver checks the options; its error tells all that is wrong.
func NewResolver(o Options) (*Resolver, error) {
	settings := maps.Clone(o.Settings)
	if settings == nil {
		settings = make(map[string]string)
	}
	if _, ok := settings[OrgSetting]; !ok {
		settings[OrgSetting] = "${org}" // what policies that bulkhead harden writes read
	}
	r := &Resolver{opts: o, names: slices.Sorted(maps.Keys(settings))}
	r.opts.Settings = settings
	errs := signatureErrors(&r.opts)
	if _, ok := settings[tokenSetting]; ok {
		errs = append(errs, fmt.Errorf("tenant.settings: %s is how a client sends a token and cannot be given", tokenSetting))
	}
	for _, name := range r.names {
		if !settingName.MatchString(name) {
			errs = append(errs, fmt.Errorf("tenant.settings: %q is not the name of a custom setting: want lower-case words joined by dots, such as app.org_id", name))
		}
		for _, v := range variable.FindAllString(o.Settings[name], -1) {
			switch v {
			case "${org}", "${subject}", "${role}", "${claims}":
			default:
				errs = append(errs, fmt.Errorf("tenant.settings: %s holds the unknown variable %s: want ${org}, ${subject}, ${role} or ${claims}", name, v))
			}
		}
	}
	roles := slices.Collect(maps.Values(o.Roles))
	if o.Role != "" {
		roles = append(roles, o.Role)
	}
	for _, role := range roles {
		if role == "" || strings.EqualFold(role, "none") || strings.ContainsRune(role, 0) {
			errs = append(errs, fmt.Errorf("tenant.role, tenant.roles: %q is not the name of a role", role))
		}
	}
	if o.Role != "" && len(o.Roles) > 0 {
		errs = append(errs, errors.New("tenant.role and tenant.roles cannot both be set"))
	}
	return r, errors.Join(errs...)
}

// Names returns the settings that carry the context, sorted: no client may
// change them.
func (r *Resolver) Names() []string {
	if r.opts.Signed {
		return append(slices.Clone(r.names), SignatureSetting)
	}
	return slices.Clone(r.names)
}

// Resolve returns the context of an identity. Its errors are of type [*Error].
func (r *Resolver) Resolve(c Claims) (*Context, error) {
	if c.Org == "" {
		return nil, &Error{"the token names no org"}
	}
	ctx := &Context{Org: c.Org, Subject: c.Subject, Role: r.opts.Role}
	if len(r.opts.Roles) > 0 {
		if ctx.Role = r.opts.Roles[c.Role]; ctx.Role == "" {
			return nil, &Error{"the token's role is not one of tenant.roles"}
		}
	}
	values := strings.NewReplacer("${org}", c.Org, "${subject}", c.Subject, "${role}", c.Role, "${claims}", string(c.JSON))
	fixed := 0
	for _, name := range r.names {
		template := r.opts.Settings[name]
		s := Setting{name, values.Replace(template)}
		if strings.ContainsRune(s.Value, 0) {
			return nil, &Error{"a claim holds a NUL"}
		}
		size := len(s.Name) + len(s.Value)
		proven := r.opts.Sealed && (name == OrgSetting || name == ClaimsSetting)
		if r.opts.Shared || proven || perUser(template) || fixed+size > maxStartupBytes {
			ctx.PerUser = append(ctx.PerUser, s)
			continue
		}
		fixed += size
		ctx.Fixed = append(ctx.Fixed, s)
	}
	r.complete(ctx)
	return ctx, nil
}

// Nobody returns the context of a session whose token names no org: it has no
// settings and the login role, which may read nothing.
func (r *Resolver) Nobody() *Context {
	ctx := &Context{}
	r.complete(ctx)
	return ctx
}

// complete adds the role and what follows from the settings.
func (r *Resolver) complete(ctx *Context) {
	switch {
	case r.opts.Shared && ctx.Role == "":
		ctx.PerUser = append(ctx.PerUser, Setting{"role", "none"}) // the login role
	case r.opts.Shared:
		ctx.PerUser = append(ctx.PerUser, Setting{"role", ctx.Role})
	case ctx.Role != "":
		ctx.Fixed = append(ctx.Fixed, Setting{"role", ctx.Role})
	}
	if r.opts.Signed {
		// Its value is made for each server connection.
		ctx.PerUser = append(ctx.PerUser, Setting{SignatureSetting, ""})
	}
	if r.opts.Shared {
		ctx.Key = "shared"
	} else {
		ctx.Key = hash(append(ctx.Fixed, Setting{"", ctx.Org}))
	}
	if len(ctx.PerUser) > 0 {
		ctx.Label = hash(append(ctx.PerUser, Setting{"", ctx.Org}))
		ctx.sql = setSQL(ctx.PerUser)
	}
}

func perUser(template string) bool {
	return strings.Contains(template, "${subject}") || strings.Contains(template, "${claims}") || strings.Contains(template, "${role}")
}

func hash(settings []Setting) string {
	h := sha256.New()
	for _, s := range settings {
		fmt.Fprintf(h, "%d:%s%d:%s", len(s.Name), s.Name, len(s.Value), s.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// LabelSQL returns a SET statement for each of PerUser, save the signature. They are utility
// statements: no search_path can lead them astray.
func (c *Context) LabelSQL() []string { return c.sql }

// SetSQL returns a SET statement.
func SetSQL(s Setting) string {
	return "SET SESSION " + quoteName(s.Name) + " = " + QuoteLiteral(s.Value)
}

func setSQL(settings []Setting) []string {
	var out []string
	for _, s := range settings {
		if s.Name != SignatureSetting {
			out = append(out, SetSQL(s))
		}
	}
	return out
}

// quoteName quotes each part of a dotted name.
func quoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

// QuoteLiteral returns v as a string constant of SQL; standard_conforming_strings is on for every
// server connection, and the E form makes a backslash safe even if not.
//
// The constant is ASCII: what it means does not depend on the client_encoding of
// the connection, which a client may have set.
func QuoteLiteral(v string) string {
	quoted := "'" + strings.ReplaceAll(v, "'", "''") + "'"
	plain := strings.IndexFunc(v, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	if plain && !strings.Contains(v, `\`) {
		return quoted
	}
	var b strings.Builder
	b.WriteByte('E')
	for _, r := range quoted {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		default: // PostgreSQL manual, String Constants with C-Style Escapes
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String()
}
