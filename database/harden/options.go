package harden

import (
	"errors"
	"fmt"
	"slices"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Options of a plan.
type Options struct {
	Selection inventory.Selection
	// Context is how the database knows the tenant; empty means the mode that
	// is installed, or plain.
	Context dbcontext.Mode
	// Phases are those to plan; empty means Main and Roles.
	Phases []Phase
	// KeepFunctions are SECURITY DEFINER functions that the application may go
	// on calling, as reports spell them, with or without arguments.
	KeepFunctions []string
	// Denormalise are tables whose tenant a foreign key tells, and that get a
	// column for it.
	Denormalise []string
}

// defaultPhases leave out what can fail on data.
var defaultPhases = []Phase{Main, Roles}

func (o *Options) check() error {
	var errs []error
	for _, p := range o.Phases {
		if !slices.Contains(Phases(), p) {
			errs = append(errs, fmt.Errorf("phase %q is unknown: want main, roles or integrity", p))
		}
	}
	if len(o.Denormalise) > 0 && !slices.Contains(o.phases(), Main) {
		errs = append(errs, errors.New("denormalise needs phase main, which puts the floor on the new column"))
	}
	if !slices.Contains([]dbcontext.Mode{"", dbcontext.Plain, dbcontext.Signed, dbcontext.Sealed}, o.Context) {
		errs = append(errs, fmt.Errorf("context %q is unknown: want plain, signed or sealed", o.Context))
	}
	return errors.Join(errs...)
}

func (o *Options) phases() []Phase {
	if len(o.Phases) == 0 {
		return defaultPhases
	}
	return o.Phases
}
