package obs

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Counter only grows. Add panics on a negative number.
type Counter interface {
	Inc()
	Add(float64)
}

// Gauge goes up and down.
type Gauge interface {
	Set(float64)
	Inc()
	Dec()
	Add(float64)
}

// Histogram counts observations in buckets.
type Histogram interface {
	Observe(float64)
}

// Vec is a family of metrics told apart by labels. With takes one value per label, in the order in which the labels were declared, and
// panics on another number. Values must come from a small closed set (an operation, an outcome): never from a peer or a person.
type Vec[M any] struct {
	with func(...string) M
}

// With returns the member of the family with these label values, making it at first use.
func (v Vec[M]) With(values ...string) M { return v.with(values...) }

// Registry holds one node's metrics. Asking again for a name, with the same help and labels, returns the metric that exists, so that a
// part that is restarted counts on. A nil *Registry works: its metrics count for nobody.
type Registry struct {
	reg *prometheus.Registry
}

// NewRegistry returns a registry with the metrics of the Go runtime and of the process in it.
func NewRegistry() *Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Registry{reg: r}
}

// Counter returns the counter of that name.
func (r *Registry) Counter(name, help string) Counter {
	return register(r, name, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

// CounterFunc declares a counter whose value f returns at each scrape. F must not block; a second f for a name is ignored.
func (r *Registry) CounterFunc(name, help string, f func() float64) {
	register(r, name, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
}

// CounterVec returns the family of counters of that name.
func (r *Registry) CounterVec(name, help string, labels ...string) Vec[Counter] {
	v := register(r, name, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
	return Vec[Counter]{func(values ...string) Counter { return v.WithLabelValues(values...) }}
}

// Gauge returns the gauge of that name.
func (r *Registry) Gauge(name, help string) Gauge {
	return register(r, name, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

// GaugeFunc declares a gauge whose value f returns at each scrape. F must not block; a second f for a name is ignored.
func (r *Registry) GaugeFunc(name, help string, f func() float64) {
	register(r, name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// GaugeVec returns the family of gauges of that name.
func (r *Registry) GaugeVec(name, help string, labels ...string) Vec[Gauge] {
	v := register(r, name, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
	return Vec[Gauge]{func(values ...string) Gauge { return v.WithLabelValues(values...) }}
}

// Histogram returns the histogram of that name. Buckets are upper bounds, rising; nil is LatencyBuckets.
func (r *Registry) Histogram(name, help string, buckets []float64) Histogram {
	return register(r, name, prometheus.NewHistogram(histogramOpts(name, help, buckets)))
}

// HistogramVec returns the family of histograms of that name. Buckets are as for Histogram.
func (r *Registry) HistogramVec(name, help string, buckets []float64, labels ...string) Vec[Histogram] {
	v := register(r, name, prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels))
	return Vec[Histogram]{func(values ...string) Histogram { return v.WithLabelValues(values...) }}
}

// LatencyBuckets returns bounds in seconds from 100 microseconds (a quiet disk's sync) to 30 seconds (a request's patience).
func LatencyBuckets() []float64 {
	return []float64{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30}
}

// SizeBuckets returns bounds from 1 to 4096 by factors of four, for batches and queues.
func SizeBuckets() []float64 { return prometheus.ExponentialBuckets(1, 4, 7) }

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	if buckets == nil {
		buckets = LatencyBuckets()
	}
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
}

var metricName = regexp.MustCompile(`^icn_[a-z0-9]+(_[a-z0-9]+)+$`)

// register adds c to r, or returns the collector that already stands under its name. A malformed name, or a name that stands for
// something else, is a mistake in the program and panics.
func register[C prometheus.Collector](r *Registry, name string, c C) C {
	if !metricName.MatchString(name) {
		panic(fmt.Sprintf("obs: metric %q: want icn_<area>_<what>", name))
	}
	if r == nil {
		return c
	}
	err := r.reg.Register(c)
	var dup prometheus.AlreadyRegisteredError
	if errors.As(err, &dup) {
		if old, ok := dup.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic(fmt.Sprintf("obs: metric %q: %v", name, err))
	}
	return c
}

// Value returns the value of a counter or gauge, or the number of observations of a histogram, and whether it exists. Labels are given
// as name, value, name, value. It gathers all metrics, so it is for tests and diagnosis, not for a hot path.
func (r *Registry) Value(name string, labels ...string) (float64, bool) {
	if r == nil || len(labels)%2 != 0 {
		return 0, false
	}
	families, err := r.reg.Gather()
	if err != nil {
		return 0, false
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := make(map[string]string, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			same := len(have) == len(labels)/2
			for i := 0; i < len(labels); i += 2 {
				v, ok := have[labels[i]]
				same = same && ok && v == labels[i+1]
			}
			if !same {
				continue
			}
			if h := m.GetHistogram(); h != nil {
				return float64(h.GetSampleCount()), true
			}
			// The getters of the protocol buffer are nil-safe, and only one of the two is set.
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}
