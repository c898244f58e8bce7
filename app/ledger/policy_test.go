package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// roll lists whom a world has admitted.
type roll struct{ w *world }

func (l roll) Roll(api.Hash) (all []api.DID, err error) {
	r := l.w.m.Read("ledger")
	defer r.Close()
	s, ok := fact.Open(r, l.w.space)
	if !ok {
		return nil, nil
	}
	for did := range l.w.names {
		if _, _, ok := s.Member(did); ok {
			all = append(all, did)
		}
	}
	slices.Sort(all)
	return all, nil
}

// TestPolicyScripts runs testdata/policy/*.txt, one story for each rule of credit policies, with the commands of TestScripts and these:
//
//	policy FIELD=N... [lower] [group=NAME,BASE,MAX,MEMBER...] [own=MEMBER,LIMIT]   sets the policy; what it makes of how many limits
//	turn [days=N]       time passes, and the clerk's node has a turn
//	limits              everybody's, what the policy makes of it, and why
//	hand to=A limit=N   a person sets a limit
//	regrade to=A        gives it back
//	freeze to=A, lift to=A
func TestPolicyScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/policy", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "space" {
				var limit int64
				d.ScanArgs(t, "limit", &limit)
				w = newWorld(t, hours(limit, 0))
				api.Provide[fact.Roll](w.m.Host("ledger").Services(), roll{w})
				return "founded"
			}
			w.t = t
			return w.policyCommand(t, d)
		})
	})
}

func (w *world) policyCommand(t *testing.T, d *datadriven.TestData) string {
	granted := func(op string, in any) string {
		out, err := w.call("clerk", op, in)
		if err != nil {
			return w.failure(err)
		}
		return fmt.Sprintf("number %d limit %d", out.(*GrantOut).Number, out.(*GrantOut).Limit)
	}
	to := func() api.DID {
		var name string
		d.ScanArgs(t, "to", &name)
		return w.did(name)
	}
	switch d.Cmd {
	case "policy":
		return w.setPolicy(t, d)
	case "turn":
		days := 0
		d.MaybeScanArgs(t, "days", &days)
		w.m.Clock = w.m.Clock.Add(time.Duration(days)*24*time.Hour + time.Minute)
		if err := w.app.regrade(t.Context(), w.m.Host("ledger"), w.signer("clerk"), w.space); err != nil {
			return w.failure(err)
		}
		return w.limits()
	case "limits":
		return w.limits()
	case "hand":
		var n int64
		d.ScanArgs(t, "limit", &n)
		return granted("ledger.grant", GrantIn{To: to(), Currency: "hours", Limit: n})
	case "regrade":
		return granted("ledger.regrade", RegradeIn{To: to(), Currency: "hours"})
	case "freeze", "lift":
		return granted("ledger.freeze", FreezeIn{To: to(), Currency: "hours", Lift: d.Cmd == "lift"})
	}
	return w.command(t, d)
}

func (w *world) setPolicy(t *testing.T, d *datadriven.TestData) string {
	in := SetPolicyIn{Currency: "hours", DryRun: d.HasArg("dry")}
	for _, f := range []struct {
		name string
		to   **int64
	}{{"start", &in.Start}, {"base", &in.Base}, {"max", &in.Max}, {"ramp", &in.Ramp}, {"growth", &in.Growth}, {"per", &in.Per}, {"warn", &in.Warn}} {
		if d.HasArg(f.name) {
			var n int64
			d.ScanArgs(t, f.name, &n)
			*f.to = &n
		}
	}
	if d.HasArg("lower") {
		in.Lower = new(true)
	}
	for _, a := range d.CmdArgs {
		num := func(s string) (n int64) {
			if _, err := fmt.Sscan(s, &n); err != nil {
				d.Fatalf(t, "%q: %v", s, err)
			}
			return n
		}
		switch a.Key {
		case "preset":
			in.Preset = a.Vals[0]
		case "own":
			in.Own = append(in.Own, OwnLimit{Account: w.did(a.Vals[0]), Limit: num(a.Vals[1]), Reason: "agreed"})
		case "group":
			g := CreditGroup{Name: a.Vals[0], Base: num(a.Vals[1]), Max: num(a.Vals[2])}
			for _, m := range a.Vals[3:] {
				g.Members = append(g.Members, w.did(m))
			}
			in.Groups = append(in.Groups, g)
		}
	}
	out, err := w.call("clerk", "ledger.policy.set", in)
	if err != nil {
		return w.failure(err)
	}
	o := out.(*SetPolicyOut)
	return fmt.Sprintf("number %d %v", o.Policy.Number, o.Becomes)
}

func (w *world) limits() string {
	out, err := w.call("clerk", "ledger.limits", LimitsIn{})
	if err != nil {
		return w.failure(err)
	}
	rows := out.(*LimitsOut).Limits
	slices.SortFunc(rows, func(a, b LimitRow) int { return cmp.Compare(w.names[a.Account], w.names[b.Account]) })
	var b strings.Builder
	for _, l := range rows {
		fmt.Fprintf(&b, "%s: grant %d, %s (%s)\n", w.names[l.Account], l.Number, l.Why, cmp.Or(l.Becomes, "no policy"))
	}
	return b.String()
}

// However many members there are, a turn writes so many grants and the next ones the rest.
func TestGradingGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t, hours(100, 0))
	api.Provide[fact.Roll](w.m.Host("ledger").Services(), roll{w})
	const members = 3*maxRegrants - 1
	for i := range members {
		w.admit(fmt.Sprintf("m%02d", i))
	}
	set := func(in SetPolicyIn) {
		t.Helper()
		in.Currency = "hours"
		if _, err := w.call("clerk", "ledger.policy.set", in); err != nil {
			t.Fatal(err)
		}
	}
	turn := func() (grants int) {
		t.Helper()
		before := len(w.m.Records())
		if err := w.app.regrade(t.Context(), w.m.Host("ledger"), w.signer("clerk"), w.space); err != nil {
			t.Fatal(err)
		}
		return len(w.m.Records()) - before
	}
	set(SetPolicyIn{Base: new(int64(200)), Max: new(int64(200))})
	for n, want := range []int{maxRegrants, maxRegrants, maxRegrants, 0, 0} {
		if got := turn(); got != want {
			t.Errorf("turn %d: %d grants, want %d", n, got, want)
		}
	}
	set(SetPolicyIn{Base: new(int64(150)), Start: new(int64(150)), Lower: new(true)})
	if got := turn(); got > maxLowered*2 { // a grant, and the draft of a cut
		t.Errorf("%d records of one turn that lowers, want %d grants", got, maxLowered)
	}
	for range members {
		turn()
	}
	out, err := w.call("clerk", "ledger.limits", LimitsIn{Becomes: limitEven, Limit: 500})
	if err != nil || len(out.(*LimitsOut).Limits) != members+1 {
		t.Errorf("%d limits are what the policy gives, want %d; %v", len(out.(*LimitsOut).Limits), members+1, err)
	}
	w.verify()
	w.sameElsewhere(1)
}
