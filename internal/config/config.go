// Package config reads the configuration of Bulkhead: one YAML file, with an
// environment variable over each of its scalars.
//
// [Load] reads strictly. An unknown or repeated key, a value of the wrong
// type, a missing one and a contradiction between two keys are all problems,
// and [Load] reports every problem of a file at once as an [Error], each with
// its line or variable, what is wrong and what to do. Reading changes
// nothing: no file but the configuration itself is opened, so that a file
// can be judged on another machine. [Config.CheckFiles] looks at the files
// that it names.
//
// A [Config] is built once and then only read. Only cmd imports this package:
// it fills each package's own Options from the struct.
//
// The keys, their defaults and variables are listed in docs/configuration.md,
// which a test compares with [Keys].
package config

import "time"

// Config is the whole configuration, in the order of the file.
type Config struct {
	Listen     []string   `yaml:"listen"` // host:port or unix:/absolute/path
	Loops      int        `yaml:"loops"`  // event loops; 0 means one per processor that Go may use
	ClientTLS  ClientTLS  `yaml:"client_tls"`
	Server     Server     `yaml:"server"`
	Auth       Auth       `yaml:"auth"`
	Tenant     Tenant     `yaml:"tenant"`
	Pool       Pool       `yaml:"pool"`
	Policy     Policy     `yaml:"policy"`
	BlockedLog BlockedLog `yaml:"blocked_log"`
	Admin      Admin      `yaml:"admin"`
	Limits     Limits     `yaml:"limits"`
	Audit      Audit      `yaml:"audit"`
	Verify     Verify     `yaml:"verify"`
	Telemetry  Telemetry  `yaml:"telemetry"`
	Log        Log        `yaml:"log"`

	origins origins
}

// ClientTLS is TLS between clients and Bulkhead.
type ClientTLS struct {
	Mode                   TLSMode `yaml:"mode"`
	CertFile               Path    `yaml:"cert_file"`
	KeyFile                Path    `yaml:"key_file"`
	ClientCAFile           Path    `yaml:"client_ca_file"`
	AllowPlaintextPassword bool    `yaml:"allow_plaintext_password"` // take a token over plain TCP from off loopback
}

// Server is the PostgreSQL behind Bulkhead.
type Server struct {
	DSN              Secret   `yaml:"dsn"`           // URI or key=value form of libpq
	PasswordFile     Path     `yaml:"password_file"` // "" means: as the DSN or libpq's own ways say
	Databases        []string `yaml:"databases"`     // that a client may name besides the DSN's; "*" for any
	AllowUnsafeLogin bool     `yaml:"allow_unsafe_login"`
}

// Auth is who may connect.
type Auth struct {
	Issuers       []Issuer      `yaml:"issuers"`
	Leeway        time.Duration `yaml:"leeway"`
	MaxTokenBytes Size          `yaml:"max_token_bytes"`
	Methods       []AuthMethod  `yaml:"methods"`
	TokenFile     Path          `yaml:"token_file"`   // sidecar: the identity of every client
	RevokedFile   Path          `yaml:"revoked_file"` // one jti, sub or org a line
}

// Issuer is one source of tokens. Exactly one of the four places for keys is
// set.
type Issuer struct {
	Issuer        string      `yaml:"issuer"`   // the token's iss, byte for byte
	Audience      string      `yaml:"audience"` // one of the token's aud
	Algorithms    []Algorithm `yaml:"algorithms"`
	JWKSURL       string      `yaml:"jwks_url"`
	JWKSFile      Path        `yaml:"jwks_file"`
	SecretFile    Path        `yaml:"secret_file"`     // at least 32 bytes, for HS256 alone
	PublicKeyFile Path        `yaml:"public_key_file"` // PEM or JWK
	Claims        Claims      `yaml:"claims"`
	// What the org claim may be besides one org.
	AllowServiceTokens bool `yaml:"allow_service_tokens"` // missing
	AllowOrgLists      bool `yaml:"allow_org_lists"`      // a list, of which the client picks
	AllowAllOrgs       bool `yaml:"allow_all_orgs"`       // "*": the client picks any
}

// Claims are dotted paths into a token.
type Claims struct {
	Org     string `yaml:"org"`
	Subject string `yaml:"subject"`
	Role    string `yaml:"role"`
}

// Tenant is how an identity becomes a tenant context.
type Tenant struct {
	OrgType        OrgType           `yaml:"org_type"`
	Settings       map[string]string `yaml:"settings"` // setting -> template of ${org} ${subject} ${role} ${claims}
	Role           string            `yaml:"role"`
	Roles          map[string]string `yaml:"roles"` // role claim -> database role
	Columns        []string          `yaml:"columns"`
	Context        ContextMode       `yaml:"context"` // how the database knows the tenant
	SigningKeyFile Path              `yaml:"signing_key_file"`
}

// Pool is what Bulkhead keeps of server connections.
type Pool struct {
	Mode                 PoolMode      `yaml:"mode"`
	Sharing              Sharing       `yaml:"sharing"`
	MaxServerConnections int           `yaml:"max_server_connections"`
	MaxPerOrg            int           `yaml:"max_per_org"`
	MinIdle              int           `yaml:"min_idle"`
	IdleTimeout          time.Duration `yaml:"idle_timeout"`
	MaxLifetime          time.Duration `yaml:"max_lifetime"`
	QueueTimeout         time.Duration `yaml:"queue_timeout"`
}

// Policy is what the guard does with a violation.
type Policy struct {
	Mode  PolicyMode          `yaml:"mode"`
	Rules map[string]RuleMode `yaml:"rules"` // rule id -> mode; the ids themselves are known to package policy
	Allow Allow               `yaml:"allow"`
}

// Allow lists what the rules would refuse and shall not.
type Allow struct {
	Functions  []string `yaml:"functions"`
	Settings   []string `yaml:"settings"`
	Statements []string `yaml:"statements"`
	Relations  []string `yaml:"relations"`
}

// BlockedLog is the blocked-query log.
type BlockedLog struct {
	File      Path `yaml:"file"`
	MaxSizeMB int  `yaml:"max_size_mb"` // size in MiB after which a new file is begun
}

// Admin is the listener of the console, metrics and health.
type Admin struct {
	Listen    string `yaml:"listen"` // host:port; "" turns it off
	TokenFile Path   `yaml:"token_file"`
}

// Limits bound what one client or org can take. A duration of 0 is no limit.
type Limits struct {
	MaxClients               int           `yaml:"max_clients"`
	MaxClientsPerOrg         int           `yaml:"max_clients_per_org"`
	AuthTimeout              time.Duration `yaml:"auth_timeout"`
	MaxStatementBytes        Size          `yaml:"max_statement_bytes"`
	ClientIdleTimeout        time.Duration `yaml:"client_idle_timeout"`
	IdleInTransactionTimeout time.Duration `yaml:"idle_in_transaction_timeout"`
	StatementTimeout         time.Duration `yaml:"statement_timeout"`
}

// Audit is what the schema half (audit, harden, verify) knows of the database.
// What is empty is guessed.
type Audit struct {
	AppRoles     []string    `yaml:"app_roles"`  // roles that the application logs in or runs as
	RootTable    string      `yaml:"root_table"` // the table of tenants
	GlobalTables []string    `yaml:"global_tables"`
	Allow        []Allowance `yaml:"allow"` // findings that somebody has accepted
}

// Allowance is one finding of `bulkhead audit` that somebody has accepted.
type Allowance struct {
	Check   string `yaml:"check"`  // A111
	Object  string `yaml:"object"` // as the finding spells it, "*" for all
	Reason  string `yaml:"reason"`
	Expires Day    `yaml:"expires"` // the last one; "" for never
}

// Verify is the canary of the running proxy: it proves now and then that two
// orgs do not see each other.
type Verify struct {
	Interval time.Duration `yaml:"interval"` // 0 is never
	DSN      Secret        `yaml:"dsn"`      // a role that sees all rows
	Orgs     []string      `yaml:"orgs"`     // two that exist; none: the first two
}

// Telemetry is tracing; exporters come from the standard OTEL_* variables.
type Telemetry struct {
	ServiceName string        `yaml:"service_name"`
	SlowQuery   time.Duration `yaml:"slow_query"` // log statements that take longer; 0 is never
}

// Log is Bulkhead's own log.
type Log struct {
	Level  LogLevel  `yaml:"level"`
	Format LogFormat `yaml:"format"`
}
