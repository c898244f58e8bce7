package app

import (
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// forks makes carol pay bob different amounts at one place of her feed, which the witness meets together; gap is between the dates of the two.
func forks(t *testing.T, gap time.Duration) (n *node, bob, carol api.Signer, twins [2]*api.Record) {
	n, bob, carol = bank(t)
	good, err := as[ledger.TransferOut](n, carol, "ledger.transfer", ledger.TransferIn{To: bob.DID(), Currency: "hours", Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, amount := range []int64{10, 20} {
		if twins[i], err = n.m.Make(carol, api.Draft{Topic: good.Receipt.Topic, Kind: "transfer", Body: paying(t, bob, amount)}, good.Receipt.Position); err != nil {
			t.Fatal(err)
		}
		n.m.Clock = n.m.Clock.Add(gap)
	}
	for _, rec := range twins {
		if _, err := n.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	return n, bob, carol, twins
}

func paying(t *testing.T, to api.Signer, amount int64) []byte {
	t.Helper()
	body, err := ledger.TransferBody(to.DID(), "hours", amount)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// by returns what a strategy says.
func by(t *testing.T, out *finality.AdviseOut, name string) finality.AdviceOut {
	t.Helper()
	for _, a := range out.Advice {
		if a.By == name {
			return a
		}
	}
	t.Fatalf("no advice %s in %+v", name, out.Advice)
	return finality.AdviceOut{}
}

func TestAdvice(t *testing.T) {
	n, bob, carol, twins := forks(t, time.Second)
	ask := func(of string) *finality.AdviseOut {
		t.Helper()
		return do[finality.AdviseOut](n, "feed.advise", finality.AdviseIn{Topic: "ledger", Of: of})
	}
	out := ask(string(carol.DID()))
	if out.Feed != twins[0].Feed || out.Fork != twins[0].Seq || len(out.Branches) != 2 || out.Branches[0].Tip.Seq != out.Fork {
		t.Fatalf("%+v", out)
	}
	if ask(carol.Device().String()).Feed != out.Feed || ask(out.Feed.String()).Feed != out.Feed {
		t.Error("by its device or its id it is another feed")
	}
	for name, want := range map[string]api.Hash{"witnessed": {}, "endorsed": {}, "earliest": twins[0].ID} {
		if a := by(t, out, name); a.Branch != want || a.Tie || a.Why == "" {
			t.Errorf("%+v, want %s", a, want)
		}
	}
	if a := by(t, out, "earliest"); !strings.Contains(a.Why, "who forked") {
		t.Errorf("%q does not say whose clock it is", a.Why)
	}

	// bob builds on the later one
	if err := n.pays(n.self, bob, 1); err != nil {
		t.Fatal(err)
	}
	if err := n.pays(bob, n.self, 2); err != nil {
		t.Fatal(err)
	}
	head := n.newest(bob)
	built, err := n.m.Make(bob, api.Draft{Topic: head.Topic, Kind: "ack", Body: []byte{0x80}, Deps: []api.Position{twins[1].Position()}}, head.Position())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Deliver(built); err != nil {
		t.Fatal(err)
	}
	if v := n.verdict(built.Position()); !v.Accepted {
		t.Fatalf("what bob builds: %+v", v)
	}
	out = ask(string(carol.DID()))
	if a := by(t, out, "endorsed"); a.Branch != twins[1].ID {
		t.Errorf("%+v, want what bob has built on, %s", a, twins[1].ID)
	}

	decided := do[finality.AdviseOut](n, "feed.advise", finality.AdviseIn{Topic: "ledger", Of: string(carol.DID()), Branch: twins[0].ID, Reason: "the assembly of May"})
	if a := by(t, decided, "governance"); a.Branch != twins[0].ID || a.Why != "the assembly of May" {
		t.Errorf("%+v", a)
	}

	// no verdict comes of advice; a cut by it adopts the branch
	for _, rec := range twins {
		if v := n.verdict(rec.Position()); !v.Held {
			t.Errorf("after advice alone: %+v, want held", v)
		}
	}
	cut := finality.CutIn{Topic: "ledger", Device: carol.Device(), By: "witnessed"}
	_, err = as[finality.CutFeedOut](n, n.self, "feed.cut", cut)
	n.wantRule(err, "no-advice")
	cut.By = "endorsed"
	if made := do[finality.CutFeedOut](n, "feed.cut", cut); made.Adopt != twins[1].ID {
		t.Errorf("%+v, want the branch %s", made, twins[1].ID)
	}
	if v := n.verdict(twins[1].Position()); !v.Accepted || v.Held {
		t.Errorf("what was adopted: %+v", v)
	}
	if v := n.verdict(twins[0].Position()); v.Accepted && !v.Held {
		t.Errorf("what was not: %+v", v)
	}
	n.sound()
}

// What the witness has locked before the fork came to light is what it recommends, and a tie recommends nothing.
func TestAdviceByWitnessesAndTies(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(carol, bob, 1); err != nil {
		t.Fatal(err)
	}
	seen := n.withoutLooking(carol, bob, 10)
	prev := api.Position{Feed: seen.Feed, Seq: seen.Seq - 1, ID: seen.Prev}
	other, err := n.m.Make(carol, api.Draft{Topic: seen.Topic, Kind: "transfer", Body: paying(t, bob, 20)}, prev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Deliver(other); err != nil {
		t.Fatal(err)
	}
	out := do[finality.AdviseOut](n, "feed.advise", finality.AdviseIn{Topic: "ledger", Of: carol.Device().String()})
	if a := by(t, out, "witnessed"); a.Branch != seen.ID || !strings.Contains(a.Why, "certifies") {
		t.Errorf("%+v, want what the witness holds, %s", a, seen.ID)
	}

	n, _, carol, _ = forks(t, 0)
	out = do[finality.AdviseOut](n, "feed.advise", finality.AdviseIn{Topic: "ledger", Of: carol.Device().String()})
	if out.Branches[0].Time.Equal(out.Branches[1].Time) {
		if a := by(t, out, "earliest"); !a.Tie || !a.Branch.IsZero() {
			t.Errorf("%+v, want a tie", a)
		}
		_, err := as[finality.CutFeedOut](n, n.self, "feed.cut", finality.CutIn{Topic: "ledger", Device: carol.Device(), By: "earliest"})
		n.wantRule(err, "no-advice")
	} else {
		t.Error("the two have different dates: this tests no tie")
	}
}

func TestAdviceRefused(t *testing.T) {
	n, bob, carol, twins := forks(t, time.Second)
	for name, tc := range map[string]struct {
		in   finality.AdviseIn
		kind api.Kind
	}{
		"not forked":         {finality.AdviseIn{Topic: "ledger", Of: n.self.Device().String()}, api.NotFound},
		"unknown":            {finality.AdviseIn{Topic: "ledger", Of: kerneltest.Signer("dan").Device().String()}, api.NotFound},
		"no branch of it":    {finality.AdviseIn{Topic: "ledger", Of: carol.Device().String(), Branch: twins[0].Prev, Reason: "x"}, api.NotFound},
		"a decision unnamed": {finality.AdviseIn{Topic: "ledger", Of: carol.Device().String(), Branch: twins[0].ID}, api.Invalid},
		"nobody":             {finality.AdviseIn{Topic: "ledger", Of: "carol"}, api.Invalid},
		"no topic":           {finality.AdviseIn{Of: string(bob.DID())}, api.Invalid},
	} {
		err := tc.in.Validate()
		if err == nil {
			_, err = as[finality.AdviseOut](n, bob, "feed.advise", tc.in)
		} else {
			err = api.Errorf("", api.Invalid, "%w", err)
		}
		if api.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, want %s", name, err, tc.kind.Code())
		}
	}
	for name, in := range map[string]finality.CutIn{
		"another strategy": {Topic: "ledger", Device: carol.Device(), By: "governance"},
		"two choices":      {Topic: "ledger", Device: carol.Device(), By: "earliest", Adopt: twins[0].ID},
	} {
		if err := in.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
