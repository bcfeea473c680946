package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/harden"
)

func newHardenWriteCommand() *cobra.Command {
	var f hardenFlags
	var times applyFlags
	var out string
	var number int
	var overwrite bool
	var formats []string
	for _, x := range harden.Formats() {
		formats = append(formats, string(x))
	}
	cmd := &cobra.Command{
		Use:   "write --dsn DSN --out DIR",
		Short: "Write what would be done as files of a migration tool",
		Long: `Writes the plan as files, each with the way back in it or beside it. The first file
of each phase does nothing unless the database is still in the state that the
plan was made for. Roles, which belong to the whole cluster, have a file of
their own; so has each step of the integrity phase.`,
		Example: `  bulkhead harden write --config bulkhead.yaml --format goose --number 42 --out migrations`,
		Args:    cobra.NoArgs,
	}
	f.add(cmd)
	times.addTimes(cmd)
	format := addFormat(cmd, formats...)
	cmd.Flags().StringVarP(&out, "out", "o", ".", "folder for the files; it is made if need be")
	cmd.Flags().IntVar(&number, "number", 1, "number of the first file, for tools that count")
	cmd.Flags().BoolVar(&times.perTable, "per-table", false, "a file, and so a transaction, for each table")
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace files that exist")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(checkFormat(*format, formats...), times.check()); err != nil {
			return err
		}
		return f.withPlan(cmd, func(_ *pgx.Conn, plan *harden.Plan) error {
			files, err := harden.Render(plan, harden.RenderOptions{
				Format: harden.Format(*format), Number: number, Time: time.Now(), PerTable: times.perTable,
				LockTimeout: times.lockTimeout, StatementTimeout: times.statementLimit,
			})
			if err != nil {
				return err
			}
			printWarnings(newDisplay(cmd.ErrOrStderr()), plan)
			return writeFiles(cmd, out, files, overwrite)
		})
	}
	return cmd
}

// writeFiles writes all files or, if one of them is there already, none.
func writeFiles(cmd *cobra.Command, dir string, files []harden.File, overwrite bool) error {
	if len(files) == 0 {
		cmd.Println("Nothing to do: no file was written.")
		return nil
	}
	var there []string
	for _, file := range files {
		if _, err := os.Lstat(filepath.Join(dir, file.Name)); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, file.Name)
		}
	}
	if len(there) > 0 && !overwrite {
		return usageErrorf("%s exists already: name another --out or --number, or say --overwrite", strings.Join(there, ", "))
	}
	d := newDisplay(cmd.OutOrStdout())
	for _, file := range files {
		path := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return usageErrorf("make the folder: %w", err)
		}
		if err := os.WriteFile(path, []byte(file.Content), 0o644); err != nil {
			return usageErrorf("write the file: %w", err)
		}
		d.printf("%s\n", printable(path))
	}
	return nil
}
