package tenant

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A key file is text: a line "kid: N" with the number under which the database
// knows the key, and a line "key: ..." with 32 to 64 bytes in base64. Empty
// lines and those that begin with # are passed over.

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 4 << 10

// FormatKey returns the content of a key file.
func FormatKey(k *Key) []byte {
	return fmt.Appendf(nil, "# Signing key of Bulkhead's tenant context. Whoever reads it can be every tenant.\nkid: %d\nkey: %s\n",
		k.id, base64.StdEncoding.EncodeToString(k.secret))
}

// ParseKey reads the content of a key file. Its errors quote nothing of it.
func ParseKey(b []byte) (*Key, error) {
	seen := make(map[string]string, 2)
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if name != "kid" && name != "key" {
			return nil, fmt.Errorf("line %d is neither \"kid: ...\" nor \"key: ...\"", i+1)
		}
		if _, twice := seen[name]; twice {
			return nil, fmt.Errorf("line %d gives %s again", i+1, name)
		}
		seen[name] = strings.TrimSpace(value)
	}
	id, err := strconv.Atoi(seen["kid"])
	if err != nil {
		return nil, errors.New("kid is not a number: want the one under which the database knows the key")
	}
	secret, err := base64.StdEncoding.DecodeString(seen["key"])
	if err != nil {
		return nil, errors.New("key is not base64")
	}
	return NewKey(id, secret)
}

// LoadKey reads a key file.
func LoadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the signing key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("signing key %s: too large for a key file", path)
	}
	k, err := ParseKey(b)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	return k, nil
}

// Secret returns a copy of the key's bytes, for the database.
func (k *Key) Secret() []byte { return bytes.Clone(k.secret) }

// KeyFile is a signing key that is read again when its file changes.
type KeyFile struct {
	path string
	log  *slog.Logger
	key  atomic.Pointer[Key]
	// failed is the error of the last reading, to log each only once. Owned
	// by whoever calls Reload.
	failed string
}

// keyFileEvery is how often a key file is looked at. A rotation waits for
// much longer before it retires the old key.
const keyFileEvery = time.Second

// OpenKeyFile reads the file.
func OpenKeyFile(path string, log *slog.Logger) (*KeyFile, error) {
	k, err := LoadKey(path)
	if err != nil {
		return nil, err
	}
	f := &KeyFile{path: path, log: log}
	f.key.Store(k)
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this host can read the signing key: whoever does can be every tenant", "file", path)
	}
	return f, nil
}

// Key returns the key in force. It does no I/O.
func (f *KeyFile) Key() *Key { return f.key.Load() }

// Watch reads the file again whenever it has changed, until ctx ends. A file
// that cannot be read leaves the key in force.
func (f *KeyFile) Watch(ctx context.Context) {
	t := time.NewTicker(keyFileEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.reload()
		}
	}
}

// reload reads the file; it is small. Times and sizes of files do not tell
// every change.
func (f *KeyFile) reload() {
	k, err := LoadKey(f.path)
	if err != nil {
		if err.Error() != f.failed {
			f.failed = err.Error()
			f.log.Error("signing key cannot be read; the one before stays in force", "error", err)
		}
		return
	}
	f.failed = ""
	if old := f.key.Load(); old.id != k.id || !bytes.Equal(old.secret, k.secret) {
		f.key.Store(k)
		f.log.Info("signing key changed", "kid", k.id, "before", old.id)
	}
}
