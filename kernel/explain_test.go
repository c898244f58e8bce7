package kernel_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// fails is an app whose operation fails as it is told to.
type fails struct{ err error }

func (*fails) Info() api.AppInfo          { return api.AppInfo{Name: "fails"} }
func (f *fails) Oracle() api.PolicyOracle { return kerneltest.AllowAllOracle("fails") }
func (f *fails) Operations() []api.Operation {
	return []api.Operation{api.Handle(api.Operation{Name: "fails.do", Scope: "fails:do"}, func(context.Context, *api.Call, *kernel.None) (*kernel.None, error) {
		return nil, f.err
	})}
}

func complete(r *api.Reason) bool {
	return r != nil && r.Domain != "" && r.Rule != "" && r.Text != "" && r.Remedy != ""
}

// Every denial says who says so, by which rule and what would change it, whatever the error that an operation made of it; other errors are no denials.
func TestEveryDenialIsExplained(t *testing.T) {
	f := &fails{}
	r := start(t, func(o *kernel.Options) { o.Apps = append(o.Apps, f) })
	bare := &api.Reason{Text: "because"}
	for k := api.Invalid; k <= api.Internal; k++ {
		denial := k == api.Refused || k == api.RateLimited
		for name, err := range map[string]error{
			"words":               api.Errorf("fails.do", k, "no"),
			"of another":          api.Errorf("deep", k, "no: %w", errors.New("really")),
			"wrapped":             api.Wrap("fails.do", api.Errorf("deep", k, "no")),
			"a bare reason":       &api.Error{Op: "fails.do", Kind: k, Reason: bare, Err: bare},
			"a bare reason below": api.Wrap("fails.do", &api.Error{Op: "deep", Kind: k, Reason: bare, Err: bare}),
			"nothing said":        &api.Error{Op: "fails.do", Kind: k},
		} {
			f.err = err
			_, got := r.call("fails.do", "")
			why, id := api.ReasonOf(got), api.RefusalOf(got)
			if api.KindOf(got) != k || (id != "") != denial || denial != complete(why) {
				t.Errorf("%s, %s: %v, refusal %q, %+v", k.Code(), name, got, id, why)
			}
			if !strings.HasPrefix(got.Error(), strings.TrimSuffix(err.Error(), ")")) {
				t.Errorf("%s, %s: %q became %q", k.Code(), name, err, got)
			}
			if !denial {
				continue
			}
			out := r.must(t, "refusal.explain", fmt.Sprintf(`{"id":%q}`, id)).(*kernel.RefusalOut)
			if out.Action != "fails.do" || out.Kind != k.Code() || out.Reason.Rule != why.Rule || !complete(&out.Reason) || !slices.Equal(out.Who, []api.DID{r.id.DID()}) {
				t.Errorf("%s, %s: explained as %+v", k.Code(), name, out)
			}
		}
	}
}

// Each operation of the table is denied without its scope, and those of apps when their oracle says no, however little it says; and each denial is complete.
func TestEveryOperationExplainsItsDenial(t *testing.T) {
	mute := api.Denied(nil)
	terse := api.Denied(&api.Reason{Text: "no"})
	for name, d := range map[string]api.Decision{"mute": mute, "terse": terse, "abstaining": {}} {
		f := &fails{}
		r := start(t, func(o *kernel.Options) { o.Apps = append(o.Apps, f) })
		r.app.host.Oracles().Register(fixed{"fails", d})
		r.app.host.Oracles().Register(fixed{"notes", d})
		for _, op := range r.Operations() {
			if op.Scope == api.ScopePublic {
				continue // nobody is denied
			}
			in := map[string]string{"notes.write": `{"text":"x"}`, "notes.secret": `{"text":"x"}`}[op.Name]
			var errs []error
			_, err := r.call(op.Name, in, func(c *api.Call) { c.Scopes = nil })
			errs = append(errs, err)
			if strings.HasPrefix(op.Name, "notes.") || strings.HasPrefix(op.Name, "fails.") {
				_, err := r.call(op.Name, in)
				errs = append(errs, err)
			}
			for _, err := range errs {
				if api.KindOf(err) != api.Refused || !complete(api.ReasonOf(err)) || api.RefusalOf(err) == "" {
					t.Errorf("%s, %s oracle: %v: %+v, refusal %q", op.Name, name, err, api.ReasonOf(err), api.RefusalOf(err))
				}
			}
		}
	}
}

type fixed struct {
	domain   api.Domain
	decision api.Decision
}

func (o fixed) Domain() api.Domain                { return o.domain }
func (o fixed) Evaluate(api.Request) api.Decision { return o.decision }

// A refusal is told to who was refused and to the operator, and to nobody else: not even that there is one.
func TestRefusalIsTheRefusedOnes(t *testing.T) {
	r := start(t, nil)
	as := func(who api.DID, scopes ...string) func(*api.Call) {
		return func(c *api.Call) { c.Actor, c.Scopes = who, scopes }
	}
	_, err := r.call("notes.secret", `{"text":"x"}`, as("ann", "notes:*"))
	id := api.RefusalOf(err)
	if id == "" {
		t.Fatalf("%v has no name", err)
	}
	in := fmt.Sprintf(`{"id":%q}`, id)
	for _, tc := range []struct {
		name string
		as   func(*api.Call)
		want api.Kind
	}{
		{"who was refused", as("ann", "refusal:read"), api.Other},
		{"the operator", as("ops", "*"), api.Other},
		{"somebody else", as("ben", "refusal:read"), api.NotFound},
		{"without the scope", as("ann", "notes:*"), api.Refused},
	} {
		out, err := r.call("refusal.explain", in, tc.as)
		if api.KindOf(err) != tc.want || err == nil && out.(*kernel.RefusalOut).Reason.Rule != "secret" {
			t.Errorf("%s: %+v, %v", tc.name, out, err)
		}
		list, err := r.call("refusal.list", "", tc.as)
		if err == nil && (len(list.(*kernel.RefusalList).Refusals) > 0) != (tc.want == api.Other) {
			t.Errorf("%s is shown %+v", tc.name, list)
		}
	}
	_, theirs := r.call("refusal.explain", in, as("ben", "refusal:read"))
	_, none := r.call("refusal.explain", `{"id":"no-0000000000"}`, as("ben", "refusal:read"))
	if got := strings.ReplaceAll(theirs.Error(), id, "no-0000000000"); got != none.Error() {
		t.Errorf("%q tells more than %q", got, none)
	}
	if _, err := r.call("refusal.explain", `{"id":"abc"}`); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
}

// onlyFirst keeps all but the first space that it is asked about from everybody.
type onlyFirst struct{ first func() api.Hash }

func (onlyFirst) Domain() api.Domain { return "access" }
func (o onlyFirst) Evaluate(q api.Request) api.Decision {
	if q.Topic.Space == o.first() {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Denied(&api.Reason{Domain: "access", Rule: "not-yours", Text: "this space is not yours", Remedy: "ask its registrar"})
}

// A peer that is kept from a space can ask what was refused to it; so can the operator of the node that refused.
func TestPeerAsksWhatWasRefused(t *testing.T) {
	var space api.Hash
	a := newSpeaker(t, func(o *kernel.Options) {
		for i := range o.Apps {
			if o.Apps[i].Info().Name == "access" {
				o.Apps[i] = oracleApp{"access", onlyFirst{func() api.Hash { return space }}}
			}
		}
	}).found(t)
	space = a.space
	closed := a.must(t, "notes.write", `{"text":"closed"}`).(*api.Receipt).Topic.Space
	b := newSpeaker(t, nil)
	if err := b.app.host.Follow(closed); err != nil {
		t.Fatal(err)
	}
	b.join(t, a)
	var got []kernel.RefusalOut
	eventually(t, "the peer to say what it refused", func() bool {
		out, err := b.call("peer.refusals", fmt.Sprintf(`{"node":%q}`, a.node(t)))
		if err != nil {
			return false
		}
		got = out.(*kernel.RefusalList).Refusals
		return len(got) > 0
	})
	if x := got[0]; x.Action != "follow" || x.Reason.Rule != "not-yours" || x.Reason.Remedy == "" || x.Reason.Inputs["space"] != closed.String() || x.Kind != "refused" {
		t.Errorf("%+v", x)
	}
	here := a.must(t, "refusal.list", fmt.Sprintf(`{"who":%q}`, b.id.DID())).(*kernel.RefusalList).Refusals
	if len(here) == 0 || here[0].ID != got[0].ID || !slices.Contains(here[0].Who, b.node(t)) {
		t.Errorf("%+v", here)
	}
	if out := b.must(t, "refusal.list", "").(*kernel.RefusalList).Refusals; len(out) != 0 {
		t.Errorf("b itself refused %+v", out)
	}
}

// A node that is not let in is told the name of the refusal, by which the operator finds it.
func TestRefusedConnectionHasAName(t *testing.T) {
	a := start(t, func(o *kernel.Options) {
		o.Listen = []string{"127.0.0.1:0"}
		o.Apps[2] = oracleApp{"rate", kerneltest.DenyAllOracle("rate")}
	})
	b := start(t, func(o *kernel.Options) { o.Listen = []string{"127.0.0.1:0"} })
	_, err := b.call("peer.dial", fmt.Sprintf(`{"address":%q}`, a.address(t)))
	here := a.must(t, "refusal.list", "").(*kernel.RefusalList).Refusals
	if len(here) != 1 || here[0].Action != "connect" || here[0].Reason.Rule != "deny-all" || !strings.Contains(err.Error(), "["+here[0].ID+"]") {
		t.Errorf("%v; %+v", err, here)
	}
}

// Records that have to wait are explained while they do: to who sent them, and by their id.
func TestWaitingIsExplained(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	r := start(t, func(o *kernel.Options) {
		o.Apps[2] = oracleApp{"rate", kerneltest.FixedRateOracle("rate", api.RateLimit{Burst: 1})} // once, and never again
	})
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	far, future := start(t, nil), start(t, func(o *kernel.Options) { o.Now = ahead })
	write := func(s *run) string {
		t.Helper()
		if err := s.app.host.Follow(space); err != nil {
			t.Fatal(err)
		}
		rc, err := s.app.host.Append(t.Context(), s.id.Signer(), api.Draft{Topic: api.Topic{Space: space, Name: "notes"}, Kind: "note", Body: []byte("x")}, "")
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(kernel.RawOf(s.Kernel, rc.Position))
	}
	one, two, three := write(far), write(far), write(far)
	for _, tc := range []struct{ raw, outcome, rule, input string }{
		{two, "held", "not-complete", "first"},
		{one, "committed", "", ""},
		{three, "held", "not-complete", "missing"},
		{write(future), "deferred", "dated-ahead", "until"},
	} {
		res := submit(t, r, tc.raw)
		if res.Outcome != tc.outcome {
			t.Fatalf("%+v, want %s", res, tc.outcome)
		}
		if tc.rule == "" {
			continue
		}
		out := r.must(t, "record.explain", fmt.Sprintf(`{"id":%q}`, res.ID)).(*kernel.ExplainOut)
		for _, why := range []*api.Reason{res.Reason, out.Reason} {
			if why == nil || why.Rule != tc.rule || why.Remedy == "" || why.Inputs[tc.input] == "" {
				t.Errorf("%s: %+v", tc.outcome, why)
			}
		}
		if !out.Waiting || out.Accepted || out.Level != "" {
			t.Errorf("%+v", out)
		}
	}
	// The first of a stranger uses the rate up; the second, in order, is deferred.
	other := start(t, nil)
	submit(t, r, write(other))
	if res := submit(t, r, write(other)); res.Outcome != "deferred" || res.Reason == nil || res.Reason.Rule != "author-rate" || res.Reason.Domain != "rate" {
		t.Errorf("%+v", res)
	}
	// What is refused altogether has a name.
	raw, _ := base64.StdEncoding.DecodeString(one)
	raw[len(raw)-1] ^= 1
	res := submit(t, r, base64.StdEncoding.EncodeToString(raw))
	if res.Outcome != "refused" || res.Reason == nil || res.Reason.Rule != "bad-signature" || res.Refusal == "" {
		t.Errorf("%+v", res)
	}
}

func submit(t *testing.T, r *run, raw string) kernel.SubmitResult {
	t.Helper()
	in, err := json.Marshal(kernel.SubmitIn{Records: []string{raw}})
	if err != nil {
		t.Fatal(err)
	}
	return r.must(t, "record.submit", string(in)).(*kernel.SubmitOut).Results[0]
}

// What was signed comes with the explanation, so that whoever asks can hold the record against its id: also of one that founds a space.
func TestExplainGivesWhatWasSigned(t *testing.T) {
	r := start(t, nil)
	founding := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt)
	second := r.must(t, "notes.write", fmt.Sprintf(`{"text":"second","space":%q}`, founding.Topic.Space)).(*api.Receipt)
	for _, rc := range []*api.Receipt{founding, second} {
		out := r.must(t, "record.explain", fmt.Sprintf(`{"id":%q}`, rc.Position.ID)).(*kernel.ExplainOut)
		if sha256.Sum256(out.Signed) != rc.Position.ID || out.Position != rc.Position {
			t.Errorf("%+v", out)
		}
	}
}
