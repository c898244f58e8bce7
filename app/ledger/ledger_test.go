package ledger

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// R4: no record is accepted whose amount is not positive, that debits somebody else, or that is there already.
func TestR4_NegativeAmountsForeignDebitsDuplicates(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	in := []api.Position{w.admission()}
	body := func(tr transfer) []byte { return codec.MustMarshal(&tr) }
	bob := w.did("bob")
	for name, tc := range map[string]struct {
		kind, rule string
		body       []byte
		deps       []api.Position
	}{
		"negative":         {kindTransfer, "malformed", body(transfer{To: bob, Currency: "hours", Amount: -5}), in},
		"zero":             {kindTransfer, "malformed", body(transfer{To: bob, Currency: "hours"}), in},
		"smallest":         {kindTransfer, "malformed", body(transfer{To: bob, Currency: "hours", Amount: math.MinInt64}), in},
		"too much":         {kindTransfer, "over-limit", body(transfer{To: bob, Currency: "hours", Amount: math.MaxInt64}), in},
		"self":             {kindTransfer, "self-transfer", body(transfer{To: w.did("ann"), Currency: "hours", Amount: 5}), in},
		"unknown currency": {kindTransfer, "unknown-currency", body(transfer{To: bob, Currency: "euros", Amount: 5}), in},
		"no DID":           {kindTransfer, "bad-recipient", body(transfer{To: "bob", Currency: "hours", Amount: 5}), in},
		"other spelling":   {kindTransfer, "bad-recipient", body(transfer{To: bob + " ", Currency: "hours", Amount: 5}), in},
		"long memo":        {kindTransfer, "malformed", body(transfer{To: bob, Currency: "hours", Amount: 5, Memo: strings.Repeat("x", 257)}), in},
		"memo of lines":    {kindTransfer, "malformed", body(transfer{To: bob, Currency: "hours", Amount: 5, Memo: "a\nb"}), in},
		"more fields":      {kindTransfer, "malformed", append(body(transfer{To: bob, Currency: "hours", Amount: 5}), 0), in},
		"cites nothing":    {kindTransfer, "not-a-member", body(transfer{To: bob, Currency: "hours", Amount: 5}), nil},
		"a grant":          {kindGrant, "not-clerk", codec.MustMarshal(&grant{Account: w.did("ann"), Currency: "hours", Number: 1, Limit: 9e9}), in},
		"unknown kind":     {"mint", "unknown-kind", nil, in},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.m.Append(w.signer("ann"), api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: tc.kind, Body: tc.body, Deps: tc.deps})
			if why := api.ReasonOf(err); why == nil || why.Rule != tc.rule {
				t.Errorf("got %v, want refused by %s", err, tc.rule)
			}
		})
	}

	t.Run("foreign debit", func(t *testing.T) {
		// Who writes pays; there is no field for it. Another device of ann, or a stranger, has no account.
		for _, who := range []string{"ann/phone", "eve"} {
			_, err := w.m.Append(w.signer(who), w.transferDraft("bob", 5, in...))
			if why := api.ReasonOf(err); why == nil || why.Rule != "not-a-member" {
				t.Errorf("%s: got %v, want refused as not a member", who, err)
			}
		}
	})

	t.Run("duplicate", func(t *testing.T) {
		rec, out := w.deliver("ann", w.transferDraft("bob", 5, in...), api.Position{})
		if out.Void != nil {
			t.Fatal(out.Void)
		}
		if _, err := w.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
		if got := w.balance("bob").Balance; got != 5 {
			t.Errorf("bob has %d after the same record came twice, want 5", got)
		}
	})
	w.verify()
}

// R6: both sides of a partition spend; nobody gets beyond the limit without a fork that everybody can see, and then nothing of it counts.
func TestR6_BothSidesSpend(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob", "mal")
	w.mustPay("ann", "bob", 600)
	w.final()
	// Mallory copies the device: each side sees it spend the whole line.
	start := []api.Position{w.admission()}
	left, out := w.deliver("mal", w.transferDraft("ann", 1000, start...), api.Position{})
	if out.Void != nil {
		t.Fatal(out.Void)
	}
	if got := w.balance("mal").Balance; got != -1000 {
		t.Fatalf("before the sides meet mal has %d, want -1000", got)
	}
	// Ann, on this side, spends what mal seems to have paid as soon as she may: not before it is final.
	if _, err := w.pay("ann", "bob", 401); api.KindOf(err) != api.Refused {
		t.Fatalf("ann spends credit that is not final: %v", err)
	}
	if _, out = w.deliver("mal", w.transferDraft("bob", 1000, start...), api.Position{}); out.Void != nil {
		t.Fatalf("a record is void because of its sibling: %v", out.Void)
	}
	heads := w.m.Host("ledger").Heads(w.topic(fact.LedgerTopic))
	forks := 0
	for _, h := range heads {
		if h.Fork != 0 {
			forks++
		}
	}
	if forks != 1 || w.balance("mal").Balance != 0 || w.balance("bob").Balance != 600 || w.balance("ann").Balance != -600 {
		t.Errorf("forks %d, mal %d, bob %d, ann %d: want one fork and none of it counted", forks, w.balance("mal").Balance, w.balance("bob").Balance, w.balance("ann").Balance)
	}
	w.verify()
	w.sameElsewhere(1)
	// The witness had seen the left side first and states it: that, and only that, counts everywhere.
	w.append("witness", api.Draft{Topic: w.topic(fact.FinalityTopic), Kind: "statement", Body: w.json([]api.Position{left.Position()})})
	if got := w.balance("mal").Balance; got != -1000 {
		t.Errorf("mal has %d after one branch is final, want -1000", got)
	}
	w.mustPay("ann", "bob", 1400) // her line of 1000 less 600, and the 1000 from mal
	w.verify()
	w.sameElsewhere(2)
}

// Scenario 3: Mallory forks; Carol acknowledges one branch by id, later the other; same balance on all nodes.
func TestScenario3_AckOfTwoBranches(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "mal", "carol", "dave")
	w.mustPay("mal", "carol", 10)
	root := w.head("mal")
	w.final()
	one, _ := w.deliver("mal", w.transferDraft("carol", 100), root)
	two, _ := w.deliver("mal", w.transferDraft("carol", 200), root)
	start := w.admission()
	ack := func(deps ...api.Position) {
		t.Helper()
		w.append("carol", api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: kindAck, Body: codec.MustMarshal(&ack{}), Deps: fact.Deps(deps)})
	}
	credits := func() int64 { return w.balance("carol").FinalCredits }
	ack(start, one.Position(), w.view())
	if got := credits(); got != 10 {
		t.Errorf("credits %d by a branch that is not final, want the 10 from before the fork", got)
	}
	ack(two.Position(), w.view())
	w.append("witness", api.Draft{Topic: w.topic(fact.FinalityTopic), Kind: "statement", Body: w.json([]api.Position{two.Position()})})
	ack(one.Position(), w.view())
	if got := credits(); got != 10 {
		t.Errorf("credits %d by the branch that lost, want 10 as before", got)
	}
	ack(two.Position(), w.view())
	if got := credits(); got != 210 {
		t.Errorf("credits %d by the branch that is final, want 210", got)
	}
	ack(two.Position(), w.view())
	if got := credits(); got != 210 {
		t.Errorf("credits %d after the same acknowledgement again, want 210", got)
	}
	if got := w.balance("carol"); got.Balance != 210 || got.Unacknowledged != 0 {
		t.Errorf("carol has %+v, want 210 and nothing unacknowledged", got)
	}
	w.verify()
	for seed := range uint64(5) {
		w.sameElsewhere(seed)
	}
}

// R13: two spellings of one DID are one account, since there is one spelling. R14: a record counts for who signed it, not for who relays it.
func TestR13R14_OneSpellingOneSigner(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	for _, did := range []api.DID{w.did("bob") + "1", "did:icn:1" + w.did("bob")[len("did:icn:"):], "DID:icn:" + w.did("bob")[len("did:icn:"):]} {
		if _, err := w.call("ann", "ledger.transfer", TransferIn{To: did, Currency: "hours", Amount: 1}); api.KindOf(err) != api.Invalid {
			t.Errorf("to %s: %v, want invalid", did, err)
		}
	}
	rec, err := w.m.Make(w.signer("ann"), w.transferDraft("bob", 7, w.admission()), api.Position{})
	if err != nil {
		t.Fatal(err)
	}
	relayed := *rec
	relayed.Author = w.did("clerk") // what a relay claims is no part of the record
	if _, err := w.m.Deliver(&relayed); err != nil {
		t.Fatal(err)
	}
	if a, c := w.balance("ann").Balance, w.balance("clerk").Balance; a != -7 || c != 0 {
		t.Errorf("ann %d, clerk %d: want the signer to pay", a, c)
	}
}

// A credit is counted once, whoever acknowledges it how often, and only what was paid to this account.
func TestAcknowledgements(t *testing.T) {
	w := newWorld(t, map[string]fact.Currency{"eggs": {Limit: 50}, "hours": {Scale: 2, Limit: 100}}, "ann", "bob", "eve")
	w.mustPay("ann", "bob", 40)
	if _, err := w.call("ann", "ledger.transfer", TransferIn{To: w.did("bob"), Currency: "eggs", Amount: 12}); err != nil {
		t.Fatal(err)
	}
	if got := w.balance("bob"); got.Currency != "eggs" || got.Balance != 12 || got.Available != 50 || got.Unacknowledged != 12 {
		t.Errorf("before it is final: %+v", got)
	}
	w.final("ann")
	if got := w.balance("bob"); got.Available != 62 || got.FinalCredits != 0 {
		t.Errorf("final, not acknowledged: %+v, want 62 available", got)
	}
	w.mustPay("ann", "bob", 1) // beyond the final position
	if out := w.mustPay("bob", "eve", 139); out.Available != 1 || out.Balance != -98 {
		t.Errorf("bob after 139: %+v, want -98 and 1 available", out)
	}
	_, err := w.pay("bob", "eve", 2)
	why := api.ReasonOf(err)
	if why == nil || why.Rule != "over-limit" || why.Inputs["short_by"] != "1" || why.Inputs["available"] != "1" || !strings.Contains(why.Remedy, "1 minor units") {
		t.Errorf("beyond the limit: %+v", why)
	}
	if _, err := w.m.Append(w.signer("eve"), w.transferDraft("ann", 101, w.admission(), w.head("ann"), w.view())); api.KindOf(err) != api.Refused {
		t.Errorf("eve counts what was paid to bob: %v", err)
	}
	w.verify()
	w.sameElsewhere(1)
}

// With p, so much credit that is not final may be spent, and no more.
func TestProvisionalCredit(t *testing.T) {
	w := newWorld(t, hours(100, 30), "ann", "bob", "eve")
	w.mustPay("ann", "bob", 80)
	if got := w.balance("bob").Available; got != 130 {
		t.Errorf("available %d, want the line of 100 and p of 30", got)
	}
	w.mustPay("bob", "eve", 130)
	if _, err := w.pay("bob", "eve", 1); api.KindOf(err) != api.Refused {
		t.Errorf("beyond limit and p: %v", err)
	}
	w.final()
	w.mustPay("bob", "eve", 50)
	w.verify()
}

func TestGrants(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	grantTo := func(to string, limit int64) (*GrantOut, error) {
		out, err := w.call("clerk", "ledger.grant", GrantIn{To: w.did(to), Currency: "hours", Limit: limit})
		if err != nil {
			return nil, err
		}
		return out.(*GrantOut), nil
	}
	if _, err := w.call("ann", "ledger.grant", GrantIn{To: w.did("ann"), Currency: "hours", Limit: 500}); api.KindOf(err) != api.Refused {
		t.Errorf("ann grants herself: %v", err)
	}
	for i, limit := range []int64{500, 300} {
		if out, err := grantTo("ann", limit); err != nil || out.Number != uint64(i)+1 || out.Receipt.Repeated {
			t.Fatalf("grant %d: %+v %v", limit, out, err)
		}
	}
	if out, err := grantTo("ann", 300); err != nil || !out.Receipt.Repeated || out.Number != 2 {
		t.Errorf("the same grant again: %+v %v, want the first receipt", out, err)
	}
	if _, err := grantTo("eve", 300); api.KindOf(err) != api.Refused {
		t.Errorf("a grant to a stranger: %v", err)
	}
	w.mustPay("ann", "bob", 300)
	if _, err := w.pay("ann", "bob", 1); api.KindOf(err) != api.Refused {
		t.Errorf("beyond the grant: %v", err)
	}
	// An old grant cited later changes nothing.
	first := api.Position{}
	for _, rec := range w.m.Records() {
		if rec.Kind == kindGrant && first.IsZero() {
			first = rec.Position()
		}
	}
	if _, err := w.m.Append(w.signer("ann"), w.transferDraft("bob", 1, first)); api.KindOf(err) != api.Refused {
		t.Errorf("with the older, higher grant cited again: %v", err)
	}
	if _, err := grantTo("clerk", 1000); err != nil {
		t.Fatal(err)
	}
	w.mustPay("clerk", "bob", 1000)
	if _, err := w.m.Append(w.signer("clerk"), api.Draft{
		Topic: w.topic(fact.LedgerTopic), Kind: kindGrant,
		Body: codec.MustMarshal(&grant{Account: w.did("ann"), Currency: "hours", Number: 4, Limit: 1}),
	}); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "out-of-order" {
		t.Errorf("a grant that skips a number: %v", err)
	}
	w.verify()
	w.sameElsewhere(3)
}

// A busy account is acknowledged without anybody paying.
func TestBusyAccount(t *testing.T) {
	w := newWorld(t, hours(100, 0), "shop")
	const customers = 80
	for i := range customers {
		name := fmt.Sprint("customer", i)
		w.admit(name)
		w.mustPay(name, "shop", 1)
	}
	w.m.SetSelf(w.signer("shop"))
	w.final()
	if err := w.m.React(); err != nil {
		t.Fatal(err)
	}
	got := w.balance("shop")
	if got.Unacknowledged > busy || got.FinalCredits+got.Unacknowledged != customers || got.Available != 100+customers {
		t.Errorf("after the reactor: %+v", got)
	}
	n := len(w.m.Records())
	if err := w.m.React(); err != nil || len(w.m.Records()) != n {
		t.Errorf("the reactor does not come to rest: %v", err)
	}
	w.mustPay("shop", "clerk", 100+customers)
	w.verify()
}

func TestOracle(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	ask := func(who, unit, action string) api.Decision {
		return w.m.Evaluate(api.Request{Domain: Domain, Actor: w.did(who), Action: action, Topic: w.topic(fact.LedgerTopic), Unit: unit, Amount: 5})
	}
	if d := ask("ann", "hours", "ledger.transfer"); d.Effect != api.Allow || d.Constraints.Ceiling == nil || *d.Constraints.Ceiling != 100 {
		t.Errorf("ann: %+v, want a ceiling of 100", d)
	}
	w.mustPay("bob", "ann", 60)
	w.final()
	if d := ask("ann", "hours", "ledger.transfer"); *d.Constraints.Ceiling != 160 {
		t.Errorf("ann: %d, want a ceiling of 160", *d.Constraints.Ceiling)
	}
	much := w.m.Evaluate(api.Request{Domain: Domain, Actor: w.did("ann"), Action: "ledger.transfer", Topic: w.topic(fact.LedgerTopic), Unit: "hours", Amount: 161})
	if much.Effect != api.Allow || much.Reason == nil || much.Reason.Rule != "over-limit" || much.Reason.Inputs["short_by"] != "1" || much.Reason.Remedy == "" {
		t.Errorf("ann, too much: %+v, want the reason that a refusal will need", much)
	}
	if d := ask("eve", "hours", "ledger.transfer"); d.Effect != api.Deny || d.Reason.Rule != "not-a-member" {
		t.Errorf("a stranger: %+v", d)
	}
	if d := ask("ann", "euros", "ledger.transfer"); d.Effect != api.Deny || !strings.Contains(d.Reason.Remedy, "hours") {
		t.Errorf("another currency: %+v", d)
	}
	if d := ask("eve", "", "ledger.balance"); d.Effect != api.Allow || d.Constraints.Ceiling != nil {
		t.Errorf("reading: %+v", d)
	}
	if d := ask("ann", "", "connect"); d.Effect != api.Abstain {
		t.Errorf("another matter: %+v", d)
	}
}

func TestHistoryPages(t *testing.T) {
	w := newWorld(t, map[string]fact.Currency{"eggs": {Limit: 50}, "hours": {Scale: 2, Limit: 100}}, "ann", "bob")
	for i := range int64(5) {
		w.mustPay("ann", "bob", i+1)
	}
	if _, err := w.call("bob", "ledger.transfer", TransferIn{To: w.did("ann"), Currency: "eggs", Amount: 9, Memo: "breakfast"}); err != nil {
		t.Fatal(err)
	}
	w.final("ann")
	var got []string
	in := HistoryIn{DID: w.did("bob"), Limit: 2}
	for {
		out, err := w.call("ann", "ledger.history", in)
		if err != nil {
			t.Fatal(err)
		}
		h := out.(*HistoryOut)
		for _, e := range h.Entries {
			got = append(got, fmt.Sprintf("%s>%s %d%s/%d %v%+d%s", w.names[e.From], w.names[e.To], e.Amount, e.Currency, e.Scale, e.Final, e.BalanceDelta, e.Memo))
		}
		if in.Cursor = h.Cursor; in.Cursor == "" {
			break
		}
	}
	want := "[bob>ann 9eggs/0 false-9breakfast ann>bob 5hours/2 true+5 ann>bob 4hours/2 true+4 ann>bob 3hours/2 true+3 ann>bob 2hours/2 true+2 ann>bob 1hours/2 true+1]"
	if fmt.Sprint(got) != want {
		t.Errorf("history is\n%v, want\n%v", got, want)
	}
	out, err := w.call("ann", "ledger.history", HistoryIn{Currency: "eggs"})
	if err != nil || len(out.(*HistoryOut).Entries) != 1 {
		t.Errorf("only eggs: %+v %v", out, err)
	}
	if _, err := w.call("ann", "ledger.history", HistoryIn{Cursor: "abc"}); api.KindOf(err) != api.Invalid {
		t.Errorf("a made-up cursor: %v", err)
	}
}

func TestVoidPages(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	w.mustPay("ann", "bob", 1)
	for i := range int64(3) {
		w.deliver("ann", w.transferDraft("bob", 1000+i), w.tip("ann"))
	}
	var got []string
	in := VoidsIn{Limit: 2}
	for {
		out, err := w.call("bob", "ledger.void", in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.(*VoidsOut).Entries {
			got = append(got, w.names[e.Author]+" "+e.Reason.Rule+" "+e.Reason.Inputs["amount"])
		}
		if in.Cursor = out.(*VoidsOut).Cursor; in.Cursor == "" {
			break
		}
	}
	if want := "[ann over-limit 1000 ann over-limit 1001 ann over-limit 1002]"; fmt.Sprint(got) != want {
		t.Errorf("void records %v, want %v", got, want)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	w.mustPay("ann", "bob", 1)
	bad := New(w)
	m := kerneltest.NewModel(society{}, thief{bad})
	for _, rec := range w.m.Records() {
		if _, err := m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	w.app, w.m = bad, m
	out, err := w.call("ann", "ledger.verify", VerifyIn{})
	if err != nil {
		t.Fatal(err)
	}
	if v := out.(*VerifyOut); v.OK || len(v.Problems) != 2 || v.Currencies[0].Sum != 1 {
		t.Errorf("a coin out of nothing goes unnoticed: %+v", v)
	}
}

// thief is a ledger that makes a coin with every transfer.
type thief struct{ *App }

func (a thief) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	out := a.App.Apply(tx, rec)
	if rec.Kind == kindTransfer {
		tx.Add(balanceKey(nil, rec.Topic.Space, "hours", rec.Author), 1)
	}
	return out
}

// tip is the newest position of a member's feed, with effect or not.
func (w *world) tip(name string) api.Position {
	for _, h := range w.m.Host("ledger").Heads(w.topic(fact.LedgerTopic)) {
		if h.Tip.Feed == w.feed(name) {
			return h.Tip
		}
	}
	return api.Position{}
}

// Random economies with forks: the books balance at every step, no account goes below its limit (and p), and state is a function of the set of
// records.
func TestEconomies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom([]int64{0, 0, 20}).Draw(rt, "p")
		const line = 100
		people := []string{"ann", "bob", "carol", "mal"}
		w := newWorld(rapidTB{t, rt}, hours(line, p), people...)
		most := map[string]int64{}
		for _, name := range append(people, "clerk") {
			most[name] = line
		}
		who := rapid.SampledFrom(people)
		amount := rapid.Int64Range(1, 150)
		// cite draws what a record cites: anything, sensible or not.
		cite := func(self string) []api.Position {
			var deps []api.Position
			for _, name := range append(people, "clerk") {
				if name != self && rapid.Bool().Draw(rt, "cite") {
					if at := w.tip(name); !at.IsZero() {
						deps = append(deps, at)
					}
				}
			}
			for _, at := range []api.Position{w.view(), w.admission()} {
				if !at.IsZero() && rapid.IntRange(0, 3).Draw(rt, "view") > 0 {
					deps = append(deps, at)
				}
			}
			return deps
		}
		refused := func(err error) {
			if err != nil && api.KindOf(err) != api.Refused && api.KindOf(err) != api.Invalid {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"pay": func(rt *rapid.T) {
				_, err := w.pay(who.Draw(rt, "from"), who.Draw(rt, "to"), amount.Draw(rt, "amount"))
				refused(err)
			},
			"pay all": func(rt *rapid.T) {
				// What an honest account is told it can spend it can, and no more.
				from, to := rapid.SampledFrom(people[:3]).Draw(rt, "from"), rapid.SampledFrom([]string{"clerk", "mal"}).Draw(rt, "to")
				free := w.balance(from).Available
				if _, err := w.pay(from, to, max(free, 0)+1); api.KindOf(err) != api.Refused {
					rt.Fatalf("%s may spend %d and pays one more: %v", from, free, err)
				}
				if free > 0 {
					if _, err := w.pay(from, to, free); err != nil {
						rt.Fatalf("%s may spend %d: %v", from, free, err)
					}
				}
			},
			"clerk pays": func(rt *rapid.T) {
				_, err := w.pay("clerk", who.Draw(rt, "to"), amount.Draw(rt, "amount"))
				refused(err)
			},
			"pay anyhow": func(rt *rapid.T) {
				from, to := who.Draw(rt, "from"), who.Draw(rt, "to")
				w.deliver(from, w.transferDraft(to, amount.Draw(rt, "amount"), cite(from)...), w.tip(from))
			},
			"acknowledge": func(rt *rapid.T) {
				name := who.Draw(rt, "who")
				_, err := w.m.Append(w.signer(name), api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: kindAck, Body: codec.MustMarshal(&ack{}), Deps: fact.Deps(cite(name))})
				refused(err)
			},
			"grant": func(rt *rapid.T) {
				name, limit := who.Draw(rt, "to"), rapid.Int64Range(0, 200).Draw(rt, "limit")
				_, err := w.call("clerk", "ledger.grant", GrantIn{To: w.did(name), Currency: "hours", Limit: limit})
				if err != nil {
					rt.Fatal(err)
				}
				most[name] = max(most[name], limit)
			},
			"final": func(rt *rapid.T) { w.final(rapid.SliceOfN(who, 0, 2).Draw(rt, "of")...) },
			"fork": func(rt *rapid.T) {
				var own []*api.Record
				for _, rec := range w.m.Records() {
					if rec.Feed == w.feed("mal") {
						own = append(own, rec)
					}
				}
				if len(own) == 0 || rapid.IntRange(0, 4).Draw(rt, "shy") > 0 {
					return
				}
				at := rapid.SampledFrom(own).Draw(rt, "at")
				prev := api.Position{}
				if at.Seq > 1 {
					prev = api.Position{Feed: at.Feed, Seq: at.Seq - 1, ID: at.Prev}
				}
				w.deliver("mal", w.transferDraft(rapid.SampledFrom(people[:3]).Draw(rt, "to"), amount.Draw(rt, "amount"), append(cite("mal"), w.admission())...), prev)
			},
			"": func(rt *rapid.T) {
				r := w.m.Read("ledger")
				defer r.Close()
				sum := int64(0)
				for name, line := range most {
					n := r.Counter(balanceKey(nil, w.space, "hours", w.did(name)))
					if sum += n; n < -line-p {
						rt.Fatalf("%s has %d, its limit is %d, p %d", name, n, line, p)
					}
				}
				if sum != 0 {
					rt.Fatalf("the balances sum to %d", sum)
				}
			},
		})
		w.verify()
		w.sameElsewhere(rapid.Uint64().Draw(rt, "order"))
	})
}

// rapidTB lets a world report to rapid.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (r rapidTB) Fatal(args ...any)                 { r.rt.Fatal(args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.rt.Fatalf(format, args...) }
func (r rapidTB) Helper()                           {}

func TestDecimals(t *testing.T) {
	for _, c := range []struct {
		minor string
		scale uint8
		want  string
	}{{"1250", 2, "12.50"}, {"5", 2, "0.05"}, {"-5", 2, "-0.05"}, {"-1250", 1, "-125.0"}, {"7", 0, "7"}, {"0", 3, "0.000"}} {
		if got := decimals(c.minor, c.scale); got != c.want {
			t.Errorf("%s, %d decimals: %s, want %s", c.minor, c.scale, got, c.want)
		}
	}
}
