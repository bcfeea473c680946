// Package inventory reads what a database holds: everything of pg_catalog
// that decides who can reach which row.
//
// [Load] reads it in one REPEATABLE READ READ ONLY transaction into plain
// structs ([Snapshot]); it needs no superuser, writes nothing and works on
// PostgreSQL 13 to 18. [Resolve] adds what the operator says or what can be
// guessed (a [Selection]: application roles, root table, global tables, names
// of tenant columns) and gives a [Model]: the class of each table (root,
// direct, indirect, global, unknown), and what the application can reach.
//
// The schema half is built on it: audit judges a Model, harden plans from it,
// verify walks over its relations. Nothing here judges.
//
// Objects are spelled as reports spell them by their Object methods:
// schema.table quoted as quote_ident does, schema.table.column,
// schema.table:name for policies, constraints, indexes, triggers and rules
// (name as stored), schema.name(identity arguments) for functions.
//
// A Snapshot and a Model are built once and then only read.
package inventory
