// Package jsonrpc is what a client and a node say to each other over a byte stream: JSON-RPC 2.0, one message a line.
//
// It is the encoding only: messages, framing with a size limit, and the mapping between error objects and api.Error. It opens no
// connection and starts no goroutine; edge/rpc serves it and package client speaks it.
//
// Two things are added to the standard, both within it. A stream's items are notifications named "stream" with the request's id, sent in
// order before its response: {"method":"stream","params":{"id":1,"item":{...}}}. The request "rpc.cancel" {"id":1} ends a request
// of the same connection. An error's data is {"code","op","reason","refusal","receipt"}: the stable text code, what was being done, the rule
// that said no, the name under which the node remembers that, and what was written all the same.
//
// The package exists because the JSON-RPC library at hand hands notifications to goroutines of their own, which loses the order of a
// stream's items, and queues requests without a bound.
package jsonrpc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// Limits of what a side accepts.
const (
	MaxMessage = 8 << 20 // bytes of one line, without its end
	MaxBatch   = 100     // requests in one batch
)

// The methods that are not operations.
const (
	MethodCancel   = "rpc.cancel"   // params {"id"}: end a request of this connection; result {"canceled":bool}
	MethodDiscover = "rpc.discover" // the operation table
	MethodStream   = "stream"       // server to client: one item of a stream
)

// The reserved members of params: they belong to the call and are taken out before an operation decodes its input.
const (
	MemberIdempotency = "_idempotency" // at most 64 characters
	MemberWait        = "_wait"        // "local", "replicated(k)" or "final": api.Wait
)

// Codes of the standard that no api.Kind has.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeNoMethod       = -32601
)

// Version is the value of every message's jsonrpc member.
const Version = "2.0"

// Request is one call, or a notification when ID is nil.
type Request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
}

// Response answers one request: Error when it is not nil, else Result.
type Response struct {
	ID     json.RawMessage
	Result json.RawMessage // nil is written as null
	Error  *Error
}

var null = json.RawMessage("null")

// MarshalJSON writes exactly one of result and error, and a null id for a request that could not be read.
func (r Response) MarshalJSON() ([]byte, error) {
	if r.ID == nil {
		r.ID = null
	}
	if r.Error != nil {
		return json.Marshal(struct {
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Error   *Error          `json:"error"`
		}{Version, r.ID, r.Error})
	}
	if r.Result == nil {
		r.Result = null
	}
	return json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result"`
	}{Version, r.ID, r.Result})
}

// Item is the params of a stream notification.
type Item struct {
	ID   json.RawMessage `json:"id"`
	Item json.RawMessage `json:"item"`
}

// Error is a JSON-RPC error object.
type Error struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *ErrorData `json:"data,omitempty"`
}

// ErrorData is the part of an error that programs read.
type ErrorData struct {
	Code   string      `json:"code"`             // api.Kind.Code
	Op     string      `json:"op,omitempty"`     // what was being done, e.g. an operation's name
	Reason *api.Reason `json:"reason,omitempty"` // when a rule said no

	Refusal string       `json:"refusal,omitempty"` // for the operation refusal.explain
	Receipt *api.Receipt `json:"receipt,omitempty"` // of a record that stands, when the level waited for was not reached
}

// ErrorOf describes err for the other side.
func ErrorOf(err error) *Error {
	kind := api.KindOf(err)
	data := &ErrorData{Code: kind.Code(), Reason: api.ReasonOf(err), Refusal: api.RefusalOf(err), Receipt: api.ReceiptOf(err)}
	var e *api.Error
	if errors.As(err, &e) {
		data.Op = e.Op
	}
	return &Error{Code: kind.RPCCode(), Message: err.Error(), Data: data}
}

// Err returns the error as the other side had it: an *api.Error with kind, operation, reason and the same text.
func (e *Error) Err() error {
	out := &api.Error{Kind: api.Internal}
	text := e.Message
	switch {
	case e.Data != nil:
		out.Kind, out.Op, out.Reason = api.KindOfCode(e.Data.Code), e.Data.Op, e.Data.Reason
		out.Refusal, out.Receipt = e.Data.Refusal, e.Data.Receipt
		if out.Op != "" {
			text = strings.TrimPrefix(text, out.Op+": ")
		}
	case e.Code == CodeParse || e.Code == CodeInvalidRequest:
		out.Kind = api.Invalid
	case e.Code == CodeNoMethod:
		out.Kind = api.Unsupported
	}
	if out.Reason != nil && out.Reason.Error() == text {
		out.Err = out.Reason
	} else {
		out.Err = errors.New(text)
	}
	return out
}

// ErrTooLarge is returned by Reader.Next for a message over its limit. The reader is of no use afterwards.
var ErrTooLarge = errors.New("message is over the size limit")

// Reader splits a byte stream into messages.
type Reader struct {
	buf *bufio.Reader
	max int
}

// NewReader returns a Reader of messages of at most max bytes.
func NewReader(r io.Reader, max int) *Reader { return &Reader{bufio.NewReaderSize(r, 16<<10), max} }

// Next returns the next message that is not blank, without its end of line; the slice is the caller's. At the end of the stream it returns
// io.EOF, after a last message that lacks its end of line.
func (r *Reader) Next() ([]byte, error) {
	var msg []byte
	for {
		chunk, err := r.buf.ReadSlice('\n')
		if len(msg)+len(bytes.TrimSuffix(chunk, []byte("\n"))) > r.max {
			return nil, ErrTooLarge
		}
		msg = append(msg, chunk...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		if line := bytes.TrimSpace(msg); len(line) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, io.EOF
		}
		msg = msg[:0]
	}
}

// Part is one element of a message that a server received: a request, or what is wrong with it.
type Part struct {
	Request Request
	Err     *Error
}

// ParseRequests reads a request or a batch of them. When the message as a whole is wrong it returns one part with the error.
func ParseRequests(msg []byte) (parts []Part, batch bool) {
	msg = bytes.TrimSpace(msg)
	if !json.Valid(msg) {
		return []Part{{Err: &Error{Code: CodeParse, Message: "the message is not JSON"}}}, false
	}
	if msg[0] != '[' {
		return []Part{parseRequest(msg)}, false
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(msg, &raw); err != nil {
		return []Part{invalid(nil, err.Error())}, false
	}
	if len(raw) == 0 || len(raw) > MaxBatch {
		return []Part{invalid(nil, fmt.Sprintf("a batch of %d requests: want 1 to %d", len(raw), MaxBatch))}, false
	}
	parts = make([]Part, len(raw))
	for i, r := range raw {
		parts[i] = parseRequest(r)
	}
	return parts, true
}

func parseRequest(raw json.RawMessage) Part {
	var q Request
	if err := json.Unmarshal(raw, &q); err != nil {
		return invalid(nil, "a request is an object with jsonrpc, id, method and params")
	}
	if len(q.ID) > 0 {
		switch q.ID[0] {
		case '{', '[', 't', 'f':
			return invalid(nil, "id: want a string or a number")
		}
	}
	switch {
	case q.Version != Version:
		return invalid(q.ID, `jsonrpc: want "2.0"`)
	case q.Method == "":
		return invalid(q.ID, "method: missing")
	}
	return Part{Request: q}
}

func invalid(id json.RawMessage, text string) Part {
	return Part{Request: Request{ID: id}, Err: &Error{Code: CodeInvalidRequest, Message: "invalid request: " + text}}
}

// Reply is what a client receives: a response, or a stream's item when Method is MethodStream.
type Reply struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

// ParseReply reads one message from a server that was sent no batches.
func ParseReply(msg []byte) (Reply, error) {
	var r Reply
	if err := json.Unmarshal(msg, &r); err != nil {
		return r, fmt.Errorf("the answer is not JSON-RPC: %w", err)
	}
	return r, nil
}
