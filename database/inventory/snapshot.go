package inventory

import "time"

// Public is the grantee and policy role PUBLIC. No role can have this name:
// PostgreSQL reserves it.
const Public = "public"

// Snapshot is what a database holds at one moment. Temporary objects, TOAST
// and the server's own schemas are left out. All slices are sorted by name, so
// that two snapshots of one state are equal.
type Snapshot struct {
	TakenAt time.Time // by our clock, before the first query
	Server  Server
	// Database is the database's name, and DatabaseOwner its owner.
	Database, DatabaseOwner string
	DatabaseGrants          []Grant
	Login                   Login

	Roles             []*Role
	RoleSettings      []RoleSetting
	Schemas           []*Schema
	Relations         []*Relation
	Functions         []*Function // of all schemas but the server's own
	CoreFunctions     []*Function // of pg_catalog, those of coreFunctionNames
	Languages         []Language
	DefaultPrivileges []DefaultPrivilege
	Extensions        []Extension
	Publications      []Publication
	ForeignServers    []ForeignServer
	UserMappings      []UserMapping
	EventTriggers     []EventTrigger
	LargeObjects      []LargeObjects
	ReplicationSlots  []ReplicationSlot
	ParameterGrants   []ParameterGrant // 15+
	Statistics        []Statistics

	roles     map[string]*Role
	schemas   map[string]*Schema
	relations map[Name]*Relation
}

// Server is the server as far as it decides what is safe.
type Server struct {
	VersionNum int    // server_version_num: 150020
	Version    string // server_version: "15.20 (Debian ...)"
	InRecovery bool   // a standby
	// Settings are those of serverSettings that the login role may see.
	Settings map[string]string
}

// Major is the major version, 13 to 18.
func (s Server) Major() int { return s.VersionNum / versionsPerMajor }

const versionsPerMajor = 10000

// Login is the role that took the snapshot.
type Login struct {
	Role      string // session_user
	Current   string // current_user, another one after SET ROLE or by a role setting
	Superuser bool   // of the current role
	BypassRLS bool
}

// Name is a name in a schema, as stored.
type Name struct{ Schema, Name string }

// Grant is one privilege of one grantee. ACLs are exploded with the defaults
// that PostgreSQL puts in where none is stored.
type Grant struct {
	Grantee   string // Public, or a role
	Privilege string // SELECT, USAGE, ...
	Grantable bool   // WITH GRANT OPTION
	Grantor   string
}

// Schema is one schema.
type Schema struct {
	Name      string
	Owner     string
	Extension string // that it belongs to, "" for none
	Grants    []Grant
}

// Object spells the schema as reports do.
func (s *Schema) Object() string { return "schema:" + s.Name }

// RoleSetting is one setting of ALTER ROLE or ALTER DATABASE ... SET.
type RoleSetting struct {
	Role     string // "" for all
	Database string // "" for all
	Name     string
	Value    string
}

// Object spells the setting's place as reports do: setting:ROLE@DATABASE.
func (s *RoleSetting) Object() string {
	return "setting:" + orStar(s.Role) + "@" + orStar(s.Database)
}

// DefaultPrivilege is the access list that new objects of one owner get.
type DefaultPrivilege struct {
	Owner  string // who will create the objects
	Schema string // "" for all
	Kind   byte   // pg_default_acl.defaclobjtype: r, S, f, T, n, L
	Grants []Grant
}

// Object spells the entry as reports do: default:OWNER@SCHEMA.
func (d *DefaultPrivilege) Object() string { return "default:" + d.Owner + "@" + orStar(d.Schema) }

// Language is a procedural language.
type Language struct {
	Name    string
	Owner   string
	Trusted bool
	Grants  []Grant
}

// Extension is an installed extension.
type Extension struct{ Name, Version, Schema, Owner string }

// Object spells the extension as reports do.
func (e *Extension) Object() string { return "extension:" + e.Name }

// Publication says what logical replication sends.
type Publication struct {
	Name, Owner string
	AllTables   bool
	Schemas     []string // 15+: FOR TABLES IN SCHEMA
	Tables      []PublishedTable
}

// PublishedTable is a table that a publication names.
type PublishedTable struct {
	Table     Name
	RowFilter string // 15+
}

// Object spells the publication as reports do.
func (p *Publication) Object() string { return "publication:" + p.Name }

// ForeignServer is a server of a foreign-data wrapper.
type ForeignServer struct {
	Name, Owner, Wrapper string
	Grants               []Grant
}

// Object spells the server as reports do.
func (s *ForeignServer) Object() string { return "server:" + s.Name }

// UserMapping lets a role act as somebody on a foreign server.
type UserMapping struct {
	Server string
	Role   string // Public, or a role
}

// EventTrigger is an event trigger.
type EventTrigger struct {
	Name, Owner, Event string
	Enabled            byte // pg_event_trigger.evtenabled: O, D, R, A
	Function           *Function
}

// Object spells the event trigger as reports do.
func (e *EventTrigger) Object() string { return "event_trigger:" + e.Name }

// LargeObjects are the large objects of one owner.
type LargeObjects struct {
	Owner string
	Count int
}

// ReplicationSlot is a replication slot that reaches this database.
type ReplicationSlot struct {
	Name     string
	Plugin   string // "" for physical
	Database string // "" for physical: all databases
	Active   bool
}

// ParameterGrant is a right on a setting (15+).
type ParameterGrant struct {
	Parameter string
	Grants    []Grant // SET, ALTER SYSTEM
}

// Statistics is an extended statistics object.
type Statistics struct {
	Name     Name
	Owner    string
	Relation *Relation
	Kinds    string // pg_statistic_ext.stxkind: d, f, m, e
}

// Role returns the role of that name, or nil.
func (s *Snapshot) Role(name string) *Role { return s.roles[name] }

// Schema returns the schema of that name, or nil.
func (s *Snapshot) Schema(name string) *Schema { return s.schemas[name] }

// Relation returns the relation of that name, or nil.
func (s *Snapshot) Relation(schema, name string) *Relation { return s.relations[Name{schema, name}] }

func orStar(s string) string {
	if s == "" {
		return "*"
	}
	return s
}
