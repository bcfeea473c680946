package parser

import (
	"slices"
	"strings"
)

// flowClass says what a function of the server does with values that a tenant
// column may meet.
type flowClass uint8

const (
	flowShapes   flowClass = iota + 1 // the result has the arguments in it, or is made of nothing else
	flowKeeps                         // the result is one of the values of the first argument
	flowEqual                         // compares its arguments, as =
	flowOrder                         // ... as <
	flowUnequal                       // ... as <>
	flowLooks                         // looks for one argument in the other
	flowMember                        // a member of a JSON document
	flowElements                      // the members of a JSON document
	flowBuilds                        // a JSON document of the arguments
	flowCounts                        // a number that tells nothing of an id but whether it is one
	flowSets                          // set_config: the second argument
	flowSplits                        // the parts of the first argument
)

// flowNames are the functions of pg_catalog that are followed. What is not
// here returns something that is not known before execution.
var flowNames = func() map[string]flowClass {
	table := make(map[string]flowClass)
	for class, names := range map[flowClass]string{
		flowShapes: `lower upper initcap btrim ltrim rtrim concat concat_ws left right substr substring replace reverse repeat lpad rpad
			translate overlay split_part regexp_replace regexp_substr regexp_match regexp_matches format to_char to_number to_hex to_ascii
			decode encode convert_from convert_to convert chr md5 sha224 sha256 sha384 sha512 normalize unistr casefold
			quote_literal quote_ident quote_nullable text varchar bpchar uuid int2 int4 int8 numeric float4 float8 oid name
			uuid_in uuid_out uuid_send textin textout textsend varcharin varcharout int2in int4in int8in int2out int4out int8out numeric_in numeric_out
			textcat array_append array_prepend array_cat array_remove array_replace array_to_string string_agg
			to_json to_jsonb row_to_json array_to_json json_agg jsonb_agg jsonb_strip_nulls json_strip_nulls jsonb_pretty record_out
			abs int4abs int8abs sign ceil ceiling floor round trunc int4um int8um int4up int8up int4pl int8pl int48pl int84pl int24pl int42pl
			int4mi int8mi int48mi int84mi int24mi int42mi int4mul int8mul int48mul int84mul int4div int8div int48div int84div numeric_add numeric_sub numeric_mul numeric_div
			div power sqrt gcd lcm factorial hashtext hashtextextended uuid_hash hashint4 hashint8 xpath xml
			to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery tsvector tsquery jsonb json`,
		flowBuilds: `json_build_object jsonb_build_object json_build_array jsonb_build_array json_object jsonb_object json_object_agg jsonb_object_agg
			jsonb_set jsonb_insert jsonb_concat`,
		flowCounts: "length char_length character_length octet_length ascii bit_length mod",
		flowKeeps: `unnest array_agg min max first_value last_value nth_value lag lead any_value generate_series array_fill trim_array
			similar_to_escape similar_escape like_escape`,
		flowSets:   "set_config",
		flowSplits: "string_to_array string_to_table regexp_split_to_array regexp_split_to_table",
		flowEqual: `uuid_eq texteq int2eq int4eq int8eq int24eq int42eq int28eq int82eq int48eq int84eq numeric_eq bpchareq byteaeq nameeq array_eq record_eq
			jsonb_eq`,
		flowOrder: `uuid_lt uuid_le uuid_gt uuid_ge uuid_cmp text_lt text_le text_gt text_ge bttextcmp btint2cmp btint4cmp btint8cmp btint48cmp btint84cmp
			int4lt int4le int4gt int4ge int8lt int8le int8gt int8ge numeric_cmp array_position array_positions arraycontains arraycontained arrayoverlap
			jsonb_contains jsonb_contained`,
		flowUnequal: `uuid_ne textne int2ne int4ne int8ne int48ne int84ne numeric_ne array_ne textnlike notlike texticnlike textregexne texticregexne`,
		flowLooks: `starts_with textlike like texticlike textregexeq texticregexeq strpos position regexp_like regexp_count regexp_instr
			jsonb_exists jsonb_exists_any jsonb_exists_all ts_match_vq ts_match_tt jsonb_path_exists jsonb_path_match jsonb_path_exists_opr jsonb_path_match_opr`,
		flowMember: `json_extract_path json_extract_path_text jsonb_extract_path jsonb_extract_path_text json_object_field json_object_field_text
			jsonb_object_field jsonb_object_field_text json_array_element json_array_element_text jsonb_array_element jsonb_array_element_text`,
		flowElements: `json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each
			jsonb_each_text jsonb_path_query jsonb_path_query_first jsonb_path_query_array json_to_record json_to_recordset jsonb_to_record jsonb_to_recordset
			json_populate_record json_populate_recordset jsonb_populate_record jsonb_populate_recordset`,
	} {
		for _, name := range strings.Fields(names) {
			table[name] = class
		}
	}
	return table
}()

// call follows a function call.
func (f *flow) call(n node, s *scope) flowValue {
	var args []flowValue
	for _, a := range n.list("args") {
		args = append(args, f.argument(a, s))
	}
	f.rest(n, s, "args", "funcname")
	name := nameOf(stringsOf(n.list("funcname")))
	if name.Schema != "" && name.Schema != "pg_catalog" || len(args) == 0 {
		return f.userCall(name, args)
	}
	switch flowNames[name.Name] {
	case flowSets:
		return args[min(1, len(args)-1)]
	case flowShapes:
		f.comparePart(name.Name, args)
		return f.combine(args, foldFunction(name.Name))
	case flowBuilds:
		return f.built(args)
	case flowCounts:
		return f.counted(args)
	case flowKeeps:
		return f.kept(name.Name, args)
	case flowSplits:
		return f.splitAll(args)
	case flowEqual:
		f.compareArgs(opEqual, args)
	case flowOrder:
		f.compareArgs(opOrder, args)
	case flowUnequal:
		f.compareArgs(opUnequal, args)
	case flowLooks:
		f.compareArgs(opRegex, args)
		f.compareArgs(opRegex, []flowValue{last(args), args[0]})
	case flowMember:
		return f.jsonMember(args[0], last(args))
	case flowElements:
		return f.elements(n, args)
	default:
		return f.userCall(name, args)
	}
	return flowValue{opaque: true}
}

// comparePart notes what a function that shapes a text looks for in it.
func (f *flow) comparePart(name string, args []flowValue) {
	switch name {
	case "replace", "regexp_replace", "regexp_match", "regexp_matches", "regexp_substr", "split_part", "btrim", "ltrim", "rtrim", "translate":
		f.compareArgs(opPart, slices.Clone(args))
	case "substring":
		if len(args) == 2 {
			f.compareArgs(opPart, slices.Clone(args))
		}
	case "int4mi", "int8mi", "int48mi", "int84mi", "numeric_sub":
		f.compareArgs(opUnequal, slices.Clone(args))
	}
}

// argument follows the argument of a function. A row in it is what its columns
// are.
func (f *flow) argument(n node, s *scope) flowValue {
	v := f.value(n, s)
	if len(v.fields) > 0 {
		v.leaves = append(v.leaves[:len(v.leaves):len(v.leaves)], f.inside(v)...)
	}
	return v
}

// userCall is a call of a function that is not followed. What has the name of
// a function may be the field of a row: org_id(accounts).
func (f *flow) userCall(name Name, args []flowValue) flowValue {
	if len(args) == 1 && len(args[0].fields) > 0 && name.Schema == "" {
		return f.fieldOf(args[0], name.Name)
	}
	return flowValue{opaque: true}
}

func last(args []flowValue) flowValue { return args[len(args)-1] }

func (f *flow) compareArgs(op operator, args []flowValue) {
	if len(args) > 1 {
		args[0].fields, args[1].fields = nil, nil // their leaves stand for them
		f.compare(op, args[0], args[1])
	}
}

// counted is a number that is made of constants, or tells too little.
func (f *flow) counted(args []flowValue) flowValue {
	v := f.combine(args, nil)
	if slices.ContainsFunc(v.leaves, func(l leaf) bool { return l.column != nil || l.value.Kind != ValueConstant }) {
		return flowValue{opaque: true}
	}
	return v
}

// built is a document. The keys are not followed: a column in it is a part of
// something larger.
func (f *flow) built(args []flowValue) flowValue {
	v := f.combine(args, nil)
	for i := range v.leaves {
		if l := &v.leaves[i]; l.column != nil {
			l.flags |= FlagColumnInRow
		}
	}
	return v
}

// kept are the values that the first argument has: in an array or a list.
func (f *flow) kept(name string, args []flowValue) flowValue {
	v := args[0]
	if name == "generate_series" || name == "lag" || name == "lead" {
		for _, a := range args[1:] {
			v = f.add(v, a, FlagAlternative)
		}
	}
	return v
}

// splitAll are the parts of a list that is written as a text.
func (f *flow) splitAll(args []flowValue) flowValue {
	v := flowValue{opaque: args[0].opaque}
	for _, l := range args[0].leaves {
		switch {
		case l.column != nil:
			l.flags |= FlagColumnChanged
		case l.value.Kind == ValueParam:
			l.flags |= FlagValueChanged
		default:
			v.leaves = append(v.leaves, f.split(l, args)...)
			continue
		}
		v.leaves = append(v.leaves, l)
	}
	f.spend(len(v.leaves))
	return v
}

// split are the parts of a list that is written as one constant.
func (f *flow) split(l leaf, args []flowValue) []leaf {
	separator, ok := "", len(args) > 1 && len(args[1].leaves) == 1
	if ok {
		separator, ok = args[1].leaves[0].text()
	}
	if !ok || l.flags&FlagComputed != 0 || separator == "" {
		l.flags |= FlagComputed
		return []leaf{l}
	}
	parts := strings.Split(l.value.text, separator)
	list := make([]leaf, len(parts))
	for i, p := range parts {
		list[i] = leaf{value: Value{Kind: ValueConstant, text: p}, flags: l.flags}
	}
	return list
}

// text is that of a constant that is known.
func (l *leaf) text() (string, bool) {
	return l.value.text, l.column == nil && l.value.Kind == ValueConstant && l.flags&(FlagComputed|FlagDocument) == 0
}

// combine is what a function of the server, or operator, makes of several
// values. fold gives the result for constants; nil if that is not known.
func (f *flow) combine(args []flowValue, fold func([]string) (string, bool)) flowValue {
	if len(args) == 1 {
		return f.changed(args[0], fold)
	}
	texts, constant := make([]string, len(args)), true
	var v flowValue
	var first *column
	columns, several, params := false, false, false
	for i, a := range args {
		v.opaque = v.opaque || a.opaque && len(a.fields) == 0
		if constant = constant && len(a.leaves) == 1; constant {
			texts[i], constant = a.leaves[0].text()
		}
		for _, l := range a.leaves {
			if l.column != nil {
				several = several || columns && l.column != first
				columns, first = true, l.column
			}
			params = params || l.column == nil && l.value.Kind == ValueParam
		}
	}
	if constant && !v.opaque {
		return flowValue{leaves: []leaf{folded(leaf{value: Value{Kind: ValueConstant}}, texts, fold)}}
	}
	computed := false
	for _, a := range args {
		for _, l := range a.leaves {
			switch {
			case l.column != nil && (several || v.opaque):
				l.flags |= FlagColumnChanged | FlagColumnInRow // of something larger
			case l.column != nil:
				l.flags |= FlagColumnChanged
			case columns || v.opaque || computed || l.value.Kind == ValueConstant && params:
				continue
			case l.value.Kind == ValueParam:
				l.flags |= FlagValueChanged
			default:
				l.flags |= FlagComputed
				computed = true // one stands for all
			}
			if f.spend(1) && !v.has(&l) {
				v.leaves = append(v.leaves, l)
			}
		}
	}
	return v
}

// changed is what a function makes of one value.
func (f *flow) changed(v flowValue, fold func([]string) (string, bool)) flowValue {
	out := flowValue{opaque: v.opaque && len(v.fields) == 0}
	if !f.spend(len(v.leaves)) {
		return out
	}
	for _, l := range v.leaves {
		text, known := l.text()
		switch {
		case l.column != nil:
			l.flags |= FlagColumnChanged
		case l.value.Kind == ValueParam:
			l.flags |= FlagValueChanged
		case known:
			l = folded(l, []string{text}, fold)
		default:
			l.flags |= FlagComputed
		}
		out.leaves = append(out.leaves, l)
	}
	return out
}

// maxFolded bounds a folded text: no id is longer, and a chain of || would
// cost the square of its length.
const maxFolded = 256

func folded(l leaf, texts []string, fold func([]string) (string, bool)) leaf {
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	if fold != nil && size <= maxFolded {
		if text, ok := fold(texts); ok && len(text) <= maxFolded {
			l.value.text = text
			return l
		}
	}
	l.flags |= FlagComputed
	return l
}
