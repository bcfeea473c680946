package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// defaultGrace is for how long a key counts after it was rotated out. The
// proxy signs with the new one within seconds of its file; what is left is for
// transactions that run.
const defaultGrace = 10 * time.Minute

const dsnUsage = "connection string of an administrator: a superuser, or the role that installed the context; without it the PG variables count"

func newKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, rotate and retire the keys that sign the tenant context",
		Args:  groupArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newKeyNewCommand(), newKeyListCommand(), newKeyRotateCommand(), newKeyRetireCommand())
	return cmd
}

func newKeyNewCommand() *cobra.Command {
	var dsn, file string
	var id int
	cmd := &cobra.Command{
		Use:   "new --file FILE [--dsn DSN]",
		Short: "Make a signing key",
		Long: `Make a signing key and write it to a new file, which tenant.signing_key_file names.
With --dsn the database is told of it first; its number is then the next that is
free. Without --dsn the number is 1, or --kid.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("dsn") {
				return writeKeyFile(cmd, file, max(id, 1))
			}
			if _, err := os.Stat(file); err == nil {
				return usageErrorf("%s exists: a key that is overwritten is lost; use bulkhead key rotate", file)
			}
			return withAdmin(cmd.Context(), dsn, func(ctx context.Context, c *pgx.Conn) error {
				k, err := addNewKey(ctx, c, id)
				if err != nil {
					return err
				}
				if err := writeNew(file, tenant.FormatKey(k), 0o600); err != nil {
					return usageErrorf("the database knows key %d, but its file cannot be written: %w", k.ID(), err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "key %d: added to the database, written to %s\n", k.ID(), file)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&dsn, "dsn", "", dsnUsage)
	cmd.Flags().StringVar(&file, "file", "", "file for the key")
	cmd.Flags().IntVar(&id, "kid", 0, "number of the key; 0: the next that is free")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func writeKeyFile(cmd *cobra.Command, file string, id int) error {
	k, err := randomKey(id)
	if err != nil {
		return usageErrorf("%w", err)
	}
	if err := writeNew(file, tenant.FormatKey(k), 0o600); err != nil {
		return usageErrorf("%w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "key %d: written to %s; no database knows it yet\n", id, file)
	return nil
}

// randomKey makes a key of 32 random bytes, as long as the digest.
func randomKey(id int) (*tenant.Key, error) {
	var secret [tenant.MinKeyBytes]byte
	rand.Read(secret[:])
	return tenant.NewKey(id, secret[:])
}

// addNewKey makes a key and tells the database; id 0 takes the number after
// the last.
func addNewKey(ctx context.Context, c *pgx.Conn, id int) (*tenant.Key, error) {
	if id == 0 {
		keys, err := dbcontext.Keys(ctx, c)
		if err != nil {
			return nil, err
		}
		if id = nextKeyID(keys); id == 0 {
			return nil, errors.New("the database holds a key of every number")
		}
	}
	k, err := randomKey(id)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	return k, dbcontext.AddKey(ctx, c, id, k.Secret())
}

// nextKeyID returns the number after the last, or at the end of the numbers
// the first that is free; 0 if there is none.
func nextKeyID(keys []dbcontext.KeyInfo) int {
	if n := len(keys); n == 0 {
		return 1
	} else if last := keys[n-1].ID; last < tenant.MaxKeyID {
		return last + 1
	}
	for i, k := range keys {
		if k.ID != i+1 {
			return i + 1
		}
	}
	return 0
}

func newKeyListCommand() *cobra.Command {
	var dsn string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--dsn DSN]",
		Short: "List the keys that the database knows, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAdmin(cmd.Context(), dsn, func(ctx context.Context, c *pgx.Conn) error {
				keys, err := dbcontext.Keys(ctx, c)
				if err != nil {
					return err
				}
				if asJSON {
					return printKeysJSON(cmd.OutOrStdout(), keys)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "KID\tCREATED\tSTATE")
				for _, k := range keys {
					fmt.Fprintf(w, "%d\t%s\t%s\n", k.ID, k.Created.UTC().Format(time.RFC3339), keyState(&k, time.Now()))
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&dsn, "dsn", "", dsnUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func keyState(k *dbcontext.KeyInfo, now time.Time) string {
	switch {
	case k.NotAfter == nil:
		return "active"
	case k.Ended(now):
		return "ended " + k.NotAfter.UTC().Format(time.RFC3339)
	default:
		return "ends " + k.NotAfter.UTC().Format(time.RFC3339)
	}
}

func newKeyRotateCommand() *cobra.Command {
	var dsn, file string
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "rotate --file FILE [--dsn DSN]",
		Short: "Replace the signing key while the proxy runs",
		Long: `Replace the signing key in three steps, each of which is safe to stop after: the
database is told of a new key, which its standbys have to replay, the file is replaced in one piece, so that the
proxy signs with the new key within seconds, and the old key ends after a grace
period. Signatures of both count meanwhile. The period must be longer than the
longest transaction, and than it takes the file to reach every proxy: if that
is not at once, use bulkhead key new, distribute the file, and then bulkhead key
retire.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 {
				return usageErrorf("--grace %s is negative", grace)
			}
			old, err := tenant.LoadKey(file)
			if err != nil {
				return usageErrorf("%w\nhint: the first key is made by bulkhead key new", err)
			}
			return withAdmin(cmd.Context(), dsn, func(ctx context.Context, c *pgx.Conn) error {
				return rotate(ctx, cmd.OutOrStdout(), c, file, old, grace)
			})
		},
	}
	cmd.Flags().StringVar(&dsn, "dsn", "", dsnUsage)
	cmd.Flags().StringVar(&file, "file", "", "the key file that tenant.signing_key_file names")
	cmd.Flags().DurationVar(&grace, "grace", defaultGrace, "for how long the old key still counts")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func rotate(ctx context.Context, out io.Writer, c *pgx.Conn, file string, old *tenant.Key, grace time.Duration) error {
	k, err := addNewKey(ctx, c, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "key %d: added to the database\n", k.ID())
	waiting, stop := context.WithTimeout(ctx, standbyTimeout)
	defer stop()
	if behind, err := dbcontext.AwaitStandbys(waiting, c); err != nil || len(behind) > 0 {
		return fmt.Errorf("the proxy keeps key %d: key %d has not reached the standbys %v in time (%w); "+
			"run the command again when they have caught up", old.ID(), k.ID(), behind, errors.Join(err, waiting.Err()))
	}
	if err := replaceFile(file, tenant.FormatKey(k)); err != nil {
		return fmt.Errorf("the proxy keeps key %d, key %d is not in use: %w", old.ID(), k.ID(), err)
	}
	fmt.Fprintf(out, "key %d: written to %s\n", k.ID(), file)
	found, err := dbcontext.RetireKey(ctx, c, old.ID(), grace)
	switch {
	case err != nil:
		return fmt.Errorf("key %d is in use, but key %d has not been retired: %w", k.ID(), old.ID(), err)
	case found:
		fmt.Fprintf(out, "key %d: ends in %s\n", old.ID(), grace)
	default:
		fmt.Fprintf(out, "key %d: the database did not know it\n", old.ID())
	}
	return nil
}

// replaceFile puts a new file in the place of an old one, which keeps its
// owner and mode: who reads it sees the one or the other, never a part.
func replaceFile(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".bulkhead-key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	if err := keepOwner(f, info); err != nil {
		f.Close()
		return fmt.Errorf("give the new file the owner of the old one: %w", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func newKeyRetireCommand() *cobra.Command {
	var dsn string
	var id int
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "retire --kid N [--dsn DSN]",
		Short: "End a key: at once, or after a grace period",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 {
				return usageErrorf("--grace %s is negative", grace)
			}
			return withAdmin(cmd.Context(), dsn, func(ctx context.Context, c *pgx.Conn) error {
				found, err := dbcontext.RetireKey(ctx, c, id, grace)
				if err != nil {
					return err
				}
				if !found {
					return &exitError{code: exitFindings, err: fmt.Errorf("the database knows no key %d; bulkhead key list shows those that it knows", id)}
				}
				fmt.Fprintf(cmd.OutOrStdout(), "key %d: ends in %s, if not before\n", id, grace)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&dsn, "dsn", "", dsnUsage)
	cmd.Flags().IntVar(&id, "kid", 0, "number of the key")
	cmd.Flags().DurationVar(&grace, "grace", 0, "for how long it still counts")
	_ = cmd.MarkFlagRequired("kid")
	return cmd
}

// adminTimeout bounds a command that an administrator waits for, standbyTimeout
// the part in which standbys replay.
const (
	adminTimeout   = time.Minute
	standbyTimeout = 30 * time.Second
)

// withAdmin runs f on a connection of an administrator's.
func withAdmin(ctx context.Context, dsn string, f func(context.Context, *pgx.Conn) error) error {
	ctx, stop := context.WithTimeout(ctx, adminTimeout)
	defer stop()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return usageErrorf("--dsn: not a connection string that libpq takes")
	}
	cfg.RuntimeParams["application_name"] = "bulkhead"
	cfg.RuntimeParams["search_path"] = ""
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return &exitError{code: exitUnreachable, err: fmt.Errorf("connect to the database: %w", err)}
	}
	defer c.Close(context.WithoutCancel(ctx))
	return f(ctx, c)
}
