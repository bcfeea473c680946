package telemetry

import (
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// TestSampled_AsTheSDK: what Sampled says is what the SDK does.
func TestSampled_AsTheSDK(t *testing.T) {
	clearEnv(t)
	url, _ := collector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	config := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true}
	off := trace.NewSpanContext(config)
	config.TraceFlags = trace.FlagsSampled
	on := trace.NewSpanContext(config)
	for _, env := range [][2]string{
		{"", ""},
		{"always_on", ""},
		{"always_off", ""},
		{"traceidratio", "0.5"},
		{"parentbased_always_on", ""},
		{"parentbased_always_off", ""},
		{"parentbased_traceidratio", "0.5"},
		{" ParentBased_TraceIDRatio ", "0"},
		{"traceidratio", "no number"},
		{"parentbased_traceidratio", "2"},
		{"unheard_of", ""},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", env[0])
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", env[1])
		tel := setup(t, Options{})
		yes := 0
		const roots = 2000
		for i := range roots + 2 {
			parent := map[int]trace.SpanContext{roots: on, roots + 1: off}[i]
			ctx, sampled := tel.Sampled(parent)
			_, span := tel.Tracer().Start(ctx, "x")
			// A root that is not sampled has no trace ID yet, so the SDK draws another.
			comparable := tel.sampler != nil && (sampled || env[1] != "0.5" || parent.IsValid())
			if got := span.IsRecording(); comparable && got != sampled {
				t.Fatalf("%v, parent %v: the SDK records: %v, Sampled says %v", env, parent.IsSampled(), got, sampled)
			}
			if sampled && i < roots {
				yes++
			}
			if parent.IsValid() && sampled && span.SpanContext().TraceID() != parent.TraceID() {
				t.Errorf("%v: the span left its trace", env)
			}
		}
		if env[1] == "0.5" && (yes < roots/3 || yes > roots*2/3) {
			t.Errorf("%v: %d of %d roots are sampled", env, yes, roots)
		}
		_ = tel.Shutdown(t.Context()) // nothing was ended, so nothing is sent
	}
}

// TestSampled_Allocations: a statement that is not sampled costs no memory.
func TestSampled_Allocations(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tel := setup(t, Options{})
	if n := testing.AllocsPerRun(100, func() { tel.Sampled(trace.SpanContext{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
