package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// retryAfter is after how many milliseconds a browser connects again.
const retryAfter = "3000"

// events is a stream as server-sent events. An item is a message whose id is its cursor; the last event is "end" when nothing more is to come, or
// "problem" with what would be the body of an error. Neither of the two is named "error", which is the browser's own.
type events struct {
	s  *Server
	w  http.ResponseWriter
	rc *http.ResponseController
	r  *http.Request
}

func (s *Server) openEvents(w http.ResponseWriter, r *http.Request) (sink, string, error) {
	e := &events{s, w, http.NewResponseController(w), r}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // or nginx keeps the items
	w.WriteHeader(http.StatusOK)
	return e, "sse", e.write([]byte("retry: " + retryAfter + "\n\n"))
}

// write sends b at once.
func (e *events) write(b []byte) error {
	if err := e.rc.SetWriteDeadline(time.Now().Add(e.s.times.write)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.rc.Flush()
}

func (e *events) event(name, id string, data []byte) error {
	var b bytes.Buffer
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("data: ")
	b.Write(data) // JSON has no line break in it
	b.WriteString("\n\n")
	return e.write(b.Bytes())
}

func (e *events) send(it item) error    { return e.event("", it.cursor, it.data) }
func (e *events) beat() error           { return e.write([]byte(": still here\n\n")) }
func (e *events) gone() <-chan struct{} { return e.r.Context().Done() }

func (e *events) end(err error) {
	switch {
	case errors.Is(err, errGone):
	case err == nil:
		_ = e.event("end", "", []byte("{}")) // the last word: if it fails there is nobody to tell
	default:
		e.s.logStream(e.w, err)
		if data, merr := json.Marshal(problemOf(err)); merr == nil {
			_ = e.event("problem", "", data)
		}
	}
}

// logStream notes how a stream failed, for the access log, and for the log what nobody else is told.
func (s *Server) logStream(w http.ResponseWriter, err error) {
	p := problemOf(err)
	x := exchangeOf(w)
	x.code = p.Code
	if p.Status == http.StatusInternalServerError {
		s.log.Error("gateway: a stream failed", "request", x.id, "operation", x.operation, "error", err)
	}
}
