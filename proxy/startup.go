package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Request codes of the packets that have no type byte (PostgreSQL manual,
// Message Formats).
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSENC = 80877104
	version30  = 3 << 16
	version32  = 3<<16 | 2

	tlsHandshakeRecord = 0x16 // first byte of a ClientHello: direct TLS
)

// startupParams is what the client's StartupMessage said.
type startupParams struct {
	version  uint32
	user     string // recorded; authorises nothing
	database string // resolved: never empty after attach
	// settings are the client's run-time parameters, names in lower case,
	// sorted; those of options included. The value of a name given twice is
	// the last one, as in PostgreSQL.
	settings []setting
	rest     *unusualParams // nil for nearly all
}

// unusualParams are parameters that nearly no client sends.
type unusualParams struct {
	replication string
	ignored     []string // protocol extensions that we do not know
}

// unusual are those parameters, to be read.
func (p *startupParams) unusual() unusualParams {
	if p.rest == nil {
		return unusualParams{}
	}
	return *p.rest
}

func (p *startupParams) setUnusual() *unusualParams {
	if p.rest == nil {
		p.rest = new(unusualParams)
	}
	return p.rest
}

type setting struct{ name, value string }

// applicationName of the client, "" if it named none.
func (p *startupParams) applicationName() string {
	for _, s := range p.settings {
		if s.name == "application_name" {
			return s.value
		}
	}
	return ""
}

// prelude handles one packet before authentication: SSLRequest,
// GSSENCRequest, CancelRequest or StartupMessage, or the start of a TLS
// handshake. It returns how much it used, 0 if it needs more.
func (s *Session) prelude(st *step, b []byte) int {
	opts := s.env.changeable()
	if b[0] == tlsHandshakeRecord && !s.tls && !s.askedTLS && !s.askedGSS && opts.TLS.available() {
		s.phase = phaseTLS
		st.ask(startTLS{early: append([]byte(nil), b...)})
		return len(b)
	}
	if len(b) < 8 {
		return 0
	}
	size, code := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if size < 8 || size > maxStartupPacket {
		// Not PostgreSQL's protocol: a scanner, or HTTP. Say nothing.
		s.end(st, endProtocol, nil)
		return len(b)
	}
	if len(b) < int(size) {
		return 0
	}
	packet := b[:size]
	switch code {
	case codeSSL, codeGSSENC:
		s.encryptionRequest(st, code, len(b) > 8 || size != 8)
		return len(b)
	case codeCancel:
		if size > 12 {
			// The driver closes the connection once the server has got it.
			st.ask(cancelQuery{key: string(packet[8:])})
			s.leave(st, endCancel)
			return len(b)
		}
		s.end(st, endProtocol, nil)
		return len(b)
	}
	if e := s.startupMessage(packet); e != nil {
		s.end(st, endProtocol, e)
		return len(b)
	}
	s.askToken(st)
	return int(size)
}

// encryptionRequest answers an SSLRequest or GSSENCRequest. Each may come
// once; bytes behind it were not sent by a client that waits for the answer.
func (s *Session) encryptionRequest(st *step, code uint32, more bool) {
	asked := &s.askedTLS
	if code == codeGSSENC {
		asked = &s.askedGSS
	}
	switch {
	case *asked || s.tls:
		s.end(st, endProtocol, &errProtocol)
	case more:
		s.end(st, endProtocol, &errEarlyData)
	case code == codeSSL && s.env.changeable().TLS.available():
		*asked = true
		s.phase = phaseTLS
		st.toClient.write([]byte{'S'})
		st.ask(startTLS{})
	default:
		*asked = true
		st.toClient.write([]byte{'N'})
	}
}

// tlsDone is the answer to startTLS. direct tells that there was no
// SSLRequest; then ALPN is required (PostgreSQL 17 manual, SSL Session
// Encryption).
func (s *Session) tlsDone(st *step, alpn string, err error) {
	if s.phase != phaseTLS {
		return
	}
	if err != nil {
		s.end(st, endTLS, nil)
		return
	}
	s.tls = true
	s.phase = phasePrelude
	if !s.askedTLS && alpn != alpnPostgreSQL {
		s.end(st, endTLS, &errALPN)
		return
	}
	s.resume(st)
}

const alpnPostgreSQL = "postgresql"

// startupMessage reads the StartupMessage and refuses what no configuration
// allows.
func (s *Session) startupMessage(packet []byte) *clientError {
	version := binary.BigEndian.Uint32(packet[4:])
	if version>>16 != 3 {
		return &errVersion
	}
	p, err := parseStartup(packet[8:])
	if err != nil {
		e := errProtocol
		e.message = "invalid startup packet: " + err.Error()
		return &e
	}
	p.version = version
	s.startup = p
	opts := s.env.changeable()
	switch {
	case p.user == "":
		return &errNoUser
	case !s.tls && !s.client.local && opts.TLS.required():
		return &errTLSRequired
	case !s.tls && !s.client.local && !opts.TLS.AllowPlaintextToken:
		return &errPlaintextToken
	}
	return nil
}

var (
	errStartupForm    = errors.New("parameters must be pairs of NUL-terminated strings, ended by a NUL")
	errStartupOptions = errors.New("options can hold only -c name=value and --name=value")
)

// parseStartup reads the parameters of a StartupMessage. Its errors name no
// value of the client.
func parseStartup(b []byte) (startupParams, error) {
	var p startupParams
	for {
		name, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return p, errStartupForm
		}
		if len(name) == 0 {
			if len(rest) != 0 {
				return p, errStartupForm
			}
			return p, nil
		}
		value, next, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return p, errStartupForm
		}
		if err := p.set(string(name), string(value)); err != nil {
			return p, err
		}
		b = next
	}
}

func (p *startupParams) set(name, value string) error {
	switch {
	case name == "user":
		p.user = value
	case name == "database":
		p.database = value
	case name == "replication":
		p.setUnusual().replication = value
	case name == "options":
		options, err := parseOptions(value)
		if err != nil {
			return err
		}
		for _, o := range options {
			p.setting(o.name, o.value)
		}
	case strings.HasPrefix(name, "_pq_."):
		u := p.setUnusual()
		u.ignored = append(u.ignored, name)
	default:
		p.setting(name, value)
	}
	return nil
}

// setting notes a run-time parameter. Names of settings are case-insensitive.
func (p *startupParams) setting(name, value string) {
	name = strings.ToLower(name)
	i, found := slices.BinarySearchFunc(p.settings, name, func(s setting, n string) int { return strings.Compare(s.name, n) })
	if found {
		p.settings[i].value = value
		return
	}
	p.settings = slices.Insert(p.settings, i, setting{name, value})
}

// parseOptions reads the options parameter as PostgreSQL does: words are
// separated by white space, a backslash keeps the next character
// (pg_split_opts), and of the postgres command's switches only -c and -- are
// of use to a client.
func parseOptions(text string) ([]setting, error) {
	words := splitOptions(text)
	var out []setting
	for i := 0; i < len(words); i++ {
		w := words[i]
		var assignment string
		switch {
		case w == "-c":
			i++
			if i == len(words) {
				return nil, errStartupOptions
			}
			assignment = words[i]
		case strings.HasPrefix(w, "-c"):
			assignment = w[2:]
		case strings.HasPrefix(w, "--"):
			assignment = w[2:]
		default:
			return nil, errStartupOptions
		}
		name, value, ok := strings.Cut(assignment, "=")
		if !ok || name == "" {
			return nil, errStartupOptions
		}
		// The server reads dashes in a name as underscores (ParseLongOption).
		out = append(out, setting{strings.ReplaceAll(name, "-", "_"), value})
	}
	return out, nil
}

func splitOptions(text string) []string {
	var words []string
	for i := 0; i < len(text); {
		for i < len(text) && isSpace(text[i]) {
			i++
		}
		var w []byte
		start := i
		for i < len(text) && !isSpace(text[i]) {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			w = append(w, text[i])
			i++
		}
		if i > start {
			words = append(words, string(w))
		}
	}
	return words
}

func isSpace(c byte) bool {
	return c == ' ' || (c >= '\t' && c <= '\r')
}

// negotiate appends NegotiateProtocolVersion if the client asked for more
// than Bulkhead speaks, and returns the version in force.
func (p *startupParams) negotiate(b []byte) []byte {
	version := p.version
	switch {
	case version > version32:
		version = version32
	case version > version30 && version < version32:
		version = version30 // 3.1 does not exist
	}
	ignored := p.unusual().ignored
	if version != p.version || len(ignored) > 0 {
		var at int
		b, at = begin(b, 'v')
		b = binary.BigEndian.AppendUint32(b, version)
		b = binary.BigEndian.AppendUint32(b, uint32(len(ignored)))
		for _, name := range ignored {
			b = append(append(b, name...), 0)
		}
		b = finish(b, at)
	}
	p.version = version
	return b
}
