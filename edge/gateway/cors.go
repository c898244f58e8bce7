package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// Policies for what a browser may do with an answer: with data nothing, with the docs what is on this origin.
const (
	dataPolicy = "default-src 'none'; frame-ancestors 'none'"
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// preflightAge is how long a browser may remember a preflight's answer, in seconds.
const preflightAge = 600

// always is what every answer says. Its lists are shared by all answers: full, so that adding to one copies it.
var always = http.Header{
	"Content-Security-Policy": {dataPolicy},
	"X-Content-Type-Options":  {"nosniff"},
	"X-Frame-Options":         {"DENY"},
	"Referrer-Policy":         {"no-referrer"},
}

// headers sets what every answer says to browsers.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, always)
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// cors lets the pages of the configured origins read answers; without any, no other origin's page can. Credentials in the sense of CORS, cookies, are
// never allowed: there are none.
func (s *Server) cors(next http.Handler) http.Handler {
	if len(s.opt.CORSOrigins) == 0 { // rs/cors would take none for all
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: s.opt.CORSOrigins,
		AllowedMethods: append(slices.Clone(s.methods), http.MethodHead),
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "X-Request-Id"},
		ExposedHeaders: []string{"ETag", "Link", "Retry-After", "WWW-Authenticate", "X-Request-Id"},
		MaxAge:         preflightAge,
	}).Handler(next)
}

// mayConnect reports whether the page that opens a WebSocket may: browsers ask for no preflight there. A client that is no browser sends no Origin.
func (s *Server) mayConnect(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err == nil && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(s.opt.CORSOrigins, func(o string) bool { return o == "*" || strings.EqualFold(o, origin) })
}
