package loop

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newDriver(o Options) (driver, error) {
	switch o.Driver {
	case "", "epoll":
		return newEpoll(o)
	case "goroutine":
		return newGoroutines(o), nil
	}
	return nil, fmt.Errorf("loop driver %q: want epoll or goroutine", o.Driver)
}

// epoll is the Linux driver.
type epoll struct {
	fd     int
	event  int // eventfd
	log    *slog.Logger
	buf    []byte
	events []unix.EpollEvent
	// sources by file descriptor. A closed one is replaced by nil, so that
	// an event of the same batch does not reach what has the number next.
	sources []source
	scratch []byte
	iovecs  []unix.Iovec
	keeps   bool // Options.KeepProcessor
}

// source is what an epoll event is about.
type source interface{ event(events uint32) }

const (
	maxEvents = 256
	// gatherBytes is up to which several pieces are copied into one rather
	// than handed to the kernel as a list.
	gatherBytes = 16 << 10
	maxIovecs   = 64
)

func newEpoll(o Options) (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	logger := o.Logger
	p := &epoll{fd: fd, event: event, log: logger, buf: make([]byte, o.ReadBuffer), keeps: o.KeepProcessor, events: make([]unix.EpollEvent, maxEvents)}
	if err := p.control(unix.EPOLL_CTL_ADD, event, unix.EPOLLIN); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *epoll) close() {
	unix.Close(p.fd)
	unix.Close(p.event)
}

func (p *epoll) control(op, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (p *epoll) wake() {
	one := [8]byte{1}
	unix.RawSyscall(unix.SYS_WRITE, uintptr(p.event), uintptr(unsafe.Pointer(&one)), 8)
}

func (p *epoll) set(fd int, s source) {
	for fd >= len(p.sources) {
		p.sources = append(p.sources, nil)
	}
	p.sources[fd] = s
}

// run waits without blocking first: under load something is there, and a
// call that cannot block costs the Go scheduler nothing.
func (p *epoll) run(l *Loop) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		goOn, next := l.turn()
		if !goOn {
			return nil
		}
		n, err := p.wait(0)
		if timeout := waitTime(next); n == 0 && err == nil && timeout != 0 {
			n, err = p.sleep(timeout)
		}
		if err != nil {
			return err
		}
		if n > 0 {
			l.now = time.Now()
		}
		for i := range n {
			p.dispatch(l, &p.events[i])
		}
	}
}

func waitTime(next time.Time) int {
	if next.IsZero() {
		return -1
	}
	d := time.Until(next)
	if d <= 0 {
		return 0
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
}

// sleep waits up to timeout milliseconds, -1 for ever. Under load a wait is
// hardly ever long: so for a short one the thread keeps Go's processor, since
// giving it away and back, and what the runtime does meanwhile (sysmon polls
// every 20 us), costs more than the system call. Such a wait delays no garbage
// collection: the signal with which the runtime stops a thread ends it.
func (p *epoll) sleep(timeout int) (int, error) {
	if p.keeps && (timeout < 0 || timeout > shortWait) {
		if n, err := p.wait(shortWait); n > 0 || err != nil {
			return n, err
		}
	}
	events := uintptr(unsafe.Pointer(&p.events[0]))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), events, maxEvents, uintptr(timeout), 0, 0)
	return waited(n, errno)
}

// shortWait is in milliseconds. It is longer than the kernel's tick: to set a
// timer that comes earlier costs more than it saves, above all in a virtual
// machine.
const shortWait = 20

// wait keeps Go's processor.
func (p *epoll) wait(timeout int) (int, error) {
	events := uintptr(unsafe.Pointer(&p.events[0]))
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), events, maxEvents, uintptr(timeout), 0, 0)
	return waited(n, errno)
}

func waited(n uintptr, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_wait: %w", errno)
}

func (p *epoll) dispatch(l *Loop, ev *unix.EpollEvent) {
	fd := int(ev.Fd)
	if fd == p.event {
		var b [8]byte
		unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b)), 8)
		return
	}
	if fd < len(p.sources) && p.sources[fd] != nil {
		p.sources[fd].event(ev.Events)
	}
}

// epollSocket is a connection's socket.
type epollSocket struct {
	p      *epoll
	fd     int
	c      *Conn
	events uint32 // registered
	added  bool
}

const readEvents = unix.EPOLLIN | unix.EPOLLRDHUP

func (s *epollSocket) event(events uint32) {
	c := s.c
	if events&unix.EPOLLOUT != 0 {
		c.writable()
		if c.closed {
			return
		}
	}
	switch {
	case c.paused:
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			// These are reported whether wanted or not: stop listening, and
			// find out when reading goes on.
			s.remove()
			if events&unix.EPOLLERR != 0 {
				c.fail(unix.ECONNRESET)
			}
		}
	case events&(readEvents|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		s.read()
	}
}

func (s *epollSocket) read() {
	buf := s.p.buf
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		s.c.ended(errno)
	case n == 0:
		s.c.ended(io.EOF)
	default:
		s.c.received(buf[:n])
	}
}

func (s *epollSocket) write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

func (s *epollSocket) writev(bs [][]byte) (int, error) {
	p, total := s.p, 0
	for _, b := range bs {
		total += len(b)
	}
	if total <= gatherBytes {
		p.scratch = p.scratch[:0]
		for _, b := range bs {
			p.scratch = append(p.scratch, b...)
		}
		return s.write(p.scratch)
	}
	p.iovecs = p.iovecs[:0]
	want := 0
	for _, b := range bs {
		if len(p.iovecs) == maxIovecs {
			break
		}
		if len(b) > 0 {
			iov := unix.Iovec{Base: &b[0]}
			iov.SetLen(len(b))
			p.iovecs = append(p.iovecs, iov)
			want += len(b)
		}
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(s.fd), uintptr(unsafe.Pointer(&p.iovecs[0])), uintptr(len(p.iovecs)))
		switch errno {
		case 0:
			clear(p.iovecs)
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

func (s *epollSocket) unread() bool {
	var b [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno != unix.EAGAIN && errno != unix.EINTR
}

func (s *epollSocket) interest(read, write bool) {
	var events uint32
	if read {
		events = readEvents
	}
	if write {
		events |= unix.EPOLLOUT
	}
	if events == s.events && s.added {
		return
	}
	op := unix.EPOLL_CTL_MOD
	if !s.added {
		if events == 0 {
			return
		}
		op = unix.EPOLL_CTL_ADD
	}
	if err := s.p.control(op, s.fd, events); err != nil {
		s.c.loop.Post(func() { s.c.fail(err) })
		return
	}
	s.events, s.added = events, true
}

func (s *epollSocket) remove() {
	if s.added {
		s.added = false
		s.p.control(unix.EPOLL_CTL_DEL, s.fd, 0)
	}
}

func (s *epollSocket) detach() {
	s.remove()
	s.p.sources[s.fd] = nil
}

func (s *epollSocket) shutdown() { unix.Shutdown(s.fd, unix.SHUT_WR) }

func (s *epollSocket) close() {
	if s.fd < len(s.p.sources) && s.p.sources[s.fd] == source(s) {
		s.p.sources[s.fd] = nil
	}
	unix.Close(s.fd) // removes it from epoll
}

func (s *epollSocket) remoteAddr() net.Addr {
	sa, err := unix.Getpeername(s.fd)
	return address(sa, err)
}

func (s *epollSocket) localAddr() net.Addr {
	sa, err := unix.Getsockname(s.fd)
	return address(sa, err)
}

func address(sa unix.Sockaddr, err error) net.Addr {
	if err == nil {
		switch a := sa.(type) {
		case *unix.SockaddrInet4:
			return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
		case *unix.SockaddrInet6:
			return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
		case *unix.SockaddrUnix:
			return &net.UnixAddr{Name: a.Name, Net: "unix"}
		}
	}
	return &net.TCPAddr{}
}

func (p *epoll) attach(c *Conn) error {
	s := c.sock.(*epollSocket)
	s.p, s.c, s.added, s.events = p, c, false, 0
	p.set(s.fd, s)
	c.interest()
	return nil
}

func (p *epoll) adopt(_ *Loop, nc net.Conn) (socket, error) {
	fd, err := duplicate(nc.(filer))
	if err != nil {
		return nil, err
	}
	nc.Close()
	return &epollSocket{p: p, fd: fd}, nil
}

// filer is a net.Conn or net.Listener with a file descriptor.
type filer interface{ File() (*os.File, error) }

// duplicate returns a non-blocking duplicate of a socket's descriptor.
func duplicate(f filer) (int, error) {
	file, err := f.File()
	if err != nil {
		return 0, fmt.Errorf("duplicate socket: %w", err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("duplicate socket: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("make socket non-blocking: %w", err)
	}
	return fd, nil
}

// epollListener accepts.
type epollListener struct {
	p      *epoll
	l      *Loop
	fd     int
	unix   bool
	accept func(*Conn)
	retry  *Timer
	closed bool
}

const (
	// acceptBatch bounds what one event accepts: others wait.
	acceptBatch = 16
	acceptEvent = unix.EPOLLIN | unix.EPOLLEXCLUSIVE
)

func (p *epoll) listen(l *Loop, ln net.Listener, accept func(*Conn)) (func(), error) {
	f, ok := ln.(filer)
	if !ok {
		return nil, errors.New("loop: only TCP and unix listeners can be used")
	}
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	_, isUnix := ln.(*net.UnixListener)
	e := &epollListener{p: p, l: l, fd: fd, unix: isUnix, accept: accept}
	e.retry = l.NewTimer(e.start)
	l.Post(e.start)
	return func() { l.Post(e.stop) }, nil
}

func (e *epollListener) start() {
	if e.closed {
		return
	}
	e.p.set(e.fd, e)
	if err := e.p.control(unix.EPOLL_CTL_ADD, e.fd, acceptEvent); err != nil {
		e.l.log.Error("cannot accept connections", "error", err)
	}
}

func (e *epollListener) stop() {
	if e.closed {
		return
	}
	e.closed = true
	e.retry.Stop()
	if e.p.sources[e.fd] == source(e) {
		e.p.sources[e.fd] = nil
	}
	unix.Close(e.fd)
}

func (e *epollListener) event(uint32) {
	for range acceptBatch {
		if e.closed {
			return
		}
		fd, _, err := unix.Accept4(e.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			e.accepted(fd)
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default:
			e.l.log.Error("accept failed", "error", err)
			e.p.control(unix.EPOLL_CTL_DEL, e.fd, 0)
			e.retry.Reset(e.l.now.Add(acceptRetry))
			return
		}
	}
}

func (e *epollListener) accepted(fd int) {
	if !e.unix {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	s := &epollSocket{p: e.p, fd: fd}
	c := newConn(e.l, s, e.unix)
	s.c = c
	if err := e.p.attach(c); err != nil {
		e.l.log.Error("cannot watch a new connection", "error", err)
		c.Close()
		return
	}
	c.protect(func() { e.accept(c) })
	if c.h == nil {
		c.Close()
	}
}
