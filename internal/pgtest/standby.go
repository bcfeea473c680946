package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// HasStandby reports whether a hot standby of such a server can be made: not
// all installations have pg_basebackup.
func (b Bin) HasStandby() bool { return b.baseBackup() != "" }

// baseBackup finds a pg_basebackup that is fit for the server: beside its
// programs, or else on the PATH, of the same version.
func (b Bin) baseBackup() string {
	candidates := []string{filepath.Join(b.Dir, "pg_basebackup")}
	if real, err := filepath.EvalSymlinks(filepath.Join(b.Dir, "postgres")); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(real), "pg_basebackup"))
	}
	if path, err := exec.LookPath("pg_basebackup"); err == nil {
		candidates = append(candidates, path)
	}
	for _, c := range candidates {
		out, err := exec.Command(c, "--version").Output()
		if m := versionPattern.FindSubmatch(out); err == nil && m != nil && string(m[1]) == strconv.Itoa(b.Version) {
			return c
		}
	}
	return ""
}

// NewStandby makes a hot standby of s, which ends with the test.
func (s *Server) NewStandby(t testing.TB) *Server {
	t.Helper()
	standby, err := s.startStandby(context.Background())
	if err != nil {
		t.Fatalf("start a standby: %v", err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Errorf("stop the standby: %v", err)
		}
	})
	return standby
}

func (s *Server) startStandby(ctx context.Context) (*Server, error) {
	dir, err := os.MkdirTemp("/tmp", "bulkhead-pg-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	out := &Server{Bin: s.Bin, SocketDir: dir, dir: dir, opts: s.opts, cred: s.cred}
	if err := out.copyFrom(ctx, s); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := out.launch(ctx); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return out, nil
}

// copyFrom fills the data directory of a standby.
func (s *Server) copyFrom(ctx context.Context, primary *Server) error {
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return fmt.Errorf("give the data directory away: %w", err)
		}
	}
	backup := s.command(ctx, primary.Bin.baseBackup(), "-D", s.data(), "-h", primary.SocketDir, "-p", strconv.Itoa(primary.Port), "-U", Superuser,
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if b, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, b)
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	defer conf.Close()
	if _, err := fmt.Fprintf(conf, "unix_socket_directories = '%s'\nhot_standby = on\n", s.SocketDir); err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	return nil
}

// CatchUp waits until standby has replayed what s has written so far.
func (s *Server) CatchUp(t testing.TB, standby *Server) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), startTimeout)
	defer stop()
	here, there := s.Connect(t, "postgres"), standby.Connect(t, "postgres")
	defer here.Close(ctx)
	defer there.Close(ctx)
	var lsn string
	if err := here.QueryRow(ctx, "select pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
		t.Fatalf("read the primary's position: %v", err)
	}
	for {
		var done bool
		err := there.QueryRow(ctx, "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", lsn).Scan(&done)
		if err != nil {
			t.Fatalf("wait for the standby: %v", err)
		}
		if done {
			return
		}
		if _, err := there.Exec(ctx, "select pg_sleep(0.01)", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("wait for the standby: %v", err)
		}
	}
}
