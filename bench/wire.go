package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/intercooperative/icn/app/session"
	"github.com/intercooperative/icn/kernel/api"
)

// wire is a connection of an HTTP client that costs as little as one can: client and server share the processors.
type wire struct {
	net.Conn
	r    *bufio.Reader
	body []byte // of the last answer
}

func dialWire(addr string, buffer int) (*wire, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, r: bufio.NewReaderSize(c, buffer)}, nil
}

// request writes an HTTP request as it goes over the wire.
func request(method, path, token string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// head reads a status line and headers, and returns the length of the body; -1 for none given.
func (w *wire) head() (status, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			return status, length, nil
		case first:
			if len(line) < 12 {
				return 0, 0, fmt.Errorf("status line %q", line)
			}
			status, err = strconv.Atoi(string(line[9:12]))
		case len(line) > 16 && bytes.EqualFold(line[:15], []byte("Content-Length:")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:])))
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// do sends a request and reads the answer, whose body is valid until the next one. Anything but 200 is an error.
func (w *wire) do(req []byte) ([]byte, error) {
	if _, err := w.Write(req); err != nil {
		return nil, err
	}
	status, length, err := w.head()
	if err != nil {
		return nil, err
	}
	if length < 0 {
		return nil, errors.New("an answer without a length")
	}
	if cap(w.body) < length {
		w.body = make([]byte, length)
	}
	w.body = w.body[:length]
	if _, err := io.ReadFull(w.r, w.body); err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, fmt.Errorf("HTTP %d: %s", status, w.body)
	}
	return w.body, nil
}

// post calls an operation with a JSON body.
func post[Out any](w *wire, path, token string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answer, err := w.do(request("POST", gatewayPrefix+path, token, body))
	if err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	return out, json.Unmarshal(answer, &out)
}

const gatewayPrefix = "/api/v1"

// login proves to the gateway at the other end that s signs for its DID, and returns an access token.
func (w *wire) login(s api.Signer) (string, error) {
	c, err := post[session.ChallengeOut](w, "/auth/challenge", "", &session.ChallengeIn{DID: s.DID(), Device: s.Device()})
	if err != nil {
		return "", err
	}
	sig, err := s.Sign(c.Message)
	if err != nil {
		return "", err
	}
	t, err := post[session.TokenOut](w, "/auth/verify", "", &session.VerifyIn{DID: s.DID(), Device: s.Device(), Auth: s.Auth(), Challenge: c.Challenge, Signature: sig})
	return t.AccessToken, err
}

// listen turns the connection into a stream of the gateway's, as a WebSocket or as server-sent events.
func (w *wire) listen(path, token string, socket bool) error {
	want, headers := 200, []string{"Accept: text/event-stream"}
	if socket {
		want, headers = 101, []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	}
	if _, err := w.Write(request("GET", path, token, nil, headers...)); err != nil {
		return err
	}
	status, _, err := w.head()
	if err == nil && status != want {
		text, _ := w.r.Peek(w.r.Buffered())
		err = fmt.Errorf("HTTP %d: %s", status, text)
	}
	return err
}

// Kinds of WebSocket frames (RFC 6455, 5.2).
const (
	frameText  = 1
	frameClose = 8
	framePing  = 9
	framePong  = 10
)

// frame reads messages of a WebSocket until one is of text, and answers pings. It tells only whether the text contains what.
func (w *wire) frame(what string) (has bool, err error) {
	for {
		head, err := w.r.Peek(2)
		if err != nil {
			return false, err
		}
		kind, length, size := head[0]&15, uint64(head[1]&127), 2
		switch length {
		case 126:
			size = 4
			if head, err = w.r.Peek(size); err == nil {
				length = uint64(binary.BigEndian.Uint16(head[2:]))
			}
		case 127:
			return false, errors.New("a message of over 64 KB")
		}
		if err != nil {
			return false, err
		}
		if _, err := w.r.Discard(size); err != nil {
			return false, err
		}
		if cap(w.body) < int(length) {
			w.body = make([]byte, length)
		}
		w.body = w.body[:length]
		if _, err := io.ReadFull(w.r, w.body); err != nil {
			return false, err
		}
		switch kind {
		case frameText:
			return bytes.Contains(w.body, []byte(what)), nil
		case frameClose:
			return false, fmt.Errorf("closed: %q", w.body)
		case framePing:
			if _, err := w.Write(append([]byte{0x80 | framePong, 0x80 | byte(length), 0, 0, 0, 0}, w.body...)); err != nil { // masked by zeroes
				return false, err
			}
		}
	}
}

// event reads server-sent events until one has data. Chunks of the transfer are lines like others here: none of ours begins like one.
func (w *wire) event(what string) (has bool, err error) {
	for {
		line, err := w.r.ReadSlice('\n')
		data := bytes.HasPrefix(line, []byte("data: "))
		has = data && bytes.Contains(line, []byte(what))
		ended := bytes.HasPrefix(line, []byte("event: "))
		for errors.Is(err, bufio.ErrBufferFull) { // what is sought stands in the first part
			_, err = w.r.ReadSlice('\n')
		}
		switch {
		case err != nil:
			return false, err
		case ended:
			return false, errors.New("the stream ended")
		case data:
			return has, nil
		}
	}
}
