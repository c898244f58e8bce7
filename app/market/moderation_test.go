package market

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"pgregory.net/rapid"
)

// A report comes before the moderators, one of them hides the ad, everybody but its author and the moderators loses it, and the log says why.
func TestModeration(t *testing.T) {
	w := newWorld(t)
	id := w.post(w.bob, bread())
	do[ModeratedOut](w, w.carol, "market.report", ReportIn{Ad: id, Reason: "not a real bakery"})
	w.refused("reported-before", w.carol, "market.report", ReportIn{Ad: id, Reason: "again"})
	w.refused("own-ad", w.bob, "market.report", ReportIn{Ad: id, Reason: "mine"})
	w.refused("not-a-moderator", w.bob, "market.hide", ActIn{Ad: id, Reason: "no"})
	w.refused("nothing-to-do", w.ann, "market.unhide", ActIn{Ad: id, Reason: "no"})

	queue := do[ModerationOut](w, w.ann, "market.moderation", ModerationIn{Open: true}).Cases
	if len(queue) != 1 || !queue[0].Open || queue[0].Reports[0].By != w.carol.DID() || queue[0].Title != "Fresh bread" {
		t.Fatalf("queue: %+v", queue)
	}
	w.m.Clock = w.m.Clock.Add(time.Minute)
	do[ModeratedOut](w, w.ann, "market.hide", ActIn{Ad: id, Reason: "no bakery at this address"})
	w.refused("nothing-to-do", w.carol, "market.hide", ActIn{Ad: id, Reason: "me too"})
	if q := do[ModerationOut](w, w.carol, "market.moderation", ModerationIn{Open: true}).Cases; len(q) != 0 {
		t.Errorf("still queued: %+v", q)
	}
	for name, w := range map[string]*world{"at once": w, "afresh": w.afresh()} {
		for who, sees := range map[api.Signer]bool{w.ann: true, w.bob: true, w.carol: true, w.dan: false} {
			ads := do[ListOut](w, who, "market.list", ListIn{}).Ads
			if (len(ads) == 1) != sees || sees && (ads[0].Hidden == nil || ads[0].Hidden.Reason != "no bakery at this address" || ads[0].Hidden.By != w.ann.DID()) {
				t.Errorf("%s: %s sees %+v", name, who.DID(), ads)
			}
			if _, err := w.call(who, "market.show", ShowIn{Ad: id}); (err == nil) != sees {
				t.Errorf("%s: show: %v", name, err)
			}
			log := do[ModerationOut](w, who, "market.moderation", ModerationIn{}).Cases[0]
			if !log.Hidden || (log.Title != "") != sees || len(log.Acts) != 1 || !log.Acts[0].Counts || log.Acts[0].Act != "hide" {
				t.Errorf("%s: log: %+v", name, log)
			}
		}
		if c := do[CategoriesOut](w, w.dan, "market.categories", CategoriesIn{}).Categories; len(c) != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	do[ModeratedOut](w, w.carol, "market.unhide", ActIn{Ad: id, Reason: "the address was right"})
	if len(w.ids(w.dan, ListIn{})) != 1 {
		t.Error("want it shown again")
	}
	if acts := do[ModerationOut](w, w.dan, "market.moderation", ModerationIn{Ad: id}).Cases[0].Acts; len(acts) != 2 || acts[1].By != w.carol.DID() || acts[1].Office != "clerk" {
		t.Errorf("%+v", acts)
	}
}

// Two moderators who act at once, without knowing of each other: one act counts, on every node the same, and the log says which.
func TestModeratorsAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.post(w.bob, bread())
	at, by := w.head(w.bob), w.founded()
	one, err := w.write(w.ann, kindHide, &act{Ad: id, Reason: "fake"}, at, by)
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.write(w.carol, kindHide, &act{Ad: id, Reason: "rude"}, at, by)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.write(w.carol, kindHide, &act{Ad: id, Reason: "again"}, at, by); rule(err) != "acted-before" {
		t.Errorf("one moderator twice: %v", err)
	}
	if err := w.m.React(); err != nil {
		t.Fatal(err)
	}
	first := slices.MinFunc([]api.Hash{one.Position.ID, two.Position.ID}, api.Hash.Compare)
	acts := do[ModerationOut](w, w.dan, "market.moderation", ModerationIn{}).Cases[0].Acts
	if len(acts) != 2 || !acts[0].Counts || acts[1].Counts || acts[0].ID != first {
		t.Errorf("%+v", acts)
	}
	// Who acts next goes on from the one that counts.
	do[ModeratedOut](w, w.carol, "market.unhide", ActIn{Ad: id, Reason: "sorted out"})
	if len(w.ids(w.dan, ListIn{})) != 1 {
		t.Error("want it shown")
	}
}

// Acts that name what is not so are void.
func TestActsThatAreVoid(t *testing.T) {
	w := newWorld(t)
	id, other := w.post(w.bob, bread()), w.post(w.bob, bread())
	at, by := w.head(w.bob), w.founded()
	hidden, err := w.write(w.ann, kindHide, &act{Ad: id, Reason: "fake"}, at, by)
	if err != nil {
		t.Fatal(err)
	}
	after := hidden.Position.ID
	for name, c := range map[string]struct {
		kind  string
		act   act
		cites []api.Position
		rule  string
	}{
		"no office shown":   {kindHide, act{Ad: other, Reason: "x"}, []api.Position{at}, "not-a-moderator"},
		"ad not cited":      {kindHide, act{Ad: other, Reason: "x"}, []api.Position{by}, "no-such-ad"},
		"another ad's act":  {kindUnhide, act{Ad: other, After: after, Reason: "x"}, []api.Position{by, at, hidden.Position}, "no-such-act"},
		"act not cited":     {kindUnhide, act{Ad: id, After: after, Reason: "x"}, []api.Position{by, at}, "no-such-act"},
		"hidden before":     {kindHide, act{Ad: id, After: after, Reason: "x"}, []api.Position{by, at, hidden.Position}, "nothing-to-do"},
		"shown and not hid": {kindUnhide, act{Ad: other, Reason: "x"}, []api.Position{by, at}, "nothing-to-do"},
		"no reason":         {kindHide, act{Ad: other}, []api.Position{by, at}, "malformed"},
	} {
		if _, err := w.write(w.carol, c.kind, &c.act, c.cites...); rule(err) != c.rule {
			t.Errorf("%s: %v, want %s", name, err, c.rule)
		}
	}
	if _, err := w.write(w.dan, kindReport, &report{Ad: id, Reason: "x"}, at, by); rule(err) != "not-a-member" {
		t.Errorf("a report by nobody: %v", err)
	}
}

// settled depends on the acts alone: it is a chain from the first act on, each following on the one before, and as long as any.
func TestSettled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		acts := map[api.Hash]*done{}
		ids := []api.Hash{{}}
		for i := range rapid.IntRange(0, 12).Draw(t, "acts") {
			id := api.Hash{rapid.Byte().Draw(t, "id"), byte(i), 1}
			acts[id] = &done{After: rapid.SampledFrom(ids).Draw(t, "after")}
			ids = append(ids, id)
		}
		most := 0
		for id := range acts {
			n := 0
			for at := id; !at.IsZero(); at = acts[at].After {
				n++
			}
			most = max(most, n)
		}
		chain := settled(acts)
		before := api.Hash{}
		for _, id := range chain {
			if acts[id].After != before {
				t.Fatalf("%v", chain)
			}
			before = id
		}
		if len(chain) != most {
			t.Fatalf("%d long, the longest is %d", len(chain), most)
		}
		for range 3 {
			if !slices.Equal(settled(acts), chain) {
				t.Fatal("another time another answer")
			}
		}
	})
}

func TestReasons(t *testing.T) {
	w := newWorld(t)
	id := w.post(w.bob, bread())
	for _, reason := range []string{"", "two\nlines", strings.Repeat("x", 501), " x"} {
		if _, err := w.call(w.carol, "market.report", ReportIn{Ad: id, Reason: reason}); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "reason") {
			t.Errorf("%q: %v", reason, err)
		}
	}
}
