package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

// grammarVersion is the PostgreSQL whose grammar the guard reads statements
// with: that of pg_query_go v5. Statements that only a newer server knows are
// refused as not parseable.
const grammarVersion = "16.1"

// versionInfo is what `bulkhead version --json` prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // commit, if the build recorded one
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Grammar  string `json:"postgresql_grammar"`
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, Go and the PostgreSQL grammar",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := currentVersion()
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(v)
			}
			_, err := fmt.Fprintf(out, "bulkhead %s\n%s %s\nPostgreSQL grammar %s\n",
				v.Version, v.Go, v.Platform, v.Grammar)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// currentVersion describes this binary: the version from the release build,
// else what the Go tool recorded.
func currentVersion() versionInfo {
	v := versionInfo{
		Version:  version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Grammar:  grammarVersion,
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	return v
}
