package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// CertificateFiles name what a listener shows, and asks of, a TLS client.
type CertificateFiles struct {
	Cert, Key string
	// ClientCA, if set, makes a certificate of that authority mandatory.
	ClientCA string
}

// checkCertificates is how often, at most, the files are looked at.
const checkCertificates = time.Second

// certificates serves a TLS configuration from files and takes up changed
// files by itself. When the new ones cannot be used, the old stay in force.
type certificates struct {
	files CertificateFiles
	log   *slog.Logger

	mu      sync.Mutex
	config  *tls.Config
	seen    [3]time.Time
	checked time.Time
}

// NewTLSConfig returns a function that yields the TLS configuration in force:
// TLS 1.2 or newer, ALPN postgresql for direct TLS. It fails if the files
// cannot be used now.
func NewTLSConfig(files CertificateFiles, log *slog.Logger) (func() *tls.Config, error) {
	c := &certificates{files: files, log: log, seen: files.modified()}
	config, err := files.load()
	if err != nil {
		return nil, err
	}
	c.config, c.checked = config, time.Now()
	return c.current, nil
}

func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= checkCertificates {
		c.checked = now
		c.reload()
	}
	return c.config
}

func (c *certificates) reload() {
	seen := c.files.modified()
	if seen == c.seen {
		return
	}
	config, err := c.files.load()
	if err != nil {
		c.log.Error("changed TLS files cannot be used, the old ones stay in force", "error", err)
		return
	}
	c.config, c.seen = config, seen
	c.log.Info("TLS files taken up")
}

func (f CertificateFiles) modified() (t [3]time.Time) {
	for i, name := range [...]string{f.Cert, f.Key, f.ClientCA} {
		if info, err := os.Stat(name); err == nil {
			t[i] = info.ModTime()
		}
	}
	return t
}

func (f CertificateFiles) load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{alpnPostgreSQL},
	}
	if f.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read client CA: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("client CA " + f.ClientCA + " holds no PEM certificate")
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
