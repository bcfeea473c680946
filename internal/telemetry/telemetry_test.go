package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// clearEnv removes the OTEL_* variables of the test's own environment.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

func setup(t *testing.T, o Options) *Telemetry {
	t.Helper()
	tel, err := Setup(t.Context(), o)
	if err != nil {
		t.Fatalf("Setup: %v", err)
	}
	return tel
}

func TestSetup_OffUnlessAskedFor(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
	}
	for _, tt := range tests {
		t.Run("", func(t *testing.T) {
			clearEnv(t)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			tel := setup(t, Options{ServiceName: "bulkhead"})
			if got := tel.Enabled(); got != tt.want {
				t.Errorf("%v: got enabled %v, want %v", tt.env, got, tt.want)
			}
			_, span := tel.Tracer().Start(t.Context(), "SELECT")
			if got := span.IsRecording(); got != tt.want {
				t.Errorf("%v: got recording %v, want %v", tt.env, got, tt.want)
			}
			// The span is not ended, so that nothing has to be sent.
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

func TestSetup_UnknownExporter(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "carrier-pigeon")
	if _, err := Setup(t.Context(), Options{}); err == nil {
		t.Error("got no error")
	}
}

// collector takes OTLP over HTTP and keeps the bodies.
func collector(t *testing.T) (url string, bodies <-chan string) {
	t.Helper()
	c := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c <- string(b)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, c
}

func TestSetup_SpansReachTheCollector(t *testing.T) {
	clearEnv(t)
	url, bodies := collector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	tel := setup(t, Options{ServiceName: "my-bulkhead", Version: "v9.8.7"})
	_, span := tel.Tracer().Start(t.Context(), "SELECT orders")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	body := <-bodies
	for _, want := range []string{"SELECT orders", "my-bulkhead", "v9.8.7", "staging", scope} {
		if !strings.Contains(body, want) {
			t.Errorf("the export does not hold %q", want)
		}
	}
}

func TestSetup_Sampler(t *testing.T) {
	clearEnv(t)
	url, _ := collector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	parent := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, Remote: true,
		}))
	}
	tests := []struct {
		sampler       string
		root, on, off bool // whether a span without parent, with a sampled one and with one that is not is recorded
	}{
		{"", true, true, false},
		{"parentbased_always_off", false, true, false},
		{"always_off", false, false, false},
		{"always_on", true, true, true},
	}
	for _, tt := range tests {
		t.Setenv("OTEL_TRACES_SAMPLER", tt.sampler)
		tel := setup(t, Options{})
		for i, c := range []struct {
			ctx  context.Context
			want bool
		}{{t.Context(), tt.root}, {parent(trace.FlagsSampled), tt.on}, {parent(0), tt.off}} {
			_, span := tel.Tracer().Start(c.ctx, "x")
			if got := span.IsRecording(); got != c.want {
				t.Errorf("sampler %q, parent %d: got recording %v, want %v", tt.sampler, i, got, c.want)
			}
		}
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestSetup_ExportFailuresAreLogged(t *testing.T) {
	clearEnv(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	var log bytes.Buffer
	tel := setup(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, span := tel.Tracer().Start(t.Context(), "x")
	span.End()
	_ = tel.Shutdown(t.Context()) // whether it fails with the export is the SDK's affair
	if !strings.Contains(log.String(), "telemetry failed") {
		t.Errorf("got log %q", log.String())
	}
}

func TestRegistry(t *testing.T) {
	clearEnv(t)
	families, err := setup(t, Options{Version: "v1"}).Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"bulkhead_build_info", "go_goroutines"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestNewLogger(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	log, err := NewLogger(&b, "json", &level)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hidden")
	level.Set(slog.LevelDebug)
	log.Debug("shown", "key", 1)
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line["msg"] != "shown" {
		t.Errorf("got %s (%v)", b.String(), err)
	}
	if _, err := NewLogger(&b, "xml", &level); err == nil {
		t.Error("xml: got no error")
	}
	for name, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: got %v (%v)", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("loud: got no error")
	}
}
