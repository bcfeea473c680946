package proxy

import (
	"encoding/binary"
	"reflect"
	"testing"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		in   string
		want []setting
		ok   bool
	}{
		{"", nil, true},
		{"-c a=b -c c=d", []setting{{"a", "b"}, {"c", "d"}}, true},
		{"-ca=b", []setting{{"a", "b"}}, true},
		{"--a-b=c", []setting{{"a_b", "c"}}, true},
		{`-c search_path=a\ b`, []setting{{"search_path", "a b"}}, true},
		{`  -c  app.org_id=x  `, []setting{{"app.org_id", "x"}}, true},
		{"-c\tDateStyle=ISO", []setting{{"DateStyle", "ISO"}}, true},
		{"-c a", nil, false},
		{"-c", nil, false},
		{"-d 5", nil, false},
		{"-W 3", nil, false},
		{"word", nil, false},
		{"--=x", nil, false},
	}
	for _, tt := range tests {
		got, err := parseOptions(tt.in)
		if (err == nil) != tt.ok {
			t.Errorf("parseOptions(%q): error %v, want ok %v", tt.in, err, tt.ok)
			continue
		}
		if tt.ok && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("parseOptions(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParseStartup(t *testing.T) {
	p, err := parseStartup([]byte("user\x00u\x00database\x00d\x00TimeZone\x00UTC\x00options\x00-c timezone=Asia/Tokyo\x00_pq_.x\x001\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if p.user != "u" || p.database != "d" {
		t.Errorf("got user %q, database %q", p.user, p.database)
	}
	// Names are case-insensitive, and what comes last wins.
	if want := []setting{{"timezone", "Asia/Tokyo"}}; !reflect.DeepEqual(p.settings, want) {
		t.Errorf("got settings %q, want %q", p.settings, want)
	}
	if want := []string{"_pq_.x"}; !reflect.DeepEqual(p.unusual().ignored, want) {
		t.Errorf("got unknown extensions %q, want %q", p.unusual().ignored, want)
	}
	for _, bad := range []string{"", "user", "user\x00", "user\x00u", "user\x00u\x00", "user\x00u\x00\x00x", "\x00x\x00"} {
		if _, err := parseStartup([]byte(bad)); err == nil {
			t.Errorf("parseStartup(%q): no error", bad)
		}
	}
}

func TestStartupParams_Negotiate(t *testing.T) {
	tests := []struct {
		asked, want uint32
		ignored     []string
		told        bool
	}{
		{version30, version30, nil, false},
		{version32, version32, nil, false},
		{3<<16 | 1, version30, nil, true},
		{3<<16 | 9999, version32, nil, true},
		{version30, version30, []string{"_pq_.x"}, true},
	}
	for _, tt := range tests {
		p := startupParams{version: tt.asked, rest: &unusualParams{ignored: tt.ignored}}
		b := p.negotiate(nil)
		if p.version != tt.want || (len(b) > 0) != tt.told {
			t.Errorf("asked %#x: got %#x, told %v; want %#x, %v", tt.asked, p.version, len(b) > 0, tt.want, tt.told)
		}
		if tt.told && binary.BigEndian.Uint32(b[5:]) != tt.want {
			t.Errorf("asked %#x: told %#x, want %#x", tt.asked, binary.BigEndian.Uint32(b[5:]), tt.want)
		}
	}
}

func FuzzParseStartup(f *testing.F) {
	f.Add([]byte("user\x00u\x00options\x00-c role=x\x00\x00"))
	f.Add([]byte("user\x00u\x00options\x00--app.org-id=\\ x\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseStartup(b)
		if err != nil {
			return
		}
		for i, s := range p.settings {
			if s.name == "" {
				continue // refused by the rules as an unknown setting
			}
			if i > 0 && p.settings[i-1].name >= s.name {
				t.Fatalf("settings are not sorted: %q", p.settings)
			}
		}
	})
}

func TestBindParams(t *testing.T) {
	param := func(v string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(v))), v...)
	}
	null := []byte{0xff, 0xff, 0xff, 0xff}
	body := join([]byte{0, 2, 0, 0, 0, 1, 0, 3}, param("text"), param("bin"), null, []byte{0, 0})
	p := bindParams{rest: body}
	if f, v, state := p.value(1); f != 0 || string(v) != "text" || state != paramKnown {
		t.Errorf("first: %d %q %v", f, v, state)
	}
	if f, v, state := p.value(2); f != 1 || string(v) != "bin" || state != paramKnown {
		t.Errorf("second: %d %q %v", f, v, state)
	}
	if _, v, state := p.value(3); v != nil || state != paramKnown {
		t.Errorf("third: %q %v, want NULL", v, state)
	}
	if _, _, state := p.value(4); state != paramMissing {
		t.Errorf("fourth: %v, want missing", state)
	}
	for cut := range len(body) - 2 {
		p := bindParams{rest: body[:cut]}
		if _, _, state := p.value(3); state != paramIncomplete {
			t.Errorf("cut at %d: %v, want incomplete", cut, state)
		}
	}
}

func FuzzBindParams(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 'x', 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := bindParams{rest: b}
		for n := 1; n < 5; n++ {
			if _, _, state := p.value(n); state != paramKnown {
				return
			}
		}
	})
}
