package context

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mode says how the database knows the tenant of a session.
type Mode string

// The modes, from the weakest on.
const (
	Plain  Mode = "plain"
	Signed Mode = "signed"
	Sealed Mode = "sealed"
)

// Owner is the role that owns the schema. It cannot log in and nobody is a
// member of it: who could act as it could sign for any tenant.
const Owner = "bulkhead_owner"

// Options of [Install].
type Options struct {
	Mode Mode
	// KeyType is the type of the tenant key, as format_type spells it: uuid,
	// bigint, integer, smallint, text, character varying with or without a
	// length, or one of their aliases.
	KeyType string
	// MissingError makes org_id() raise an error where no tenant is set. Else
	// it is NULL there: no rows, and writes are refused.
	MissingError bool
	// Roles may call org_id() and claims(), and what the proxy calls on a
	// connection of theirs: the roles that the application logs in or acts as.
	Roles []string
	// Version is server_version_num.
	Version int
	// Superuser says that a superuser runs the statements. Else it is a role
	// with CREATEROLE, CREATE on the database and (before 16) INHERIT, which is
	// made a member of the owner for their duration.
	Superuser bool
	// OwnerExists says that the role bulkhead_owner is there already, from
	// another database of the cluster.
	OwnerExists bool
}

// version numbers that matter here.
const (
	version15 = 15_00_00
	version16 = 16_00_00
)

// keyTypes maps what a type may be called to what PostgreSQL calls it.
var keyTypes = map[string]string{
	"uuid":   "uuid",
	"bigint": "bigint", "int8": "bigint",
	"integer": "integer", "int": "integer", "int4": "integer",
	"smallint": "smallint", "int2": "smallint",
	"text":              "text",
	"character varying": "character varying", "varchar": "character varying",
}

// typeName returns the type of org_id() for a column of the given type. A
// length does not belong to it.
func typeName(column string) (string, error) {
	name, length, _ := strings.Cut(strings.ToLower(column), "(")
	name = strings.Join(strings.Fields(name), " ")
	out, ok := keyTypes[name]
	if !ok || length != "" && out != "character varying" {
		return "", fmt.Errorf("a tenant key of type %q is not supported: want uuid, bigint, integer, smallint, text or character varying", column)
	}
	return out, nil
}

func (o *Options) check() error {
	var errs []error
	if !slices.Contains([]Mode{Plain, Signed, Sealed}, o.Mode) {
		errs = append(errs, fmt.Errorf("context mode %q is unknown: want plain, signed or sealed", o.Mode))
	}
	if _, err := typeName(o.KeyType); err != nil {
		errs = append(errs, err)
	}
	if o.Version < 13_00_00 {
		errs = append(errs, fmt.Errorf("server version %d is too old: want 13 or newer", o.Version))
	}
	for _, r := range o.Roles {
		if r == "" || r == Owner || strings.ContainsRune(r, 0) {
			errs = append(errs, fmt.Errorf("%q cannot be a role of the application", r))
		}
	}
	return errors.Join(errs...)
}
