package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
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
	Access  Access // what a caller may do whose key is not on this node
	Signs   Signs  // how many records its caller signs; of what signs none, none can be prepared

	// In and Out are the types of the input and output (for a Stream, of one item). Fields carry json and doc tags.
	In, Out reflect.Type
	// Do serves a decoded input, a pointer to In. For a Stream it calls emit once per item; otherwise emit is nil.
	Do func(ctx context.Context, call *Call, in any, emit func(item any) error) (out any, err error)
}

// ScopePublic is a scope that everybody holds, logged in or not.
const ScopePublic = "public"

// The scopes of who runs the node. AccessOperator asks for them beside an operation's own: the one to look, the other to change.
const (
	ScopeNodeRead  = "node:read"
	ScopeNodeWrite = "node:write"
)

// Access says what a remote caller (Call.Remote) may do with an operation, beside holding its scope. A caller whose key is on this node is not asked.
type Access uint8

// The kinds of access. The zero Access gives nothing away: what concerns a space, by a field "space" or "topic" of its input, is served to whom that space
// is open; the kernel's own operations about the node are served to who holds their scope; everything else, and every write, is refused.
const (
	AccessSpace    Access = iota
	AccessOwn             // the operation itself shows and does only what is the caller's, or is in a space that Call.Sees
	AccessOperator        // it shows or changes what is the node's: needs ScopeNodeRead, or ScopeNodeWrite for a write, too
	AccessHere            // it makes the node itself do something, or hands out a secret: never served to a remote caller
)

// String returns the lower-case name.
func (a Access) String() string {
	return [...]string{"space", "own", "operator", "here"}[min(a, AccessHere)]
}

// Signs says how many records an operation has its caller sign.
type Signs uint8

// The numbers of records. An operation that signs none cannot be prepared: it appends nothing as its caller, or does more than append.
const (
	SignsNone    Signs = iota
	SignsOne           // at most one record, and until that is appended nothing else is done
	SignsSeveral       // one after another: asked again it goes on behind those that stand
)

// String returns the lower-case name.
func (s Signs) String() string { return [...]string{"none", "one", "several"}[min(s, SignsSeveral)] }

// Call is what an edge knows of the caller.
type Call struct {
	Actor       DID    // who asks; empty: nobody is logged in
	Signer      Signer // who signs for the actor on this node; nil when the actor holds the key elsewhere
	Device      Key    // the actor's device that a remote caller has proved to be; zero: none
	Scopes      []string
	Idempotency string
	Wait        Wait
	Constraints ConstraintSet // what the oracle imposed on this call

	// Prepare says that the call is made to learn what the actor's device has to sign: its Signer keeps the first record and signs nothing.
	Prepare bool
	// See says whether a space is open to a remote caller; the kernel sets it. Ask Sees.
	See func(space Hash) bool
}

// Remote reports whether the actor's key is not on this node.
func (c *Call) Remote() bool { return c.Signer == nil || c.Prepare }

// Sees reports whether the caller may have the records of a space that this node follows.
func (c *Call) Sees(space Hash) bool { return !c.Remote() || c.See != nil && c.See(space) }

// Can reports whether the call holds scope in every space and for what concerns none; "*" holds all, "x:*" holds all of x. Everybody holds ScopePublic.
func (c *Call) Can(scope string) bool {
	return scope == ScopePublic || slices.ContainsFunc(c.Scopes, func(held string) bool { return holds(held, scope) })
}

// CanIn is Can for what concerns a space: a scope that is bound to it, "<scope>@<space id>", is enough.
func (c *Call) CanIn(scope string, space Hash) bool {
	if c.Can(scope) {
		return true
	}
	return slices.ContainsFunc(c.Scopes, func(s string) bool {
		held, in, bound := strings.Cut(s, "@")
		return bound && holds(held, scope) && in == space.String()
	})
}

// CanSomewhere reports whether the call holds scope in some space, or in all.
func (c *Call) CanSomewhere(scope string) bool {
	return c.Can(scope) || slices.ContainsFunc(c.Scopes, func(s string) bool {
		held, _, bound := strings.Cut(s, "@")
		return bound && holds(held, scope)
	})
}

func holds(held, scope string) bool {
	if held == scope {
		return true
	}
	all, wild := strings.CutSuffix(held, "*")
	return wild && strings.HasPrefix(scope, all)
}

// SignerFor returns who signs for the actor on this node, or says that the key is elsewhere.
func (c *Call) SignerFor(op string) (Signer, error) {
	if c.Signer == nil {
		return nil, NoKey(op, c.Actor)
	}
	return c.Signer, nil
}

// NoKey is the error of a write whose actor holds the key elsewhere.
func NoKey(op string, actor DID) error {
	r := &Reason{
		Domain: "kernel", Rule: "key-elsewhere", Text: "this node does not hold the key of " + string(actor) + ", and signs for nobody else",
		Remedy: "ask record.prepare what to sign, sign it where the key is, and send it with record.submit",
	}
	return &Error{Op: op, Kind: Unsupported, Reason: r, Err: r}
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

// Part is what the items of a Stream implement, as pointers, when the stream is a file: an HTTP edge then answers who does not ask for events with the file
// itself. The first item names it; what an error cuts off is not a file.
type Part interface {
	// FilePart returns the name of the file and its media type, as far as they are known with this item, and the bytes that follow on those before.
	FilePart() (name, mediaType string, data []byte)
}

// IsFile reports whether op answers with a file.
func (op *Operation) IsFile() bool {
	return op.Kind == Stream && op.Out != nil && reflect.PointerTo(op.Out).Implements(reflect.TypeFor[Part]())
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
