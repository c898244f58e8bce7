package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// silence is how long nothing may be heard of a stream; a gateway gives a sign of life every 20 seconds.
const silence = time.Minute

// errEnd is how a stream says that nothing more is to come.
var errEnd = errors.New("the stream has ended")

// eachError is what the caller's function returned.
type eachError struct{ error }

// stream runs a stream by server-sent events. When the connection is lost it goes on behind the last cursor, for as long as the caller listens; a stream
// whose items have none ends with the error.
func (g *gateway) stream(ctx context.Context, name string, in json.RawMessage, each func(json.RawMessage) error) error {
	r, known := routeOf(name)
	if !known || r.method != http.MethodGet && r.method != http.MethodPost {
		return api.Errorf(name, api.Unsupported, "this build knows no such stream")
	}
	cursor, renewed := "", false
	for failures := 0; ; {
		var token string
		if g.login != nil && !r.public {
			var err error
			if token, err = g.login.token(ctx); err != nil {
				return api.Wrap(name, err)
			}
		}
		heard := false
		after, err := g.listen(ctx, name, r, in, token, &cursor, func(item json.RawMessage) error {
			heard = true
			return each(item)
		})
		if heard {
			failures, renewed = 0, false
		}
		var own *eachError
		switch {
		case errors.Is(err, errEnd):
			return nil
		case errors.As(err, &own):
			return own.error
		case ctx.Err() != nil:
			return api.Wrap(name, ctx.Err())
		case api.KindOf(err) == api.Unauthenticated && token != "" && !renewed && (cursor != "" || !heard): // a token ends while a stream goes on
			renewed = true
			g.login.refused(token)
			continue
		case !transient(err) || cursor == "" && (heard || failures+1 >= attempts) || r.method != http.MethodGet || after > longWait:
			return err
		}
		if err := g.rest(ctx, failures, after); err != nil {
			return api.Wrap(name, err)
		}
		failures++
	}
}

// listen makes one connection. The error is never nil.
func (g *gateway) listen(ctx context.Context, name string, r route, in json.RawMessage, token string, cursor *string, each func(json.RawMessage) error) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := g.streamRequest(ctx, name, r, in)
	if err != nil {
		return 0, err
	}
	if *cursor != "" {
		req.Header.Set("Last-Event-ID", *cursor)
	}
	quiet := time.AfterFunc(silence, func() { cancel(api.Errorf(name, api.Unavailable, "nothing was heard of %s for a minute", g.base)) })
	defer quiet.Stop()
	res, err := g.do(name, req, token)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := readAll(name, res)
		if err != nil {
			return 0, err
		}
		return retryAfter(res), problem(name, res.StatusCode, text)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 16<<10), jsonrpc.MaxMessage)
	var id, event string
	var data []byte
	for lines.Scan() {
		quiet.Reset(silence)
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			id = value
		case field == "event":
			event = value
		case field == "data" && len(data)+len(value) > jsonrpc.MaxMessage:
			return 0, api.Errorf(name, api.TooLarge, "an item is over %d bytes", jsonrpc.MaxMessage)
		case field == "data" && data != nil:
			data = append(append(data, '\n'), value...)
		case field == "data":
			data = append([]byte{}, value...)
		case field == "" && value == "" && data != nil:
			if err := told(name, event, data, each); err != nil {
				return 0, err
			}
			if id != "" {
				*cursor = id
			}
			event, data = "", nil
		}
	}
	err = lines.Err()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return 0, api.Errorf(name, api.TooLarge, "an item is over %d bytes", jsonrpc.MaxMessage)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return 0, api.Errorf(name, api.Unavailable, "the stream broke off: %w", err)
}

// told hands on one event of a stream.
func told(name, event string, data []byte, each func(json.RawMessage) error) error {
	switch event {
	case "", "message":
		if err := each(data); err != nil {
			return &eachError{err}
		}
		return nil
	case "end":
		return errEnd
	case "problem":
		return problem(name, 0, data)
	}
	return nil // of a later version
}

// streamRequest asks for a stream at its own address: the input is in the query, or with POST in the body.
func (g *gateway) streamRequest(ctx context.Context, name string, r route, in json.RawMessage) (*http.Request, error) {
	address, body := g.base+apiPrefix+r.path, io.Reader(nil)
	if r.method == http.MethodPost {
		body = bytes.NewReader(in)
	} else {
		var fields map[string]any
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber()
		if err := dec.Decode(&fields); err != nil {
			return nil, api.Errorf(name, api.Invalid, "input: %w", err)
		}
		q, err := query(fields)
		if err != nil {
			return nil, api.Wrap(name, err)
		}
		if len(q) > 0 {
			address += "?" + q.Encode()
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, api.Errorf(name, api.Invalid, "%w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// query writes an input as a gateway reads it from an address: a list is its name several times.
func query(fields map[string]any) (url.Values, error) {
	q := url.Values{}
	for name, v := range fields {
		all, list := v.([]any)
		if !list {
			all = []any{v}
		}
		for _, one := range all {
			switch x := one.(type) {
			case nil:
			case string:
				q.Add(name, x)
			case json.Number:
				q.Add(name, x.String())
			default: // true, false, and what is nested
				text, err := json.Marshal(x)
				if err != nil {
					return nil, err
				}
				q.Add(name, string(text))
			}
		}
	}
	return q, nil
}
