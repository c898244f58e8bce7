package app

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// cutBeyond is a space where bob has paid carol 5000 that is final, and then, beyond a cut, 4000 more. He has cited the cut since, in a record that is not
// final yet; the witness holds his feed final up to the record right before that: as void. It returns that record, and where the witness says so.
func cutBeyond(t *testing.T) (n *node, bob, carol api.Signer, void, word api.Position) {
	n, bob, carol = bank(t)
	n.mustPay(carol, n.self, 1000) // so that she has begun
	n.mustPay(bob, carol, 5000)
	do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 1000})
	void = n.withoutLooking(bob, carol, 4000).Position()
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	item := []any{void.Feed, void.Seq, void.ID, false, uint64(1)}
	rc, err := n.m.Append(n.self, api.Draft{
		Topic: api.Topic{Space: show.Space, Name: fact.FinalityTopic}, Kind: "statement", Body: codec.MustMarshal([]any{[]any{item}, []any{}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := api.Draft{Topic: api.Topic{Space: show.Space, Name: fact.LedgerTopic}, Kind: "ack", Body: codec.MustMarshal([]any{})}
	d.Deps = fact.Deps(append(n.cuts(), n.tipOf(n.self)))
	n.deliver(bob, d, void)
	r := n.m.Read("ledger")
	defer r.Close()
	final, _ := r.Final(void.Feed)
	if _, v, _ := r.Record(void); final != void || v.Accepted || !v.Final {
		t.Fatalf("a payment beyond the cut: %+v, and the feed final to %v; want it void and final", v, final)
	}
	return n, bob, carol, void, rc.Position
}

// deliver makes a record after another, before anything reacts to it.
func (n *node) deliver(s api.Signer, d api.Draft, prev api.Position) (*api.Record, api.Outcome) {
	n.t.Helper()
	rec, err := n.m.Make(s, d, prev)
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := n.m.Deliver(rec)
	if err != nil {
		n.t.Fatal(err)
	}
	return rec, out
}

// R6: what is final as void is no money. Who cites it has what was paid up to where the cut left the payer's feed, if the cut is shown, and nothing if not.
func TestR6_CreditFinalAsVoidIsNoMoney(t *testing.T) {
	for _, tc := range []struct {
		name string
		cite func(n *node) []api.Position
		most int64
	}{
		{"the cut is not shown", func(*node) []api.Position { return nil }, 9000},
		{"the cut is shown", (*node).cuts, 14000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, _, carol, void, word := cutBeyond(t)
			deps := append(tc.cite(n), word, void)
			at := n.tipOf(carol)
			for _, amount := range []int64{tc.most + 1, tc.most} {
				rec, out := n.deliver(carol, n.paying(n.self, amount, deps...), at)
				at = rec.Position()
				if amount > tc.most && (out.Void == nil || out.Void.Rule != "over-limit") {
					t.Errorf("carol spends %d: %+v, want over-limit", amount, out.Void)
				}
				if amount == tc.most && out.Void != nil {
					t.Errorf("carol cannot spend %d: %+v", amount, out.Void)
				}
			}
			n.sound()
		})
	}
}

// What was paid before the cut is not lost for who had not acknowledged it, whether or not the payer goes on.
func TestCreditBelowACutIsMoney(t *testing.T) {
	n, bob, carol, _, _ := cutBeyond(t)
	n.mustPay(carol, bob, 13000)
	n.has(carol, -9000, 1000, 0)
	n.has(bob, 8000, 9000, 0)
	n.mustPay(bob, carol, 3000) // and what he pays after it, citing the cut
	n.has(carol, -6000, 4000, 0)
	n.mustPay(carol, bob, 4000)
	n.wantRule(n.pays(carol, bob, 1), "over-limit")
	n.sound()
}

// The numbers of a new device's cuts are not those of the one before: who cites a cut of it cites the causes, too.
func TestCutsOfANewDeviceAreItsOwn(t *testing.T) {
	n, bob, carol := bank(t)
	phone := kerneltest.Signer("bob/phone")
	lower := func(limit int64) ledger.GrantOut {
		return *do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: limit})
	}
	n.mustPay(bob, carol, 100)
	lower(5000)
	n.mustPay(bob, carol, 100) // cites the first cut of the old phone's feed
	do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	n.mustPay(phone, carol, 100)
	if out := lower(1000); out.Cut != "under-way" {
		t.Fatalf("grant: %+v, want a cut", out)
	}
	if _, err := n.m.Append(phone, n.paying(carol, 4000, n.cuts()...)); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "cause-not-cited" {
		t.Errorf("the new phone spends by the old limit: %v", err)
	}
	n.mustPay(phone, carol, 700)
	n.wantRule(n.pays(phone, carol, 1), "over-limit")
	n.sound()
}

// A record that is void by what its own past says takes nothing from what its feed had paid or set aside before it.
func TestCreditBeforeAVoidRecordIsMoney(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.mustPay(bob, carol, 5000)
	n.mustAllot(bob, tab, 1000)
	void := n.withoutLooking(bob, carol, 6000).Position()
	if v := n.verdict(void); v.Accepted || !v.Final || v.Reason.Rule != "over-limit" {
		t.Fatalf("a payment of too much: %+v, want void and final", v)
	}
	n.has(carol, 5000, 15000, 0)
	n.mustPay(carol, n.self, 15000)
	n.wantRule(n.pays(carol, n.self, 1), "over-limit")
	n.mustPay(tab, carol, 1000)
	n.mustPay(carol, n.self, 1000)
	n.sound()
}
