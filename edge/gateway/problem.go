package gateway

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel/api"
)

// protocolError is what is wrong with a request as HTTP has it; no operation was asked.
type protocolError struct {
	status int
	code   string
	text   string
}

func (e *protocolError) Error() string { return e.text }

// lateError says when to come back.
type lateError struct {
	error
	after time.Duration
}

func (e *lateError) Unwrap() error { return e.error }

// challengeError is an Unauthenticated error with what to say in WWW-Authenticate.
type challengeError struct {
	error
	challenge string
}

func (e *challengeError) Unwrap() error { return e.error }

// The reasons for which the server itself turns requests away and ends streams.
var (
	errStopping error = &lateError{api.Errorf("gateway", api.Unavailable, "the node is stopping; come back when it runs again"), 5 * time.Second}
	errBusy     error = &lateError{api.Errorf("gateway", api.Unavailable, "as many requests are running as the gateway takes at once; come back in a second"), time.Second}
)

// unexplained is what is told of an error of the node's own: what went wrong inside is for its log.
const unexplained = "the operation failed inside; the node's log says why, under this answer's X-Request-Id"

// problemOf describes err.
func problemOf(err error) openapi.Problem {
	var p *protocolError
	if errors.As(err, &p) {
		return openapi.Problem{Type: problemType(p.code), Title: http.StatusText(p.status), Status: p.status, Detail: p.text, Code: p.code}
	}
	kind := api.KindOf(err)
	out := openapi.Problem{
		Type: problemType(kind.Code()), Title: http.StatusText(kind.HTTPStatus()), Status: kind.HTTPStatus(), Detail: err.Error(), Code: kind.Code(),
		Reason: api.ReasonOf(err), Refusal: api.RefusalOf(err), Receipt: api.ReceiptOf(err),
	}
	var e *api.Error
	if errors.As(err, &e) {
		out.Op = e.Op
	}
	if internal(kind) {
		out.Detail, out.Reason = unexplained, nil
	}
	return out
}

func problemType(code string) string { return "urn:icn:problem:" + code }

// internal reports whether an error of that kind is the node's own failure.
func internal(k api.Kind) bool { return k.HTTPStatus() == http.StatusInternalServerError }

// fail answers with err.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	h := w.Header()
	if x := exchangeOf(w); x != nil {
		x.code = p.Code
		if p.Status == http.StatusInternalServerError {
			s.log.Error("gateway: an operation failed", "request", x.id, "operation", x.operation, "error", err)
		}
	}
	var late *lateError
	if errors.As(err, &late) {
		h.Set("Retry-After", strconv.FormatInt(seconds(late.after), 10))
	} else if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	var c *challengeError
	if errors.As(err, &c) {
		h.Set("WWW-Authenticate", c.challenge)
	}
	if s.stopping.Load() {
		h.Set("Connection", "close")
	}
	body, merr := json.Marshal(p)
	if merr != nil { // a reason's texts are all there is, and they marshal
		s.log.Error("gateway: a problem that cannot be told", "error", merr)
		body = []byte(`{"type":"urn:icn:problem:internal","title":"Internal Server Error","status":500,"code":"internal"}`)
		p.Status = http.StatusInternalServerError
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	s.write(w, r, p.Status, body)
}

// seconds rounds up; a header has no smaller unit, and too early is too early.
func seconds(d time.Duration) int64 { return max(1, int64(math.Ceil(d.Seconds()))) }
