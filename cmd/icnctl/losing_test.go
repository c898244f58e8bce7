package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// losing is `losing before|after NAME`: at $PROXY, a way to the gateway of the node NAME on which the first record that is submitted kills the node: before it
// gets the record, or when it has answered, and that answer is lost. All else goes through.
func (d *daemons) losing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || args[0] != "before" && args[0] != "after" {
		ts.Fatalf("usage: losing before|after NAME")
	}
	dir, gateway := d.dir(ts, args[1:]), "http://"+ts.Getenv("GATEWAY")
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", ts.Getenv("PROXY"))
	ts.Check(err)
	lost := false
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || lost {
			panic(http.ErrAbortHandler)
		}
		submits := bytes.Contains(body, []byte(`"record.submit"`))
		if lost = submits; submits && args[0] == "before" {
			d.end(dir, syscall.SIGKILL)
			panic(http.ErrAbortHandler)
		}
		req, err := http.NewRequestWithContext(r.Context(), r.Method, gateway+r.URL.String(), bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Header = r.Header.Clone()
		req.Header.Del("Accept-Encoding") // or the answer is as it came, and its header is not handed on
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		if submits {
			_, _ = io.ReadAll(res.Body)
			d.end(dir, syscall.SIGKILL)
			l.Close() // the next such way may have the address
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})}
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { s.Close() })
}
