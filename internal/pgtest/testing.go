package pgtest

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// New starts a server for one test and stops it at its end. Without
// PostgreSQL the test fails: a missing server must not look like a success.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

var shared struct {
	sync.Mutex
	servers map[int]*Server
}

// Shared returns a server of the given major version (0: newest) that all
// tests of the process share. It ends with the process.
func Shared(t testing.TB, version int) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.servers[version]; s != nil {
		return s
	}
	s, err := Start(context.Background(), Options{Version: version})
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	if shared.servers == nil {
		shared.servers = make(map[int]*Server)
	}
	shared.servers[version] = s
	return s
}

// StopShared ends the shared servers: call it at the end of TestMain.
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	for _, s := range shared.servers {
		s.Stop()
	}
	shared.servers = nil
}

// CreateDatabase makes an empty database and drops it at the test's end.
func (s *Server) CreateDatabase(t testing.TB) string {
	t.Helper()
	name := "t_" + randomName()
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	t.Cleanup(func() {
		c, err := pgx.Connect(context.Background(), s.SocketDSN("postgres"))
		if err != nil {
			return // the test has killed the server
		}
		defer c.Close(context.Background())
		c.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	return name
}

// Exec runs SQL as the superuser.
func (s *Server) Exec(t testing.TB, database, sql string) {
	t.Helper()
	c := s.Connect(t, database)
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql); err != nil {
		t.Fatalf("as superuser: %v\n%s", err, sql)
	}
}

// Connect connects as the superuser. The caller closes the connection.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), s.SocketDSN(database))
	if err != nil {
		t.Fatalf("connect as superuser: %v", err)
	}
	return c
}
