package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitOK          = 0 // fine
	exitFindings    = 1 // findings, a refusal, or a failure that is neither of the two below
	exitUsage       = 2 // wrong use of the command line, or a wrong configuration
	exitUnreachable = 3 // a server, a listener or a key source cannot be reached
)

// exitError is an error with the exit code that it leads to. An err of nil
// ends the command with that code and prints nothing: the command has already
// said what it found.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// usageErrorf returns an error that ends the command with exitUsage.
func usageErrorf(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// execute runs root and returns the exit code, after printing the error, if
// any, to root's error stream.
func execute(ctx context.Context, root *cobra.Command) int {
	var started bool
	noteStart(root, &started)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFindings
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		code = coded.code
		if coded.err == nil {
			return code
		}
	case !started:
		// Cobra refused the command line: an unknown command or flag, or
		// arguments that are too many, too few or contradictory.
		code = exitUsage
	}
	cmd.PrintErrln("bulkhead:", err)
	if !started {
		cmd.PrintErrf("Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

// noteStart makes every command below cmd set started when its own code
// begins to run: an error before that is an error of the command line.
func noteStart(cmd *cobra.Command, started *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			*started = true
			return run(c, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteStart(sub, started)
	}
}
