package parser

import (
	"strings"
	"sync"

	pgquery "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is what the walker knows of one message type of the parse tree.
type message struct {
	name    string
	fields  []*field // by number; nil where there is none
	list    []*field // without the gaps
	handler handler  // nil: only descend
	raw     bool     // the grammar makes it; others come from analysis, which does not run here
	oneof   bool     // Node: exactly one field is set
	stmt    bool     // a statement
	query   bool     // one of those that read or write rows
}

// field is what the walker knows of one field.
type field struct {
	name    string
	number  protowire.Number
	kind    protoreflect.Kind
	message *message         // if kind is MessageKind
	values  map[int32]string // if kind is EnumKind: the names of known values
}

// loadSchema builds the table of messages from the descriptors, once. It is
// only read afterwards.
var loadSchema = sync.OnceValue(func() map[string]*message {
	table := make(map[string]*message)
	messages := pgquery.File_pg_query_proto.Messages()
	handlers := handlers()
	for i := range messages.Len() {
		name := string(messages.Get(i).Name())
		table[name] = &message{
			name: name, handler: handlers[name], raw: !isAnalysed(name), oneof: name == "Node",
			stmt: strings.HasSuffix(name, "Stmt"), query: isQueryMessage(name),
		}
	}
	for i := range messages.Len() {
		table[string(messages.Get(i).Name())].addFields(messages.Get(i), table)
	}
	return table
})

func (m *message) addFields(d protoreflect.MessageDescriptor, table map[string]*message) {
	fields := d.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		f := &field{name: string(fd.Name()), number: fd.Number(), kind: fd.Kind()}
		if fd.Message() != nil {
			f.message = table[string(fd.Message().Name())]
		}
		if e := fd.Enum(); e != nil {
			f.values = make(map[int32]string, e.Values().Len())
			for j := range e.Values().Len() {
				f.values[int32(e.Values().Get(j).Number())] = string(e.Values().Get(j).Name())
			}
		}
		for len(m.fields) <= int(f.number) {
			m.fields = append(m.fields, nil)
		}
		m.fields[f.number] = f
		m.list = append(m.list, f)
	}
}

// isAnalysed names the messages that only parse analysis, planning or the
// executor make. They cannot be in a raw parse tree; if one is, something is
// other than this package thinks.
func isAnalysed(name string) bool {
	switch name {
	case "Var", "Param", "Aggref", "WindowFunc", "SubscriptingRef", "FuncExpr", "OpExpr", "DistinctExpr", "NullIfExpr",
		"ScalarArrayOpExpr", "SubPlan", "AlternativeSubPlan", "FieldSelect", "FieldStore", "RelabelType", "CoerceViaIO",
		"ArrayCoerceExpr", "ConvertRowtypeExpr", "CollateExpr", "CaseTestExpr", "ArrayExpr", "RowCompareExpr",
		"JsonConstructorExpr", "CoerceToDomain", "CoerceToDomainValue", "NextValueExpr", "InferenceElem", "TargetEntry",
		"RangeTblRef", "FromExpr", "OnConflictExpr", "Query", "RangeTblEntry", "RTEPermissionInfo", "RangeTblFunction",
		"TableSampleClause", "WithCheckOption", "SortGroupClause", "WindowClause", "RowMarkClause", "MergeAction",
		"SetOperationStmt", "InlineCodeBlock", "CallContext", "TableFunc", "PLAssignStmt", "OidList", "IntList",
		"ScanResult", "ScanToken":
		return true
	}
	return false
}
