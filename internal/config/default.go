package config

import "time"

// Default returns the configuration before a file or variable is read. It is
// not complete: server.dsn and one issuer have no default. The list under
// auth.issuers is empty; what its entries start from is defaultIssuer.
func Default() *Config {
	return &Config{
		Listen:    []string{"127.0.0.1:6432"},
		ClientTLS: ClientTLS{Mode: TLSPrefer},
		Server:    Server{Databases: []string{}},
		Auth: Auth{
			Issuers:       []Issuer{},
			Leeway:        30 * time.Second,
			MaxTokenBytes: 8 << 10,
			Methods:       []AuthMethod{MethodPassword},
		},
		Tenant: Tenant{
			OrgType: OrgUUID,
			Settings: map[string]string{
				"app.org_id":         "${org}",
				"bulkhead.org_id":    "${org}",
				"request.jwt.claims": "${claims}",
			},
			Roles:   map[string]string{},
			Context: ContextAuto,
			Columns: []string{"org_id", "tenant_id"},
		},
		Pool: Pool{
			Mode:                 PoolTransaction,
			Sharing:              SharingDedicated,
			MaxServerConnections: 40,
			MaxPerOrg:            10,
			IdleTimeout:          5 * time.Minute,
			MaxLifetime:          time.Hour,
			QueueTimeout:         10 * time.Second,
		},
		Policy: Policy{
			Mode:  PolicyEnforce,
			Rules: map[string]RuleMode{},
			Allow: Allow{Functions: []string{}, Settings: []string{}, Statements: []string{}, Relations: []string{}},
		},
		BlockedLog: BlockedLog{File: "blocked.jsonl", MaxSizeMB: 100},
		Admin:      Admin{Listen: "127.0.0.1:6480"},
		Limits: Limits{
			MaxClients:               10000,
			MaxClientsPerOrg:         1000,
			AuthTimeout:              10 * time.Second,
			MaxStatementBytes:        1 << 20,
			IdleInTransactionTimeout: 5 * time.Minute,
		},
		Audit:     Audit{AppRoles: []string{}, GlobalTables: []string{}, Allow: []Allowance{}},
		Verify:    Verify{DSN: NewSecret(""), Orgs: []string{}},
		Telemetry: Telemetry{ServiceName: "bulkhead"},
		Log:       Log{Level: LevelInfo, Format: FormatJSON},
	}
}

// defaultIssuer returns what an entry of auth.issuers starts from. Its
// algorithms are filled in after reading, because they depend on where the
// keys are: see fillAlgorithms.
func defaultIssuer() Issuer {
	return Issuer{Claims: Claims{Org: "org_id", Subject: "sub", Role: "role"}}
}

// fillAlgorithms gives issuers that name no algorithm those of their kind of
// key: a shared secret has HS256, everything else the public-key ones.
func (c *Config) fillAlgorithms() {
	for i := range c.Auth.Issuers {
		is := &c.Auth.Issuers[i]
		switch {
		case is.Algorithms != nil:
		case is.SecretFile != "":
			is.Algorithms = []Algorithm{"HS256"}
		default:
			is.Algorithms = []Algorithm{"RS256", "ES256", "EdDSA"}
		}
	}
}
