// Package catalog takes snapshots of a PostgreSQL catalogue: what the guard
// must know of relations and functions, and whether the login role is fit to
// serve tenants.
//
// [Load] reads everything in one REPEATABLE READ READ ONLY transaction with
// search_path = pg_catalog, so a snapshot is consistent and no object of a
// user can stand in for one of the catalogue. It needs no privilege beyond
// login and works on PostgreSQL 13 to 18.
//
// [JudgeLogin] looks at the roles: superuser, BYPASSRLS, ownership of tenant
// tables, and every way to become such a role.
package catalog
