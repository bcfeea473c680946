// Command bulkhead is the PostgreSQL proxy that keeps tenants apart, and the
// tools around it.
//
// This package holds flags and wiring only, one file per command: each reads
// its flags (and the configuration where it needs one), fills the Options of
// the packages that do the work, and turns their errors into the exit codes
// of exit.go. It is the only importer of internal/config.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code. SIGINT and SIGTERM
// cancel the command's context; a second one ends the process at once.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(os.Stdin)
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	return execute(ctx, root)
}
