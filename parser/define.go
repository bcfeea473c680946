package parser

import "strings"

// addDefinitionHandlers adds those for DDL.
func addDefinitionHandlers(table map[string]handler) {
	table["CreateStmt"] = creates("relation")
	table["ViewStmt"] = creates("view")
	table["CreateSeqStmt"] = creates("sequence")
	table["CompositeTypeStmt"] = compositeType
	table["TableLikeClause"] = func(w *walker, n node) { w.with(AccessRead, func() { w.descend(n) }) }
	table["AlterTableCmd"] = alterTableCmd
	table["AlterOwnerStmt"] = alterOwner
	table["CreateFunctionStmt"] = functionStmt
	table["AlterFunctionStmt"] = functionStmt
	table["ObjectWithArgs"] = objectWithArgs
	table["AccessPriv"] = accessPriv
	table["DropStmt"] = dropStmt
	table["CommentStmt"] = func(w *walker, n node) { w.object(n, "objtype", "object") }
	table["SecLabelStmt"] = func(w *walker, n node) { w.object(n, "objtype", "object") }
	table["AlterObjectSchemaStmt"] = func(w *walker, n node) { w.object(n, "object_type", "object") }
	table["AlterObjectDependsStmt"] = func(w *walker, n node) { w.object(n, "object_type", "object") }
	table["AlterExtensionContentsStmt"] = func(w *walker, n node) { w.object(n, "objtype", "object") }
	table["RenameStmt"] = func(w *walker, n node) { w.object(n, "rename_type", "object") }
}

// utility walks through a statement that acts on the relations that it names
// itself; those in queries below are read.
func (w *walker) utility(n node, skip ...string) {
	for _, f := range nameFields(n) {
		if text := n.text(f); text != "" {
			w.objectName(Name{Name: text})
		}
	}
	for _, f := range nameLists(n) {
		w.objectName(nameOf(stringsOf(n.list(f))))
	}
	if n.message.named("behavior") != nil {
		w.behavior(n)
	}
	if role := n.message.named("role"); role != nil && role.message == nil {
		w.statement.Roles = append(w.statement.Roles, n.text("role"))
	}
	w.with(AccessAlter, func() { w.descend(n, skip...) })
}

// nameFields are the fields that hold the unqualified name of the object of a
// statement.
func nameFields(n node) []string {
	var fields []string
	for _, f := range []string{
		"schemaname", "extname", "policy_name", "trigname", "rulename", "idxname", "fdwname", "servername", "amname", "plname", "dbname",
		"tablespacename", "pubname", "subname", "indexname", "local_schema",
	} {
		if d := n.message.named(f); d != nil && d.message == nil {
			fields = append(fields, f)
		}
	}
	return fields
}

// nameLists are the fields that hold it in parts.
func nameLists(n node) []string {
	var fields []string
	for _, f := range []string{
		"defnames", "domainname", "type_name", "funcname", "opclassname", "opfamilyname", "conversion_name", "collname", "dictname", "cfgname",
	} {
		if d := n.message.named(f); d != nil && d.message != nil && d.message.oneof {
			fields = append(fields, f)
		}
	}
	return fields
}

func (w *walker) objectName(name Name) {
	if name.Name == "" {
		return
	}
	if name.Schema == "pg_temp" && strings.HasPrefix(w.statement.Kind.String(), "CREATE") {
		w.statement.Flags |= FlagTemp
	}
	w.statement.ObjectNames = append(w.statement.ObjectNames, name)
}

// creates makes the handler of a statement that creates the relation in a
// field.
func creates(field string) handler {
	return func(w *walker, n node) {
		w.target(n, field, AccessCreate)
		w.utility(n, field)
	}
}

// compositeType is CREATE TYPE x AS (...): what it creates is no relation to
// read from.
func compositeType(w *walker, n node) {
	r := n.child("typevar")
	w.objectName(Name{Catalog: r.text("catalogname"), Schema: r.text("schemaname"), Name: r.text("relname")})
	w.descend(r)
	w.utility(n, "typevar")
}

func alterTableCmd(w *walker, n node) {
	switch n.enum("subtype") {
	case "AT_EnableRowSecurity", "AT_DisableRowSecurity", "AT_ForceRowSecurity", "AT_NoForceRowSecurity":
		w.statement.Flags |= FlagRowSecurity
	case "AT_ChangeOwner":
		w.statement.Flags |= FlagOwner
	}
	w.descend(n)
}

func alterOwner(w *walker, n node) {
	w.statement.Flags |= FlagOwner
	w.object(n, "object_type", "object")
}

// functionStmt is CREATE or ALTER FUNCTION or PROCEDURE.
func functionStmt(w *walker, n node) {
	saved := w.stored
	w.stored = true
	w.utility(n)
	w.stored = saved
}

func objectWithArgs(w *walker, n node) {
	w.objectName(nameOf(stringsOf(n.list("objname"))))
	w.descend(n)
}

// accessPriv is a privilege, or in GRANT role TO role the role that is granted.
func accessPriv(w *walker, n node) {
	if k := w.statement.Kind; k == KindGrantRole || k == KindRevokeRole {
		w.statement.Roles = append(w.statement.Roles, n.text("priv_name"))
	}
	w.descend(n)
}

func dropStmt(w *walker, n node) {
	for _, o := range n.list("objects") {
		w.named(n.enum("remove_type"), o)
	}
	w.utility(n)
}

// object walks through a statement that names one object, whose type is in
// another field.
func (w *walker) object(n node, typeField, objectField string) {
	w.named(n.enum(typeField), n.child(objectField))
	w.utility(n)
}

// named lists an object of a type by its name: as a relation if it is one or
// hangs on one.
func (w *walker) named(objectType string, n node) {
	parts := stringsOf(n.items())
	if len(parts) == 0 {
		return // a type, or a function with arguments: its own handler lists it
	}
	switch objectType {
	case "OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_FOREIGN_TABLE":
		w.altered(nameOf(parts))
	case "OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY":
		if len(parts) > 1 {
			w.altered(nameOf(parts[:len(parts)-1]))
		}
		w.objectName(Name{Name: parts[len(parts)-1]})
	default:
		w.objectName(nameOf(parts))
	}
}

func (w *walker) altered(name Name) {
	w.statement.Relations = append(w.statement.Relations, Relation{Name: name, Access: AccessAlter, Temp: name.Schema == "pg_temp"})
}
