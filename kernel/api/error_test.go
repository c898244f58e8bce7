package api_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// The codes travel: they may be added to, not changed.
func TestKindCodes(t *testing.T) {
	for _, tc := range []struct {
		kind      api.Kind
		code      string
		http, rpc int
		exit      int
	}{
		{api.Other, "internal", 500, -32603, 1},
		{api.Invalid, "invalid", 400, -32602, 2},
		{api.Unauthenticated, "unauthenticated", 401, -32001, 1},
		{api.Refused, "refused", 403, -32003, 1},
		{api.NotFound, "not-found", 404, -32004, 1},
		{api.Conflict, "conflict", 409, -32009, 1},
		{api.TooLarge, "too-large", 413, -32013, 1},
		{api.RateLimited, "rate-limited", 429, -32029, 1},
		{api.Unavailable, "unavailable", 503, -32053, 1},
		{api.Timeout, "timeout", 504, -32054, 1},
		{api.Unsupported, "unsupported", 501, -32051, 1},
		{api.Internal, "internal", 500, -32603, 1},
		{api.Kind(200), "internal", 500, -32603, 1},
	} {
		k := tc.kind
		if k.Code() != tc.code || k.HTTPStatus() != tc.http || k.RPCCode() != tc.rpc || k.ExitCode() != tc.exit {
			t.Errorf("kind %d: %s %d %d %d, want %+v", k, k.Code(), k.HTTPStatus(), k.RPCCode(), k.ExitCode(), tc)
		}
		if k > api.Other && k <= api.Internal && api.KindOfCode(tc.code) != k {
			t.Errorf("%s is read as %d, want %d", tc.code, api.KindOfCode(tc.code), k)
		}
	}
	if api.KindOfCode("of tomorrow") != api.Other {
		t.Error("an unknown code has a kind")
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("disk full")
	reason := &api.Reason{Domain: "d", Rule: "r", Text: "too much", Remedy: "use less"}
	for _, tc := range []struct {
		err  error
		text string
		kind api.Kind
	}{
		{api.Errorf("a.b", api.Conflict, "seq %d: %w", 7, cause), "a.b: seq 7: disk full", api.Conflict},
		{api.Wrap("a.b", cause), "a.b: disk full", api.Other},
		{api.Wrap("x", api.Errorf("a.b", api.NotFound, "gone")), "x: a.b: gone", api.NotFound},
		{api.Wrap("a.b", api.Errorf("a.b", api.NotFound, "gone")), "a.b: gone", api.NotFound}, // the same operation twice says no more
		{fmt.Errorf("outer: %w", api.Errorf("a.b", api.TooLarge, "big")), "outer: a.b: big", api.TooLarge},
		{&api.Error{Op: "x", Err: api.Errorf("a.b", api.TooLarge, "big")}, "x: a.b: big", api.TooLarge}, // nobody classified the outer one
		{api.Refusal("a.b", reason), "a.b: too much (use less)", api.Refused},
		{api.Wrap("x", api.Refusal("a.b", reason)), "x: a.b: too much (use less)", api.Refused},
		{&api.Error{Reason: reason}, "too much (use less)", api.Other},
		{&api.Error{Op: "a.b", Kind: api.Timeout}, "a.b: timeout", api.Timeout},
		{api.Wrap("a.b", context.DeadlineExceeded), "a.b: context deadline exceeded", api.Timeout},
		{fmt.Errorf("x: %w", context.Canceled), "x: context canceled", api.Unavailable},
		{cause, "disk full", api.Other},
	} {
		if got := tc.err.Error(); got != tc.text {
			t.Errorf("%q, want %q", got, tc.text)
		}
		if got := api.KindOf(tc.err); got != tc.kind {
			t.Errorf("%v: kind %s, want %s", tc.err, got.Code(), tc.kind.Code())
		}
	}
	if api.Wrap("a.b", nil) != nil || api.KindOf(nil) != api.Other || api.ReasonOf(nil) != nil {
		t.Error("no error became one")
	}
	if !errors.Is(api.Wrap("x", api.Errorf("a", api.Invalid, "%w", cause)), cause) {
		t.Error("the cause is lost")
	}
	for _, err := range []error{reason, api.Refusal("a.b", reason), api.Wrap("x", api.Refusal("a.b", reason)), &api.Error{Op: "x", Reason: reason}} {
		if api.ReasonOf(err) != reason {
			t.Errorf("%v: the reason is lost", err)
		}
	}
	if got := (&api.Reason{Text: "no"}).Error(); got != "no" {
		t.Error(got)
	}
}
