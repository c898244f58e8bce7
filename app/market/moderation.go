package market

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// ReportIn is the input of market.report.
type ReportIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Ad     api.Hash `json:"ad" doc:"Id of the ad"`
	Reason string   `json:"reason" doc:"What is wrong with it, 1 to 500 bytes on one line; every member can read it, and who wrote it"`
}

// Validate implements api.Validator.
func (in *ReportIn) Validate() error { return checkReason(in.Reason) }

// ModeratedOut is the output of market.report, market.hide and market.unhide.
type ModeratedOut struct {
	Ad      api.Hash    `json:"ad"`
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) report(ctx context.Context, call *api.Call, in *ReportIn) (*ModeratedOut, error) {
	const op = "market.report"
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	e, _, err := v.find(op, in.Ad)
	if err != nil {
		return nil, err
	}
	rc, err := v.write(ctx, op, call, kindReport, codec.MustMarshal(&report{Ad: e.id, Reason: in.Reason}), v.stands(e))
	if rc.Position.IsZero() {
		return nil, err
	}
	return &ModeratedOut{Ad: e.id, Receipt: rc}, err
}

// ActIn is the input of market.hide and market.unhide.
type ActIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Ad     api.Hash `json:"ad" doc:"Id of the ad"`
	Reason string   `json:"reason" doc:"Why, 1 to 500 bytes on one line; its author sees it, and it stays in the log of moderation"`
}

// Validate implements api.Validator.
func (in *ActIn) Validate() error { return checkReason(in.Reason) }

func (a *App) hide(ctx context.Context, call *api.Call, in *ActIn) (*ModeratedOut, error) {
	return a.act(ctx, "market.hide", call, in, true)
}

func (a *App) unhide(ctx context.Context, call *api.Call, in *ActIn) (*ModeratedOut, error) {
	return a.act(ctx, "market.unhide", call, in, false)
}

func (a *App) act(ctx context.Context, op string, call *api.Call, in *ActIn, hide bool) (*ModeratedOut, error) {
	v, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	shown, ok := v.shows(signer)
	if !ok {
		why := *notOffice.Void
		o, _ := v.space.Office(moderators()[0])
		why.Inputs = map[string]string{"registrar": string(o.DID)}
		return nil, api.Refusal(op, &why)
	}
	cites := []api.Position{shown}
	v.shelf.mu.Lock()
	m := v.shelf.matters()[in.Ad]
	v.shelf.mu.Unlock()
	after := api.Hash{}
	if m != nil && len(m.chain) > 0 {
		after = m.tip()
		last := m.acts[after]
		if last.Hide == hide {
			why := *nothingToDo.Void
			why.Inputs = map[string]string{"by": string(m.by[after]), "office": last.Office, "at": time.UnixMilli(last.Time).UTC().Format(time.RFC3339)}
			return nil, api.Refusal(op, &why)
		}
		if rec, _, ok := v.Lookup(after); ok {
			cites = append(cites, rec.Position())
		}
	} else {
		e, _, err := v.find(op, in.Ad)
		if err != nil {
			return nil, err
		}
		cites = append(cites, v.stands(e))
	}
	kind := kindUnhide
	if hide {
		kind = kindHide
	}
	rc, err := v.write(ctx, op, call, kind, codec.MustMarshal(&act{Ad: in.Ad, After: after, Reason: in.Reason}), cites...)
	if rc.Position.IsZero() {
		return nil, err
	}
	return &ModeratedOut{Ad: in.Ad, Receipt: rc}, err
}

// stands is where to cite that an ad stands: as far as its author's feed is final, or else at its end. Should the author fork it beyond that, what was said of
// the ad stands; and what is bad about an ad does not have to wait.
func (v *view) stands(e *entry) api.Position {
	rec, _, ok := v.Lookup(e.id)
	if final, is := v.Final(e.feed); ok && is && v.Before(rec.Position(), final) {
		return final
	}
	at, _ := v.Head(e.feed)
	return at
}

// shows returns the record that shows a signer to hold a moderating office.
func (v *view) shows(signer api.Signer) (api.Position, bool) {
	for _, name := range moderators() {
		if _, pos, ok := v.space.Holder(name); ok && v.space.Holds(signer, name) {
			return pos, true
		}
	}
	return api.Position{}, false
}

// ModerationIn is the input of market.moderation.
type ModerationIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Open   bool     `json:"open,omitempty" doc:"Only ads that were reported since a moderator last acted: the moderators' queue, the oldest report first"`
	Ad     api.Hash `json:"ad,omitzero" doc:"Only this ad"`
	Limit  int      `json:"limit,omitempty" doc:"Ads of a page, 1 to 200; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *ModerationIn) Validate() error {
	if in.Limit < 0 || in.Limit > maxPage {
		return api.Errorf("market.moderation", api.Invalid, "limit %d: want 1 to %d", in.Limit, maxPage)
	}
	_, err := parseMark(in.Cursor)
	return err
}

// Case is an ad and what was said and done about it.
type Case struct {
	Ad      api.Hash `json:"ad"`
	Author  api.DID  `json:"author" doc:"of the ad"`
	Title   string   `json:"title,omitempty" doc:"of an ad that stands; of a hidden one for its author and the moderators only"`
	Hidden  bool     `json:"hidden"`
	Open    bool     `json:"open" doc:"reported since a moderator last acted"`
	Reports []Report `json:"reports"`
	Acts    []Act    `json:"acts" doc:"those that count in their order, behind them those that do not"`
}

// Report is what a member said about an ad.
type Report struct {
	ID     api.Hash  `json:"id"`
	By     api.DID   `json:"by"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time" doc:"by the author's clock"`
}

// Act is what a moderator did.
type Act struct {
	ID     api.Hash  `json:"id"`
	By     api.DID   `json:"by"`
	Office string    `json:"office"`
	Act    string    `json:"act" doc:"hide or unhide"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time" doc:"by the moderator's clock"`
	Counts bool      `json:"counts" doc:"false: another moderator acted at the same time, and that act counts"`
}

// ModerationOut is the output of market.moderation.
type ModerationOut struct {
	Cases  []Case `json:"cases" doc:"by the time of the last report or act, the newest first; with open by that of the first report, the oldest first"`
	Cursor string `json:"cursor,omitempty" doc:"for the next page; empty at the end"`
}

func (a *App) moderation(_ context.Context, call *api.Call, in *ModerationIn) (*ModerationOut, error) {
	v, err := a.see("market.moderation", in.Space)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	after, err := parseMark(in.Cursor)
	if err != nil {
		return nil, err
	}
	type row struct {
		mark
		*matter
	}
	var rows []row
	v.shelf.mu.Lock()
	for id, m := range v.shelf.matters() {
		if !in.Ad.IsZero() && id != in.Ad || in.Open && !m.open() {
			continue
		}
		first, last := m.times()
		key := -last
		if in.Open {
			key = first
		}
		rows = append(rows, row{mark{Key: key, ID: id}, m})
	}
	v.shelf.mu.Unlock()
	slices.SortFunc(rows, func(a, b row) int { return a.compare(&b.mark) })
	out := &ModerationOut{Cases: []Case{}}
	for i := range rows {
		if after != nil && rows[i].compare(after) <= 0 {
			continue
		}
		if len(out.Cases) == cmp.Or(in.Limit, defaultPage) {
			out.Cursor = rows[i-1].cursor()
			break
		}
		out.Cases = append(out.Cases, v.told(rows[i].matter, call.Actor))
	}
	return out, nil
}

// times returns when the first report and the last report or act were made.
func (m *matter) times() (first, last int64) {
	for i, c := range m.reports {
		if i == 0 || c.Time < first {
			first = c.Time
		}
		last = max(last, c.Time)
	}
	for _, x := range m.acts {
		last = max(last, x.Time)
	}
	return first, last
}

// told is a matter for people to read.
func (v *view) told(m *matter, actor api.DID) Case {
	covered := m.cover() != nil
	c := Case{Ad: m.ad, Author: m.author, Hidden: covered, Open: m.open(), Reports: []Report{}, Acts: []Act{}}
	if _, x, err := v.find("market.moderation", m.ad); err == nil && (!covered || actor == m.author || v.moderates(actor)) {
		c.Title = x.Ad.Title
	}
	for _, r := range m.reports {
		c.Reports = append(c.Reports, Report{ID: r.ID, By: r.by, Reason: r.Reason, Time: time.UnixMilli(r.Time).UTC()})
	}
	for id, x := range m.acts {
		word := kindUnhide
		if x.Hide {
			word = kindHide
		}
		c.Acts = append(c.Acts, Act{
			ID: id, By: m.by[id], Office: x.Office, Act: word, Reason: x.Reason, Time: time.UnixMilli(x.Time).UTC(), Counts: slices.Contains(m.chain, id),
		})
	}
	slices.SortFunc(c.Reports, func(a, b Report) int { return cmp.Or(a.Time.Compare(b.Time), a.ID.Compare(b.ID)) })
	place := func(a Act) int { // in the chain; behind it what does not count
		if i := slices.Index(m.chain, a.ID); i >= 0 {
			return i
		}
		return len(m.chain)
	}
	slices.SortFunc(c.Acts, func(a, b Act) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), a.Time.Compare(b.Time), a.ID.Compare(b.ID))
	})
	return c
}
