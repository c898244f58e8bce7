package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// sheet is an output that is a file.
type sheet struct {
	name string
	body string
}

func (s sheet) Content() (mediaType, name string, body []byte) {
	return "image/png", s.name, []byte(s.body)
}

// A file comes as what it is: in place when it has no name, to be saved when it has one, and not again to who has it.
func TestFile(t *testing.T) {
	s := newServer(t, &fake{}, nil)
	for name, want := range map[string]string{"": "", "books.csv": `attachment; filename=books.csv`, "a\"b\r\nc": ""} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
		s.file(w, r, sheet{name, "bytes"})
		h := w.Header()
		if w.Code != 200 || w.Body.String() != "bytes" || h.Get("Content-Type") != "image/png" || h.Get("Content-Length") != "5" {
			t.Errorf("%q: %d %q %v", name, w.Code, w.Body, h)
		}
		if got := h.Get("Content-Disposition"); want != "" && got != want || name == "" && got != "" || name != "" && got == "" {
			t.Errorf("%q: disposition %q", name, got)
		}
		again := httptest.NewRequest(http.MethodGet, "/x", nil)
		again.Header.Set("If-None-Match", h.Get("ETag"))
		w = httptest.NewRecorder()
		if s.file(w, again, sheet{name, "bytes"}); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%q again: %d", name, w.Code)
		}
		w = httptest.NewRecorder()
		if s.file(w, again, sheet{name, "others"}); w.Code != 200 {
			t.Errorf("%q changed: %d", name, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	if r.Header.Set("Accept", "image/*, */*"); asksJSON(r) {
		t.Error("a browser was given JSON")
	}
	if r.Header.Set("Accept", "application/json"); !asksJSON(r) {
		t.Error("a program was given a picture")
	}
}
