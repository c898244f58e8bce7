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
	records        obs.Counter
	voids          obs.Counter
	refused        obs.Vec[obs.Counter]
	restarts       obs.Counter
	calls          obs.Vec[obs.Counter]
	callTimes      obs.Vec[obs.Histogram]
	bad            obs.Counter
	asks           obs.Vec[obs.Counter]
	answers        obs.Vec[obs.Counter]
	lettersDropped obs.Counter
	total          atomic.Int64
}

func (m *metrics) init(k *Kernel) {
	r := k.opt.Metrics
	m.records = r.Counter("icn_records_committed_total", "Records committed on this node.")
	m.voids = r.Counter("icn_records_void_total", "Records committed with a void verdict.")
	m.refused = r.CounterVec("icn_records_refused_total", "Records refused or delayed, by why.", "why")
	m.restarts = r.Counter("icn_supervisor_restarts_total", "Parts of the node that failed and were restarted.")
	m.calls = r.CounterVec("icn_calls_total", "Operations served, by operation and outcome code.", "operation", "code")
	m.callTimes = r.HistogramVec("icn_call_seconds", "How long operations took.", nil, "operation")
	m.asks = r.CounterVec("icn_peer_asks_total", "Questions put to other nodes, by outcome code.", "code")
	m.answers = r.CounterVec("icn_peer_answers_total", "Questions of other nodes that apps served, by kind and outcome code.", "kind", "code")
	m.lettersDropped = r.Counter("icn_peer_letters_dropped_total", "Messages of other nodes above their rate, or of a version that this build does not read.")
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

// asked counts what became of a question.
func (m *metrics) asked(err error) { m.asks.With(code(err)).Inc() }

// answered counts a question that an app has served.
func (m *metrics) answered(kind string, err error) { m.answers.With(kind, code(err)).Inc() }

func code(err error) string {
	if err == nil {
		return "ok"
	}
	return api.KindOf(err).Code()
}

func (m *metrics) count(w ingest.Why, n int) { m.refused.With(string(w)).Add(float64(n)) }

// call notes the beginning of an operation; the result notes its end.
func (m *metrics) call(name string) func(error) {
	start := time.Now()
	return func(err error) {
		m.calls.With(name, code(err)).Inc()
		m.callTimes.With(name).Observe(time.Since(start).Seconds())
	}
}
