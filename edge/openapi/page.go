package openapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed page
var page embed.FS

// policy lets the page load what this handler serves and nothing else (data: is its empty icon, without which browsers ask for one); it takes no frame, form or base.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves doc at /openapi.json, and at /docs a page that shows it. It answers GET and HEAD; each answer has an ETag. It keeps doc.
func Handler(doc []byte) http.Handler {
	mux := http.NewServeMux()
	file := func(path, contentType string, body []byte) {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:12]) + `"`
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cache-Control", "no-cache") // ask each time: a node that is upgraded has another
			h.Set("ETag", tag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		})
	}
	file("/openapi.json", "application/json", doc)
	for path, f := range map[string]struct{ name, contentType string }{
		"/docs":          {"index.html", "text/html; charset=utf-8"},
		"/docs/page.css": {"page.css", "text/css; charset=utf-8"},
		"/docs/page.js":  {"page.js", "text/javascript; charset=utf-8"},
	} {
		body, err := page.ReadFile("page/" + f.name)
		if err != nil {
			panic("openapi: " + err.Error()) // it is embedded
		}
		file(path, f.contentType, body)
	}
	mux.Handle("GET /docs/{$}", http.RedirectHandler("/docs", http.StatusPermanentRedirect))
	return mux
}
