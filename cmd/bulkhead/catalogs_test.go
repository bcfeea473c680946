package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/config"
)

// A database that does not answer keeps nobody from another, and is asked once
// for all who name it; who goes away does not wait for it.
func TestCatalogs_SlowDatabase(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 10) // for the slow one
	var held sync.Map
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			startup := make([]byte, 4096)
			n, _ := c.Read(startup)
			if !bytes.Contains(startup[:n], []byte("slow")) {
				c.Close()
				continue
			}
			held.Store(c, true)
			asked <- struct{}{}
		}
	}()
	cfg, err := config.Parse("b.yaml", fmt.Appendf(nil,
		"server: {dsn: 'postgres://app@%s/app?sslmode=disable', databases: ['*']}\nauth: {issuers: [{issuer: a, audience: b, secret_file: s}]}\n", ln.Addr()), "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := serverOptions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := newCatalogs(cfg, server, slog.New(slog.DiscardHandler))
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := c.open(ctx, "slow")
			gone <- err
		}()
	}
	<-asked
	if _, err := c.open(t.Context(), "other"); err == nil {
		t.Error("a server that hangs up is a database")
	}
	leave()
	for range 2 {
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("who goes away gets %v", err)
		}
	}
	if len(asked) > 0 {
		t.Error("the slow database was asked twice")
	}
	ln.Close()
	held.Range(func(k, _ any) bool { k.(net.Conn).Close(); return true })
}
