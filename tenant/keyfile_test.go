package tenant

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func mustKey(t *testing.T, id int, fill byte) *Key {
	t.Helper()
	k, err := NewKey(id, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKey(t *testing.T) {
	k := mustKey(t, 17, 3)
	got, err := ParseKey(FormatKey(k))
	if err != nil || got.ID() != 17 || !bytes.Equal(got.Secret(), k.Secret()) {
		t.Fatalf("what was written is not read back: %v, %v", got, err)
	}
	const secret = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
	for name, content := range map[string]string{
		"empty":     "",
		"no number": "key: " + secret,
		"no key":    "kid: 1",
		"twice":     "kid: 1\nkid: 2\nkey: " + secret,
		"unknown":   "kid: 1\nkey: " + secret + "\nalg: x",
		"short":     "kid: 1\nkey: AwMD",
		"long":      "kid: 1\nkey: " + strings.Repeat("AwMD", 22),
		"base64":    "kid: 1\nkey: " + secret[:20] + "*" + secret[21:],
		"negative":  "kid: -1\nkey: " + secret,
		"raw bytes": secret,
	} {
		_, err := ParseKey([]byte(content))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "AwMD") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// TestKeyFile_Reload: a changed file counts, a broken one does not, and nothing
// of a key is logged.
func TestKeyFile_Reload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(FormatKey(mustKey(t, 1, 'x')))
	var logged bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenKeyFile(path, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err != nil {
			t.Fatal(err)
		}
		go f.Watch(t.Context())
		for _, c := range []struct {
			content []byte
			want    int
		}{
			{FormatKey(mustKey(t, 2, 'y')), 2},
			{[]byte("kid: 3\n"), 2},
			{FormatKey(mustKey(t, 4, 'z')), 4},
		} {
			write(c.content)
			time.Sleep(keyFileEvery + time.Millisecond)
			synctest.Wait()
			if got := f.Key().ID(); got != c.want {
				t.Errorf("got key %d, want %d", got, c.want)
			}
		}
	})
	for _, secret := range []string{"eXl5", "yyyy", "zzzz", fmt.Sprint([]byte("yyy"))} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("the log shows a key:\n%s", &logged)
		}
	}
	if !strings.Contains(logged.String(), "cannot be read") {
		t.Errorf("a broken file is not logged:\n%s", &logged)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("kid: 1\nkey: AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n"))
	f.Add([]byte("# x\r\nkid:9999\r\nkey:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			return
		}
		again, err := ParseKey(FormatKey(k))
		if err != nil || again.id != k.id || !bytes.Equal(again.secret, k.secret) {
			t.Errorf("a key that was read is written otherwise: %v", err)
		}
	})
}
