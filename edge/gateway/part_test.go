package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A stream that is a file is one for `curl -O`, whole or visibly not; as events it is still to be had.
func TestStreamThatIsAFile(t *testing.T) {
	_, url := serve(t, &fake{}, nil)
	type got struct {
		code   int
		header http.Header
	}
	get := func(query string, headers ...string) (got, []byte, error) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/file"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range append(headers, asAnn) {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return got{resp.StatusCode, resp.Header}, b, err
	}
	for _, accept := range []string{"Accept: */*", "X-Nothing: 1", "Accept: text/html, application/xhtml+xml, */*;q=0.8", "Accept: text/csv"} {
		resp, b, err := get("", accept)
		if err != nil || resp.code != http.StatusOK || len(b) != 300_000 || b[0] != '0' || b[299_999] != '2' {
			t.Errorf("%s: %d, %d bytes, %v", accept, resp.code, len(b), err)
		}
		if got := resp.header.Get("Content-Disposition"); got != `attachment; filename="a \"b\".csv"` || resp.header.Get("Content-Type") != "text/csv" ||
			resp.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v", resp.header)
		}
	}
	if resp, b, err := get("?mode=refuse"); err != nil || resp.code != http.StatusForbidden || !strings.Contains(string(b), "the house is full") {
		t.Errorf("refused: %d %s %v", resp.code, b, err)
	}
	if resp, b, err := get("?mode=fail"); err == nil || resp.code != http.StatusOK || len(b) >= 300_000 || strings.Contains(string(b), "secret") {
		t.Errorf("a file that breaks off ends like a whole one: %d bytes, %v", len(b), err)
	}
	if resp, b, err := get("", "Accept: text/event-stream"); err != nil || resp.header.Get("Content-Type") != "text/event-stream" || !strings.Contains(string(b), `"data":"MDAw`) {
		t.Errorf("as events: %v %.80s", err, b)
	}
}
