package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// metrics of the gateway. Labels are operations and classes of status: closed sets.
type metrics struct {
	requests obs.Vec[obs.Counter]
	seconds  obs.Vec[obs.Histogram]
	running  obs.Gauge
	streams  obs.Vec[obs.Gauge]
	dropped  obs.Vec[obs.Counter]
}

func newMetrics(r *obs.Registry) metrics {
	return metrics{
		requests: r.CounterVec("icn_gateway_requests_total", "Requests answered over HTTP, by operation and class of status.", "operation", "class"),
		seconds:  r.HistogramVec("icn_gateway_request_seconds", "Time from a request's headers to the end of its answer, streams left out.", nil, "operation"),
		running:  r.Gauge("icn_gateway_requests_running", "Requests that run now, streams left out."),
		streams:  r.GaugeVec("icn_gateway_streams_open", "Streams that are open now, by how they are served.", "transport"),
		dropped:  r.CounterVec("icn_gateway_streams_ended_total", "Streams that the gateway ended, by why.", "why"),
	}
}

// exchange is a request with its answer, as the log and the metrics see it.
type exchange struct {
	http.ResponseWriter
	id        string
	operation string // or what else answered: rpc, docs, health; "none" for what is nowhere
	code      string // of the problem
	actor     api.DID
	status    int
	bytes     int64
	stream    bool
}

// Unwrap implements what http.ResponseController looks for.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// exchangeOf returns the exchange that w belongs to, nil when something between hides it.
func exchangeOf(w http.ResponseWriter) *exchange {
	for {
		switch v := w.(type) {
		case *exchange:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// observe names the request, counts and logs it, and answers for a handler that panics. Neither query nor headers are logged: they may hold what is
// nobody's business.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, id: requestID(r.Header.Get("X-Request-Id")), operation: "none"}
		x.Header().Set("X-Request-Id", x.id)
		began := time.Now()
		s.metrics.running.Inc()
		defer func() {
			s.metrics.running.Dec()
			if p := recover(); p != nil {
				if p == any(http.ErrAbortHandler) { // it has said why
					s.done(x, r, began)
					panic(p)
				}
				s.log.Error("gateway: a handler panicked", "request", x.id, "operation", x.operation, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if x.status != 0 { // half an answer must not look like a whole one
					s.done(x, r, began)
					panic(http.ErrAbortHandler)
				}
				s.fail(x, r, api.Errorf(x.operation, api.Internal, "panic: %v", p))
			}
			s.done(x, r, began)
		}()
		next.ServeHTTP(x, r)
	})
}

func (s *Server) done(x *exchange, r *http.Request, began time.Time) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	took := time.Since(began)
	s.metrics.requests.With(x.operation, strconv.Itoa(x.status/100)+"xx").Inc()
	if !x.stream {
		s.metrics.seconds.With(x.operation).Observe(took.Seconds())
	}
	level := slog.LevelDebug // what went well is counted; a line for each costs as much as the operation's answer
	if x.status >= http.StatusBadRequest {
		level = slog.LevelInfo
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	s.log.Log(r.Context(), level, "request", "request", x.id, "method", clip(r.Method, 16), "operation", x.operation, "status", x.status, "code", x.code,
		"actor", x.actor, "addr", s.address(r).String(), "bytes", x.bytes, "seconds", took.Seconds())
}

// maxRequestID bounds the id that a client or a proxy gives to a request.
const maxRequestID = 64

// requestID returns the client's id when it is one, else a new one.
func requestID(given string) string {
	const known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if given != "" && len(given) <= maxRequestID && strings.Trim(given, known) == "" {
		return given
	}
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program before
	return hex.EncodeToString(b[:])
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
