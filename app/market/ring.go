package market

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/market/rings"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Bounds of what market.rings looks at: the newest ads that are open, and of each category so many offers and wants.
const (
	maxRingAds   = 4000
	maxRingAside = 64
)

// RingsIn is the input of market.rings.
type RingsIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	With  api.DID  `json:"with,omitempty" doc:"Only rings that this member is in"`
	Most  int      `json:"most,omitempty" doc:"Members of a ring at most, 2 to 5; default 5"`
	Limit int      `json:"limit,omitempty" doc:"Rings at most, 1 to 50; default 10"`
}

// Validate implements api.Validator.
func (in *RingsIn) Validate() error {
	const op = "market.rings"
	if in.With != "" {
		if _, err := record.ParseDID(string(in.With)); err != nil {
			return err
		}
	}
	switch {
	case in.Most != 0 && (in.Most < rings.MinSize || in.Most > rings.MaxSize):
		return api.Errorf(op, api.Invalid, "most %d: want %d to %d", in.Most, rings.MinSize, rings.MaxSize)
	case in.Limit < 0 || in.Limit > rings.MaxFound:
		return api.Errorf(op, api.Invalid, "limit %d: want 1 to %d", in.Limit, rings.MaxFound)
	}
	return nil
}

// RingsOut is the output of market.rings.
type RingsOut struct {
	Rings []Ring `json:"rings" doc:"the best first"`
	Whole bool   `json:"whole" doc:"the whole market was looked at; else only what is newest and fits best"`
}

// Ring is a suggestion: each member gives what the next one wants, the last gives to the first.
type Ring struct {
	Text     string `json:"text" doc:"the ring in a sentence"`
	Currency string `json:"currency,omitempty" doc:"of the prices; none where nobody has named one"`
	Scale    int    `json:"scale"`
	Relief   int64  `json:"relief" doc:"by how much the members' balances come nearer to zero together, if all trade at these prices; minor units, below 0: further away"`
	Legs     []Leg  `json:"legs"`
}

// Leg is what one member of a ring gives to the next.
type Leg struct {
	From    api.DID  `json:"from"`
	To      api.DID  `json:"to"`
	Offer   api.Hash `json:"offer" doc:"id of From's ad"`
	Want    api.Hash `json:"want" doc:"id of To's ad"`
	Title   string   `json:"title" doc:"of the offer"`
	Wanted  string   `json:"wanted" doc:"title of the want"`
	Amount  int64    `json:"amount" doc:"what To pays, minor units; 0: nobody has named a price in the ring"`
	Assumed bool     `json:"assumed,omitempty" doc:"neither ad names a price: it is the mean of the others"`
	Before  int64    `json:"before" doc:"From's balance now"`
	After   int64    `json:"after" doc:"and when all have traded"`
}

// rings suggests. Ads that are hidden, have expired, or whose author is no member play no part, whoever asks.
func (a *App) rings(_ context.Context, _ *api.Call, in *RingsIn) (*RingsOut, error) {
	const op = "market.rings"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	ads, whole := v.openAds()
	m := &rings.Market{Most: cmp.Or(in.Most, rings.MaxSize), With: -1}
	var members []api.DID
	for _, x := range ads {
		members = append(members, x.entry.author)
	}
	slices.Sort(members)
	members = slices.Compact(members)
	if in.With != "" {
		i, ok := slices.BinarySearch(members, in.With)
		if !ok {
			return &RingsOut{Rings: []Ring{}, Whole: whole}, nil
		}
		m.With = i
	}
	byID := map[string]*openAd{}
	fits, all := trades(ads, members, byID)
	m.Trades, whole = fits, whole && all
	if m.Balance, err = v.balances(op, members); err != nil {
		return nil, err
	}
	found, seen := rings.Find(m)
	out := &RingsOut{Rings: []Ring{}, Whole: whole && seen}
	for _, r := range found[:min(len(found), cmp.Or(in.Limit, 10))] {
		out.Rings = append(out.Rings, v.describe(&r, m, members, byID))
	}
	return out, nil
}

// openAd is an ad that anybody may answer.
type openAd struct {
	entry *entry
	ad    *ad
	words []string // of the title
}

// openAds lists what is open, the newest first, and whether that is all.
func (v *view) openAds() (out []*openAd, whole bool) {
	s, now := v.shelf, v.host.Now().Unix()
	var open []*entry
	s.mu.Lock()
	hidden := s.matters()
	for _, e := range s.slots {
		if e != nil && e.expires > now && hidden[e.id].cover() == nil {
			open = append(open, e)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(open, func(a, b *entry) int { return cmp.Or(cmp.Compare(b.changed, a.changed), a.id.Compare(b.id)) })
	member := map[api.DID]bool{}
	for i, e := range open {
		if i == maxRingAds {
			return out, false
		}
		if _, known := member[e.author]; !known {
			_, _, member[e.author] = v.space.Member(e.author)
		}
		if x, ok := v.text(e); ok && member[e.author] {
			out = append(out, &openAd{e, &x.Ad, words(x.Ad.Title)})
		}
	}
	return out, true
}

// trades finds which offer fits which want: of one category, the better the more words their titles share.
func trades(ads []*openAd, members []api.DID, byID map[string]*openAd) (out []rings.Trade, whole bool) {
	whole = true
	offers, wants := map[string][]*openAd{}, map[string][]*openAd{}
	var categories []string
	for _, x := range ads {
		of, c := offers, x.entry.category
		if x.entry.side == want {
			of = wants
		}
		if len(offers[c])+len(wants[c]) == 0 {
			categories = append(categories, c)
		}
		if len(of[c]) == maxRingAside {
			whole = false
			continue
		}
		of[c] = append(of[c], x)
		byID[x.entry.id.String()] = x
	}
	number := func(did api.DID) int { i, _ := slices.BinarySearch(members, did); return i }
	for _, c := range categories {
		for _, o := range offers[c] {
			for _, w := range wants[c] {
				if o.entry.author == w.entry.author {
					continue
				}
				t := rings.Trade{From: number(o.entry.author), To: number(w.entry.author), Offer: o.entry.id.String(), Want: w.entry.id.String()}
				for _, priced := range []*openAd{o, w} {
					if t.Amount == 0 && priced.ad.Amount > 0 {
						t.Amount, t.Currency = priced.ad.Amount, priced.ad.Currency
					}
				}
				for _, word := range o.words {
					if slices.Contains(w.words, word) {
						t.Fit++
					}
				}
				out = append(out, t)
			}
		}
	}
	return out, whole
}

// balances reads what members have, each currency once.
func (v *view) balances(op string, members []api.DID) (func(int, string) int64, error) {
	from, ok := api.Lookup[fact.Balances](v.host.Services())
	if !ok {
		return nil, api.Errorf(op, api.Unsupported, "nothing on this node knows balances")
	}
	all := map[string][]int64{}
	for _, code := range v.space.Genesis.Currencies {
		if c, _ := v.space.Currency(code); c.Gift() {
			continue // nobody owes in it
		}
		bs, err := from.Balances(v.space.ID, members, code)
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		all[code] = bs
	}
	return func(member int, code string) int64 {
		if bs := all[code]; member < len(bs) {
			return bs[member]
		}
		return 0
	}, nil
}

// describe writes a ring for people.
func (v *view) describe(r *rings.Ring, m *rings.Market, members []api.DID, byID map[string]*openAd) Ring {
	c, _ := v.space.Currency(r.Currency)
	out := Ring{Currency: r.Currency, Scale: int(c.Scale), Relief: r.Relief}
	var said []string
	for i, t := range r.Trades {
		paid := r.Trades[(i+len(r.Trades)-1)%len(r.Trades)].Amount
		o, w := byID[t.Offer], byID[t.Want]
		l := Leg{
			From: members[t.From], To: members[t.To], Offer: o.entry.id, Want: w.entry.id, Title: o.ad.Title, Wanted: w.ad.Title, Amount: t.Amount, Assumed: r.Assumed[i],
		}
		if r.Currency != "" {
			l.Before = m.Balance(t.From, r.Currency)
			l.After = l.Before + t.Amount - paid
		}
		out.Legs = append(out.Legs, l)
		price := ""
		if t.Amount > 0 {
			price = " for " + decimals(t.Amount, int(c.Scale))
			if r.Assumed[i] {
				price = " for about " + decimals(t.Amount, int(c.Scale))
			}
		}
		said = append(said, fmt.Sprintf("%s gives %s “%s”%s", v.called(l.From), v.called(l.To), l.Title, price))
	}
	out.Text = strings.Join(said, ", ")
	switch {
	case r.Currency == "":
		out.Text += ": nobody has named a price; at equal ones nobody's balance changes."
	case r.Relief > 0:
		out.Text += fmt.Sprintf(": together their balances come nearer to zero by %s %s.", decimals(r.Relief, int(c.Scale)), r.Currency)
	case r.Relief == 0:
		out.Text += fmt.Sprintf(": together their balances in %s are as far from zero as before.", r.Currency)
	default:
		out.Text += fmt.Sprintf(": together their balances go further from zero by %s %s.", decimals(-r.Relief, int(c.Scale)), r.Currency)
	}
	return out
}

// called is a member's name with the end of the DID, which is who it is.
func (v *view) called(did api.DID) string {
	tail := string(did[max(0, len(did)-8):])
	if p, ok := v.space.Profile(did); ok {
		return p.Name + " …" + tail
	}
	return "…" + tail
}

// decimals writes an amount of 0 or more.
func decimals(n int64, scale int) string {
	s := fmt.Sprintf("%0*d", scale+1, n)
	if scale == 0 {
		return s
	}
	return s[:len(s)-scale] + "." + s[len(s)-scale:]
}
