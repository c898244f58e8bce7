package gateway

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// route is one operation at its place.
type route struct {
	api.Operation
	input shape
}

// routes fills the mux from the operation table.
func (s *Server) routes() (err error) {
	s.mux = http.NewServeMux()
	name := ""
	defer func() { // how the mux tells of two patterns that are one
		if p := recover(); p != nil {
			err = api.Errorf("gateway.new", api.Internal, "operation %s: %v", name, p)
		}
	}()
	for _, op := range s.opt.Dispatcher.Operations() {
		name = op.Name
		if op.Method == "" || op.Path == "" {
			return api.Errorf("gateway.new", api.Internal, "operation %s has no route", name)
		}
		rt := &route{Operation: op, input: shapeOf(&op)}
		s.mux.HandleFunc(op.Method+" "+Prefix+op.Path, func(w http.ResponseWriter, r *http.Request) {
			s.enter(w, rt.Name)
			switch {
			case rt.IsFile() && !upgrades(r) && !asksForEvents(r):
				s.serveFile(w, r, rt)
			case rt.Kind == api.Stream:
				s.serveStream(w, r, rt)
			default:
				s.serveOperation(w, r, rt)
			}
		})
		if !slices.Contains(s.methods, op.Method) {
			s.methods = append(s.methods, op.Method)
		}
	}
	slices.Sort(s.methods)
	name = "rpc"
	s.mux.HandleFunc("POST /rpc", func(w http.ResponseWriter, r *http.Request) { s.enter(w, "rpc"); s.serveRPC(w, r) })
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { s.enter(w, "health"); s.plain(w, r, "ok\n") })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		s.enter(w, "health")
		if err := s.ready(); err != nil {
			s.fail(w, r, err)
			return
		}
		s.plain(w, r, "ready\n")
	})
	if s.opt.Docs != nil {
		docs := func(w http.ResponseWriter, r *http.Request) {
			s.enter(w, "docs")
			w.Header().Set("Content-Security-Policy", docsPolicy)
			s.opt.Docs.ServeHTTP(w, r)
		}
		for _, path := range []string{"/docs", "/docs/", "/openapi.json"} {
			s.mux.HandleFunc("GET "+path, docs)
		}
	}
	return nil
}

// enter notes who answers.
func (s *Server) enter(w http.ResponseWriter, name string) {
	if x := exchangeOf(w); x != nil {
		x.operation = name
	}
}

func (s *Server) plain(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	s.write(w, r, http.StatusOK, []byte(text))
}

func (s *Server) ready() error {
	if s.stopping.Load() {
		return errStopping
	}
	if s.opt.Ready == nil {
		return nil
	}
	if err := s.opt.Ready(); err != nil {
		return api.Errorf("ready", api.Unavailable, "%w", err)
	}
	return nil
}

// route finds who answers, and refuses what nobody answers and what is too much at once. Health is told whatever the load.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	_, pattern := s.mux.Handler(r)
	switch {
	case pattern == "GET /healthz", pattern == "GET /readyz":
	case s.stopping.Load():
		s.fail(w, r, errStopping)
		return
	default:
		select {
		case s.requests <- struct{}{}:
			x := exchangeOf(w)
			defer func() {
				if x == nil || !x.stream { // a stream gives its slot back when it opens
					<-s.requests
				}
			}()
		default:
			s.fail(w, r, errBusy)
			return
		}
	}
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	if allowed := s.allowed(r); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, &protocolError{http.StatusMethodNotAllowed, "method-not-allowed", fmt.Sprintf("%s is not served here; use %s", clip(r.Method, 16), strings.Join(allowed, " or "))})
		return
	}
	s.fail(w, r, api.Errorf("gateway", api.NotFound, "nothing is at %q; operations are below %s, and /openapi.json lists them", clip(r.URL.Path, 128), Prefix))
}

// allowed lists the methods that the path of r has.
func (s *Server) allowed(r *http.Request) []string {
	var out []string
	for _, m := range s.methods {
		if _, pattern := s.mux.Handler(&http.Request{Method: m, URL: r.URL, Host: r.Host}); pattern != "" {
			out = append(out, m)
		}
	}
	return out
}

// serveOperation answers with one output.
func (s *Server) serveOperation(w http.ResponseWriter, r *http.Request, rt *route) {
	file := rt.Out.Implements(content) || reflect.PointerTo(rt.Out).Implements(content)
	if !file && !accepts(r, "application/json") {
		s.fail(w, r, &protocolError{http.StatusNotAcceptable, "not-acceptable", "Accept: this operation answers with application/json"})
		return
	}
	call, err := s.caller(w, r, rt.Scope)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	raw, err := s.input(w, r, rt, call)
	if err != nil {
		s.fail(w, r, api.Wrap(rt.Name, err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.RequestTimeout)
	defer cancel()
	out, err := s.calls.Call(ctx, call, rt.Name, raw, nil)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if c, ok := out.(api.Content); ok && !asksJSON(r) {
		s.file(w, r, c)
		return
	}
	s.answer(w, r, rt, out)
}

var content = reflect.TypeFor[api.Content]()

// asksJSON reports whether the client names JSON as what it takes: then a file comes in JSON, too.
func asksJSON(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("Accept"), func(v string) bool { return strings.Contains(v, "application/json") })
}

// accepts reports whether the client takes one of the types. Weights are not looked at, but for q=0: there is one form of each answer.
func accepts(r *http.Request, types ...string) bool {
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		return true
	}
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		t, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, want := range types {
			major, _, _ := strings.Cut(want, "/")
			if t == want || t == "*/*" || t == major+"/*" {
				return true
			}
		}
	}
	return false
}
