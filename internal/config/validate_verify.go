package config

import "slices"

func (v *validator) verify() {
	c := v.c.Verify
	v.notNegative("verify.interval", c.Interval)
	v.noEmpty("verify.orgs", c.Orgs)
	if c.Interval <= 0 {
		return
	}
	if !c.DSN.IsSet() {
		v.problem("verify.dsn", "is missing", "name a role that sees all rows: a superuser, or one with BYPASSRLS; or set verify.interval to 0")
	}
	if len(c.Orgs) != 0 && len(c.Orgs) != 2 {
		v.problem("verify.orgs", "has not two entries", "name two orgs that exist, or none: then the first two are taken")
	}
	if v.c.Auth.TokenFile != "" || !slices.Contains(v.c.Auth.Methods, MethodPassword) {
		v.problem("verify.interval", "needs clients to log in with a token as the password", "set it to 0, or let auth.methods hold password and auth.token_file be empty")
	}
	unix := slices.ContainsFunc(v.c.Listen, func(addr string) bool { return len(addr) > 5 && addr[:5] == "unix:" })
	if v.c.ClientTLS.Mode == TLSVerifyClient && !unix {
		v.problem("verify.interval", "needs a way in without a client certificate", "add a unix socket to listen, or set it to 0")
	}
}
