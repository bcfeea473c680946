package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/audit"
	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
)

// installChanges compares the tenant context in a database with what this
// version ships, in the mode that it was installed in.
func installChanges(ctx context.Context, tx pgx.Tx) ([]audit.InstallChange, error) {
	installed, err := dbcontext.Read(ctx, tx)
	if err != nil {
		return nil, err
	}
	const orgID = "bulkhead.org_id()"
	_, there := installed.Objects[orgID]
	_, rest := installed.Objects["bulkhead.claims()"]
	o, shipped := installed.Options()
	switch {
	case !there && !rest:
		return nil, nil // no context is installed
	case !there:
		return []audit.InstallChange{{Object: orgID, Detail: "is missing"}}, nil
	case !shipped:
		return []audit.InstallChange{{Object: orgID, Detail: "its definition is none that this version ships"}}, nil
	}
	var changes []audit.InstallChange
	for _, c := range installed.Changes(o) {
		changes = append(changes, audit.InstallChange{Object: c.Object, Detail: c.Detail})
	}
	return changes, nil
}
