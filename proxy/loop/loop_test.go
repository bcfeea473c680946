package loop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// drivers under test: both must behave alike.
var drivers = []string{"epoll", "goroutine"}

func startLoop(t testing.TB, driver string) *Loop {
	t.Helper()
	l, err := New(Options{Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		l.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

// on runs f on the loop and waits for it.
func on(l *Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	<-done
}

// echo sends back what it receives, and stops reading while much is pending.
type echo struct {
	c      *Conn
	closed chan error
}

func (e *echo) Received(b []byte) {
	e.c.Write(b)
	if e.c.Pending() > 1<<20 {
		e.c.PauseReading()
	}
}

func (e *echo) Drained()         { e.c.ResumeReading() }
func (e *echo) Closed(err error) { e.closed <- err }

// serveEcho listens and echoes, over TLS if cfg is set. It returns the address.
func serveEcho(t testing.TB, l *Loop, cfg *tls.Config) (addr string, closed chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	closed = make(chan error, 100)
	stop, err := l.Listen(ln, func(c *Conn) {
		c.SetHandler(&echo{c: c, closed: closed})
		if cfg != nil {
			c.StartTLS(cfg, nil, func(_ tls.ConnectionState, err error) {
				if err != nil {
					closed <- err
					c.Close()
				}
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return ln.Addr().String(), closed
}

// exchange writes n random bytes in random pieces, reads them back and
// compares.
func exchange(t testing.TB, c net.Conn, n int) {
	t.Helper()
	data := make([]byte, n)
	rand.Read(data)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for b := data; len(b) > 0; {
			k := min(len(b), 1+mrand.IntN(200_000))
			if _, err := c.Write(b[:k]); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			b = b[k:]
		}
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read: %v", err)
	}
	wg.Wait()
	if !bytes.Equal(got, data) {
		t.Fatal("what came back is not what was sent")
	}
}

func TestLoop_Echo(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			addr, closed := serveEcho(t, startLoop(t, d), nil)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, c, 20<<20)
			c.Close()
			if err := <-closed; !errors.Is(err, io.EOF) {
				t.Errorf("Closed(%v), want EOF", err)
			}
		})
	}
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestLoop_TLSEcho(t *testing.T) {
	cert := certificate(t)
	for _, d := range drivers {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(d+"/"+tls.VersionName(version), func(t *testing.T) {
				addr, closed := serveEcho(t, startLoop(t, d), &tls.Config{Certificates: []tls.Certificate{cert}})
				c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				exchange(t, c, 8<<20)
				c.Close()
				if err := <-closed; err == nil {
					t.Error("Closed without an error")
				}
			})
		}
	}
}

// fragmented cuts what is written into tiny writes.
type fragmented struct{ net.Conn }

func (f fragmented) Write(b []byte) (int, error) {
	for i := 0; i < len(b); {
		k := min(len(b)-i, 1+mrand.IntN(50))
		if _, err := f.Conn.Write(b[i : i+k]); err != nil {
			return i, err
		}
		i += k
	}
	return len(b), nil
}

func TestLoop_TLSFragments(t *testing.T) {
	cert := certificate(t)
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			addr, _ := serveEcho(t, startLoop(t, d), &tls.Config{Certificates: []tls.Certificate{cert}})
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			c := tls.Client(fragmented{nc}, &tls.Config{InsecureSkipVerify: true})
			exchange(t, c, 100_000)
		})
	}
}

// collector keeps what it receives.
type collector struct {
	mu     sync.Mutex
	got    []byte
	more   chan struct{}
	closed chan error
}

func newCollector() *collector {
	return &collector{more: make(chan struct{}, 1000), closed: make(chan error, 1)}
}

func (c *collector) Received(b []byte) {
	c.mu.Lock()
	c.got = append(c.got, b...)
	c.mu.Unlock()
	c.more <- struct{}{}
}
func (c *collector) Drained()         {}
func (c *collector) Closed(err error) { c.closed <- err }

func (c *collector) await(t testing.TB, want string) {
	t.Helper()
	for range c.more {
		c.mu.Lock()
		got := string(c.got)
		c.mu.Unlock()
		if got == want {
			return
		}
		if len(got) > len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestLoop_AdoptTLSClient(t *testing.T) {
	cert := certificate(t)
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l := startLoop(t, d)
			ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			peer := make(chan net.Conn, 1)
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				// The two halves may come in one record: the client reads
				// only the first before the loop has it.
				c.Write([]byte("hello world"))
				peer <- c
			}()
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSocket(nc)
			if err != nil {
				t.Fatal(err)
			}
			tc := tls.Client(s, &tls.Config{InsecureSkipVerify: true})
			buf := make([]byte, 5)
			if _, err := io.ReadFull(tc, buf); err != nil {
				t.Fatal(err)
			}
			s.SetTLS(tc)
			h := newCollector()
			on(l, func() {
				c, err := l.Adopt(s, h)
				if err != nil {
					t.Error(err)
					return
				}
				c.Write([]byte("ping"))
			})
			h.await(t, " world")
			p := <-peer
			got := make([]byte, 4)
			if _, err := io.ReadFull(p, got); err != nil || string(got) != "ping" {
				t.Errorf("peer got %q, %v", got, err)
			}
			p.Close()
			<-h.closed
		})
	}
}

func TestConn_PauseAndMove(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l1, l2 := startLoop(t, d), startLoop(t, d)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			accepted := make(chan *Conn, 1)
			h := newCollector()
			stop, err := l1.Listen(ln, func(c *Conn) { c.SetHandler(h); c.PauseReading(); accepted <- c })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			c := <-accepted
			nc.Write([]byte("one "))
			moved := make(chan struct{})
			l1.Post(func() { c.MoveTo(l2, func() { close(moved) }) })
			<-moved
			nc.Write([]byte("two"))
			on(l2, func() { c.ResumeReading() })
			h.await(t, "one two")
			on(l2, func() { c.Write([]byte("back")) })
			got := make([]byte, 4)
			if _, err := io.ReadFull(nc, got); err != nil || string(got) != "back" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestConn_CloseWhenDrained(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l := startLoop(t, d)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			big := make([]byte, 10<<20)
			stop, err := l.Listen(ln, func(c *Conn) {
				c.SetHandler(newCollector())
				c.Write(big)
				c.CloseWhenDrained()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(nc)
			if err != nil || len(got) != len(big) {
				t.Errorf("got %d bytes, %v; want %d", len(got), err, len(big))
			}
		})
	}
}

type panicking struct{ closed chan error }

func (p *panicking) Received([]byte)  { panic("oops") }
func (p *panicking) Drained()         {}
func (p *panicking) Closed(err error) { p.closed <- err }

func TestLoop_PanicClosesOneConnection(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l := startLoop(t, d)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			h := &panicking{closed: make(chan error, 1)}
			stop, err := l.Listen(ln, func(c *Conn) { c.SetHandler(h) })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			nc.Write([]byte("x"))
			if err := <-h.closed; err == nil {
				t.Error("Closed without an error")
			}
			on(l, func() {}) // the loop goes on
		})
	}
}

func TestTimer(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			l := startLoop(t, d)
			fired := make(chan int, 3)
			on(l, func() {
				at := l.Now()
				a := l.NewTimer(func() { fired <- 1 })
				b := l.NewTimer(func() { fired <- 2 })
				stopped := l.NewTimer(func() { fired <- 3 })
				stopped.Reset(at.Add(time.Millisecond))
				stopped.Stop()
				a.Reset(at.Add(time.Millisecond))
				a.Reset(at.Add(30 * time.Millisecond)) // later: only noted
				b.Reset(at.Add(time.Hour))
				b.Reset(at.Add(10 * time.Millisecond)) // earlier
			})
			if first, second := <-fired, <-fired; first != 2 || second != 1 {
				t.Errorf("fired %d then %d, want 2 then 1", first, second)
			}
		})
	}
}

func TestConn_IdleSize(t *testing.T) {
	if got := unsafe.Sizeof(Conn{}); got > 200 {
		t.Errorf("an idle connection takes %d bytes, want 200 at most", got)
	}
}
