package parser

func funcCall(w *walker, n node) {
	w.descend(n)
	f := Function{Name: nameOf(stringsOf(n.list("funcname"))), Variadic: n.flag("func_variadic")}
	args := n.list("args")
	for _, a := range args {
		f.Args = append(f.Args, valueOf(a, true))
	}
	for i, a := range args {
		if !a.is("NamedArgExpr") {
			continue
		}
		if f.ArgNames == nil {
			f.ArgNames = make([]string, len(args))
		}
		f.ArgNames[i] = a.text("name")
	}
	w.flow.sure = w.flow.sure || isTenant(w.options, f.Name.Name)
	w.statement.Functions = append(w.statement.Functions, f)
	switch lower(f.Name.Name) {
	case "set_config":
		w.setConfig(&f, len(args) > 0 && isColumn(args[0], "name"))
	case "current_setting":
		w.currentSetting(&f)
	}
}

// argument returns an argument by position, or by name if it is named. An
// argument that may be anything is an expression.
func (f *Function) argument(position int, name string) Value {
	if f.Variadic {
		return Value{Kind: ValueExpression}
	}
	for i, n := range f.ArgNames {
		if n == name {
			return f.Args[i]
		}
	}
	if position >= len(f.Args) {
		return Value{}
	}
	if f.ArgNames != nil && f.ArgNames[position] != "" {
		return Value{Kind: ValueExpression} // a name that the function does not have
	}
	return f.Args[position]
}

// setConfig lists a call of set_config. ofSettingRow says that its first
// argument is the column name.
func (w *walker) setConfig(f *Function, ofSettingRow bool) {
	s := Setting{Action: SettingSet, Function: true, NameValue: f.argument(0, "setting_name")}
	if name, ok := constantText(s.NameValue); ok {
		s.Name = settingName(name)
	}
	if w.settingRow != "" && ofSettingRow {
		s.Name = settingName(w.settingRow)
	}
	s.Values = []Value{f.argument(1, "new_value")}
	local := f.argument(2, "is_local")
	if text, ok := constantText(local); ok {
		s.Local = meansTrue(text)
	} else {
		s.LocalUnknown = true
	}
	w.statement.Settings = append(w.statement.Settings, s)
}

func (w *walker) currentSetting(f *Function) {
	s := Setting{Action: SettingShow, Function: true, NameValue: f.argument(0, "setting_name")}
	if name, ok := constantText(s.NameValue); ok {
		s.Name = settingName(name)
	}
	w.statement.Settings = append(w.statement.Settings, s)
}

// meansTrue reads a boolean literal as the server does; what it does not take
// counts as false: the server fails.
func meansTrue(text string) bool {
	switch lower(trimSpace(text)) {
	case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
		return true
	}
	return false
}
