package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

// blockedLogCollectors are the metrics of the blocked-query log.
func blockedLogCollectors(w *blocklog.Writer) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "bulkhead_blocked_log_dropped_total",
			Help: "Records of the blocked-query log that could not be written.",
		}, func() float64 { return float64(w.Dropped()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "bulkhead_blocked_log_pending",
			Help: "Records of the blocked-query log that wait to be written.",
		}, func() float64 { return float64(w.Pending()) }),
	}
}
