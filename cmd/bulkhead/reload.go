package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/internal/telemetry"
)

// noFile stands for a configuration that came from no file and no variables.
const noFile = "-"

// reload takes up changed files, and what can change of the configuration. If
// anything of that is wrong, the configuration in force stays as a whole.
func (s *service) reload() {
	s.verifier.Reload()
	if s.file == noFile {
		return
	}
	restart, err := s.reconfigure()
	if err != nil {
		s.log.Error("the configuration is not taken up, the old one stays in force", "error", err)
		return
	}
	s.log.Info("configuration taken up")
	if len(restart) > 0 {
		s.log.Warn("changed keys that need a restart", "keys", restart)
	}
}

// reconfigure reads the configuration again and puts it in force. restart are
// the keys that have changed and need a restart.
func (s *service) reconfigure() (restart []string, err error) {
	next, err := config.Load(s.file, os.Environ())
	if err != nil {
		return nil, err
	}
	if err := checkConfig(next); err != nil {
		return nil, err
	}
	now, restart, err := s.cfg.Reload(next)
	if err != nil {
		return nil, fmt.Errorf("together with the keys that need a restart: %w", err)
	}
	return restart, s.apply(now)
}

// apply puts a configuration in force: what can fail comes first.
func (s *service) apply(c *config.Config) error {
	level, err := telemetry.ParseLevel(string(c.Log.Level))
	if err != nil {
		return err
	}
	o := proxyOptions(c, s.log)
	tls := (&service{cfg: c, log: s.log}).addTLS(&o)
	issuers := authOptions(c, s.log)
	if s.isolation != nil {
		issuers.Issuers = append(issuers.Issuers, s.isolation.issuer())
	}
	verify, err := s.verifier.Prepare(issuers)
	if err := errors.Join(tls, err); err != nil {
		return err
	}
	if err := s.catalogs.setPolicy(c); err != nil {
		return err
	}
	verify()
	s.level.Set(level)
	s.blocked.SetMaxSize(c.BlockedLog.MaxSizeMB)
	s.proxy.Reconfigure(o.Changeable())
	s.cfg = c
	return nil
}
