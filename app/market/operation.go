package market

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	scopeRead     = "market:read"
	scopeWrite    = "market:write"
	scopeModerate = "market:moderate"
)

// Days that an ad is shown.
const (
	defaultDays = 60
	maxDays     = 366
)

// defaultGrid is how coarse coordinates are unless their author says otherwise, in metres.
const defaultGrid = 1000

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	one := func(name, method, path, scope, summary string) api.Operation {
		op := api.Operation{Name: "market." + name, Method: method, Path: "/market" + path, CLI: "market " + name, Scope: scope, Summary: summary}
		if method == http.MethodPost {
			op.Write, op.Signs = true, api.SignsOne
		}
		return op
	}
	list := func(op api.Operation) api.Operation {
		op.Kind = api.List
		return op
	}
	const get, post = http.MethodGet, http.MethodPost
	return []api.Operation{
		api.Handle(one("post", post, "", scopeWrite, "Offer something to the members of a space, or ask for it"), a.post),
		api.Handle(one("edit", post, "/ad/{ad}/edit", scopeWrite, "Change an ad of your own; what is left out stays as it is"), a.edit),
		api.Handle(one("withdraw", post, "/ad/{ad}/withdraw", scopeWrite, "Take an ad of your own back"), a.withdraw),
		api.Handle(one("show", get, "/ad/{ad}", scopeRead, "Show an ad"), a.show),
		api.Handle(list(one("list", get, "", scopeRead, "List and search offers and wants")), a.list),
		api.Handle(one("categories", get, "/categories", scopeRead, "List the categories in use, and how many ads each has"), a.categories),
		api.Handle(one("rings", get, "/rings", scopeRead, "Suggest rings of offers and wants that close among members, those first that bring balances towards zero"), a.rings),
		api.Handle(one("report", post, "/ad/{ad}/report", scopeWrite, "Tell the moderators that something is wrong with an ad"), a.report),
		api.Handle(one("hide", post, "/ad/{ad}/hide", scopeModerate, "Hide an ad from everybody but its author and the moderators"), a.hide),
		api.Handle(one("unhide", post, "/ad/{ad}/unhide", scopeModerate, "Show a hidden ad again"), a.unhide),
		api.Handle(list(one("moderation", get, "/moderation", scopeRead, "List reports of ads and what was done about them")), a.moderation),
	}
}

// PostIn is the input of market.post.
type PostIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Side     string   `json:"side" doc:"offer or want" enum:"offer,want"`
	Title    string   `json:"title" doc:"1 to 80 characters on one line" example:"Bicycle repair"`
	Category string   `json:"category" doc:"1 to 32 of a-z 0-9 -; see market.categories for those in use" example:"repair"`
	Text     string   `json:"text,omitempty" doc:"At most 4096 bytes; may have several lines"`
	Amount   int64    `json:"amount,omitempty" doc:"Price hint in minor units of the currency"`
	Currency string   `json:"currency,omitempty" doc:"Of the amount: its code"`
	Price    string   `json:"price,omitempty" doc:"Price hint in words, at most 80 characters" example:"by agreement"`
	Area     string   `json:"area,omitempty" doc:"Name of the area, at most 80 characters" example:"Mill Lane"`
	At       string   `json:"at,omitempty" doc:"Where: latitude,longitude in degrees; rounded to the grid before anything is signed" example:"53.48,-2.24"`
	Grid     uint64   `json:"grid,omitempty" doc:"How coarse the place is told: metres, 100 to 100000; default 1000"`
	Days     int      `json:"days,omitempty" doc:"For how many days it is shown, 1 to 366; default 60"`

	Images []api.Hash `json:"images,omitempty" doc:"At most 4 hashes of blobs that this node has"`
}

// Validate implements api.Validator.
func (in *PostIn) Validate() error {
	_, err := in.ad(time.Unix(1<<31, 0))
	return err
}

// ad makes the ad that an input asks for.
func (in *PostIn) ad(now time.Time) (*ad, error) {
	if in.Days < 0 || in.Days > maxDays {
		return nil, api.Errorf("market.post", api.Invalid, "days %d: want 1 to %d", in.Days, maxDays)
	}
	n := &ad{
		Side: in.Side, Title: in.Title, Text: in.Text, Category: in.Category, Amount: in.Amount, Currency: in.Currency, Price: in.Price, Area: in.Area,
		Expires: lastDay(now, cmp.Or(in.Days, defaultDays)), Images: append([]api.Hash{}, in.Images...),
	}
	if err := n.locate(in.At, in.Grid); err != nil {
		return nil, err
	}
	return n, n.check()
}

// lastDay is the end of the day so many days from now, in UTC: the same all day, so that a call that is repeated asks for the same.
func lastDay(now time.Time, days int) int64 {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, days+1).Unix()
}

// locate sets the place, rounded.
func (n *ad) locate(at string, grid uint64) error {
	switch {
	case at == "" && grid != 0:
		return api.Errorf("market", api.Invalid, "grid %d: want a place, too: at", grid)
	case at == "":
		return nil
	case grid != 0 && (grid < minGrid || grid > maxGrid):
		return api.Errorf("market", api.Invalid, "grid %d: want %d to %d metres", grid, minGrid, maxGrid)
	}
	p, err := parsePlace("at", at)
	if err != nil {
		return err
	}
	n.Grid = cmp.Or(grid, defaultGrid)
	p = p.round(n.Grid)
	n.Lat, n.Lon = p.lat, p.lon
	return nil
}

// AdOut is the output of market.post, market.edit and market.withdraw.
type AdOut struct {
	Ad      api.Hash    `json:"ad" doc:"id of the ad"`
	Expires time.Time   `json:"expires,omitzero"`
	At      string      `json:"at,omitempty" doc:"the place as it was signed"`
	Receipt api.Receipt `json:"receipt"`
}

func (n *ad) out(id api.Hash, rc api.Receipt) *AdOut {
	o := &AdOut{Ad: id, Expires: time.Unix(n.Expires, 0).UTC(), Receipt: rc}
	if n.Grid != 0 {
		o.At = place{n.Lat, n.Lon}.String()
	}
	return o
}

func (a *App) post(ctx context.Context, call *api.Call, in *PostIn) (*AdOut, error) {
	const op = "market.post"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	n, err := in.ad(v.host.Now())
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	if err := errors.Join(v.possible(op, n), v.pictured(op, in.Images)); err != nil {
		return nil, err
	}
	rc, err := v.write(ctx, op, call, kindPost, codec.MustMarshal(n))
	if rc.Position.IsZero() {
		return nil, err
	}
	return n.out(rc.Position.ID, rc), err
}

// possible refuses an ad whose currency the space does not have.
func (v *view) possible(op string, n *ad) error {
	if _, ok := v.space.Currency(n.Currency); n.Currency != "" && !ok {
		return api.Errorf(op, api.Invalid, "currency %q: %s has no such currency; icnctl space show lists them", clip(n.Currency), v.space.Genesis.Name)
	}
	return nil
}

// write appends a record as the caller, citing beside the given positions what shows the caller to be a member, and reads the market again.
func (v *view) write(ctx context.Context, op string, call *api.Call, kind string, body []byte, cites ...api.Position) (api.Receipt, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return api.Receipt{}, err
	}
	feed, device := v.space.Feed(Topic, signer.Device()), signer.Device()
	if b, _, ok := v.Own(feed, rowMember); !ok || !slices.Equal(b, device[:]) {
		if _, pos, ok := v.space.Member(signer.DID()); ok {
			cites = append(cites, pos)
		}
	}
	cites = slices.DeleteFunc(cites, func(p api.Position) bool { return p.Feed == feed || p.IsZero() })
	rc, err := v.host.Append(ctx, signer, api.Draft{
		Topic: api.Topic{Space: v.space.ID, Name: Topic}, Deps: fact.Deps(cites), Kind: kind, Body: body, Idempotency: call.Idempotency,
	}, call.Wait)
	if !rc.Position.IsZero() { // the reactor does this too, but who asks next expects to see what they wrote
		v.shelf.follow(v.host, map[api.Hash]api.DID{rc.Position.Feed: signer.DID()})
	}
	return rc, api.Wrap(op, err)
}

// EditIn is the input of market.edit.
type EditIn struct {
	Space    api.Hash   `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Ad       api.Hash   `json:"ad" doc:"Id of the ad"`
	Title    string     `json:"title,omitempty" doc:"1 to 80 characters on one line"`
	Category string     `json:"category,omitempty" doc:"1 to 32 of a-z 0-9 -"`
	Text     string     `json:"text,omitempty" doc:"At most 4096 bytes; may have several lines"`
	Amount   int64      `json:"amount,omitempty" doc:"Price hint in minor units of the currency"`
	Currency string     `json:"currency,omitempty" doc:"Of the amount: its code"`
	Price    string     `json:"price,omitempty" doc:"Price hint in words, at most 80 characters"`
	Area     string     `json:"area,omitempty" doc:"Name of the area, at most 80 characters"`
	At       string     `json:"at,omitempty" doc:"Where: latitude,longitude in degrees; rounded to the grid before anything is signed"`
	Grid     uint64     `json:"grid,omitempty" doc:"How coarse the place is told: metres, 100 to 100000; default 1000"`
	Days     int        `json:"days,omitempty" doc:"Show it for so many days from now, 1 to 366"`
	Images   []api.Hash `json:"images,omitempty" doc:"At most 4 hashes of blobs that this node has, in place of those before"`
	Clear    []string   `json:"clear,omitempty" doc:"What to empty: amount, price, text, area, at, images"`
}

// Validate implements api.Validator.
func (in *EditIn) Validate() error {
	if in.Days < 0 || in.Days > maxDays {
		return api.Errorf("market.edit", api.Invalid, "days %d: want 1 to %d", in.Days, maxDays)
	}
	probe := ad{Side: offer, Title: "x", Category: "x", Expires: 1, Images: []api.Hash{}}
	return in.change(&probe, time.Unix(0, 0))
}

// change makes an ad what it is to be.
func (in *EditIn) change(n *ad, now time.Time) error {
	for _, what := range in.Clear {
		switch what {
		case "amount":
			n.Amount, n.Currency = 0, ""
		case "price":
			n.Price = ""
		case "text":
			n.Text = ""
		case "area":
			n.Area = ""
		case "at":
			n.Lat, n.Lon, n.Grid = 0, 0, 0
		case "images":
			n.Images = []api.Hash{}
		default:
			return api.Errorf("market.edit", api.Invalid, "clear %q: want amount, price, text, area, at or images", clip(what))
		}
	}
	n.Title, n.Category, n.Text = cmp.Or(in.Title, n.Title), cmp.Or(in.Category, n.Category), cmp.Or(in.Text, n.Text)
	n.Amount, n.Currency, n.Price, n.Area = cmp.Or(in.Amount, n.Amount), cmp.Or(in.Currency, n.Currency), cmp.Or(in.Price, n.Price), cmp.Or(in.Area, n.Area)
	if in.Days != 0 {
		n.Expires = lastDay(now, in.Days)
	}
	if len(in.Images) > 0 {
		n.Images = in.Images
	}
	if err := n.locate(in.At, in.Grid); err != nil {
		return err
	}
	return n.check()
}

func (a *App) edit(ctx context.Context, call *api.Call, in *EditIn) (*AdOut, error) {
	const op = "market.edit"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	e, x, err := v.own(op, call, in.Ad)
	if err != nil {
		return nil, err
	}
	n := x.Ad
	if err := in.change(&n, v.host.Now()); err != nil {
		return nil, api.Wrap(op, err)
	}
	if err := errors.Join(v.possible(op, &n), v.pictured(op, in.Images)); err != nil {
		return nil, err
	}
	rc, err := v.write(ctx, op, call, kindEdit, codec.MustMarshal(&edit{Ad: e.id, New: n}))
	if rc.Position.IsZero() {
		return nil, err
	}
	return n.out(e.id, rc), err
}

// WithdrawIn is the input of market.withdraw.
type WithdrawIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Ad     api.Hash `json:"ad" doc:"Id of the ad"`
	Reason string   `json:"reason,omitempty" doc:"Why, at most 500 bytes on one line" example:"taken"`
}

// Validate implements api.Validator.
func (in *WithdrawIn) Validate() error { return (&withdraw{Reason: in.Reason}).check() }

func (a *App) withdraw(ctx context.Context, call *api.Call, in *WithdrawIn) (*AdOut, error) {
	const op = "market.withdraw"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	e, _, err := v.own(op, call, in.Ad)
	if err != nil {
		return nil, err
	}
	rc, err := v.write(ctx, op, call, kindWithdraw, codec.MustMarshal(&withdraw{Ad: e.id, Reason: in.Reason}))
	if rc.Position.IsZero() {
		return nil, err
	}
	return &AdOut{Ad: e.id, Receipt: rc}, err
}

// own finds an ad of the caller's that stands.
func (v *view) own(op string, call *api.Call, id api.Hash) (*entry, *standing, error) {
	e, x, err := v.find(op, id)
	if err != nil {
		return nil, nil, err
	}
	if e.author != call.Actor {
		return nil, nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-own-ad", Text: "this ad is somebody else's", Inputs: map[string]string{"author": string(e.author)},
		})
	}
	return e, x, nil
}

// find returns an ad that stands, with its text.
func (v *view) find(op string, id api.Hash) (*entry, *standing, error) {
	v.shelf.mu.Lock()
	e := v.shelf.ads[id]
	v.shelf.mu.Unlock()
	if e != nil {
		if x, ok := v.text(e); ok {
			return e, x, nil
		}
	}
	if rec, _, ok := v.Lookup(id); ok && rec.Topic == v.shelf.topic && rec.Kind == kindPost {
		var x standing
		if b, _, ok := v.Own(rec.Feed, rowAd(id)); ok && codec.Unmarshal(b, &x) == nil && x.Gone {
			why := "the ad was withdrawn"
			if x.Why != "" {
				why += ": " + x.Why
			}
			return nil, nil, api.Errorf(op, api.NotFound, "ad %s: %s", id.Short(), why)
		}
	}
	return nil, nil, api.Errorf(op, api.NotFound, "ad %s: no such ad stands here; icnctl market list shows those that do", id.Short())
}

// text reads an ad from the disk.
func (v *view) text(e *entry) (*standing, bool) {
	var x standing
	b, _, ok := v.Own(e.feed, rowAd(e.id))
	return &x, ok && codec.Unmarshal(b, &x) == nil && !x.Gone
}
