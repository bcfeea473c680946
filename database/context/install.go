package context

import (
	"strings"
)

// Statement is one step of an installation.
type Statement struct {
	SQL, Inverse string
	Reason       string
	Lock         string // what it locks that others may want
	Object       string // as findings spell it
	// Cluster marks what belongs to the cluster and not to the database: roles
	// and memberships.
	Cluster bool
}

const (
	noLock = "none on existing relations"
	public = "public" // the pseudo-role of grants
)

// Install returns the statements that create the schema bulkhead, to be run in
// their order; the inverses in reverse order undo them exactly. They are
// meant for one transaction and name every object in full, so that the
// search_path does not matter.
func Install(o Options) ([]Statement, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var b builder
	b.owner(&o)
	b.add(Statement{
		SQL:     "create schema bulkhead authorization " + Owner,
		Inverse: "drop schema bulkhead",
		Reason:  "a schema that the application cannot change",
		Object:  "schema:bulkhead",
	})
	b.asOwner(func() {
		b.keys(&o)
		b.sequences(&o)
		functions := functionsOf(&o)
		for _, f := range functions {
			b.function(f)
		}
		for _, g := range grantsOf(&o, functions) {
			b.add(g.Statement)
		}
	})
	b.leave(&o)
	return b.out, nil
}

// builder collects statements.
type builder struct{ out []Statement }

func (b *builder) add(s Statement) {
	if s.Lock == "" {
		s.Lock = noLock
	}
	b.out = append(b.out, s)
}

// owner makes the role of the owner, and the installer a member if it must be.
func (b *builder) owner(o *Options) {
	if !o.OwnerExists {
		b.add(Statement{
			SQL:     "create role " + Owner + " nologin",
			Inverse: "drop role " + Owner,
			Reason:  "owns what decides who the tenant is; cannot log in",
			Object:  "role:" + Owner, Cluster: true,
		})
	}
	if !o.Superuser {
		b.add(membership(o, true))
	}
}

// leave ends the membership: whoever keeps it could sign for any tenant.
func (b *builder) leave(o *Options) {
	if !o.Superuser {
		b.add(membership(o, false))
	}
}

func membership(o *Options, join bool) Statement {
	grant := "grant " + Owner + " to current_user"
	if o.Version >= version16 {
		// Since 16 the maker of a role may administer it but not act as it.
		grant += " with inherit true, set true"
	}
	s := Statement{
		SQL: grant, Inverse: "revoke " + Owner + " from current_user",
		Reason: "the installer acts as the owner, for the time of the installation",
		Object: "role:" + Owner, Cluster: true,
	}
	if !join {
		s.SQL, s.Inverse = s.Inverse, s.SQL
		s.Reason = "nobody remains who can act as the owner"
	}
	return s
}

// asOwner runs what f adds as the owner. So everything belongs to it from the
// start, and no default privilege of the installer opens any of it.
func (b *builder) asOwner(f func()) {
	enter, leave := "set role "+Owner, "reset role"
	b.add(Statement{SQL: enter, Inverse: leave, Reason: "what follows belongs to the owner from the start", Object: "role:" + Owner})
	f()
	b.add(Statement{SQL: leave, Inverse: enter, Reason: "back to the installer", Object: "role:" + Owner})
}

const keyTable = `create table bulkhead.signing_key (
  kid integer primary key check (kid between 1 and 9999),
  ipad bytea not null check (length(ipad) = 64),
  opad bytea not null check (length(opad) = 64),
  not_after timestamptz,
  created_at timestamptz not null default clock_timestamp()
)`

func (b *builder) keys(o *Options) {
	if o.Mode == Plain {
		return
	}
	const object = "bulkhead.signing_key"
	b.add(Statement{
		SQL: keyTable, Inverse: "drop table bulkhead.signing_key",
		Reason: "the keys that signatures are checked with, as the pads of HMAC", Object: object,
	})
	b.add(Statement{
		SQL:     "alter table bulkhead.signing_key enable row level security",
		Inverse: "alter table bulkhead.signing_key disable row level security",
		Reason:  "not even pg_read_all_data reads keys: there is no policy, and only the owner needs none",
		Object:  object,
	})
}

func (b *builder) sequences(o *Options) {
	if o.Mode != Sealed {
		return
	}
	create := "create sequence "
	if o.Version >= version15 {
		create = "create unlogged sequence "
	}
	for _, s := range []struct{ name, reason string }{
		{"bulkhead.slot", "its value in a session is the challenge that the proxy must answer"},
		{"bulkhead.seal", "its value in a session is the digest of the context that was proven"},
	} {
		b.add(Statement{SQL: create + s.name + " minvalue 0", Inverse: "drop sequence " + s.name, Reason: s.reason, Object: s.name})
	}
}

func (b *builder) function(f Function) {
	name := f.signature()
	b.add(Statement{SQL: f.create("create function "), Inverse: "drop function " + name, Reason: f.reason, Object: f.Object()})
	b.add(Statement{
		SQL:     "revoke all on function " + name + " from public",
		Inverse: "grant execute on function " + name + " to public",
		Reason:  "PostgreSQL lets everybody call a new function", Object: f.Object(),
	})
}

// grant is a statement that gives role something.
type grant struct {
	Statement
	role string
}

// grantsOf returns what the roles of the application need.
func grantsOf(o *Options, functions []Function) (out []grant) {
	for _, name := range o.Roles {
		role := quoteRole(name)
		out = append(out, grant{role: name, Statement: Statement{
			SQL:     "grant usage on schema bulkhead to " + role,
			Inverse: "revoke usage on schema bulkhead from " + role,
			Reason:  "to name the functions", Object: "schema:bulkhead",
		}})
		for _, f := range functions {
			if !f.callable {
				continue
			}
			out = append(out, grant{role: name, Statement: Statement{
				SQL:     "grant execute on function " + f.signature() + " to " + role,
				Inverse: "revoke execute on function " + f.signature() + " from " + role,
				Reason:  "the application, or the proxy on its connection, calls it", Object: f.Object(),
			}})
		}
	}
	return out
}

func quoteRole(name string) string {
	if name == public {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
