package market

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Page sizes of lists, in entries.
const (
	defaultPage = 50
	maxPage     = 200
	maxQuery    = 200 // bytes of a search
	maxSummary  = 280 // characters of a text in a list
)

// The orders of a list.
const (
	byNewest   = "newest"
	byDistance = "distance"
	byBest     = "best"
)

// Ad is an ad for people to read.
type Ad struct {
	ID       api.Hash   `json:"id"`
	Author   api.DID    `json:"author"`
	Side     string     `json:"side" doc:"offer or want"`
	Title    string     `json:"title"`
	Text     string     `json:"text" doc:"in a list its beginning only"`
	Category string     `json:"category"`
	Amount   int64      `json:"amount,omitempty" doc:"price hint in minor units"`
	Currency string     `json:"currency,omitempty"`
	Scale    int        `json:"scale,omitempty" doc:"decimals of the currency"`
	Price    string     `json:"price,omitempty" doc:"price hint in words"`
	Area     string     `json:"area,omitempty"`
	At       string     `json:"at,omitempty" doc:"latitude,longitude of about where"`
	Grid     uint64     `json:"grid,omitempty" doc:"metres: how coarse the place is told"`
	Metres   *int64     `json:"metres,omitempty" doc:"from the place that was asked about, as the crow flies"`
	Posted   time.Time  `json:"posted" doc:"by the author's clock"`
	Changed  time.Time  `json:"changed"`
	Edits    uint64     `json:"edits,omitempty"`
	Expires  time.Time  `json:"expires"`
	Expired  bool       `json:"expired,omitempty"`
	Images   []api.Hash `json:"images,omitempty" doc:"hashes of blobs"`
	Hidden   *Hidden    `json:"hidden,omitempty" doc:"only its author and the moderators see the ad"`
}

// Hidden says why an ad is hidden.
type Hidden struct {
	By     api.DID   `json:"by"`
	Office string    `json:"office"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// ShowIn is the input of market.show.
type ShowIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Ad    api.Hash `json:"ad" doc:"Id of the ad"`
}

func (a *App) show(_ context.Context, call *api.Call, in *ShowIn) (*Ad, error) {
	const op = "market.show"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	e, x, err := v.find(op, in.Ad)
	if err != nil {
		return nil, err
	}
	if _, _, ok := v.space.Member(e.author); !ok {
		return nil, api.Errorf(op, api.NotFound, "ad %s: its author is no member any more", in.Ad.Short())
	}
	out := v.render(e, x)
	v.shelf.mu.Lock()
	m := v.shelf.matters()[e.id]
	v.shelf.mu.Unlock()
	if out.Hidden = m.cover(); out.Hidden != nil && call.Actor != e.author && !v.moderates(call.Actor) {
		return nil, api.Errorf(op, api.NotFound, "ad %s: no such ad stands here; icnctl market list shows those that do", in.Ad.Short())
	}
	return out, nil
}

// cover says what hides an ad; nil when nothing does.
func (m *matter) cover() *Hidden {
	if m == nil {
		return nil
	}
	x, id := m.hidden()
	if x == nil {
		return nil
	}
	return &Hidden{By: m.by[id], Office: x.Office, Reason: x.Reason, Time: time.UnixMilli(x.Time).UTC()}
}

func (v *view) render(e *entry, x *standing) *Ad {
	n := &x.Ad
	out := &Ad{
		ID: e.id, Author: e.author, Side: n.Side, Title: n.Title, Text: n.Text, Category: n.Category, Amount: n.Amount, Currency: n.Currency, Price: n.Price,
		Area: n.Area, Grid: n.Grid, Posted: time.UnixMilli(x.Posted).UTC(), Changed: time.UnixMilli(x.Changed).UTC(), Edits: x.Edits,
		Expires: time.Unix(n.Expires, 0).UTC(), Expired: n.Expires <= v.host.Now().Unix(), Images: n.Images,
	}
	if c, ok := v.space.Currency(n.Currency); ok {
		out.Scale = int(c.Scale)
	}
	if n.Grid != 0 {
		out.At = place{n.Lat, n.Lon}.String()
	}
	return out
}

// ListIn is the input of market.list.
type ListIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Side     string   `json:"side,omitempty" doc:"Only offers, or only wants" enum:"offer,want"`
	Category string   `json:"category,omitempty" doc:"Only this category"`
	Author   api.DID  `json:"author,omitempty" doc:"Only this member's"`
	Text     string   `json:"text,omitempty" doc:"Only ads that have all these words, the last of which may be the beginning of one; case and accents make no difference"`
	Near     string   `json:"near,omitempty" doc:"Latitude,longitude in degrees: tells how far away each ad is" example:"53.48,-2.24"`
	Km       int      `json:"km,omitempty" doc:"Only within so many kilometres of near, 1 to 20000"`
	All      bool     `json:"all,omitempty" doc:"Expired ads, too"`
	Sort     string   `json:"sort,omitempty" doc:"newest (default), distance (default with near) or best (default with text): how well the words fit"`
	Limit    int      `json:"limit,omitempty" doc:"Ads of a page, 1 to 200; default 50"`
	Cursor   string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *ListIn) Validate() error {
	const op = "market.list"
	if in.Near != "" {
		if _, err := parsePlace("near", in.Near); err != nil {
			return err
		}
	}
	if in.Author != "" {
		if _, err := record.ParseDID(string(in.Author)); err != nil {
			return err
		}
	}
	switch {
	case in.Side != "" && in.Side != offer && in.Side != want:
		return api.Errorf(op, api.Invalid, "side %q: want offer or want", clip(in.Side))
	case in.Category != "" && !isCategory(in.Category):
		return api.Errorf(op, api.Invalid, "category %q: want 1 to %d of a-z 0-9 -", clip(in.Category), maxCategory)
	case len(in.Text) > maxQuery:
		return api.Errorf(op, api.Invalid, "text of %d bytes: want at most %d", len(in.Text), maxQuery)
	case in.Text != "" && len(words(in.Text)) == 0:
		return api.Errorf(op, api.Invalid, "text %q: want a word", clip(in.Text))
	case in.Km < 0 || in.Km > 20_000 || in.Km != 0 && in.Near == "":
		return api.Errorf(op, api.Invalid, "km %d: want 1 to 20000, and near", in.Km)
	case !slices.Contains([]string{"", byNewest, byDistance, byBest}, in.Sort):
		return api.Errorf(op, api.Invalid, "sort %q: want newest, distance or best", clip(in.Sort))
	case in.Sort == byDistance && in.Near == "" || in.Sort == byBest && in.Text == "":
		return api.Errorf(op, api.Invalid, "sort %q: distance wants near, best wants text", in.Sort)
	case in.Limit < 0 || in.Limit > maxPage:
		return api.Errorf(op, api.Invalid, "limit %d: want 1 to %d", in.Limit, maxPage)
	}
	_, err := parseMark(in.Cursor)
	return err
}

func (in *ListIn) order() string {
	switch {
	case in.Sort != "":
		return in.Sort
	case in.Text != "":
		return byBest
	case in.Near != "":
		return byDistance
	}
	return byNewest
}

// ListOut is the output of market.list.
type ListOut struct {
	Ads    []Ad   `json:"ads"`
	Found  int    `json:"found" doc:"how many ads fit, on all pages; those whose author is no member any more are counted and not shown"`
	Cursor string `json:"cursor,omitempty" doc:"for the next page; empty at the end"`
}

// mark is a place in an order: ascending by Key, then by Then, then by the ad's id. Its base64url form is the cursor.
type mark struct {
	_    struct{} `cbor:",toarray"`
	Key  int64
	Then int64
	ID   api.Hash
}

func (m *mark) compare(o *mark) int {
	return cmp.Or(cmp.Compare(m.Key, o.Key), cmp.Compare(m.Then, o.Then), m.ID.Compare(o.ID))
}

func (m *mark) cursor() string { return base64.RawURLEncoding.EncodeToString(codec.MustMarshal(m)) }

func parseMark(cursor string) (m *mark, err error) {
	if cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		m = &mark{}
		err = codec.Unmarshal(b, m)
	}
	if err != nil {
		return nil, api.Errorf("market", api.Invalid, "cursor %.40q: want one that this operation gave", cursor)
	}
	return m, nil
}

// hit is an ad that fits.
type hit struct {
	mark
	entry  *entry
	metres int64 // -1: not known
}

func (a *App) list(_ context.Context, call *api.Call, in *ListIn) (*ListOut, error) {
	const op = "market.list"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	after, err := parseMark(in.Cursor)
	if err != nil {
		return nil, err
	}
	hits, covers := v.hits(in, call.Actor)
	out := &ListOut{Ads: []Ad{}, Found: len(hits)}
	member := map[api.DID]bool{}
	for i := range hits {
		h := &hits[i]
		if after != nil && h.compare(after) <= 0 {
			continue
		}
		if len(out.Ads) == cmp.Or(in.Limit, defaultPage) {
			out.Cursor = hits[i-1].cursor()
			break
		}
		if _, known := member[h.entry.author]; !known {
			_, _, member[h.entry.author] = v.space.Member(h.entry.author)
		}
		x, ok := v.text(h.entry)
		if !ok || !member[h.entry.author] {
			continue
		}
		full := v.render(h.entry, x)
		full.Text, full.Hidden = summary(full.Text), covers[h.entry.id]
		if h.metres >= 0 {
			full.Metres = &h.metres
		}
		out.Ads = append(out.Ads, *full)
	}
	return out, nil
}

// summary is the beginning of a text, cut at a word.
func summary(text string) string {
	rs := []rune(text)
	if len(rs) <= maxSummary {
		return text
	}
	s := string(rs[:maxSummary])
	if i := strings.LastIndexAny(s, " \n"); i > len(s)/2 {
		s = s[:i]
	}
	return s + "..."
}

// hits returns what fits, in order, and what hides those of them that are hidden and that the caller may see all the same.
func (v *view) hits(in *ListIn, actor api.DID) ([]hit, map[api.Hash]*Hidden) {
	s, order, now := v.shelf, in.order(), v.host.Now().Unix()
	sees, covers := v.moderates(actor), map[api.Hash]*Hidden{}
	var near place
	if in.Near != "" {
		near, _ = parsePlace("near", in.Near) // checked by Validate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.matters() {
		if h := m.cover(); h != nil {
			covers[id] = h
		}
	}
	var hits []hit
	take := func(e *entry, score int) {
		switch {
		case in.Side != "" && e.side != in.Side, in.Category != "" && e.category != in.Category, in.Author != "" && e.author != in.Author:
			return
		case !in.All && e.expires <= now:
			return
		case covers[e.id] != nil && !sees && e.author != actor:
			return
		}
		h := hit{entry: e, metres: -1, mark: mark{Key: -e.changed, ID: e.id}}
		if in.Near != "" && e.grid != 0 {
			h.metres = distance(near, e.place)
		}
		if in.Km != 0 && (h.metres < 0 || h.metres > int64(in.Km)*1000) {
			return
		}
		switch order {
		case byDistance:
			if h.metres < 0 {
				return
			}
			h.Key, h.Then = h.metres, -e.changed
		case byBest:
			h.Key, h.Then = int64(-score), -e.changed
		}
		hits = append(hits, h)
	}
	if in.Text != "" {
		for slot, score := range s.words.search(in.Text) {
			take(s.slots[slot], score)
		}
	} else {
		for _, e := range s.slots {
			if e != nil {
				take(e, 0)
			}
		}
	}
	slices.SortFunc(hits, func(a, b hit) int { return a.compare(&b.mark) })
	return hits, covers
}

// CategoriesIn is the input of market.categories.
type CategoriesIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// maxCategories bounds the list of categories: those with the most ads.
const maxCategories = 200

// Category is a category in use.
type Category struct {
	Name   string `json:"name"`
	Offers int    `json:"offers"`
	Wants  int    `json:"wants"`
}

// CategoriesOut is the output of market.categories.
type CategoriesOut struct {
	Categories []Category `json:"categories" doc:"at most 200, those with the most ads first"`
}

func (a *App) categories(_ context.Context, _ *api.Call, in *CategoriesIn) (*CategoriesOut, error) {
	v, err := a.see("market.categories", in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	now, all := v.host.Now().Unix(), map[string]*Category{}
	v.shelf.mu.Lock()
	hidden := v.shelf.matters()
	for _, e := range v.shelf.ads {
		if e.expires <= now || hidden[e.id].cover() != nil {
			continue
		}
		c := all[e.category]
		if c == nil {
			c = &Category{Name: e.category}
			all[e.category] = c
		}
		if e.side == offer {
			c.Offers++
		} else {
			c.Wants++
		}
	}
	v.shelf.mu.Unlock()
	out := &CategoriesOut{Categories: []Category{}}
	for _, c := range all {
		out.Categories = append(out.Categories, *c)
	}
	slices.SortFunc(out.Categories, func(a, b Category) int {
		return cmp.Or(cmp.Compare(b.Offers+b.Wants, a.Offers+a.Wants), cmp.Compare(a.Name, b.Name))
	})
	out.Categories = out.Categories[:min(len(out.Categories), maxCategories)]
	return out, nil
}
