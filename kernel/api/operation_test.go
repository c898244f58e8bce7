package api_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

type in struct {
	Name  string `json:"name,omitempty"`
	Count int    `json:"count,omitempty"`
}

func (i *in) Validate() error {
	switch {
	case i.Count < 0:
		return errors.New("count: want 0 or more")
	case i.Count > 100:
		return api.Errorf("demo", api.TooLarge, "count: at most 100")
	}
	return nil
}

type out struct{ Text string }

func operation() api.Operation {
	return api.Handle(api.Operation{Name: "demo.say", Scope: "demo:read"}, func(_ context.Context, c *api.Call, i *in) (*out, error) {
		return &out{strings.Repeat(i.Name, i.Count) + string(c.Actor)}, nil
	})
}

func TestHandle(t *testing.T) {
	op := operation()
	if op.In != reflect.TypeFor[in]() || op.Out != reflect.TypeFor[out]() || op.Kind != api.Unary {
		t.Errorf("%+v", op)
	}
	v, err := op.Decode([]byte(`{"name":"a","count":3}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := op.Do(t.Context(), &api.Call{Actor: "!"}, v, nil)
	if err != nil || got.(*out).Text != "aaa!" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHandleStream(t *testing.T) {
	stop := errors.New("enough")
	op := api.HandleStream(api.Operation{Name: "demo.count"}, func(_ context.Context, _ *api.Call, i *in, emit func(*out) error) error {
		for n := range i.Count {
			if err := emit(&out{fmt.Sprint(n)}); err != nil {
				return err
			}
		}
		return nil
	})
	if op.Kind != api.Stream || op.Out != reflect.TypeFor[out]() {
		t.Errorf("%+v", op)
	}
	var got []string
	emit := func(item any) error {
		if got = append(got, item.(*out).Text); len(got) == 2 {
			return stop
		}
		return nil
	}
	if v, err := op.Do(t.Context(), &api.Call{}, &in{Count: 5}, emit); v != nil || !errors.Is(err, stop) || len(got) != 2 {
		t.Errorf("%v, %v, %v", v, err, got)
	}
}

func TestDecode(t *testing.T) {
	op := operation()
	for raw, want := range map[string]in{"": {}, " ": {}, "null": {}, " null ": {}, "{}": {}, ` {"count":1} `: {Count: 1}} {
		if got, err := op.Decode([]byte(raw)); err != nil || *got.(*in) != want {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
	for raw, tc := range map[string]struct {
		kind api.Kind
		text string
	}{
		`{"nickname":"a"}`: {api.Invalid, `unknown field "nickname"`},
		`{"name":1}`:       {api.Invalid, `field "name": got number, want string`},
		`{"count":1.5}`:    {api.Invalid, `field "count": got number 1.5, want int`},
		`{"count":"1"}`:    {api.Invalid, `field "count": got string, want int`},
		`[]`:               {api.Invalid, `want api_test.in`},
		`{`:                {api.Invalid, ``},
		`{"name":"a"} 1`:   {api.Invalid, `follows`},
		`{"name" "a"}`:     {api.Invalid, `not JSON at byte 9`},
		`{"count":-1}`:     {api.Invalid, `count: want 0 or more`},
		`{"count":101}`:    {api.TooLarge, `at most 100`},
	} {
		got, err := op.Decode([]byte(raw))
		if api.KindOf(err) != tc.kind || got != nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %+v, %v; want %q", raw, got, err, tc.text)
		}
	}
}

func TestCallCan(t *testing.T) {
	for _, tc := range []struct {
		held, asked string
		want        bool
	}{
		{"", "a:read", false},
		{"a:read", "a:read", true},
		{"a:read", "a:write", false},
		{"a:*", "a:write", true},
		{"a:*", "ab:write", false},
		{"*", "a:write", true},
		{"b:read a:read", "a:read", true},
		{"a:read", "a:*", false},
		{"", api.ScopePublic, true},
		{"a:read@" + digits, "a:read", false},
		{"*@" + digits, "a:read", false},
	} {
		c := api.Call{Scopes: strings.Fields(tc.held)}
		if got := c.Can(tc.asked); got != tc.want {
			t.Errorf("holding %q, asked %q: %t", tc.held, tc.asked, got)
		}
	}
}

func TestCallCanInOneSpace(t *testing.T) {
	here, _ := api.ParseHash(digits)
	for _, tc := range []struct {
		held, asked     string
		here, elsewhere bool
	}{
		{"a:read", "a:read", true, true},
		{"a:read@" + digits, "a:read", true, false},
		{"a:read@" + digits, "a:write", false, false},
		{"a:*@" + digits, "a:write", true, false},
		{"*@" + digits, "a:write", true, false},
		{"a:read@", "a:read", false, false},
		{"a:read@" + digits + "0", "a:read", false, false},
		{"b:read@" + digits + " a:read@" + digits, "a:read", true, false},
	} {
		c := api.Call{Scopes: strings.Fields(tc.held)}
		if got, other := c.CanIn(tc.asked, here), c.CanIn(tc.asked, api.Hash{1}); got != tc.here || other != tc.elsewhere {
			t.Errorf("holding %q, asked %q: %t here, %t elsewhere", tc.held, tc.asked, got, other)
		}
	}
}

// Who is remote sees what the kernel says that they may, and nothing where it says nothing.
func TestCallSees(t *testing.T) {
	for name, tc := range map[string]struct {
		call api.Call
		want bool
	}{
		"remote":           {api.Call{}, false},
		"remote, let in":   {api.Call{See: func(api.Hash) bool { return true }}, true},
		"here":             {api.Call{Signer: signer{}}, true},
		"here, to prepare": {api.Call{Signer: signer{}, Prepare: true}, false},
	} {
		if got := tc.call.Sees(api.Hash{1}); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if _, err := (&api.Call{Actor: "x"}).SignerFor("a.b"); api.KindOf(err) != api.Unsupported || api.ReasonOf(err).Remedy == "" {
		t.Errorf("%v", err)
	}
}

// signer signs nothing.
type signer struct{ api.Signer }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"a","count":3}`))
	f.Add([]byte(`{"name":"a"}}`))
	op := operation()
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := op.Decode(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.TooLarge {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		if i := v.(*in); i.Count < 0 || i.Count > 100 {
			t.Fatalf("%+v passes its own check", i)
		}
	})
}

func TestScopePublic(t *testing.T) {
	for _, scopes := range [][]string{nil, {"demo:read"}, {"*"}} {
		if !(&api.Call{Scopes: scopes}).Can(api.ScopePublic) {
			t.Errorf("with %q it is not for everybody", scopes)
		}
	}
	for _, scope := range []string{"demo:read", "public:read", "publicity", "", "*"} {
		if (&api.Call{Scopes: []string{api.ScopePublic}}).Can(scope) || (&api.Call{}).Can(scope) {
			t.Errorf("what is for everybody is good for %q", scope)
		}
	}
}
