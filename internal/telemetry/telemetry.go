// Package telemetry sets up what Bulkhead tells about itself: spans through
// the OpenTelemetry SDK, metrics in a Prometheus registry, and the log.
//
// [Setup] returns a [Telemetry], which cmd hands to the packages that use it;
// nothing is registered globally but the SDK's error handler. Spans leave
// only if the standard OTEL_* variables ask for an exporter: without one,
// [Telemetry.Enabled] is false and callers can skip all work for spans.
//
// See the OpenTelemetry specification, "Environment Variable Specification"
// and "OTLP Exporter Configuration".
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope is the instrumentation scope of all spans.
const scope = "github.com/pgbulkhead/bulkhead"

// Options are the options of [Setup].
type Options struct {
	ServiceName string       // service.name unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says otherwise
	Version     string       // service.version and the label of bulkhead_build_info
	Logger      *slog.Logger // for failures of exporters; nil means no lines
}

// Telemetry holds the tracer and the metrics registry of one process.
type Telemetry struct {
	registry *prometheus.Registry
	version  string
	provider *sdktrace.TracerProvider // nil if spans are off
	sampler  sdktrace.Sampler         // the provider's; nil if it is not known
}

// Setup reads the OTEL_* variables and starts what they ask for: exporter,
// sampler (parent-based and always on by default), batch and span limits and
// resource attributes. A variable that the SDK cannot use is an error where
// it decides about the exporter, else a log line.
func Setup(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{registry: newRegistry(o.Version), version: o.Version}
	if !tracesConfigured() {
		return t, nil
	}
	if o.Logger != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
			o.Logger.Warn("telemetry failed", "error", err)
		}))
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the span exporter: %w", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return t, nil
	}
	res, err := newResource(ctx, o)
	if err != nil {
		return nil, errors.Join(err, exporter.Shutdown(ctx))
	}
	// The provider reads OTEL_TRACES_SAMPLER, OTEL_BSP_* and OTEL_SPAN_* itself.
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res), sdktrace.WithIDGenerator(idGenerator{}))
	t.sampler = samplerFromEnv()
	return t, nil
}

// tracesConfigured reports whether the environment asks for spans. The SDK
// would send them to localhost by default; a proxy that nobody told of a
// collector must not.
func tracesConfigured() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newResource describes this process; what the environment says wins.
func newResource(ctx context.Context, o Options) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(o.ServiceName), semconv.ServiceVersion(o.Version)),
		resource.WithFromEnv(),
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe the process for spans: %w", err)
	}
	return res, nil
}

// Enabled reports whether spans go anywhere.
func (t *Telemetry) Enabled() bool { return t.provider != nil }

// Tracer returns the tracer for Bulkhead's spans; it does nothing unless
// Enabled.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.provider == nil {
		return noop.NewTracerProvider().Tracer(scope)
	}
	return t.provider.Tracer(scope,
		trace.WithInstrumentationVersion(t.version), trace.WithSchemaURL(semconv.SchemaURL))
}

// Registry returns the registry of all metrics of the process: Go's and the
// process's own are in it, collectors of other packages are added by cmd.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// Shutdown sends what waits and stops the exporter.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop telemetry: %w", err)
	}
	return nil
}

func newRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "bulkhead_build_info",
		Help:        "Always 1; the label tells the version of Bulkhead.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	r.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}
