package policy

import "github.com/pgbulkhead/bulkhead/parser"

func grantKinds() []parser.Kind       { return nil }
func roleKinds() []parser.Kind        { return nil }
func policyKinds() []parser.Kind      { return nil }
func ddlKinds() []parser.Kind         { return nil }
func maintenanceKinds() []parser.Kind { return nil }
func serverKinds() []parser.Kind      { return nil }
func isClassified(parser.Kind) bool   { return true }
func mayBeTemp(parser.Kind) bool      { return true }
