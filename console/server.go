package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The limits of the HTTP server: its callers are scrapers and probes, whose
// requests are small and soon complete.
const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10
	shutdownPeriod = 2 * time.Second
)

// Options are the options of [Serve].
type Options struct {
	// Listen is the address, host:port.
	Listen string
	// TokenFile holds the bearer token that every request needs, less one
	// final newline. It is read for each request, so that it can be rotated.
	// Empty means that no token is needed, which is accepted on loopback only.
	TokenFile string
	// Gatherer is what /metrics shows. nil means none: the path is not found.
	Gatherer prometheus.Gatherer
	// Ready returns why the process should get no new clients; an empty
	// result means that it may. It is called for each request to /readyz,
	// from any goroutine, and must not wait. nil means always ready.
	Ready func() []Problem
	// Logger gets one line when the listener is up. nil means no lines.
	Logger *slog.Logger
	// Listening, if not nil, is told the address once it accepts.
	Listening func(net.Addr)
}

// Problem is one reason for which the process is not ready.
type Problem struct {
	What   string `json:"what"`   // from a closed list: "blocked_log", "server", "draining"
	Reason string `json:"reason"` // for a human; no secrets
}

// Serve answers on o.Listen until ctx ends, then lets running requests finish
// for a moment and returns nil. An error means that it could not listen or
// that serving broke off.
func Serve(ctx context.Context, o Options) error {
	h, err := Handler(o)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen for the console: %w", err)
	}
	if o.TokenFile == "" && !isLoopback(ln.Addr()) {
		_ = ln.Close()
		return fmt.Errorf("listen for the console: %s is not loopback and needs a token file", ln.Addr())
	}
	if o.Logger != nil {
		o.Logger.InfoContext(ctx, "console listening", "address", ln.Addr().String())
	}
	if o.Listening != nil {
		o.Listening(ln.Addr())
	}
	return serve(ctx, ln, h)
}

// serve runs an HTTP server on ln until ctx ends.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:        h,
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPeriod)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	})
	err := srv.Serve(ln)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the console: %w", err)
	}
	if <-stopped != nil {
		return srv.Close() // requests that outlive the grace period are cut off
	}
	return nil
}

// isLoopback reports whether only this host can reach addr.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
