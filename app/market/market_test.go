package market

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// An ad goes through its life: posted, edited, withdrawn, by its author only; a node that starts anew sees the same.
func TestLife(t *testing.T) {
	w := newWorld(t)
	in := bread()
	in.Amount, in.Currency, in.Price = 350, "hours", "a loaf"
	id := w.post(w.bob, in)
	w.m.Clock = w.m.Clock.Add(time.Hour)
	got := do[Ad](w, w.ann, "market.show", ShowIn{Ad: id})
	if got.Title != in.Title || got.Text != in.Text || got.Author != w.bob.DID() || got.Amount != 350 || got.Scale != 2 || got.Price != "a loaf" || got.Grid != 1000 || got.Expired {
		t.Errorf("%+v", got)
	}
	if days := got.Expires.Sub(got.Posted).Hours() / 24; days < 60 || days > 61 {
		t.Errorf("it is shown for %.1f days, want 60", days)
	}
	if at, _ := parsePlace("at", got.At); distance(at, place{5348010, -224010}) > 1000 || got.At == in.At {
		t.Errorf("the place was told as %s", got.At)
	}
	do[AdOut](w, w.bob, "market.edit", EditIn{Ad: id, Title: "Rye bread", Clear: []string{"amount", "at"}})
	for name, w := range map[string]*world{"at once": w, "afresh": w.afresh()} {
		got := do[Ad](w, w.ann, "market.show", ShowIn{Ad: id})
		if got.Title != "Rye bread" || got.Text != in.Text || got.Amount != 0 || got.At != "" || got.Edits != 1 || !got.Changed.After(got.Posted) {
			t.Errorf("%s: edited: %+v", name, got)
		}
		if ids := w.ids(w.ann, ListIn{Text: "rye"}); !slices.Equal(ids, []api.Hash{id}) || w.ids(w.ann, ListIn{Text: "fresh"}) != nil {
			t.Errorf("%s: the words are not those of the edit", name)
		}
	}
	w.refused("not-own-ad", w.ann, "market.edit", EditIn{Ad: id, Title: "Mine"})
	w.refused("not-own-ad", w.ann, "market.withdraw", WithdrawIn{Ad: id})
	do[AdOut](w, w.bob, "market.withdraw", WithdrawIn{Ad: id, Reason: "sold out"})
	for name, w := range map[string]*world{"at once": w, "afresh": w.afresh()} {
		if _, err := w.call(w.ann, "market.show", ShowIn{Ad: id}); api.KindOf(err) != api.NotFound || !strings.Contains(err.Error(), "sold out") {
			t.Errorf("%s: withdrawn: %v", name, err)
		}
		if ids := w.ids(w.bob, ListIn{All: true}); ids != nil {
			t.Errorf("%s: withdrawn and listed", name)
		}
	}
	if _, err := w.write(w.bob, kindEdit, &edit{Ad: id, New: *valid()}); rule(err) != "not-own-ad" {
		t.Errorf("edit after the end: %v", err)
	}
}

func rule(err error) string {
	if why := api.ReasonOf(err); why != nil {
		return why.Rule
	}
	return fmt.Sprint(err)
}

func valid() *ad {
	return &ad{Side: offer, Title: "x", Category: "c", Expires: 1, Images: []api.Hash{}}
}

// Each field of a record has its bounds, and what is outside makes the record void.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	for name, break_ := range map[string]func(*ad){
		"side": func(a *ad) { a.Side = "gift" }, "title": func(a *ad) { a.Title = "" }, "title long": func(a *ad) { a.Title = strings.Repeat("é", 81) },
		"title two lines": func(a *ad) { a.Title = "a\nb" }, "title space": func(a *ad) { a.Title = " a" }, "text": func(a *ad) { a.Text = strings.Repeat("a", 4097) },
		"text turned": func(a *ad) { a.Text = "a\u202eb" }, "category": func(a *ad) { a.Category = "Food" }, "amount": func(a *ad) { a.Amount = -1 },
		"no currency": func(a *ad) { a.Amount = 1 }, "no amount": func(a *ad) { a.Currency = "hours" }, "price": func(a *ad) { a.Price = strings.Repeat("p", 81) },
		"area": func(a *ad) { a.Area = strings.Repeat("p", 81) }, "exact": func(a *ad) { a.Lat = 1 }, "fine grid": func(a *ad) { a.Grid = 99 },
		"latitude": func(a *ad) { a.Grid, a.Lat = 1000, 91*perDegree }, "longitude": func(a *ad) { a.Grid, a.Lon = 1000, -181*perDegree }, "expires": func(a *ad) { a.Expires = 0 },
		"images": func(a *ad) { a.Images = []api.Hash{{1}, {2}, {3}, {4}, {5}} }, "image twice": func(a *ad) { a.Images = []api.Hash{{1}, {1}} },
	} {
		a := valid()
		break_(a)
		if _, err := w.write(w.bob, kindPost, a, w.founded()); rule(err) != "malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := valid()
	a.Title, a.Text, a.Images = strings.Repeat("é", 80), strings.Repeat("a", 4096), []api.Hash{{1}, {2}, {3}, {4}}
	if _, err := w.write(w.bob, kindPost, a); rule(err) != "not-a-member" {
		t.Errorf("without citing the space: %v", err)
	}
	if _, err := w.write(w.dan, kindPost, a, w.founded()); rule(err) != "not-a-member" {
		t.Errorf("by somebody else: %v", err)
	}
	if _, err := w.write(w.bob, kindPost, a, w.founded()); err != nil {
		t.Error(err)
	}
}

// One member has at most so many ads that stand; withdrawing one makes room.
func TestTooMany(t *testing.T) {
	w := newWorld(t)
	var last api.Hash
	for i := range maxAds {
		in := bread()
		in.Title = fmt.Sprint("Loaf ", i)
		last = w.post(w.bob, in)
	}
	w.refused("too-many", w.bob, "market.post", bread())
	do[AdOut](w, w.bob, "market.withdraw", WithdrawIn{Ad: last})
	w.post(w.bob, bread())
}

// An expired ad is not void and not shown, but to who asks for it; its author can show it again.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	in := bread()
	in.Days = 1
	id := w.post(w.bob, in)
	w.m.Clock = w.m.Clock.Add(72 * time.Hour)
	if w.ids(w.ann, ListIn{}) != nil || !slices.Equal(w.ids(w.ann, ListIn{All: true}), []api.Hash{id}) || !do[Ad](w, w.ann, "market.show", ShowIn{Ad: id}).Expired {
		t.Error("want it hidden, and listed with all")
	}
	do[AdOut](w, w.bob, "market.edit", EditIn{Ad: id, Days: 5})
	if ids := w.ids(w.ann, ListIn{}); len(ids) != 1 {
		t.Error("want it back")
	}
}

// What who was removed advertised is not shown.
func TestRemovedMember(t *testing.T) {
	w := newWorld(t)
	id := w.post(w.bob, bread())
	if _, err := w.m.Append(w.ann, api.Draft{Topic: api.Topic{Space: w.space, Name: "space"}, Kind: "gone", Body: []byte(w.bob.DID())}); err != nil {
		t.Fatal(err)
	}
	if w.ids(w.ann, ListIn{}) != nil {
		t.Error("it is listed")
	}
	if _, err := w.call(w.ann, "market.show", ShowIn{Ad: id}); api.KindOf(err) != api.NotFound {
		t.Errorf("it is shown: %v", err)
	}
}

// A forked feed is held from its fork on: the ads beyond are not shown.
func TestForkedFeed(t *testing.T) {
	w := newWorld(t)
	first := w.post(w.bob, bread())
	at := w.head(w.bob)
	make := func(title string) *api.Record {
		a := valid()
		a.Title = title
		rec, err := w.m.Make(w.bob, api.Draft{Topic: api.Topic{Space: w.space, Name: Topic}, Kind: kindPost, Body: codec.MustMarshal(a)}, at)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	for _, rec := range []*api.Record{make("one"), make("two")} {
		if _, err := w.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
		if err := w.m.React(); err != nil {
			t.Fatal(err)
		}
	}
	if ids := w.ids(w.ann, ListIn{}); !slices.Equal(ids, []api.Hash{first}) {
		t.Errorf("%d ads, want the one before the fork", len(ids))
	}
}

// The pass test of feature D4: a member finds the five nearest offers in a category, offline: nothing here has a network.
func TestD4_FiveNearestOffersOffline(t *testing.T) {
	w := newWorld(t)
	var near []api.Hash
	for i := range 9 {
		in := PostIn{Side: offer, Title: "Repair", Category: "repair", At: fmt.Sprintf("53.5,%.2f", -2.5+0.1*float64((i*4)%9))}
		if i == 4 {
			in.Side = want
		}
		if i == 5 {
			in.Category = "food"
		}
		if i == 6 {
			in.At = ""
		}
		id := w.post(w.bob, in)
		if i < 4 || i > 6 {
			near = append(near, id)
		}
	}
	page := do[ListOut](w, w.ann, "market.list", ListIn{Side: offer, Category: "repair", Near: "53.5,-2.5", Limit: 5})
	if len(page.Ads) != 5 || page.Found != 6 || page.Cursor == "" {
		t.Fatalf("%d of %d", len(page.Ads), page.Found)
	}
	last := int64(-1)
	for _, a := range page.Ads {
		if a.Metres == nil || *a.Metres < last || !slices.Contains(near, a.ID) {
			t.Errorf("%s at %v after %d", a.Title, a.Metres, last)
		}
		last = *a.Metres
	}
	rest := do[ListOut](w, w.ann, "market.list", ListIn{Side: offer, Category: "repair", Near: "53.5,-2.5", Limit: 5, Cursor: page.Cursor})
	if len(rest.Ads) != 1 || *rest.Ads[0].Metres < last {
		t.Errorf("the rest: %+v", rest)
	}
	if ids := w.ids(w.ann, ListIn{Near: "53.5,-2.5", Km: 10}); len(ids) != 2 { // 0 and 6.6 km away, one of them a want or another category
		t.Errorf("within 10 km: %d", len(ids))
	}
}

// Pages of every order list everything once.
func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range 23 {
		in := bread()
		in.Title, in.At = fmt.Sprint("Bread ", i), fmt.Sprintf("%d,%d", i%5, i%3)
		w.post(w.bob, in)
		w.m.Clock = w.m.Clock.Add(time.Second)
	}
	for _, in := range []ListIn{{}, {Text: "bread"}, {Near: "0,0"}, {Near: "0,0", Text: "bre", Sort: byNewest}} {
		seen := map[api.Hash]bool{}
		in.Limit = 4
		for range 10 {
			page := do[ListOut](w, w.ann, "market.list", in)
			for _, a := range page.Ads {
				if seen[a.ID] {
					t.Errorf("%+v: %s twice", in, a.Title)
				}
				seen[a.ID] = true
			}
			if in.Cursor = page.Cursor; in.Cursor == "" {
				break
			}
		}
		if len(seen) != 23 {
			t.Errorf("%+v: %d of 23", in, len(seen))
		}
	}
}

// Inputs that cannot be are refused, and the error names the field.
func TestInputs(t *testing.T) {
	w := newWorld(t)
	for in, want := range map[any]string{
		ListIn{Near: "95,0"}: "near", ListIn{Km: 5}: "km", ListIn{Sort: "price"}: "sort", ListIn{Sort: byDistance}: "sort", ListIn{Limit: 201}: "limit",
		ListIn{Text: "!?"}: "text", ListIn{Side: "gift"}: "side", ListIn{Cursor: "no"}: "cursor", ListIn{Category: "A"}: "category", ListIn{Author: "x"}: "did",
	} {
		if _, err := w.call(w.ann, "market.list", in); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error about %s", in, err, want)
		}
	}
	in := bread()
	in.Grid, in.At = 500, ""
	if _, err := w.call(w.ann, "market.post", in); err == nil || !strings.Contains(err.Error(), "grid") {
		t.Errorf("a grid without a place: %v", err)
	}
	in = bread()
	in.Amount, in.Currency = 5, "euro"
	if _, err := w.call(w.ann, "market.post", in); err == nil || !strings.Contains(err.Error(), "euro") {
		t.Errorf("a currency that the space has not: %v", err)
	}
	if _, err := w.call(w.ann, "market.edit", EditIn{Ad: api.Hash{1}, Clear: []string{"title"}}); err == nil || !strings.Contains(err.Error(), "clear") {
		t.Errorf("clear: %v", err)
	}
	if _, err := w.call(w.ann, "market.show", ShowIn{Ad: api.Hash{9}}); api.KindOf(err) != api.NotFound {
		t.Errorf("no such ad: %v", err)
	}
}

// Categories in use are counted, the most used first.
func TestCategories(t *testing.T) {
	w := newWorld(t)
	for i, c := range strings.Fields("food repair food") {
		in := bread()
		in.Category = c
		if i == 0 {
			in.Side = want
		}
		w.post(w.bob, in)
	}
	got := do[CategoriesOut](w, w.ann, "market.categories", CategoriesIn{}).Categories
	if want := []Category{{"food", 1, 1}, {"repair", 1, 0}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Two nodes that got the same records in other orders have the same state, and show the same.
func TestSameOnEveryNode(t *testing.T) {
	w := newWorld(t)
	a, b := w.post(w.bob, bread()), w.post(w.carol, bread())
	do[ModeratedOut](w, w.carol, "market.report", ReportIn{Ad: a, Reason: "mouldy"})
	do[ModeratedOut](w, w.ann, "market.hide", ActIn{Ad: a, Reason: "mouldy"})
	do[AdOut](w, w.bob, "market.withdraw", WithdrawIn{Ad: a})
	do[AdOut](w, w.carol, "market.edit", EditIn{Ad: b, Title: "Cake"})

	other := &world{t: t, space: w.space, ann: w.ann, bob: w.bob, carol: w.carol}
	other.app = New(one{&other.space})
	other.m = kerneltest.NewModel(hall{w.ann, w.bob, w.carol}, other.app)
	recs := w.m.Records()
	feeds := map[api.Hash][]*api.Record{}
	var order []api.Hash
	for _, r := range recs {
		if feeds[r.Feed] == nil {
			order = append(order, r.Feed)
		}
		feeds[r.Feed] = append(feeds[r.Feed], r)
	}
	slices.SortFunc(order[1:], func(a, b api.Hash) int { return b.Compare(a) })
	for left := len(recs); left > 0; { // feed by feed, as far as each goes
		before := left
		for _, f := range order {
			for len(feeds[f]) > 0 {
				if _, err := other.m.Deliver(feeds[f][0]); api.KindOf(err) == api.NotFound {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				feeds[f] = feeds[f][1:]
				left--
			}
		}
		if left == before {
			t.Fatal("stuck")
		}
	}
	if err := other.m.React(); err != nil {
		t.Fatal(err)
	}
	if w.m.Digest("market") != other.m.Digest("market") {
		t.Error("the states differ")
	}
	if x, y := do[ListOut](w, w.ann, "market.list", ListIn{All: true}), do[ListOut](other, w.ann, "market.list", ListIn{All: true}); len(x.Ads) != 1 || !reflect.DeepEqual(x, y) {
		t.Errorf("\n%+v\n%+v", x, y)
	}
	if x, y := do[ModerationOut](w, w.ann, "market.moderation", ModerationIn{}), do[ModerationOut](other, w.ann, "market.moderation", ModerationIn{}); !reflect.DeepEqual(x, y) {
		t.Errorf("\n%+v\n%+v", x, y)
	}
}
