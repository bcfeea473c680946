package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Sampled decides whether a span with that parent, which may be the zero value,
// will be recorded, before anything is allocated for it. It returns the context
// to start the span with: the decision is the SDK's own, made of the same trace
// ID, so the SDK comes to the same. Where OTEL_TRACES_SAMPLER does not name one
// of the specification's samplers it is left to the SDK, and ok is true.
func (t *Telemetry) Sampled(parent trace.SpanContext) (ctx context.Context, ok bool) {
	ctx = context.Background()
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	if t.sampler == nil {
		return ctx, true
	}
	id := parent.TraceID()
	if !parent.IsValid() {
		id = newTraceID()
	}
	decision := t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id, Kind: trace.SpanKindClient})
	if decision.Decision == sdktrace.Drop {
		return ctx, false
	}
	return context.WithValue(ctx, traceIDKey{}, id), true
}

// samplerFromEnv makes the sampler that the SDK makes of OTEL_TRACES_SAMPLER,
// nil if the SDK could make another one.
func samplerFromEnv() sdktrace.Sampler {
	ratio := 1.0
	if arg := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG")); arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || ratio < 0 || ratio > 1 {
			return nil
		}
	}
	switch strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER"))) {
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample())
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
	case "always_on":
		return sdktrace.AlwaysSample()
	case "always_off":
		return sdktrace.NeverSample()
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio)
	}
	return nil
}

type traceIDKey struct{}

// idGenerator gives a root span the trace ID that Sampled has chosen.
type idGenerator struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, chosen := ctx.Value(traceIDKey{}).(trace.TraceID)
	if !chosen {
		id = newTraceID()
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (idGenerator) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}
