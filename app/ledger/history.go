package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// HistoryIn is the input of ledger.history.
type HistoryIn struct {
	Space    api.Hash  `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID      api.DID   `json:"did,omitempty" doc:"Account: a DID, office:treasury for the space's own, or escrow: and the id of an escrow; default: your own"`
	Currency string    `json:"currency,omitempty" doc:"Only this currency"`
	With     api.DID   `json:"with,omitempty" doc:"Only payments to or from this account"`
	Category string    `json:"category,omitempty" doc:"Only this category" example:"food"`
	Text     string    `json:"text,omitempty" doc:"Only what has this in its memo, in upper or lower case; at most 256 bytes"`
	From     time.Time `json:"from,omitzero" doc:"Only from this time on, by the payer's clock"`
	Until    time.Time `json:"until,omitzero" doc:"Only before this time, by the payer's clock"`
	Min      int64     `json:"min,omitempty" doc:"Only amounts of so many minor units at least"`
	Max      int64     `json:"max,omitempty" doc:"Only amounts of so many minor units at most; 0: any"`
	Limit    int       `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor   string    `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *HistoryIn) Validate() error {
	if err := checkAccount("did", in.DID); err != nil {
		return err
	}
	if err := checkAccount("with", in.With); err != nil {
		return err
	}
	switch {
	case in.Category != "" && !isCode(in.Category, maxCategory):
		return fmt.Errorf("category %q: want at most %d of a-z 0-9 -", clip(in.Category), maxCategory)
	case len(in.Text) > maxMemo:
		return fmt.Errorf("text of %d bytes: at most %d", len(in.Text), maxMemo)
	case in.Min < 0 || in.Max < 0:
		return fmt.Errorf("min %d, max %d: want 0 or more", in.Min, in.Max)
	case in.Max > 0 && in.Max < in.Min:
		return fmt.Errorf("max %d: less than min, %d", in.Max, in.Min)
	case !in.From.IsZero() && !in.Until.IsZero() && !in.From.Before(in.Until):
		return errors.New("until: want a time after from")
	}
	if b, err := hex.DecodeString(in.Cursor); err != nil || len(b) != 0 && len(b) != suffixSize {
		return errCursor
	}
	return checkPage(in.Limit)
}

// wants reports whether an entry passes the filters that a row alone does not decide.
func (in *HistoryIn) wants(e *Entry) bool {
	with := e.From
	if e.BalanceDelta < 0 {
		with = e.To
	}
	return (in.With == "" || with == in.With) && (in.Category == "" || e.Category == in.Category) &&
		(in.Text == "" || strings.Contains(strings.ToLower(e.Memo), strings.ToLower(in.Text)))
}

// wantsRow reports whether a row passes the others.
func (in *HistoryIn) wantsRow(e *entry) bool {
	amount := max(e.Delta, -e.Delta)
	return (in.Currency == "" || e.Code == in.Currency) && amount >= in.Min && (in.Max == 0 || amount <= in.Max)
}

// HistoryOut is the output of ledger.history.
type HistoryOut struct {
	Entries []Entry `json:"entries"`
	Cursor  string  `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

// Entry is a payment as one of its sides sees it. Time is the payer's clock.
type Entry struct {
	Time         time.Time `json:"time"`
	ID           api.Hash  `json:"id"`
	Leg          int       `json:"leg,omitempty" doc:"which payment of the record, from 0"`
	Kind         string    `json:"kind" doc:"transfer, request (one that was approved), order (a standing one), refund, batch, charge: dues, a levy or demurrage; treasury: it has paid; escrow: put in escrow; settle: paid out of it; redress: what a dispute has come to; import, import-undo: from another system, or taken back; or import-claim: an account there became a member's"`
	From         api.DID   `json:"from" doc:"a DID, office:treasury, or escrow: and an id"`
	To           api.DID   `json:"to"`
	Currency     string    `json:"currency"`
	Scale        int       `json:"scale"`
	Amount       int64     `json:"amount"` // minor units
	Memo         string    `json:"memo"`
	Category     string    `json:"category,omitempty"`
	ValueDate    string    `json:"value_date,omitempty" doc:"of what came in from another system: the day by that, YYYY-MM-DD"`
	For          []For     `json:"for,omitempty" doc:"what it is for"`
	Refunded     int64     `json:"refunded,omitempty" doc:"of what the record has paid this recipient in this currency, how much was given back, minor units"`
	KeyedBy      api.DID   `json:"keyed_by,omitempty" doc:"who has entered it, if not the account's owner: a helper with a mandate, or the clerk"`
	Final        bool      `json:"final"`
	Level        api.Wait  `json:"level"`         // the highest level reached as far as this node knows: local, replicated(k) or final
	BalanceDelta int64     `json:"balance_delta"` // Amount, negative for the payer
}

// For is what a payment is for.
type For struct {
	What string   `json:"what" doc:"request, order, refund or batch"`
	ID   api.Hash `json:"id" doc:"of the request, of the standing order, of the payment that is given back, or the digest of the batch"`
	N    uint64   `json:"n" doc:"0 of a request, the period of an order from 1, the place of the payment in its feed, the part of a batch from 0"`
}

// whats are the names of what payments are for; 0 is nothing.
var whats = [...]string{"transfer", "request", "order", "refund", "batch"}

// reasons lists what a payment is for, and says in a word what a person would call it.
func reasons(what []purpose) (all []For, kind string) {
	kind = whats[0]
	for _, p := range what {
		kind = whats[p.What]
		all = append(all, For{What: kind, ID: p.ID, N: p.N})
	}
	return all, kind
}

func (a *App) history(_ context.Context, call *api.Call, in *HistoryIn) (*HistoryOut, error) {
	const op = "ledger.history"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	did := in.DID
	if did == "" {
		did = call.Actor
	}
	if in.Currency != "" {
		if err := checkCurrency(op, s, in.Currency); err != nil {
			return nil, err
		}
	}
	var after []byte
	switch {
	case in.Cursor != "":
		if after, err = hex.DecodeString(in.Cursor); err != nil {
			return nil, api.Errorf(op, api.Invalid, "%w", errCursor)
		}
	case !in.Until.IsZero():
		after = api.Seq8(uint64(api.MakeTimestamp(max(0, in.Until.UnixMilli()), 0)))
	}
	var from api.Timestamp
	if !in.From.IsZero() {
		from = api.MakeTimestamp(max(0, in.From.UnixMilli()), 0)
	}
	out, scanned, last := &HistoryOut{Entries: []Entry{}}, 0, []byte(nil)
	own := accountsOf(r, s, did)
	for k, v := range entriesOf(r, s.ID, own, after, true) {
		if string(k[len(k)-suffixSize:]) < string(api.Seq8(uint64(from))) {
			break
		}
		if len(out.Entries) == page(in.Limit) || scanned == maxScan {
			out.Cursor = hex.EncodeToString(last)
			break
		}
		scanned++
		last = k[len(k)-suffixSize:]
		e := get[entry](v, true)
		if !in.wantsRow(&e) {
			continue
		}
		if full, ok := complete(host, r, s, k, e); ok && in.wants(&full) && !full.within(own) {
			out.Entries = append(out.Entries, full)
		}
	}
	return out, nil
}

// complete reads the rest of a history row from its record.
func complete(host api.Host, r api.Reader, s *fact.Space, k []byte, e entry) (Entry, bool) {
	did, pos, n, ok := splitHistory(k)
	pos.ID = e.ID
	rec, v, here := r.Record(pos)
	if !ok || !here {
		return Entry{}, false
	}
	l, from, what, ok := said(rec, did, n, e)
	if !ok {
		return Entry{}, false
	}
	c, _ := s.Currency(l.Currency)
	full := Entry{
		Time: rec.Time.Time(), ID: rec.ID, Leg: n, From: from, To: l.To, Currency: l.Currency, Scale: int(c.Scale), Amount: l.Amount, Memo: l.Memo,
		Category: l.Category, KeyedBy: keyedBy(r, rec), Final: v.Final, Level: api.LevelOf(v.Final, 0), BalanceDelta: e.Delta,
		Refunded: givenBack(r, s, rec, l.To, l.Currency),
	}
	if full.For, full.Kind = reasons(what); slices.Contains(ownKinds, rec.Kind) {
		full.Kind = rec.Kind
	} else if isImport(rec) {
		full.Kind, full.ValueDate = importEntry(rec, n)
	} else if from == fact.TreasuryAccount {
		full.Kind = "treasury"
	}
	if h, ok := host.(api.LevelHost); ok && !v.Final {
		full.Level, _ = h.Level(pos)
	}
	return full, true
}

// ownKinds are the kinds of records that are called by their own names in a history.
var ownKinds = []string{kindCharge, kindEscrow, kindSettle, kindRedress}

// said returns what a record says of an account, as a payment, who pays and what for.
func said(rec *api.Record, did api.DID, n int, e entry) (l leg, from api.DID, what []purpose, ok bool) {
	if s, ok := spentBy(rec); ok {
		return leg{To: s.To, Currency: s.Currency, Amount: s.Amount, Memo: s.Memo, Category: s.Purpose}, fact.TreasuryAccount, nil, true
	}
	if l, from, ok := saidOfEscrow(rec, did, n); ok {
		return l, from, nil, true
	}
	if isImport(rec) {
		return saidImport(rec, did, n, e)
	}
	if rec.Kind != kindCharge {
		legs, what := legsOf(rec)
		if n >= len(legs) {
			return l, "", nil, false
		}
		return legs[n], rec.Author, what, true
	}
	var c charge
	if decode(rec.Body, &c) != nil {
		return l, "", nil, false
	}
	other := fact.TreasuryAccount
	if did == other {
		other = rec.Author // all that are charged at once: the clerk speaks for them
	}
	from, l = did, leg{To: other, Currency: e.Code, Amount: -e.Delta, Memo: c.Schedule + ", period " + strconv.FormatUint(c.Period, 10)}
	if e.Delta > 0 {
		from, l.To, l.Amount = other, did, e.Delta
	}
	return l, from, nil, true
}

// givenBack adds up what somebody has given back of what a record has paid them.
func givenBack(r api.Reader, s *fact.Space, rec *api.Record, by api.DID, code string) (sum int64) {
	p, n := purpose{What: forRefund, ID: rec.ID, N: rec.Seq}, 0
	for _, b := range r.Index(slotKey(nil, s.ID, &p), nil, false) {
		if n++; n > maxPage { // in so many parts nobody gives anything back
			break
		}
		x := get[settled](b, true)
		refund, _, ok := r.Lookup(x.ID)
		if !ok || refund.Author != by {
			continue
		}
		if legs, _ := legsOf(refund); len(legs) == 1 && legs[0].Currency == code {
			sum = addMax(sum, x.Amount)
		}
	}
	return sum
}

// patience is how long an operation waits for what it builds on to become final: who answers an event is faster than the witnesses.
const patience = 3 * time.Second

// awaitFinal gives the records of others that a call is about to build on a moment to become final.
func (a *App) awaitFinal(ctx context.Context, call *api.Call, ids ...api.Hash) {
	base, err := a.with("ledger.await")
	host, ok := base.(api.LevelHost)
	if err != nil || !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, id := range ids {
		r := host.Read()
		rec, v, ok := r.Lookup(id)
		r.Close()
		if ok && !v.Final && v.Accepted && !v.Held && rec.Author != call.Actor && call.Sees(rec.Topic.Space) {
			host.AwaitFinal(ctx, rec.Position())
		}
	}
}

// mustBeFinal refuses to build on a record of somebody else that is not final: should its author fork the feed, nothing that cites it becomes final either,
// until the registrar has cut that, and the author of what cites it could do nothing about it.
func mustBeFinal(op string, rec *api.Record, v api.Verdict, by api.DID) error {
	if v.Final || rec.Author == by {
		return nil
	}
	why := &api.Reason{
		Domain: Domain, Rule: "not-final", Text: "what this answers is not final yet", Inputs: map[string]string{"record": rec.ID.String(), "by": string(rec.Author)},
		Remedy: "try again in a moment; if it stays so, icnctl explain " + rec.ID.String() + " says what it waits for",
	}
	return &api.Error{Op: op, Kind: api.Unavailable, Reason: why, Err: why}
}

// answered is what a member's record cites of the one that it answers: nothing where that is their own.
func answered(op string, rec *api.Record, v api.Verdict, by api.DID) ([]api.Position, error) {
	if rec.Author == by {
		return nil, nil
	}
	return []api.Position{rec.Position()}, mustBeFinal(op, rec, v, by)
}

// citations finds the records that a payment for something has to cite, and completes where a payment that is given back stands.
func citations(op string, r api.Reader, s *fact.Space, by api.DID, what []purpose) (cites []api.Position, err error) {
	for i := range what {
		p := &what[i]
		if p.What != forRequest && p.What != forRefund {
			continue
		}
		rec, v, ok := r.Lookup(p.ID)
		switch {
		case !ok || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}):
			return nil, api.Errorf(op, api.NotFound, "for: the ledger of %s has no record %s here (yet)", s.Genesis.Name, p.ID)
		case !v.Accepted || v.Held:
			return nil, api.Errorf(op, api.Conflict, "for: record %s has no effect: icnctl explain %s says why", p.ID, p.ID)
		case p.What == forRefund:
			p.N = rec.Seq
		}
		if err := mustBeFinal(op, rec, v, by); err != nil {
			return nil, err
		}
		cites = append(cites, rec.Position())
	}
	return cites, nil
}
