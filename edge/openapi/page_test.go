package openapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, method, path, etag string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	doc := []byte(`{"openapi":"3.1.0"}`)
	h := Handler(doc)
	for path, want := range map[string][2]string{
		"/openapi.json":  {"application/json", string(doc)},
		"/docs":          {"text/html; charset=utf-8", "<html"},
		"/docs/page.css": {"text/css; charset=utf-8", "color-scheme"},
		"/docs/page.js":  {"text/javascript; charset=utf-8", "/openapi.json"},
	} {
		w := get(t, h, "GET", path, "")
		etag := w.Header().Get("ETag")
		if w.Code != 200 || w.Header().Get("Content-Type") != want[0] || !strings.Contains(w.Body.String(), want[1]) || etag == "" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if w = get(t, h, "GET", path, etag); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s again: %d with %d bytes", path, w.Code, w.Body.Len())
		}
		if w = get(t, h, "HEAD", path, ""); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d with %d bytes", path, w.Code, w.Body.Len())
		}
		if w = get(t, h, "POST", path, ""); w.Code != 405 {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	if w := get(t, h, "GET", "/docs/", ""); w.Code != 308 || w.Header().Get("Location") != "/docs" {
		t.Errorf("/docs/: %d", w.Code)
	}
	if w := get(t, h, "GET", "/docs/page.go", ""); w.Code != 404 {
		t.Errorf("/docs/page.go: %d", w.Code)
	}
}

// TestPageIsSmallAndAlone keeps the page what it has to be: small, and without anything that its policy would refuse or that comes from elsewhere.
func TestPageIsSmallAndAlone(t *testing.T) {
	files, err := page.ReadDir("page")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	size := 0
	for _, f := range files {
		b, err := page.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
		for _, bad := range []string{"http://", "https://", "innerHTML", "onload=", "style=", "eval("} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s has %s", f.Name(), bad)
			}
		}
	}
	if size > 40<<10 {
		t.Errorf("%d bytes: want at most 40 KiB", size)
	}
}
