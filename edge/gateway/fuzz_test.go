package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// FuzzBatch: whatever is posted to /rpc is answered with nothing, with a problem, or with JSON-RPC answers, at most one for each request.
func FuzzBatch(f *testing.F) {
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"n":1,"_idempotency":"a","_wait":"final"}}`,
		`[{"jsonrpc":"2.0","id":"a","method":"rpc.discover"},{"jsonrpc":"2.0","method":"echo.post"},1,null,[]]`,
		`[]`, `[[[[]]]]`, `{"jsonrpc":"2.0","id":1e400,"method":"tail"}`, `{"id":1,"id":2,"method":"page.list","params":[1]}`, "\xff", `{"jsonrpc":"2.0","id":{},"method":""}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(body, []byte("slow")) || bytes.Contains(body, []byte(`\u`)) {
			t.Skip("what the fake never ends, also where it is spelled another way")
		}
		s := newServer(t, &fake{}, nil)
		r := httptest.NewRequest(http.MethodPost, "/rpc", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := doRequest(s, r)
		answer := bytes.TrimSpace(w.Body.Bytes())
		switch {
		case w.Code == http.StatusNoContent && len(answer) == 0:
			return
		case !json.Valid(answer), w.Code >= 500:
			t.Fatalf("%q: %d %s", body, w.Code, answer)
		case w.Code != http.StatusOK:
			return
		}
		var one []json.RawMessage
		if answer[0] != '[' {
			one = []json.RawMessage{answer}
		} else if err := json.Unmarshal(answer, &one); err != nil {
			t.Fatal(err)
		}
		for _, a := range one {
			var reply struct {
				JSONRPC string          `json:"jsonrpc"`
				ID      json.RawMessage `json:"id"`
				Result  json.RawMessage `json:"result"`
				Error   json.RawMessage `json:"error"`
			}
			if err := json.Unmarshal(a, &reply); err != nil || reply.JSONRPC != "2.0" || len(reply.ID) == 0 || (reply.Result == nil) == (reply.Error == nil) {
				t.Errorf("%q: %s", body, a)
			}
		}
		var asked []json.RawMessage
		if json.Unmarshal(body, &asked) == nil && len(one) > max(1, len(asked)) {
			t.Errorf("%d answers to %d requests", len(one), len(asked))
		}
	})
}

// FuzzResume: whatever a client names as the last item it had reaches the operation as it is, or is refused, and can say nothing in the stream's own name.
func FuzzResume(f *testing.F) {
	for _, last := range []string{"", "c1", "c3", "c1\r\ndata: x", "\x00", "\xff", "begin", "0123456789abcdef.1.0", strings.Repeat("a", 5000), "a&mode=panic", "%2", "é", "c2#?&="} {
		f.Add(last, "")
		f.Add("", last)
	}
	f.Fuzz(func(t *testing.T, last, query string) {
		r, err := http.NewRequest(http.MethodGet, "/api/v1/tail?mode=end&after="+query, nil)
		if err != nil || r.URL.Query().Get("mode") != "end" {
			t.Skip("no address, or the fake's other behaviour")
		}
		r.Header.Set("Accept", "text/event-stream")
		r.Header["Last-Event-Id"] = []string{last}
		s := newServer(t, &fake{}, nil)
		w := doRequest(s, r)
		if w.Code != http.StatusOK {
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%q, %q: %d %s", last, query, w.Code, w.Body)
			}
			return
		}
		for _, line := range strings.Split(w.Body.String(), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch {
			case line == "", strings.HasPrefix(line, "retry: "), line == "event: end", name == "id" && strings.HasPrefix(value, "c"):
			case name == "data" && json.Valid([]byte(value)):
			default:
				t.Fatalf("%q, %q: a line %q", last, query, line)
			}
		}
	})
}

// FuzzSocket: whatever a client sends over a WebSocket, which is to send nothing, ends the stream or is ignored; the server neither falls nor keeps it.
func FuzzSocket(f *testing.F) {
	f.Add([]byte{0x81, 0x82, 1, 2, 3, 4, 'h' ^ 1, 'i' ^ 2})             // text
	f.Add([]byte{0x89, 0x80, 0, 0, 0, 0})                               // ping
	f.Add([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8})                   // close
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // of all bytes that there are
	f.Add([]byte{0x01, 0x80, 0, 0, 0, 0, 0x01, 0x80, 0, 0, 0, 0})       // a message in a message
	f.Add([]byte{0xff, 0x00})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, frames []byte) {
		s := newServer(t, &fake{}, nil)
		s.times.settle, s.times.write = time.Millisecond, time.Second
		ts := httptest.NewServer(s)
		defer ts.Close()
		c, err := net.Dial("tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = io.WriteString(c, "GET /api/v1/tail HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = c.Write(frames)            // which may have ended it
		_ = c.(*net.TCPConn).CloseWrite() // and nothing more is to come
		if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the server keeps a connection on which nothing can come")
		}
		gone := make(chan struct{})
		go func() { s.streams.running.Wait(); close(gone) }()
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Error("the stream goes on")
		}
		if w := do(s, http.MethodGet, "/healthz", ""); w.Code != http.StatusOK {
			t.Error(w.Code)
		}
	})
}
