package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// OperationKind says how an operation answers.
type OperationKind uint8

// The kinds of operations.
const (
	Unary  OperationKind = iota // one answer
	List                        // a page and a cursor
	Stream                      // many answers until the caller or the server ends it; each carries a resume cursor
)

// String returns the lower-case name.
func (k OperationKind) String() string { return [...]string{"unary", "list", "stream"}[min(k, Stream)] }

// Operation is one entry of the table that drives every edge: JSON-RPC method, REST route, CLI command and client call are
// all made from it. Name is `<app>.<verb>`.
type Operation struct {
	Name    string
	Kind    OperationKind
	Method  string // HTTP method
	Path    string // HTTP path below /api/v1, with {field} parameters
	CLI     string // words after icnctl, e.g. "ledger transfer"
	Scope   string // what a token must hold, e.g. "ledger:write"
	Summary string // one line, no full stop
	Write   bool   // changes state: takes an idempotency key and a wait level

	// In and Out are the types of the input and output (for a Stream, of one item). Fields carry json and doc tags.
	In, Out reflect.Type
	// Do serves a decoded input, a pointer to In. For a Stream it calls emit once per item; otherwise emit is nil.
	Do func(ctx context.Context, call *Call, in any, emit func(item any) error) (out any, err error)
}

// Call is what an edge knows of the caller.
type Call struct {
	Actor       DID    // who asks
	Signer      Signer // who signs for the actor on this node; nil when the actor holds the key elsewhere
	Device      Key    // the device that the caller's token is bound to; zero when it is bound to none
	Scopes      []string
	Idempotency string
	Wait        Wait
	Constraints ConstraintSet // what the oracle imposed on this call
}

// ScopePublic is the scope of operations that are for everybody, logged in or not: those that lead to a login. Every call holds it.
const ScopePublic = "public"

// Can reports whether the call holds scope; "*" holds all, "x:*" holds all of x.
func (c *Call) Can(scope string) bool {
	if scope == ScopePublic {
		return true
	}
	for _, s := range c.Scopes {
		if s == "*" || s == scope {
			return true
		}
		if p, ok := strings.CutSuffix(s, "*"); ok && strings.HasPrefix(scope, p) {
			return true
		}
	}
	return false
}

// SignerFor returns who signs for the actor on this node, or says that the key is elsewhere.
func (c *Call) SignerFor(op string) (Signer, error) {
	if c.Signer == nil {
		return nil, Errorf(op, Unsupported, "%s: this node does not hold the key of %s; sign the record where the key is", op, c.Actor)
	}
	return c.Signer, nil
}

// Validator is an input that can check itself; its error should name the field, the value and what would be right.
type Validator interface {
	Validate() error
}

// Measured is an input that asks for an amount of something; the kernel compares it with the ceiling that the oracle gives.
type Measured interface {
	Measure() (topic Topic, unit string, amount int64)
}

// Handle completes op with typed input and output.
func Handle[In, Out any](op Operation, do func(ctx context.Context, call *Call, in *In) (*Out, error)) Operation {
	op.In, op.Out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	op.Do = func(ctx context.Context, call *Call, in any, _ func(any) error) (any, error) {
		return do(ctx, call, in.(*In))
	}
	return op
}

// HandleStream completes op as a stream of Items.
func HandleStream[In, Item any](op Operation, do func(ctx context.Context, call *Call, in *In, emit func(*Item) error) error) Operation {
	op.Kind = Stream
	op.In, op.Out = reflect.TypeFor[In](), reflect.TypeFor[Item]()
	op.Do = func(ctx context.Context, call *Call, in any, emit func(any) error) (any, error) {
		return nil, do(ctx, call, in.(*In), func(it *Item) error { return emit(it) })
	}
	return op
}

// Decode reads raw JSON into a new input of op and validates it. It refuses unknown fields, trailing data, and an input that leaves out a field whose
// json tag has neither omitempty nor omitzero; without any JSON the input is {}.
func (op *Operation) Decode(raw json.RawMessage) (any, error) {
	at := reflect.New(op.In)
	in := at.Interface()
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(in); err != nil {
			return nil, Errorf(op.Name, Invalid, "%s", jsonProblem(err))
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, Errorf(op.Name, Invalid, "input: something follows the JSON value")
		}
	}
	if err := checkGiven(op.Name, at, raw); err != nil {
		return nil, err
	}
	if v, ok := in.(Validator); ok {
		if err := v.Validate(); err != nil {
			var e *Error
			if errors.As(err, &e) {
				return nil, err
			}
			return nil, Errorf(op.Name, Invalid, "%w", err)
		}
	}
	return in, nil
}

// jsonProblem says what is wrong with an input in terms of its fields.
func jsonProblem(err error) string {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return fmt.Sprintf("field %q: got %s, want %s", te.Field, te.Value, te.Type)
	}
	var se *json.SyntaxError
	if errors.As(err, &se) {
		return fmt.Sprintf("input is not JSON at byte %d: %s", se.Offset, se)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
