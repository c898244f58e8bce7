package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/intercooperative/icn/kernel/api"
)

// subprotocol is what the server speaks on a WebSocket: each message is one item, as JSON. A browser that gives a token as a subprotocol has to offer
// this one as well, since one that is offered must be chosen, and the token should not be sent back.
const subprotocol = "icn.v1"

// Close codes of a WebSocket beyond those of RFC 6455: 4000 and the HTTP status that the error has.
const closeProblem = 4000

// maxCloseReason is what a close frame has room for, in bytes.
const maxCloseReason = 123

// socket is a stream as a WebSocket.
type socket struct {
	s    *Server
	w    http.ResponseWriter
	c    *websocket.Conn
	left context.Context //nolint:containedctx // ends with the connection, and when the client says something
}

// errSpoke is why left ends when a client sends a message, for which a stream has no use.
var errSpoke = errors.New("the client has sent a message")

func upgrades(r *http.Request) bool {
	has := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.Join(r.Header.Values(name), ","), ","), func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), token) })
	}
	return has("Connection", "upgrade") && has("Upgrade", "websocket")
}

func subprotocols(r *http.Request) []string {
	var out []string
	for _, p := range strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func checkSubprotocols(r *http.Request) error {
	if offered := subprotocols(r); len(offered) > 0 && !slices.Contains(offered, subprotocol) {
		return invalid("Sec-WebSocket-Protocol: offer %s, and beside it %sTOKEN", subprotocol, bearerSubprotocol)
	}
	return nil
}

func (s *Server) openSocket(w http.ResponseWriter, r *http.Request) (sink, string, error) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // mayConnect has looked at the origin, by the list of CORS
	})
	if err != nil {
		return nil, "", err // it has answered
	}
	// Pings and closing are answered while somebody reads. The package's own CloseRead waits for itself, 15 seconds, when it is sent a message.
	left, leave := context.WithCancelCause(context.Background())
	go func() {
		_, _, err := c.Reader(left)
		if err == nil {
			err = errSpoke
		}
		leave(err)
	}()
	return &socket{s, w, c, left}, "websocket", nil
}

func (k *socket) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(k.left, k.s.times.write)
}

func (k *socket) send(it item) error {
	ctx, cancel := k.within()
	defer cancel()
	return k.c.Write(ctx, websocket.MessageText, it.data)
}

func (k *socket) beat() error {
	ctx, cancel := k.within()
	defer cancel()
	return k.c.Ping(ctx)
}

func (k *socket) gone() <-chan struct{} { return k.left.Done() }

func (k *socket) end(err error) {
	code, reason := websocket.StatusNormalClosure, ""
	switch {
	case errors.Is(context.Cause(k.left), errSpoke):
		code, reason = websocket.StatusPolicyViolation, "a stream takes no messages"
	case errors.Is(err, errGone):
		_ = k.c.CloseNow() // there is nobody
		return
	case err == nil:
	default:
		k.s.logStream(k.w, err)
		p := problemOf(err)
		code, reason = websocket.StatusCode(closeProblem+p.Status), p.Code+": "+p.Detail
		switch {
		case errors.Is(err, errStopping):
			code = websocket.StatusGoingAway
		case errors.Is(err, errSlow):
			code = websocket.StatusTryAgainLater
		case api.KindOf(err) == api.Internal || api.KindOf(err) == api.Other:
			code = websocket.StatusInternalError
		}
	}
	_ = k.c.Close(code, clip(reason, maxCloseReason-len("..."))) // the last word
}
