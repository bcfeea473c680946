package tenant

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// vectors are fixed: the database's half of each release must accept them.
func TestKey_Vectors(t *testing.T) {
	k, err := NewKey(1, bytes.Repeat([]byte{0xa7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	exp := time.Unix(2000000000, 0)
	const org = "00000000-0000-0000-0000-000000000001"
	for _, v := range []struct{ name, got, want string }{
		{
			"over TCP", k.SignBackend("app|4711|127.0.0.1|50001", org, "", exp),
			"0001.2000000000.fac065b3b5472447f9fc187571494b05b2216ef3acb6b55bdc69030c7dca750f",
		},
		{
			"over a socket, claims that are not ASCII", k.SignBackend("app|4711|local|0", "42", `{"org_id":"42","sub":"ü"}`, exp),
			"0001.2000000000.bcf8bd9c674e78ed94211fb05fb735fe7716c0ed25a4a90d253daa697cfdec90",
		},
		{
			"checkout", k.SignCheckout("app", 123456789012345678, org, "{}", exp),
			"0001.2000000000.1d71bc6425ff8a7fb88f069f83a14d21f8934692e670de0b824b43e489fb3bb0",
		},
	} {
		if v.got != v.want {
			t.Errorf("%s: got %s, want %s", v.name, v.got, v.want)
		}
	}
}

func TestKey_NeverPrinted(t *testing.T) {
	secret := bytes.Repeat([]byte("s3cret-!"), 4)
	k, err := NewKey(7, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(verb, k)
		if strings.Contains(got, "s3cret") || strings.Contains(got, fmt.Sprint(secret[0])) {
			t.Errorf("%s prints the secret: %s", verb, got)
		}
	}
}

func TestNewKey_Bounds(t *testing.T) {
	for _, c := range []struct {
		id, size int
		ok       bool
	}{{1, 32, true}, {9999, 64, true}, {0, 32, false}, {10000, 32, false}, {1, 31, false}, {1, 65, false}} {
		if _, err := NewKey(c.id, make([]byte, c.size)); (err == nil) != c.ok {
			t.Errorf("number %d, %d bytes: %v", c.id, c.size, err)
		}
	}
}
