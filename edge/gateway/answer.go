package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
)

// gzipFrom is the size in bytes from which an answer is compressed; below, it fits a packet as it is.
const gzipFrom = 1400

// gzipSuffix ends the entity tag of a compressed answer: it is another representation, so its strong tag must be another.
const gzipSuffix = "-gzip"

// pool keeps gzip writers, which are large.
type pool struct{ p sync.Pool }

func (p *pool) get(w io.Writer) *gzip.Writer {
	z, ok := p.p.Get().(*gzip.Writer)
	if !ok {
		return gzip.NewWriter(w)
	}
	z.Reset(w)
	return z
}

// answer writes an operation's output.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rt *route, out any) {
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(w, r, api.Errorf(rt.Name, api.Internal, "the answer does not marshal: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Cache-Control", "no-store")
		s.write(w, r, http.StatusOK, body)
		return
	}
	h.Set("Cache-Control", "private, no-cache") // ask again each time, and be told in few bytes that nothing is new
	h.Add("Vary", "Authorization")
	if rt.Kind == api.List {
		if next := nextPage(r.URL, rt, body); next != "" {
			h.Set("Link", "<"+next+`>; rel="next"`)
		}
	}
	tag := tagOf(body)
	if matches(r.Header.Values("If-None-Match"), tag) {
		h.Add("Vary", "Accept-Encoding")
		h.Del("Content-Type")
		h.Set("ETag", `"`+s.tagFor(r, tag, len(body))+`"`)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("ETag", `"`+s.tagFor(r, tag, len(body))+`"`)
	s.write(w, r, http.StatusOK, body)
}

// file writes an output that is a file. What has no name is shown in place: the operation vouches that its type is one that runs nothing.
func (s *Server) file(w http.ResponseWriter, r *http.Request, c api.Content) {
	mediaType, name, body := c.Content()
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization, Accept")
	if name != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	tag := tagOf(body)
	h.Set("ETag", `"`+tag+`"`)
	if matches(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that is gone is told nothing
}

// tagOf is the entity tag of what is not compressed.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

func (s *Server) tagFor(r *http.Request, tag string, size int) string {
	if size >= gzipFrom && takesGzip(r) {
		return tag + gzipSuffix
	}
	return tag
}

// matches reports whether If-None-Match names what is in either encoding, or anything.
func matches(values []string, tag string) bool {
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		part = strings.Trim(strings.TrimPrefix(strings.TrimSpace(part), "W/"), `"`)
		if part == "*" || strings.TrimSuffix(part, gzipSuffix) == tag {
			return true
		}
	}
	return false
}

// nextPage returns the address of the page after this one, "" on the last.
func nextPage(u *url.URL, rt *route, body []byte) string {
	if rt.input.fields["cursor"] == nil {
		return ""
	}
	var page struct {
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(body, &page); err != nil || page.Cursor == "" {
		return ""
	}
	q := u.Query()
	q.Set("cursor", page.Cursor)
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: q.Encode()}).String()
}

// write sends a whole body, compressed when it is large and the client takes that.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if len(body) >= gzipFrom && takesGzip(r) {
		var b bytes.Buffer
		z := s.pool.get(&b)
		_, err := z.Write(body)
		if cerr := z.Close(); err == nil && cerr == nil { // into memory: neither happens
			h.Set("Content-Encoding", "gzip")
			body = b.Bytes()
		}
		s.pool.p.Put(z)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone is told nothing
}

func takesGzip(r *http.Request) bool {
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) == "gzip" {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), 64)
			return weight == "" || err == nil && q > 0
		}
	}
	return false
}
