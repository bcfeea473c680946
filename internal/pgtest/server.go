package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of a server. The zero value is a server of the newest version found,
// that trusts everybody who can reach it.
type Options struct {
	Version  int               // major; 0: the newest found
	Settings map[string]string // of postgresql.conf
	// Auth is the method of pg_hba.conf for TCP connections: "trust",
	// "scram-sha-256", "md5", "password". The superuser is always trusted on
	// the unix socket.
	Auth string
	// TLSCert and TLSKey turn TLS on.
	TLSCert, TLSKey []byte
}

// Server is a running PostgreSQL server.
type Server struct {
	Bin       Bin
	Port      int
	SocketDir string

	dir  string
	opts Options
	cred *syscall.Credential

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// Superuser is the name of the bootstrap superuser.
const Superuser = "postgres"

const startTimeout = time.Minute

// Start makes a data directory and starts a server on it.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := Find(o.Version)
	if err != nil {
		return nil, err
	}
	s := &Server{Bin: bin, opts: o}
	if s.cred, err = credential(); err != nil {
		return nil, err
	}
	// A short path: a unix socket's may have about 100 bytes.
	if s.dir, err = os.MkdirTemp("/tmp", "bulkhead-pg-"); err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	s.SocketDir = s.dir
	if err := s.prepare(ctx); err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	// The port may be taken between the choice and the start: try again.
	for range 5 {
		if err = s.launch(ctx); err == nil {
			return s, nil
		}
		s.Port = 0
	}
	os.RemoveAll(s.dir)
	return nil, err
}

// credential is that of the user who runs the server if we are root.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.Bin.Dir, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = processAttributes(s.cred)
	// The environment of the caller must not change the server.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "LD_LIBRARY_PATH=" + filepath.Join(s.Bin.Dir, "..", "lib")}
	return cmd
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// prepare runs initdb and writes the configuration.
func (s *Server) prepare(ctx context.Context) error {
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return fmt.Errorf("give the data directory away: %w", err)
		}
	}
	initdb := s.command(ctx, "initdb", "-D", s.data(), "-U", Superuser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	method := s.opts.Auth
	if method == "" {
		method = "trust"
	}
	hba := "local all all trust\nlocal replication all trust\n" +
		"host all all all " + method + "\n"
	if err := s.write("pg_hba.conf", []byte(hba), 0o600); err != nil {
		return err
	}
	var conf strings.Builder
	conf.WriteString("fsync = off\nfull_page_writes = off\nmax_connections = 300\n" +
		"listen_addresses = '127.0.0.1'\nunix_socket_directories = '" + s.SocketDir + "'\n")
	if s.opts.TLSCert != nil {
		conf.WriteString("ssl = on\n")
		if err := errors.Join(s.write("server.crt", s.opts.TLSCert, 0o600), s.write("server.key", s.opts.TLSKey, 0o600)); err != nil {
			return err
		}
	}
	encryption := "scram-sha-256" // not the default of PostgreSQL 13
	if s.opts.Auth == "md5" {
		encryption = "md5"
	}
	conf.WriteString("password_encryption = '" + encryption + "'\n")
	for name, value := range s.opts.Settings {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	_, err = f.WriteString(conf.String())
	return errors.Join(err, f.Close())
}

// write makes a file of the data directory that belongs to the server's user.
func (s *Server) write(name string, content []byte, mode os.FileMode) error {
	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if s.cred == nil {
		return nil
	}
	return os.Chown(path, int(s.cred.Uid), int(s.cred.Gid))
}

// launch starts the server and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	if s.Port == 0 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		s.Port = ln.Addr().(*net.TCPAddr).Port
		ln.Close()
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	cmd := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.Port))
	cmd.Stdout, cmd.Stderr = log, log
	if err := startOnLockedThread(cmd); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	if err := s.await(ctx, done); err != nil {
		s.Kill()
		return fmt.Errorf("%w\n%s", err, s.Log())
	}
	return nil
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

// await waits until the server takes connections.
func (s *Server) await(ctx context.Context, done <-chan struct{}) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for {
		c, err := pgx.Connect(ctx, s.SocketDSN("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-done:
			return errors.New("postgres ended at start")
		case <-ctx.Done():
			return fmt.Errorf("postgres did not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// DSN returns a connection string for a role and database, over TCP. The
// password, where one is asked for, is the role's name.
func (s *Server) DSN(role, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, role),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SocketDSN returns the superuser's connection string over the unix socket.
func (s *Server) SocketDSN(database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", s.SocketDir, s.Port, Superuser, database)
}

// Log returns what the server has logged.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b)
}

// Stop ends the server at once and removes its data.
func (s *Server) Stop() error {
	s.signal(syscall.SIGQUIT)
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.Kill()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the server's data: %w", err)
	}
	return nil
}

// Kill ends the server as a crash would, its children included.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
}

// Restart starts a server again that was killed, or kills it first. It keeps
// its port.
func (s *Server) Restart(ctx context.Context) error {
	s.Kill()
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for {
		os.Remove(filepath.Join(s.data(), "postmaster.pid"))
		err := s.launch(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		// Children of the killed postmaster, which are in process groups of
		// their own, may take a moment to notice: until then a new one refuses
		// to start.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Freeze stops all processes of the server; Thaw lets them go on.
func (s *Server) Freeze() { s.signalGroup(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signalGroup(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd.Process.Signal(sig)
}

func (s *Server) signalGroup(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	syscall.Kill(-s.cmd.Process.Pid, sig)
}

func randomName() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
