package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// How a gateway is asked.
const (
	apiPrefix  = "/api/v1"
	attempts   = 5                      // of a request that may be repeated
	firstPause = 200 * time.Millisecond // between attempts; it doubles each time
	longWait   = time.Minute            // the longest that a node may have us wait before another attempt
	oneAttempt = 90 * time.Second       // for an attempt
)

// route is how an operation is asked for from elsewhere.
type route struct {
	method, path string
	write        bool
	public       bool // for everybody, logged in or not
	signs        api.Signs
}

// gateway asks a node over HTTP.
type gateway struct {
	base   string // https://host[:port]
	http   *http.Client
	login  *login  // nil: nobody is logged in
	writer *Writer // nil: nothing is signed
	pause  time.Duration
}

func newGateway(address string, o *options) (*gateway, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, api.Errorf("client", api.Invalid, "address %q: want one like https://coop.example", address)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, api.Errorf("client", api.Invalid, "address %q: want nothing but the host, and a port", address)
	case u.Scheme == "http" && !o.plain && !loopback(u.Hostname()):
		return nil, api.Errorf("client", api.Invalid, "address %q: http is not protected on the way to another machine; use https", address)
	case (o.signer == nil) != (o.journal == nil):
		return nil, api.Errorf("client", api.Invalid, "a member's key goes with its journal")
	}
	var t http.Transport
	t.Proxy = http.ProxyFromEnvironment
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: o.roots}
	t.ForceAttemptHTTP2, t.IdleConnTimeout, t.MaxIdleConnsPerHost = true, 90*time.Second, 8
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 10 * time.Second
	g := &gateway{base: origin(u), pause: firstPause, http: &http.Client{
		Transport: &t,
		// A token goes where it was meant to go and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o.signer != nil {
		g.login = newLogin(g, o)
		node := func(ctx context.Context, operation string, in json.RawMessage, wait api.Wait) (json.RawMessage, error) {
			return g.ask(ctx, operation, in, callOptions{wait: wait})
		}
		g.writer = &Writer{Node: node, Signer: o.signer, Journal: o.journal, Confirm: o.confirm, Now: time.Now}
	}
	return g, nil
}

// origin is scheme, host and port as browsers write them.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" && (u.Scheme != "https" || p != "443") && (u.Scheme != "http" || p != "80") {
		host += ":" + p
	}
	return u.Scheme + "://" + host
}

func (g *gateway) call(ctx context.Context, name string, in json.RawMessage, o callOptions) (json.RawMessage, error) {
	r, known := routeOf(name)
	if g.writer != nil && r.signs != api.SignsNone {
		return g.sign(ctx, name, in, r.signs, o)
	}
	if r.write && o.idempotency == "" {
		o.idempotency = newName() // by it a repetition gets the first answer
	}
	answer, err := g.ask(ctx, name, in, o)
	// An operation that has come to sign since this build: the node has done nothing, since the key is here.
	if why := api.ReasonOf(err); g.writer != nil && !known && why != nil && why.Rule == "key-elsewhere" {
		return g.sign(ctx, name, in, api.SignsOne, o)
	}
	return answer, err
}

func (g *gateway) sign(ctx context.Context, name string, in json.RawMessage, n api.Signs, o callOptions) (json.RawMessage, error) {
	answer, err := g.writer.Write(ctx, Request{Operation: name, Input: in, Idempotency: o.idempotency, Wait: o.wait, Several: n == api.SignsSeveral})
	if err == nil {
		g.login.joined()
	}
	return answer, err
}

func (g *gateway) close(ctx context.Context) error {
	var err error
	if g.login != nil {
		err = g.login.end(ctx)
	}
	g.http.CloseIdleConnections()
	return err
}

// ask calls an operation by JSON-RPC, again where that is allowed and helps: what only reads, what is known by a name, and the two by which records are
// written, of which the same bytes are the same record.
func (g *gateway) ask(ctx context.Context, name string, in json.RawMessage, o callOptions) (json.RawMessage, error) {
	p, err := params(in, o)
	if err != nil {
		return nil, api.Errorf(name, api.Invalid, "%w", err)
	}
	r, _ := routeOf(name)
	repeatable := r.method == http.MethodGet || o.idempotency != "" || name == "record.prepare" || name == "record.submit" || name == "auth.challenge"
	renewed := false
	for failures := 0; ; {
		var token string
		if g.login != nil && !r.public {
			if token, err = g.login.token(ctx); err != nil {
				return nil, api.Wrap(name, err)
			}
		}
		answer, after, err := g.post(ctx, name, p, token)
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return nil, api.Wrap(name, ctx.Err())
		case api.KindOf(err) == api.Unauthenticated && token != "" && !renewed: // it was not done: it has ended before its time
			renewed = true
			g.login.refused(token)
			continue
		case !transient(err) || !repeatable || failures+1 >= attempts || after > longWait:
			if token != "" {
				err = g.login.explain(err)
			}
			return nil, err
		}
		if err := g.rest(ctx, failures, after); err != nil {
			return nil, api.Wrap(name, err)
		}
		failures++
	}
}

// transient reports whether an error may pass.
func transient(err error) bool {
	k := api.KindOf(err)
	return (k == api.Unavailable || k == api.RateLimited) && api.ReceiptOf(err) == nil
}

// rest waits before another attempt: at random, so that not all who lost one node come back at once.
func (g *gateway) rest(ctx context.Context, failures int, after time.Duration) error {
	d := g.pause << min(failures, 5)
	t := time.NewTimer(max(after, d/2+rand.N(d/2+1)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post makes one attempt.
func (g *gateway) post(ctx context.Context, name string, p json.RawMessage, token string) (json.RawMessage, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, oneAttempt)
	defer cancel()
	body, err := json.Marshal(jsonrpc.Request{Version: jsonrpc.Version, ID: json.RawMessage("1"), Method: name, Params: p})
	if err != nil {
		return nil, 0, api.Errorf(name, api.Invalid, "%w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+"/rpc", bytes.NewReader(body))
	if err != nil {
		return nil, 0, api.Errorf(name, api.Invalid, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := g.do(name, req, token)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	text, err := readAll(name, res)
	if err != nil {
		return nil, 0, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, retryAfter(res), problem(name, res.StatusCode, text)
	}
	reply, err := jsonrpc.ParseReply(text)
	switch {
	case err != nil:
		return nil, 0, api.Errorf(name, api.Unsupported, "%w: is this the address of a node?", err)
	case reply.Error != nil:
		return nil, 0, reply.Error.Err()
	}
	return reply.Result, 0, nil
}

func (g *gateway) do(name string, req *http.Request, token string) (*http.Response, error) {
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := g.http.Do(req)
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return nil, api.Errorf(name, api.Invalid, "%s does not prove who it is: %w", g.base, cert.Err)
	case err != nil:
		return nil, api.Errorf(name, api.Unavailable, "no answer from %s: %w", g.base, err)
	}
	return res, nil
}

func readAll(name string, res *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(res.Body, jsonrpc.MaxMessage+1))
	switch {
	case err != nil:
		return nil, api.Errorf(name, api.Unavailable, "the answer broke off: %w", err)
	case len(text) > jsonrpc.MaxMessage:
		return nil, api.Errorf(name, api.TooLarge, "the answer is over %d bytes", jsonrpc.MaxMessage)
	}
	return text, nil
}

// problem is the error of an answer that is none: application/problem+json, or whatever stands between us and the node.
func problem(name string, status int, text []byte) error {
	var p struct {
		Detail, Code, Op string
		Reason           *api.Reason
		Refusal          string
		Receipt          *api.Receipt
	}
	if json.Unmarshal(text, &p) == nil && p.Code != "" {
		e := &jsonrpc.Error{Message: p.Detail, Data: &jsonrpc.ErrorData{Code: p.Code, Op: p.Op, Reason: p.Reason, Refusal: p.Refusal, Receipt: p.Receipt}}
		return e.Err()
	}
	kind := api.Unsupported
	for k := api.Invalid; k <= api.Internal; k++ {
		if k.HTTPStatus() == status {
			kind = k
		}
	}
	if status == http.StatusBadGateway {
		kind = api.Unavailable
	}
	return api.Errorf(name, kind, "HTTP status %d %s: is this the address of a node?", status, http.StatusText(status))
}

// retryAfter is the seconds of a Retry-After header.
func retryAfter(res *http.Response) time.Duration {
	n, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
