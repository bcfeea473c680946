package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make and look at tokens: an issuer for development, workers and legacy services",
		Args:  groupArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newTokenMintCommand(), newTokenInspectCommand(), newTokenKeygenCommand())
	return cmd
}

func newTokenMintCommand() *cobra.Command {
	var o auth.MintOptions
	var orgs []string
	var claims string
	var service bool
	cmd := &cobra.Command{
		Use:   "mint --key FILE {--org ORG | --service}",
		Short: "Sign a token",
		Long: `Sign a token with a private key (PEM) or a shared secret, and print it. Whoever has
the key is every tenant: keep it where only the issuer can read it.`,
		Example: `  bulkhead token keygen --out dev.key
  PGPASSWORD=$(bulkhead token mint --key dev.key --org 11111111-1111-4111-8111-111111111111) psql -h 127.0.0.1 -p 6432`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if claims != "" {
				if err := json.Unmarshal([]byte(claims), &o.Claims); err != nil {
					return usageErrorf("--claims is not a JSON object")
				}
			}
			o.Org, o.Now = orgClaim(orgs), time.Now()
			token, err := auth.Mint(o)
			if err != nil {
				return usageErrorf("%w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.KeyFile, "key", "", "private key (PEM) or shared secret")
	f.StringArrayVar(&orgs, "org", nil, "org the token acts for; several, or '*', for a worker that picks one")
	f.BoolVar(&service, "service", false, "no org: for a service that takes other identities")
	f.StringVar(&o.Subject, "sub", "", "subject: the user")
	f.StringVar(&o.Role, "role", "", "role claim")
	f.DurationVar(&o.TTL, "ttl", time.Hour, "how long the token is valid")
	f.StringVar(&o.Audience, "aud", "bulkhead", "audience")
	f.StringVar(&o.Issuer, "iss", "bulkhead", "issuer")
	f.StringVar(&o.OrgClaim, "org-claim", "org_id", "name of the org claim")
	f.StringVar(&claims, "claims", "", "further claims, as a JSON object")
	_ = cmd.MarkFlagRequired("key")
	cmd.MarkFlagsOneRequired("org", "service")
	cmd.MarkFlagsMutuallyExclusive("org", "service")
	return cmd
}

// orgClaim is the claim for that many orgs.
func orgClaim(orgs []string) any {
	switch len(orgs) {
	case 0:
		return nil
	case 1:
		return orgs[0]
	}
	return orgs
}

func newTokenKeygenCommand() *cobra.Command {
	var kind, out string
	cmd := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "Make a key that signs tokens",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			private, public, algorithm, err := auth.GenerateKey(kind)
			if err != nil {
				return usageErrorf("%w", err)
			}
			if err := writeNew(out, private, 0o600); err != nil {
				return usageErrorf("%w", err)
			}
			snippet := "secret_file: " + out
			if public != nil {
				if err := writeNew(out+".pub", public, 0o644); err != nil {
					return usageErrorf("%w", err)
				}
				snippet = "public_key_file: " + out + ".pub"
			}
			fmt.Fprintf(cmd.OutOrStdout(), `auth:
  issuers:
    - issuer: bulkhead
      audience: bulkhead
      algorithms: [%s]
      %s
`, algorithm, snippet)
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "type", "ed25519", "kind of key: "+strings.Join(auth.KeyTypes, ", "))
	cmd.Flags().StringVar(&out, "out", "", "file for the private key; the public one gets .pub behind its name")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// writeNew makes a file that must not exist: a key that is overwritten is
// lost.
func writeNew(name string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func newTokenInspectCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "inspect [TOKEN | -]",
		Short: "Show what a token says, and with --config whether it would be accepted",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := tokenArgument(cmd, args)
			if err != nil {
				return err
			}
			if err := printToken(cmd.OutOrStdout(), raw); err != nil {
				return err
			}
			if file == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "not verified: this is what the token says of itself; give --config to check it")
				return nil
			}
			return verifyToken(cmd, file, raw)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration whose issuers are to check the token")
	return cmd
}

func tokenArgument(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
	if err != nil {
		return "", usageErrorf("read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// printToken prints the two readable parts of a token.
func printToken(w io.Writer, raw string) error {
	parts := strings.Split(raw, ".")
	if raw == "" {
		return notToken("nothing was given")
	}
	if len(parts) != 3 {
		return notToken(fmt.Sprintf("want three parts joined by dots, got %d", len(parts)))
	}
	for i, name := range []string{"header", "claims"} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return notToken("the part of the " + name + " is not base64url")
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			return notToken("the part of the " + name + " is not JSON")
		}
		pretty, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %s\n", name, pretty)
	}
	return nil
}

// notToken says what is wrong with a text and what to do. It quotes nothing:
// a token with a letter too many is still a secret.
func notToken(why string) error {
	return &exitError{code: exitFindings, err: fmt.Errorf("not a token: %s\n"+
		"hint: give one JSON Web Token, header.claims.signature, whole and without quotes, \"Bearer\" or line breaks, "+
		"as the argument or on standard input; `bulkhead token mint` makes one", why)}
}

func verifyToken(cmd *cobra.Command, file, raw string) error {
	cfg, err := config.Load(file, os.Environ())
	if err != nil {
		return usageErrorf("%w", err)
	}
	v, err := auth.New(authOptions(cfg, slog.New(slog.DiscardHandler)))
	if err != nil {
		return usageErrorf("%w", err)
	}
	ctx, stop := context.WithTimeout(cmd.Context(), 10*time.Second)
	defer stop()
	id, err := v.Verify(ctx, []byte(raw))
	if err != nil {
		return &exitError{code: exitFindings, err: err}
	}
	org := id.Org
	switch {
	case id.AllOrgs:
		org = "any (to be picked)"
	case len(id.Orgs) > 0:
		org = "one of " + strings.Join(id.Orgs, " ") + " (to be picked)"
	case org == "":
		org = "none (a service)"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "accepted: org %s, subject %q, role %q, until %s\n", org, id.Subject, id.Role, id.Expires.UTC().Format(time.RFC3339))
	return nil
}

// rand32 returns 43 random characters that are safe anywhere: 32 bytes.
func rand32() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func mintDemoToken(secretFile, org string) (string, error) {
	return auth.Mint(auth.MintOptions{
		KeyFile: secretFile, Issuer: "demo", Audience: "bulkhead", Org: org, Subject: "demo", TTL: 24 * time.Hour, Now: time.Now(),
	})
}
