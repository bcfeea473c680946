package policy

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
)

func rawUUID(t testing.TB, s string) []byte {
	t.Helper()
	raw, ok := parseUUID(s)
	if !ok {
		t.Fatalf("not a uuid: %s", s)
	}
	return raw[:]
}

// binaryArray is the binary form of a one-dimensional array; a nil item is NULL.
func binaryArray(items ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 2950)
	b = binary.BigEndian.AppendUint32(b, uint32(len(items)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, item := range items {
		if item == nil {
			b = binary.BigEndian.AppendUint32(b, 0xFFFFFFFF)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(item)))
		b = append(b, item...)
	}
	return b
}

func TestSameBound(t *testing.T) {
	a, b := rawUUID(t, orgA), rawUUID(t, orgB)
	tests := []struct {
		name   string
		form   orgForm
		format int16
		value  []byte
		org    string
		want   bool
	}{
		{"own uuid as text", orgUUID, 0, []byte(orgA), orgA, true},
		{"own uuid in capitals and braces", orgUUID, 0, []byte("{ABCDEF00-1111-4111-8111-111111111111}"), "abcdef00-1111-4111-8111-111111111111", true},
		{"own uuid without hyphens", orgUUID, 0, []byte("11111111111141118111111111111111"), orgA, true},
		{"other uuid as text", orgUUID, 0, []byte(orgB), orgA, false},
		{"no uuid", orgUUID, 0, []byte("x"), orgA, false},
		{"empty", orgUUID, 0, []byte{}, orgA, false},
		{"own uuid in binary", orgUUID, 1, a, orgA, true},
		{"other uuid in binary", orgUUID, 1, b, orgA, false},
		{"own uuid as text in binary format", orgUUID, 1, []byte(orgA), orgA, true},
		{"other uuid as text in binary format", orgUUID, 1, []byte(orgB), orgA, false},
		{"cut uuid", orgUUID, 1, a[:15], orgA, false},
		{"unknown format", orgUUID, 2, a, orgA, false},
		{"array of own", orgUUID, 0, []byte("{" + orgA + "," + orgA + "}"), orgA, true},
		{"array with another", orgUUID, 0, []byte("{" + orgA + "," + orgB + "}"), orgA, false},
		{"quoted array with another", orgUUID, 0, []byte(`{"` + orgA + `","` + orgB + `"}`), orgA, false},
		{"array with null", orgUUID, 0, []byte("{NULL, " + orgA + "}"), orgA, true},
		{"empty array", orgUUID, 0, []byte("{}"), orgA, true},
		{"array of arrays", orgUUID, 0, []byte("{{" + orgA + "}}"), orgA, false},
		{"array with dimensions", orgUUID, 0, []byte("[1:1]={" + orgA + "}"), orgA, false},
		{"binary array of own", orgUUID, 1, binaryArray(a, nil, a), orgA, true},
		{"binary array with another", orgUUID, 1, binaryArray(a, b), orgA, false},
		{"binary array with bytes behind", orgUUID, 1, append(binaryArray(a), 0), orgA, false},
		{"binary array cut", orgUUID, 1, binaryArray(a)[:30], orgA, false},
		{"own int4", orgInteger, 1, []byte{0, 0, 0, 42}, "42", true},
		{"other int4", orgInteger, 1, []byte{0, 0, 0, 43}, "42", false},
		{"own int8", orgInteger, 1, []byte{0, 0, 0, 0, 0, 0, 0, 42}, "42", true},
		{"own int2", orgInteger, 1, []byte{0, 42}, "42", true},
		{"int2 that spells the own id", orgInteger, 1, []byte("42"), "42", false},
		{"negative", orgInteger, 1, []byte{0xFF, 0xFF, 0xFF, 0xFF}, "-1", true},
		{"own integer with zeros", orgInteger, 0, []byte(" +0042 "), "42", true},
		{"other integer", orgInteger, 0, []byte("421"), "42", false},
		{"integer too large", orgInteger, 0, []byte("99999999999999999999"), "42", false},
		{"two signs", orgInteger, 0, []byte("+-42"), "-42", false},
		{"underscores", orgInteger, 0, []byte("4_2"), "42", false},
		{"own text", orgText, 0, []byte("acme"), "acme", true},
		{"text differs in case", orgText, 0, []byte("Acme"), "acme", false},
		{"text in binary", orgText, 1, []byte("acme"), "acme", true},
		{"text array", orgText, 0, []byte(`{"acme"}`), "acme", true},
		{"text array with another", orgText, 0, []byte(`{"acme",evil}`), "acme", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.form.sameBound(tt.format, tt.value, tt.org); got != tt.want {
				t.Errorf("sameBound(%d, %x, %q): got %v, want %v", tt.format, tt.value, tt.org, got, tt.want)
			}
		})
	}
}

// FuzzSameBound hunts for panics, and for a value that names another org but
// counts as the own.
func FuzzSameBound(f *testing.F) {
	f.Add(int16(0), []byte(orgB), byte(1))
	f.Add(int16(1), binaryArray(rawUUID(f, orgA), rawUUID(f, orgB)), byte(1))
	f.Add(int16(0), []byte(`{"a\"b",NULL}`), byte(0))
	f.Add(int16(1), []byte{0, 0, 0, 1}, byte(2))
	f.Fuzz(func(t *testing.T, format int16, value []byte, form byte) {
		org := []string{"acme", orgA, "42"}[form%3]
		got := orgForm(form%3).sameBound(format, value, org)
		if got && form%3 == byte(orgUUID) && format == 1 && len(value) == uuidBytes &&
			hex.EncodeToString(value) != hex.EncodeToString(rawUUID(t, orgA)) {
			t.Errorf("binary uuid %x counts as %s", value, org)
		}
	})
}

func TestCheckParamDoesNotAllocate(t *testing.T) {
	e := newTestEngine(t, Options{OrgType: "uuid"})
	i := &Inspection{OrgParams: []int{1}, orgParams: []orgTerm{{param: 1}}}
	for name, value := range map[string][]byte{"text": []byte(orgA), "binary": rawUUID(t, orgA)} {
		format := int16(0)
		if name == "binary" {
			format = 1
		}
		got := testing.AllocsPerRun(100, func() {
			if d := e.CheckParam(i, 1, format, value, orgA); d.Action != Allow {
				t.Fatalf("own org refused: %+v", d)
			}
		})
		if got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

func TestCheckParam(t *testing.T) {
	e := newTestEngine(t, Options{OrgType: "uuid"})
	i := &Inspection{OrgParams: []int{2}, orgParams: []orgTerm{{param: 2}}}
	tests := []struct {
		name  string
		param int
		value []byte
		org   string
		want  string
	}{
		{"own", 2, []byte(orgA), orgA, ""},
		{"another's", 2, []byte(orgB), orgA, "G802"},
		{"NULL", 2, nil, orgA, ""},
		{"empty", 2, []byte{}, orgA, "G802"},
		{"another parameter", 1, []byte(orgB), orgA, ""},
		{"no tenant", 2, []byte(orgB), "", "G802"},
		{"no tenant, empty value", 2, []byte{}, "", "G802"},
	}
	for _, tt := range tests {
		if got := e.CheckParam(i, tt.param, 0, tt.value, tt.org).Rule; got != tt.want {
			t.Errorf("%s: got rule %q, want %q", tt.name, got, tt.want)
		}
	}
}
