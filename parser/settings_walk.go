package parser

import (
	"strings"
)

// lower folds A to Z, as the server does with names of settings and functions:
// letters beyond ASCII stay.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func trimSpace(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

// settingName returns the name under which a setting is known: lower case, and
// the present name of one that was renamed (map_old_guc_names in guc.c).
func settingName(name string) string {
	switch name = lower(name); name {
	case "sort_mem":
		return "work_mem"
	case "vacuum_mem":
		return "maintenance_work_mem"
	}
	return name
}

func variableSet(w *walker, n node) { w.setting(n, w.stored) }

// setting lists what a VariableSetStmt does. SET TRANSACTION and SET SESSION
// CHARACTERISTICS come with a list of their modes.
func (w *walker) setting(n node, stored bool) {
	if !n.ok() {
		return
	}
	w.descend(n)
	s := Setting{Name: settingName(n.text("name")), Local: n.flag("is_local"), Stored: stored}
	switch kind := n.enum("kind"); kind {
	case "VAR_SET_VALUE":
		s.Action = SettingSet
		for _, a := range n.list("args") {
			s.Values = append(s.Values, settingValue(s.Name, a))
		}
	case "VAR_SET_DEFAULT", "VAR_RESET":
		s.Action = SettingReset
	case "VAR_RESET_ALL":
		s.Action = SettingResetAll
	case "VAR_SET_CURRENT":
		s.Action = SettingFromCurrent
	case "VAR_SET_MULTI":
		w.modes(n, s)
		return
	default:
		w.unknown("value of VariableSetStmt.kind")
		return
	}
	w.statement.Settings = append(w.statement.Settings, s)
}

// settingValue is one item of the list behind SET. TIME ZONE takes an
// interval, which is a cast of a constant.
func settingValue(name string, n node) Value { return valueOf(n, name != "timezone") }

// modes lists the transaction modes of SET TRANSACTION, SET TRANSACTION
// SNAPSHOT and SET SESSION CHARACTERISTICS.
func (w *walker) modes(n node, s Setting) {
	s.Action = SettingTransaction
	s.Characteristics = s.Name == "session characteristics"
	s.Local = !s.Characteristics
	if s.Name == "transaction snapshot" {
		s.Name = "transaction_snapshot"
		for _, a := range n.list("args") {
			s.Values = append(s.Values, valueOf(a, true))
		}
		w.statement.Settings = append(w.statement.Settings, s)
		return
	}
	for _, a := range n.list("args") {
		if !a.is("DefElem") {
			w.unknown("mode " + a.name())
			continue
		}
		mode := s
		mode.Name = lower(a.text("defname"))
		mode.Values = []Value{valueOf(a.child("arg"), true)}
		w.statement.Settings = append(w.statement.Settings, mode)
	}
}

func variableShow(w *walker, n node) {
	w.descend(n)
	name := settingName(n.text("name"))
	w.statement.Settings = append(w.statement.Settings, Setting{Action: SettingShow, Name: name})
}

// storedSetting is ALTER ROLE, DATABASE or SYSTEM ... SET.
func storedSetting(w *walker, n node) {
	w.setting(n.child("setstmt"), true)
	w.utility(n, "setstmt")
}
