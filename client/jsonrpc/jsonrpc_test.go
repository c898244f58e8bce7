package jsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

func TestErrorRoundTrip(t *testing.T) {
	reason := &api.Reason{Domain: "d", Rule: "over-limit", Text: "No more than 12.", Inputs: map[string]string{"have": "11"}, Remedy: "ask for less"}
	for k := api.Invalid; k <= api.Internal; k++ {
		for _, in := range []error{
			api.Errorf("a.b", k, "field %q: wrong", "x"),
			api.Wrap("outer", api.Errorf("a.b", k, "deep")),
			&api.Error{Op: "a.b", Kind: k, Reason: reason, Err: reason},
			&api.Error{Op: "a.b", Kind: k, Reason: reason, Err: errors.New("other text")},
		} {
			b, err := json.Marshal(ErrorOf(in))
			if err != nil {
				t.Fatal(err)
			}
			var e Error
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			out := e.Err()
			if out.Error() != in.Error() || api.KindOf(out) != k || !reflect.DeepEqual(api.ReasonOf(out), api.ReasonOf(in)) {
				t.Errorf("%v (%s) came back as %v (%s) by %s", in, k.Code(), out, api.KindOf(out).Code(), b)
			}
			if e.Code != k.RPCCode() {
				t.Errorf("%s: code %d", k.Code(), e.Code)
			}
		}
	}
	for code, want := range map[int]api.Kind{CodeParse: api.Invalid, CodeInvalidRequest: api.Invalid, CodeNoMethod: api.Unsupported, -1: api.Internal} {
		if got := api.KindOf((&Error{Code: code, Message: "m"}).Err()); got != want {
			t.Errorf("code %d: %s, want %s", code, got.Code(), want.Code())
		}
	}
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	for _, c := range []struct {
		in   string
		max  int
		want []string
		err  error
	}{
		{"", 10, nil, io.EOF},
		{"a\nb\n", 10, []string{"a", "b"}, io.EOF},
		{"\n \r\na\r\n\nb", 10, []string{"a", "b"}, io.EOF},
		{long + "\n" + long, 40_000, []string{long, long}, io.EOF},
		{"ab\nabc\nab", 2, []string{"ab"}, ErrTooLarge},
		{long, 39_999, nil, ErrTooLarge},
	} {
		r := NewReader(strings.NewReader(c.in), c.max)
		var got []string
		var err error
		for {
			var m []byte
			if m, err = r.Next(); err != nil {
				break
			}
			got = append(got, string(m))
		}
		if !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%.20q max %d: %d messages, %v; want %d, %v", c.in, c.max, len(got), err, len(c.want), c.err)
		}
	}
}

func TestParseRequests(t *testing.T) {
	many := "[" + strings.Repeat(`1,`, MaxBatch) + "1]"
	for _, c := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"a","params":{}}`, `1 a`},
		{`{"jsonrpc":"2.0","method":"a"}`, `note a`},
		{`{"jsonrpc":"2.0","id":null,"method":"a"}`, `null a`},
		{`[{"jsonrpc":"2.0","id":"x","method":"a"},5,{"jsonrpc":"2.0","id":2}]`, `batch "x" a|error -32600|error 2 -32600`},
		{`{"jsonrpc":"1.0","id":1,"method":"a"}`, `error 1 -32600`},
		{`{"jsonrpc":"2.0","id":{},"method":"a"}`, `error -32600`},
		{`{"jsonrpc":"2.0","id":true,"method":"a"}`, `error -32600`},
		{`{"jsonrpc":"2.0","id":1,"method":5}`, `error -32600`},
		{`[]`, `error -32600`},
		{many, `error -32600`},
		{`5`, `error -32600`},
		{`{"jsonrpc":"2.0"`, `error -32700`},
		{``, `error -32700`},
	} {
		parts, batch := ParseRequests([]byte(c.in))
		var out []string
		for _, p := range parts {
			switch {
			case p.Err != nil:
				out = append(out, strings.Join(strings.Fields(fmt.Sprintf("error %s %d", p.Request.ID, p.Err.Code)), " "))
			case p.Request.ID == nil:
				out = append(out, "note "+p.Request.Method)
			default:
				out = append(out, fmt.Sprintf("%s %s", p.Request.ID, p.Request.Method))
			}
		}
		got := strings.Join(out, "|")
		if batch {
			got = "batch " + got
		}
		if got != c.want {
			t.Errorf("%.60s: %s, want %s", c.in, got, c.want)
		}
	}
}

func FuzzParseRequests(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"a"}`, `[1]`, `[]`, `null`, `{"id":[]}`, " \t", `{"jsonrpc":"2.0","id":-0e1,"method":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, _ := ParseRequests(b)
		if len(parts) == 0 || len(parts) > MaxBatch {
			t.Fatalf("%d parts", len(parts))
		}
		for _, p := range parts {
			if p.Err == nil && (p.Request.Method == "" || p.Request.Version != Version) {
				t.Fatalf("accepted %+v", p.Request)
			}
			// Whatever was read, an answer to it can be written.
			if _, err := json.Marshal(Response{ID: p.Request.ID, Error: p.Err}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":{"code":"refused","op":"a"}}}`))
	f.Add([]byte(`{"error":{"message":"a: b","data":{"op":"a"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseReply(b); err == nil && r.Error != nil {
			if r.Error.Err().Error() == "" && r.Error.Message != "" && (r.Error.Data == nil || r.Error.Data.Op == "") {
				t.Fatal("the message was lost")
			}
		}
	})
}
