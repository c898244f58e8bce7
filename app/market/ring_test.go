package market

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// purse is what members have.
type purse map[api.DID]int64

func (p purse) Balances(_ api.Hash, accounts []api.DID, _ string) ([]int64, error) {
	out := make([]int64, len(accounts))
	for i, did := range accounts {
		out[i] = p[did]
	}
	return out, nil
}

func (w *world) ad(s api.Signer, side, category, title string, amount int64) api.Hash {
	in := PostIn{Side: side, Category: category, Title: title, Amount: amount}
	if amount > 0 {
		in.Currency = "hours"
	}
	return w.post(s, in)
}

// Ann repairs what Bob wants repaired, Bob bakes for Carol, and Carol cuts Ann's hair: who asks is told, in a sentence and in numbers.
func TestU7_RingsOfTheMarket(t *testing.T) {
	w := newWorld(t)
	api.Provide[fact.Balances](w.m.Host("market").Services(), purse{w.ann.DID(): -500, w.bob.DID(): 900, w.carol.DID(): 0})
	repair := w.ad(w.ann, offer, "repair", "Bicycle repair", 1200)
	w.ad(w.ann, want, "hair", "A haircut", 0)
	w.ad(w.bob, want, "repair", "My bicycle needs repair", 0)
	bread := w.ad(w.bob, offer, "food", "Fresh bread", 800)
	w.ad(w.carol, want, "food", "Bread for a party", 0)
	w.ad(w.carol, offer, "hair", "Haircuts at home", 0)
	w.ad(w.carol, offer, "repair", "Shoes", 100) // Bob wants a bicycle repaired and takes what is offered in that category: a ring of two, without relief for either
	got := do[RingsOut](w, w.ann, "market.rings", RingsIn{})
	if !got.Whole || len(got.Rings) != 2 {
		t.Fatalf("%+v", got)
	}
	i := 0
	if len(got.Rings[0].Legs) != 3 {
		i = 1
	}
	r := got.Rings[i]
	if len(r.Legs) != 3 || r.Currency != "hours" || r.Scale != 2 {
		t.Fatalf("%+v", r)
	}
	sum, relief := int64(0), int64(0)
	for _, l := range r.Legs {
		sum += l.After - l.Before
		relief += max(l.Before, -l.Before) - max(l.After, -l.After)
		switch l.From {
		case w.ann.DID():
			if l.Offer != repair || l.Amount != 1200 || l.Before != -500 || l.After != -500+1200-1000 || l.Wanted != "My bicycle needs repair" {
				t.Errorf("%+v", l)
			}
		case w.carol.DID():
			if !l.Assumed || l.Amount != 1000 {
				t.Errorf("%+v", l)
			}
		}
	}
	if sum != 0 || relief != r.Relief {
		t.Errorf("sum %d, relief %d: %+v", sum, relief, r)
	}
	for _, part := range []string{"gives", "“Bicycle repair” for 12.00", "“Haircuts at home” for about 10.00", "hours"} {
		if !strings.Contains(r.Text, part) {
			t.Errorf("%q is not in %q", part, r.Text)
		}
	}
	if got := do[RingsOut](w, w.bob, "market.rings", RingsIn{With: w.ann.DID()}); len(got.Rings) != 1 {
		t.Errorf("with ann: %+v", got)
	}
	if got := do[RingsOut](w, w.bob, "market.rings", RingsIn{Most: 2}); len(got.Rings) != 1 || len(got.Rings[0].Legs) != 2 {
		t.Errorf("of two: %+v", got)
	}
	if got := do[RingsOut](w, w.bob, "market.rings", RingsIn{With: w.dan.DID()}); len(got.Rings) != 0 {
		t.Errorf("with who has no ads: %+v", got)
	}

	// What is hidden, has been withdrawn or has expired closes no ring.
	do[ModeratedOut](w, w.carol, "market.hide", ActIn{Ad: bread, Reason: "no kitchen"})
	if got := do[RingsOut](w, w.carol, "market.rings", RingsIn{}); len(got.Rings) != 0 {
		t.Errorf("with a hidden ad: %+v", got)
	}
	do[ModeratedOut](w, w.carol, "market.unhide", ActIn{Ad: bread, Reason: "there is"})
	if got := do[RingsOut](w, w.carol, "market.rings", RingsIn{}); len(got.Rings) != 2 {
		t.Errorf("shown again: %+v", got)
	}
	w.m.Clock = w.m.Clock.AddDate(0, 0, maxDays)
	if got := do[RingsOut](w, w.carol, "market.rings", RingsIn{}); len(got.Rings) != 0 {
		t.Errorf("expired: %+v", got)
	}
	for _, bad := range []RingsIn{{Most: 1}, {Most: 6}, {Limit: 51}, {With: "x"}} {
		if _, err := w.call(w.ann, "market.rings", bad); api.KindOf(err) != api.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
