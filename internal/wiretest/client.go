// Package wiretest is a raw client of PostgreSQL's protocol for tests: it
// sends what it is told and returns every message of the server, so that
// direct and proxied replies can be compared byte by byte.
package wiretest

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Message is one message of the server: its type byte and its body.
type Message struct {
	Type byte
	Body []byte
}

// String renders the message for transcripts: fields of errors without those
// that depend on the server's build (file, line, routine).
func (m Message) String() string {
	switch m.Type {
	case 'E', 'N':
		return fmt.Sprintf("%c %s", m.Type, strings.Join(m.fields("SCMDHP"), " | "))
	case 'K':
		return "K"
	}
	return fmt.Sprintf("%c %q", m.Type, m.Body)
}

func (m Message) fields(which string) []string {
	var out []string
	for b := m.Body; len(b) > 1; {
		i := strings.IndexByte(string(b[1:]), 0)
		if i < 0 {
			break
		}
		if strings.IndexByte(which, b[0]) >= 0 {
			out = append(out, string(b[:1+i]))
		}
		b = b[2+i:]
	}
	return out
}

// Field returns a field of an ErrorResponse or NoticeResponse: 'C' is the
// SQLSTATE, 'M' the message, 'D' the detail.
func (m Message) Field(code byte) string {
	for _, f := range m.fields(string(code)) {
		return f[1:]
	}
	return ""
}

// Client is one connection.
type Client struct {
	Conn net.Conn
	r    *bufio.Reader
	t    testing.TB
	// PID and Secret are BackendKeyData.
	PID    uint32
	Secret []byte
	// Params are the ParameterStatus messages so far.
	Params map[string]string
}

// Startup is what a client says at first.
type Startup struct {
	Address  string // host:port, or the path of a unix socket
	User     string
	Database string
	Password string // sent in clear if asked for
	Params   map[string]string
	Version  uint32 // 0: 3.0
	TLS      *tls.Config
}

const timeout = 30 * time.Second

// Dial connects and returns the client with what the server said up to
// ReadyForQuery or its error; err is only set if the connection broke.
func Dial(t testing.TB, s Startup) (*Client, []Message, error) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(s.Address, "/") {
		network = "unix"
	}
	nc, err := net.Dial(network, s.Address)
	if err != nil {
		return nil, nil, err
	}
	if s.TLS != nil {
		nc.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
		var answer [1]byte
		if _, err := io.ReadFull(nc, answer[:]); err != nil || answer[0] != 'S' {
			nc.Close()
			return nil, nil, fmt.Errorf("SSLRequest answered %q: %w", answer, err)
		}
		nc = tls.Client(nc, s.TLS)
	}
	c := &Client{Conn: nc, r: bufio.NewReader(nc), t: t, Params: map[string]string{}}
	t.Cleanup(func() { nc.Close() })
	c.Send(StartupPacket(s))
	msgs, err := c.login(s.Password)
	return c, msgs, err
}

// Over returns a client over a connection on which nothing was said yet.
func Over(t testing.TB, nc net.Conn) *Client {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	return &Client{Conn: nc, r: bufio.NewReader(nc), t: t, Params: map[string]string{}}
}

// Connect is Dial for a connection that must succeed.
func Connect(t testing.TB, s Startup) *Client {
	t.Helper()
	c, msgs, err := Dial(t, s)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	if last := msgs[len(msgs)-1]; last.Type != 'Z' {
		t.Fatalf("connect: %v", last)
	}
	return c
}

func (c *Client) login(password string) (msgs []Message, err error) {
	for {
		m, err := c.Receive()
		if err != nil {
			return msgs, err
		}
		msgs = append(msgs, m)
		switch m.Type {
		case 'R':
			if binary.BigEndian.Uint32(m.Body) == 3 {
				c.Send(Frame('p', password+"\x00"))
			}
		case 'K':
			c.PID, c.Secret = binary.BigEndian.Uint32(m.Body), m.Body[4:]
		case 'Z', 'E':
			return msgs, nil
		}
	}
}

// StartupPacket returns a StartupMessage.
func StartupPacket(s Startup) []byte {
	version := s.Version
	if version == 0 {
		version = 3 << 16
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 4), version)
	add := func(k, v string) { b = append(append(append(append(b, k...), 0), v...), 0) }
	add("user", s.User)
	if s.Database != "" {
		add("database", s.Database)
	}
	for k, v := range s.Params {
		add(k, v)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// Frame returns a message with the given body.
func Frame(typ byte, body string) []byte {
	b := append([]byte{typ}, 0, 0, 0, 0)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b[1:], uint32(len(body)+4))
	return b
}

// Messages of the client.

// Query returns a Query.
func Query(sql string) []byte { return Frame('Q', sql+"\x00") }

// Parse returns a Parse without parameter types.
func Parse(name, sql string) []byte { return Frame('P', name+"\x00"+sql+"\x00\x00\x00") }

// Bind returns a Bind of text parameters; nil is NULL.
func Bind(portal, name string, params ...any) []byte {
	b := []byte(portal + "\x00" + name + "\x00\x00\x00")
	b = binary.BigEndian.AppendUint16(b, uint16(len(params)))
	for _, p := range params {
		if p == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		v := fmt.Sprint(p)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return Frame('B', string(append(b, 0, 0)))
}

// Execute returns an Execute; max 0 is all rows.
func Execute(portal string, max uint32) []byte {
	return Frame('E', portal+"\x00"+string(binary.BigEndian.AppendUint32(nil, max)))
}

// Describe returns a Describe of a statement 'S' or portal 'P'.
func Describe(what byte, name string) []byte { return Frame('D', string(what)+name+"\x00") }

// Close returns a Close of a statement 'S' or portal 'P'.
func Close(what byte, name string) []byte { return Frame('C', string(what)+name+"\x00") }

// Sync, Flush and Terminate have no body.
var (
	Sync      = Frame('S', "")
	Flush     = Frame('H', "")
	Terminate = Frame('X', "")
)

// Send writes the messages with one write.
func (c *Client) Send(msgs ...[]byte) {
	c.t.Helper()
	var b []byte
	for _, m := range msgs {
		b = append(b, m...)
	}
	c.Conn.SetWriteDeadline(time.Now().Add(timeout))
	c.Conn.Write(b) // an error shows at the next Receive
}

// Receive reads one message.
func (c *Client) Receive() (Message, error) {
	c.Conn.SetReadDeadline(time.Now().Add(timeout))
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return Message{}, err
	}
	size := int(binary.BigEndian.Uint32(head[1:])) - 4
	if size < 0 || size > 1<<30 {
		return Message{}, fmt.Errorf("message %q with length %d", head[0], size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return Message{}, err
	}
	m := Message{Type: head[0], Body: body}
	if m.Type == 'S' {
		if p := strings.Split(string(body), "\x00"); len(p) == 3 {
			c.Params[p[0]] = p[1]
		}
	}
	return m, nil
}

// Until reads messages up to the n-th ReadyForQuery, or the end of the
// connection.
func (c *Client) Until(n int) []Message {
	c.t.Helper()
	var out []Message
	for n > 0 {
		m, err := c.Receive()
		if err != nil {
			c.t.Logf("connection ended: %v", err)
			return out
		}
		out = append(out, m)
		if m.Type == 'Z' {
			n--
		}
	}
	return out
}

// Query sends a Query and returns its reply.
func (c *Client) Query(sql string) []Message {
	c.t.Helper()
	c.Send(Query(sql))
	return c.Until(1)
}

// Error returns the first error among messages.
func Error(msgs []Message) (Message, bool) {
	for _, m := range msgs {
		if m.Type == 'E' {
			return m, true
		}
	}
	return Message{}, false
}

// Status returns the transaction status of the last ReadyForQuery, 0 if there
// is none.
func Status(msgs []Message) byte {
	for i := len(msgs) - 1; i >= 0; i-- {
		if msgs[i].Type == 'Z' {
			return msgs[i].Body[0]
		}
	}
	return 0
}

// Transcript renders messages, one on a line.
func Transcript(msgs []Message) string {
	var b strings.Builder
	for _, m := range msgs {
		b.WriteString(m.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Rows returns the text of all values of DataRow messages, row by row.
func Rows(msgs []Message) [][]string {
	var out [][]string
	for _, m := range msgs {
		if m.Type != 'D' {
			continue
		}
		n := int(binary.BigEndian.Uint16(m.Body))
		b := m.Body[2:]
		var row []string
		for range n {
			size := int(int32(binary.BigEndian.Uint32(b)))
			b = b[4:]
			if size < 0 {
				row = append(row, "NULL")
				continue
			}
			row = append(row, string(b[:size]))
			b = b[size:]
		}
		out = append(out, row)
	}
	return out
}
