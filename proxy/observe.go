package proxy

import (
	"bytes"
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgbulkhead/bulkhead/policy"
)

// endReason says why a session ended. The list is closed: it labels a metric.
type endReason uint8

const (
	endUnknown endReason = iota
	endClientLeft
	endClientLost
	endCancel
	endProtocol
	endTLS
	endAuthFailed
	endRefused
	endExpired
	endQueueTimeout
	endIdle
	endServerFault
	endDrained
	endReasons
)

func (r endReason) String() string {
	return [...]string{
		"unknown", "client_left", "client_lost", "cancel_request", "protocol", "tls", "auth_failed", "refused",
		"expired", "queue_timeout", "idle", "server_fault", "drained",
	}[r]
}

// metrics are the server's counters. Everything on the data path is an atomic
// add; labels are closed lists.
type metrics struct {
	srv        *Server
	duration   prometheus.Histogram
	sessions   *prometheus.CounterVec
	ended      [endReasons]prometheus.Counter
	auth       *prometheus.CounterVec
	rules      *prometheus.CounterVec
	pins       *prometheus.CounterVec
	identities *prometheus.CounterVec
	logins     prometheus.Counter
	errors     prometheus.Counter
	connected  *prometheus.Desc
	conns      *prometheus.Desc
	waiting    *prometheus.Desc
}

func newMetrics(s *Server) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bulkhead", Name: name, Help: help}, labels)
	}
	m := &metrics{
		srv: s,
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "db_client_operation_duration_seconds",
			Help:    "Time from forwarding a statement to the end of its reply (OpenTelemetry db.client.operation.duration).",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 10},
		}),
		sessions:   counter("sessions_ended_total", "Sessions that ended, by reason.", "reason"),
		auth:       counter("auth_failures_total", "Refused authentications, by reason.", "reason"),
		rules:      counter("rule_violations_total", "Statements that violate a rule, by rule and decision.", "rule", "decision"),
		pins:       counter("pins_total", "Sessions that began to keep their server connection between transactions, by reason.", "reason"),
		identities: counter("identity_changes_total", "Changes of a session's identity in band, by statement.", "statement", "local"),
		logins: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bulkhead", Name: "server_login_failures_total",
			Help: "Logins to the server that failed.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bulkhead", Name: "statement_errors_total",
			Help: "Statements that the server answered with an error.",
		}),
		connected: prometheus.NewDesc("bulkhead_clients", "Client connections now.", nil, nil),
		conns:     prometheus.NewDesc("bulkhead_server_connections", "Server connections now, by state.", []string{"state"}, nil),
		waiting:   prometheus.NewDesc("bulkhead_clients_waiting", "Clients that wait for a server connection now.", nil, nil),
	}
	for r := range endReasons {
		m.ended[r] = m.sessions.WithLabelValues(r.String())
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.sessions, m.auth, m.rules, m.pins, m.identities, m.logins, m.errors}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	ch <- m.connected
	ch <- m.conns
	ch <- m.waiting
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	m.srv.mu.Lock()
	clients := m.srv.clients
	m.srv.mu.Unlock()
	p := m.srv.pool.stats()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(m.connected, clients)
	gauge(m.conns, p.idle, "idle")
	gauge(m.conns, p.total-p.idle, "used")
	gauge(m.waiting, p.waiting)
}

func (m *metrics) sessionEnded(r endReason) { m.ended[r].Inc() }
func (m *metrics) authFailed(reason string) { m.auth.WithLabelValues(reason).Inc() }
func (m *metrics) loginFailed()             { m.logins.Inc() }
func (m *metrics) pinned(r pinReason)       { m.pins.WithLabelValues(r.String()).Inc() }
func (m *metrics) refused(rule string, a policy.Action) {
	m.rules.WithLabelValues(rule, decisionName(a)).Inc()
}

func decisionName(a policy.Action) string {
	if a == policy.Observe {
		return "observed"
	}
	return "blocked"
}

func (r pinReason) String() string {
	switch r {
	case pinPrepared:
		return "prepared_statement"
	case pinTemp:
		return "temporary_object"
	case pinCursor:
		return "cursor_with_hold"
	case pinListen:
		return "listen"
	case pinLock:
		return "advisory_lock"
	case pinSequence:
		return "sequence_state"
	}
	return "other"
}

// tracing reports whether spans are made at all.
func (e *environment) tracing() bool { return e.opts.Tracer != nil }

// observe counts a statement that is done and makes its span.
func (s *Session) observe(st *step, o *owed, code string) {
	s.progress = instantOf(st.now)
	if o.start == 0 {
		return
	}
	took := time.Duration(st.now.UnixNano() - o.start)
	s.env.metrics.duration.Observe(took.Seconds())
	if slow := s.env.changeable().SlowQuery; slow > 0 && took >= slow {
		s.logSlow(o, took)
	}
	if code != "" {
		s.env.metrics.errors.Inc()
	}
	if s.env.tracing() {
		s.traceAllowed(st, o, code)
	}
}

// traceAllowed makes the span of an allowed statement, if it is sampled.
func (s *Session) traceAllowed(st *step, o *owed, code string) {
	ctx := o.parent.context()
	if sampled := s.env.opts.Sampled; sampled != nil {
		var ok bool
		if ctx, ok = sampled(o.parent.spanContext()); !ok {
			return
		}
	}
	s.span(ctx, o.inspection, time.Unix(0, o.start), st.now, func(span trace.Span) {
		span.SetAttributes(attribute.String("bulkhead.decision", "allowed"))
		if code != "" {
			span.SetAttributes(attribute.String("db.response.status_code", code), attribute.String("error.type", code))
			span.SetStatus(codes.Error, "")
		}
	})
}

func (s *Session) logSlow(o *owed, took time.Duration) {
	var statement policy.Redacted
	if o.inspection != nil {
		statement = o.inspection.Text()
	}
	s.env.log.Warn("slow statement", "session", s.id, "org", s.org(), "duration", took, "statement", statement)
}

// span makes a client span of a statement by the OpenTelemetry semantic
// conventions for databases (stable).
func (s *Session) span(ctx context.Context, ins *policy.Inspection, from, to time.Time, more func(trace.Span)) trace.SpanContext {
	name := "statement"
	if ins != nil && ins.Kind != "" {
		name = ins.Kind
		if ins.Collection != "" {
			name += " " + ins.Collection
		}
	}
	_, span := s.env.opts.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(from))
	defer span.End(trace.WithTimestamp(to))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("db.system.name", "postgresql"),
			attribute.String("db.namespace", s.startup.database),
			attribute.String("bulkhead.org", s.org()),
		)
		if ins != nil {
			span.SetAttributes(
				attribute.String("db.operation.name", ins.Kind),
				attribute.String("db.collection.name", ins.Collection),
				attribute.String("db.query.summary", name),
				attribute.String("db.query.text", string(ins.Text())),
			)
		}
		more(span)
	}
	return span.SpanContext()
}

// identityChanged counts a change of identity in band, and makes a span of it:
// it says who acts from here on.
func (s *Session) identityChanged(st *step, c *identityChange) {
	kind := "SET " + c.Name
	if c.Reset {
		kind = "RESET " + c.Name
	}
	s.env.metrics.identities.WithLabelValues(kind, strconv.FormatBool(c.Local)).Inc()
	s.env.log.Debug("identity changed", "session", s.id, "statement", kind, "local", c.Local, "org", s.identity.Org, "subject", s.identity.Subject, "token_id", s.identity.TokenID)
	if !s.env.tracing() {
		return
	}
	ins := policy.Described(kind, policy.Redacted(kind))
	s.span(context.Background(), ins, st.now, st.now, func(span trace.Span) {
		span.SetAttributes(
			attribute.String("bulkhead.decision", "answered"),
			attribute.String("bulkhead.subject", s.identity.Subject),
			attribute.String("bulkhead.token_id", s.identity.TokenID),
			attribute.Bool("bulkhead.identity.local", c.Local),
		)
	})
}

func (s *Session) org() string {
	if s.context == nil {
		return ""
	}
	return s.context.Org
}

// traceParent is the parent of a statement's span, from a sqlcommenter
// comment: traceparent='00-<trace id>-<span id>-<flags>' (W3C Trace Context).
type traceParent struct{ sc trace.SpanContext }

// spanContext is the parent, invalid for nil.
func (p *traceParent) spanContext() trace.SpanContext {
	if p == nil {
		return trace.SpanContext{}
	}
	return p.sc
}

// context is that of a span with this parent.
func (p *traceParent) context() context.Context {
	if p == nil {
		return context.Background()
	}
	return trace.ContextWithRemoteSpanContext(context.Background(), p.sc)
}

var traceparentKey = []byte("traceparent='")

// parentOf finds the trace parent in a statement's comments; nil if none.
func parentOf(text []byte) *traceParent {
	i := bytes.LastIndex(text, traceparentKey)
	if i < 0 {
		return nil
	}
	v := text[i+len(traceparentKey):]
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(v) < size || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return nil
	}
	var cfg trace.SpanContextConfig
	if _, err := hex.Decode(cfg.TraceID[:], v[3:35]); err != nil {
		return nil
	}
	if _, err := hex.Decode(cfg.SpanID[:], v[36:52]); err != nil {
		return nil
	}
	flags, err := strconv.ParseUint(string(v[53:55]), 16, 8)
	if err != nil {
		return nil
	}
	cfg.TraceFlags = trace.TraceFlags(flags)
	cfg.Remote = true
	if sc := trace.NewSpanContext(cfg); sc.IsValid() {
		return &traceParent{sc}
	}
	return nil
}
