package proxy

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/policy"
)

// record writes what a rule found to the blocked-query log, the metrics and
// the trace, all from the same Decision. ins is nil where there is no SQL.
func (s *Session) record(st *step, d policy.Decision, ins *policy.Inspection, p policy.Protocol, text []byte) {
	s.env.metrics.refused(d.Rule, d.Action)
	r := blocklog.Record{
		Time:            st.now.UTC(),
		Decision:        blocklog.Decision(decisionName(d.Action)),
		Rule:            d.Rule,
		Title:           d.Title,
		Reason:          d.Reason,
		ClientAddr:      s.client.addr,
		ApplicationName: s.startup.applicationName(),
		User:            s.startup.user,
		Database:        s.startup.database,
		Protocol:        p.String(),
		TxStatus:        string(s.txStatus()),
		SessionID:       strconv.FormatUint(s.id, 16),
		SQLState:        d.SQLState,
	}
	if id := s.identity; id != nil {
		r.Org, r.Subject, r.Role, r.TokenID, r.Issuer = id.Org, id.Subject, id.Role, id.TokenID, id.Issuer
	}
	if ins != nil {
		r.Statement, r.Fingerprint, r.StatementKind = blocklog.Redacted(ins.Text()), ins.Fingerprint, ins.Kind
		r.Relations, r.Functions, r.Settings = ins.Relations, ins.Functions, ins.Settings
	}
	if s.env.tracing() {
		sc := s.refusalSpan(st, &d, ins, parentOf(text))
		if sc.IsValid() {
			r.TraceID, r.SpanID = sc.TraceID().String(), sc.SpanID().String()
		}
	}
	s.env.opts.BlockedLog.Append(r)
}

// refusalSpan makes the span of a statement that violates a rule.
func (s *Session) refusalSpan(st *step, d *policy.Decision, ins *policy.Inspection, parent *traceParent) trace.SpanContext {
	return s.span(parent.context(), ins, st.now, st.now, func(span trace.Span) {
		decision := decisionName(d.Action)
		span.SetAttributes(attribute.String("bulkhead.decision", decision), attribute.String("bulkhead.rule", d.Rule))
		span.AddEvent("bulkhead."+decision, trace.WithTimestamp(st.now), trace.WithAttributes(
			attribute.String("bulkhead.rule", d.Rule),
			attribute.String("bulkhead.reason", d.Reason),
		))
		if d.Action == policy.Block {
			span.SetAttributes(attribute.String("db.response.status_code", d.SQLState), attribute.String("error.type", d.SQLState))
			span.SetStatus(codes.Error, "refused by rule "+d.Rule)
		}
	})
}

// txStatus is the transaction status as the server last reported it.
func (s *Session) txStatus() byte {
	switch {
	case s.reopen != "" && s.aborted:
		return txFailed
	case s.reopen != "":
		return txOpen
	case s.sc == nil:
		return txIdle
	}
	return s.sc.tx
}
