package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/harden"
)

// statusReport is the JSON form of a status.
type statusReport struct {
	State       string            `json:"state"` // none, applied, started, changed
	Fingerprint string            `json:"fingerprint"`
	Changes     []string          `json:"changes"`
	Migrations  []statusMigration `json:"migrations"`
}

type statusMigration struct {
	ID               int       `json:"id"`
	State            string    `json:"state"`
	StartedAt        time.Time `json:"started_at"`
	By               string    `json:"by"`
	Version          string    `json:"version"`
	Context          string    `json:"context"`
	AppRoles         []string  `json:"app_roles"`
	Done             int       `json:"done"`
	Steps            int       `json:"steps"`
	StartFingerprint string    `json:"start_fingerprint"`
	EndFingerprint   string    `json:"end_fingerprint"`
}

func showStatus(cmd *cobra.Command, s *harden.Status, format string) error {
	report := statusReport{State: "none", Fingerprint: s.Fingerprint, Changes: s.Changes, Migrations: []statusMigration{}}
	if report.Changes == nil {
		report.Changes = []string{}
	}
	for _, m := range s.Migrations {
		done, all := m.Steps()
		report.State = string(m.State)
		report.Migrations = append(report.Migrations, statusMigration{
			ID: m.ID, State: string(m.State), StartedAt: m.StartedAt.UTC(), By: m.By, Version: m.Version, Context: m.Context, AppRoles: m.AppRoles,
			Done: done, Steps: all, StartFingerprint: m.Start.Fingerprint(), EndFingerprint: m.End.Fingerprint(),
		})
	}
	if len(s.Changes) > 0 {
		report.State = "changed"
	}
	if format == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		printStatus(newDisplay(cmd.OutOrStdout()), &report)
	}
	if report.State == "changed" || report.State == string(harden.Started) {
		return &exitError{code: exitFindings}
	}
	return nil
}

func printStatus(d display, r *statusReport) {
	if len(r.Migrations) == 0 {
		d.printf("Nothing was applied by `bulkhead harden apply`.\n")
		return
	}
	rows := [][]string{{"ID", "TIME", "STATE", "STEPS", "CONTEXT", "BY", "VERSION"}}
	for _, m := range r.Migrations {
		rows = append(rows, []string{
			itoa(m.ID), showTime(m.StartedAt), m.State, itoa(m.Done) + "/" + itoa(m.Steps), m.Context, printable(m.By), printable(m.Version),
		})
	}
	d.table(rows)
	d.printf("\n")
	switch {
	case len(r.Changes) > 0:
		d.printf("%s\n", d.paint(colourRed, "The database has changed since:"))
		for _, line := range r.Changes {
			d.printf("  %s\n", printable(line))
		}
	case r.State == string(harden.Started):
		d.printf("%s\n", d.paint(colourYellow, "The latest migration is not complete: apply again, or roll it back."))
	default:
		d.printf("%s\n", d.paint(colourGreen, "The database is as the latest migration left it."))
	}
}
