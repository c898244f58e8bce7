package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// VoidsIn is the input of ledger.void.
type VoidsIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
	Own    bool     `json:"own,omitempty" doc:"Only your own payments, the newest first, and also those that a cut has left out or a fork holds; one page"`
}

// Validate implements api.Validator.
func (in *VoidsIn) Validate() error {
	if _, ok := parseVoidCursor(in.Cursor); !ok {
		return errCursor
	}
	if in.Own && in.Cursor != "" {
		return errors.New("cursor: with own there is one page; leave it out")
	}
	return checkPage(in.Limit)
}

// VoidsOut is the output of ledger.void.
type VoidsOut struct {
	Entries []Void `json:"entries"`
	Cursor  string `json:"cursor,omitempty"` // empty on the last page
}

// Void is a record that keeps its place in its feed and has no effect. What it would have paid is given with own.
type Void struct {
	ID     api.Hash    `json:"id"`
	Author api.DID     `json:"author"`
	Time   time.Time   `json:"time"`
	Held   bool        `json:"held,omitempty" doc:"by a fork: a cut may still give it effect"`
	Reason *api.Reason `json:"reason"`

	To       api.DID `json:"to,omitempty"`
	Currency string  `json:"currency,omitempty"`
	Scale    int     `json:"scale,omitempty"`
	Amount   int64   `json:"amount,omitempty" doc:"minor units"`
	Memo     string  `json:"memo,omitempty"`
}

func (a *App) voids(ctx context.Context, call *api.Call, in *VoidsIn) (*VoidsOut, error) {
	const op = "ledger.void"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if in.Own {
		all, err := ownVoids(ctx, host, r, s, call.Actor)
		return &VoidsOut{Entries: all[:min(len(all), page(in.Limit))]}, api.Wrap(op, err)
	}
	after, ok := parseVoidCursor(in.Cursor)
	if !ok {
		return nil, api.Errorf(op, api.Invalid, "%w", errCursor)
	}
	out, last := &VoidsOut{Entries: []Void{}}, api.Position{}
	for rec, why := range r.Voids(api.Topic{Space: s.ID, Name: fact.LedgerTopic}, after) {
		if len(out.Entries) == page(in.Limit) {
			out.Cursor = voidCursor(last)
			break
		}
		last = rec.Position()
		out.Entries = append(out.Entries, Void{ID: rec.ID, Author: rec.Author, Time: rec.Time.Time(), Reason: why})
	}
	return out, nil
}

// ownVoids lists the payments of did that have no effect, the newest first, of the newest maxScan records of each of its feeds: what a rule has made
// void, what a cut has left out, and what a fork holds.
func ownVoids(ctx context.Context, host api.Host, r api.Reader, s *fact.Space, did api.DID) ([]Void, error) {
	found := map[api.Hash]Void{}
	note := func(rec *api.Record, v api.Verdict) {
		t, err := decodeTransfer(rec.Body)
		if v.Accepted && !v.Held || rec.Author != did || rec.Kind != kindTransfer || err != nil {
			return
		}
		why := v.Reason
		if !v.Held && why != nil && (why.Remedy == "" || isCut(why)) {
			with := *why
			with.Remedy = "make the payment again, once: icnctl ledger retry " + rec.ID.String()
			why = &with
		}
		c, _ := s.Currency(t.Currency)
		found[rec.ID] = Void{
			ID: rec.ID, Author: rec.Author, Time: rec.Time.Time(), Held: v.Held, Reason: why,
			To: t.To, Currency: t.Currency, Scale: int(c.Scale), Amount: t.Amount, Memo: t.Memo,
		}
	}
	for _, h := range host.Heads(api.Topic{Space: s.ID, Name: fact.LedgerTopic}) {
		if h.Author != did {
			continue
		}
		for i, at := range append([]api.Position{h.Tip}, r.Branches(h.Tip.Feed)...) {
			for n := 0; at.Seq > 0 && n < maxScan && (i == 0 || at.Seq >= h.Fork); n++ {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				rec, v, ok := r.Record(at)
				if !ok {
					break
				}
				note(rec, v)
				at.Seq, at.ID = at.Seq-1, rec.Prev
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Void) int {
		return cmp.Or(b.Time.Compare(a.Time), a.ID.Compare(b.ID))
	}), nil
}

func voidCursor(p api.Position) string {
	return hex.EncodeToString(append(append(p.Feed[:], api.Seq8(p.Seq)...), p.ID[:]...))
}

func parseVoidCursor(s string) (p api.Position, ok bool) {
	if s == "" {
		return p, true
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 72 {
		return p, false
	}
	return api.Position{Feed: api.Hash(b[:32]), Seq: binary.BigEndian.Uint64(b[32:40]), ID: api.Hash(b[40:])}, true
}
