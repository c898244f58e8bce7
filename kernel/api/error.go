package api

import (
	"context"
	"errors"
	"fmt"
)

// Kind classifies an error for callers on the other side of a wire. The list is append-only: its numbers and codes travel.
type Kind uint8

// The kinds. Other is the zero Kind: an error nobody classified, treated as Internal.
const (
	Other           Kind = iota
	Invalid              // the request is wrong; repeating it unchanged will not help
	Unauthenticated      // who are you?
	Refused              // a rule or capability says no
	NotFound
	Conflict    // the state moved, or an idempotency key was reused for something else
	TooLarge    // over a stated size limit
	RateLimited // come back later
	Unavailable // busy, shutting down or not yet ready; come back later
	Timeout
	Unsupported // this build cannot do that
	Internal    // our fault
)

// kinds is the one table from Kind to the codes of each edge: stable text code, HTTP status, JSON-RPC code, exit code.
var kinds = [...]struct {
	code string
	http int
	rpc  int
	exit int
}{
	Other:           {"internal", 500, -32603, 1},
	Invalid:         {"invalid", 400, -32602, 2},
	Unauthenticated: {"unauthenticated", 401, -32001, 1},
	Refused:         {"refused", 403, -32003, 1},
	NotFound:        {"not-found", 404, -32004, 1},
	Conflict:        {"conflict", 409, -32009, 1},
	TooLarge:        {"too-large", 413, -32013, 1},
	RateLimited:     {"rate-limited", 429, -32029, 1},
	Unavailable:     {"unavailable", 503, -32053, 1},
	Timeout:         {"timeout", 504, -32054, 1},
	Unsupported:     {"unsupported", 501, -32051, 1},
	Internal:        {"internal", 500, -32603, 1},
}

func (k Kind) row() int {
	if int(k) >= len(kinds) {
		return int(Internal)
	}
	return int(k)
}

// Code returns the stable kebab-case code.
func (k Kind) Code() string { return kinds[k.row()].code }

// HTTPStatus returns the HTTP status for the kind.
func (k Kind) HTTPStatus() int { return kinds[k.row()].http }

// RPCCode returns the JSON-RPC error code for the kind.
func (k Kind) RPCCode() int { return kinds[k.row()].rpc }

// ExitCode returns the process exit code for the kind: 1 failure, 2 usage or configuration.
func (k Kind) ExitCode() int { return kinds[k.row()].exit }

// KindOfCode returns the Kind with the given text code; unknown codes are Other.
func KindOfCode(code string) Kind {
	for k := Invalid; int(k) < len(kinds); k++ {
		if kinds[k].code == code {
			return k
		}
	}
	return Other
}

// Error is what was being done, what kind of failure it was, and its cause.
type Error struct {
	Op     string  // operation or function, e.g. "store.open"
	Kind   Kind    //
	Reason *Reason // structured explanation when a rule said no
	Err    error   // cause

	Refusal string   // under which name the node that refused remembers it, see `icnctl explain`; empty when it does not
	Receipt *Receipt // of the record that was committed all the same, when the level waited for was not reached
}

// Error returns `op: detail`; nested errors of the same operation are folded.
func (e *Error) Error() string {
	var in *Error
	if errors.As(e.Err, &in) && in.Op == e.Op {
		return in.Error()
	}
	switch {
	case e.Err != nil && e.Op != "":
		return e.Op + ": " + e.Err.Error()
	case e.Err != nil:
		return e.Err.Error()
	case e.Reason != nil:
		return e.Reason.Error()
	}
	return e.Op + ": " + e.Kind.Code()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf builds an *Error; the format may wrap a cause with %w.
func Errorf(op string, kind Kind, format string, args ...any) error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Wrap adds an operation to err and keeps its kind; a nil err stays nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Kind: KindOf(err), Reason: ReasonOf(err), Err: err}
}

// Refusal is the error of a rule that said no.
func Refusal(op string, r *Reason) error {
	return &Error{Op: op, Kind: Refused, Reason: r, Err: r}
}

// KindOf returns the kind of the outermost classified error in err's chain; context ends are Timeout and Unavailable.
func KindOf(err error) Kind {
	if x := find(err, func(x *Error) bool { return x.Kind != Other }); x != nil {
		return x.Kind
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Unavailable
	}
	return Other
}

// RefusalOf returns the name under which a node remembers the refusal in err's chain, or "".
func RefusalOf(err error) string {
	x := find(err, func(x *Error) bool { return x.Refusal != "" })
	if x == nil {
		return ""
	}
	return x.Refusal
}

// ReceiptOf returns the receipt in err's chain: what was written stands, although the level waited for was not reached. Nil when nothing was.
func ReceiptOf(err error) *Receipt {
	x := find(err, func(x *Error) bool { return x.Receipt != nil })
	if x == nil {
		return nil
	}
	return x.Receipt
}

// find returns the outermost *Error in err's chain that fits, or nil.
func find(err error, fits func(*Error) bool) *Error {
	var x *Error
	for errors.As(err, &x) {
		if fits(x) {
			return x
		}
		err = x.Err
	}
	return nil
}

// ReasonOf returns the innermost structured reason in err's chain, or nil.
func ReasonOf(err error) *Reason {
	var r *Reason
	if errors.As(err, &r) {
		return r
	}
	if x := find(err, func(x *Error) bool { return x.Reason != nil }); x != nil {
		return x.Reason
	}
	return nil
}
