package kernel

import (
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/obs"
)

// metrics are the kernel's own; docs/operations.md lists them.
type metrics struct {
	records   obs.Counter
	voids     obs.Counter
	refused   obs.Vec[obs.Counter]
	restarts  obs.Counter
	calls     obs.Vec[obs.Counter]
	callTimes obs.Vec[obs.Histogram]
	bad       obs.Counter
	total     atomic.Int64
}

func (m *metrics) init(k *Kernel) {
	r := k.opt.Metrics
	m.records = r.Counter("icn_records_committed_total", "Records committed on this node.")
	m.voids = r.Counter("icn_records_void_total", "Records committed with a void verdict.")
	m.refused = r.CounterVec("icn_records_refused_total", "Records refused or delayed, by why.", "why")
	m.restarts = r.Counter("icn_supervisor_restarts_total", "Parts of the node that failed and were restarted.")
	m.calls = r.CounterVec("icn_calls_total", "Operations served, by operation and outcome code.", "operation", "code")
	m.callTimes = r.HistogramVec("icn_call_seconds", "How long operations took.", nil, "operation")
	m.bad = r.Counter("icn_peers_bad_total", "Peers that broke the protocol.")
	r.GaugeFunc("icn_supervisor_state", "1 while the node is running.", func() float64 {
		if k.Ready() {
			return 1
		}
		return 0
	})
	r.GaugeFunc("icn_network_sessions_active", "Peers with an open session.", func() float64 {
		if k.net == nil {
			return 0
		}
		return float64(k.net.t.Stats().Sessions)
	})
	r.GaugeFunc("icn_store_bytes", "Disk space of the store.", func() float64 { return float64(k.st.Bytes()) })
}

func (m *metrics) committed(es []ingest.Event) {
	m.records.Add(float64(len(es)))
	m.total.Add(int64(len(es)))
	n := 0
	for i := range es {
		if !es[i].Accepted {
			n++
		}
	}
	m.voids.Add(float64(n))
}

func (m *metrics) count(w ingest.Why, n int) { m.refused.With(string(w)).Add(float64(n)) }

// call notes the beginning of an operation; the result notes its end.
func (m *metrics) call(name string) func(error) {
	start := time.Now()
	return func(err error) {
		code := "ok"
		if err != nil {
			code = api.KindOf(err).Code()
		}
		m.calls.With(name, code).Inc()
		m.callTimes.With(name).Observe(time.Since(start).Seconds())
	}
}
