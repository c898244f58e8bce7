package gateway

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// asksForEvents reports whether the client names the type of events. A browser that takes anything wants the file.
func asksForEvents(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if t, _, err := mime.ParseMediaType(strings.TrimSpace(part)); err == nil && t == "text/event-stream" {
			return true
		}
	}
	return false
}

// serveFile answers with the file that an operation's stream is. An error before the first part is an ordinary answer; one after it cuts the connection, so
// that nobody takes half a file for a whole one.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, rt *route) {
	call, raw, leave, err := s.enterStream(w, r, rt)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopped, func() { cancel(context.Cause(s.stopped)) })()
	life := time.AfterFunc(s.times.life, func() { cancel(errLong) })
	defer life.Stop()

	f := &file{s: s, w: w, rc: http.NewResponseController(w)}
	_, err = s.calls.Call(ctx, call, rt.Name, raw, f.emit)
	f.left()
	switch {
	case err != nil && !f.begun:
		s.fail(w, r, err)
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		s.logStream(w, err)
		panic(http.ErrAbortHandler)
	case !f.begun:
		_ = f.emit(&nothing{}) // a file without a byte
		f.left()
	}
}

// nothing is a part of a file whose operation gave none.
type nothing struct{}

func (*nothing) FilePart() (name, mediaType string, data []byte) { return "", "", nil }

// file is a file on its way to a client.
type file struct {
	s     *Server
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

// emit sends a part. A client that takes none of it for too long ends the operation.
func (f *file) emit(item any) error {
	name, mediaType, data := item.(api.Part).FilePart()
	if !f.begun {
		f.begin(name, mediaType)
	}
	_ = f.rc.SetWriteDeadline(time.Now().Add(f.s.times.slow)) // not supported in tests without a connection
	_, err := f.w.Write(data)
	return err
}

func (f *file) begin(name, mediaType string) {
	h := f.w.Header()
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	params := map[string]string{}
	if name != "" {
		params["filename"] = name
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", params))
	f.w.WriteHeader(http.StatusOK)
	f.begun = true
	exchangeOf(f.w).stream = true
	<-f.s.requests // a file on its way takes no place of a request any more
	f.s.metrics.streams.With("file").Inc()
}

// left says that the file is on its way no more.
func (f *file) left() {
	if f.begun {
		f.s.metrics.streams.With("file").Dec()
	}
}
