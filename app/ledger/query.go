package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Page sizes of lists, in entries.
const (
	defaultPage = 50
	maxPage     = 500
	maxScan     = 10_000 // rows looked at for one page of a filtered list
)

func checkPage(limit int) error {
	if limit < 0 || limit > maxPage {
		return fmt.Errorf("limit %d: want 1 to %d", limit, maxPage)
	}
	return nil
}

func page(limit int) int {
	if limit == 0 {
		return defaultPage
	}
	return limit
}

// BalanceIn is the input of ledger.balance.
type BalanceIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"Account: a DID, or office:treasury for the space's own; default: your own"`
}

// Validate implements api.Validator.
func (in *BalanceIn) Validate() error { return checkAccount("did", in.DID) }

// checkAccount checks the name of an account; an empty one is the caller's own.
func checkAccount(field string, account api.DID) error {
	if account == "" || account == fact.TreasuryAccount {
		return nil
	}
	return checkDID(field, account)
}

// BalanceOut is the output of ledger.balance.
type BalanceOut struct {
	DID      api.DID   `json:"did"`
	Balances []Balance `json:"balances"`
	Removed  string    `json:"removed,omitempty" doc:"why the account's owner is no member any more; the balance stays and is owed"`

	Allotments []Allotment `json:"allotments,omitempty" doc:"what is set aside for other devices of the member"`
}

// Balance is an account in one currency. Amounts are minor units; Scale is the number of decimals.
type Balance struct {
	Currency       string `json:"currency"`
	Scale          int    `json:"scale"`
	Balance        int64  `json:"balance"`        // all that was paid in, less all that was paid out
	FinalCredits   int64  `json:"final_credits"`  // counted so far, ever
	Unacknowledged int64  `json:"unacknowledged"` // paid in and not counted yet
	Charged        int64  `json:"charged,omitempty" doc:"dues, levies and demurrage that the account's feed has not counted yet; the balance and what is available have"`
	Limit          int64  `json:"limit"`     // how far below zero it may go
	Available      int64  `json:"available"` // what the next transfer of the primary device may spend
	SetAside       int64  `json:"set_aside"` // what other devices may spend, or have not given back
	Frozen         bool   `json:"frozen,omitempty"`
}

func (a *App) balance(_ context.Context, call *api.Call, in *BalanceIn) (*BalanceOut, error) {
	const op = "ledger.balance"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	did := in.DID
	if did == "" {
		did = call.Actor
	}
	if did == fact.TreasuryAccount {
		return treasuryBalance(op, r, s)
	}
	m, _, ok := s.Known(did)
	if !ok {
		why := stranger(s, did)
		return nil, &api.Error{Op: op, Kind: api.NotFound, Reason: why, Err: why}
	}
	out := &BalanceOut{DID: did, Balances: []Balance{}}
	if gone, ok := s.Removal(did); ok {
		out.Removed = gone.Reason
		feed := s.Feed(fact.LedgerTopic, m.Before)
		if _, by, ok := s.Cut(feed); ok {
			if base, ok := r.Base(feed, by); ok { // the last device may never have begun
				feed = base.Feed
			}
		}
		out.Balances = frozenBalances(r, s, did, feed)
		return out, nil
	}
	for _, code := range s.Genesis.Currencies {
		p, ok := prepareMost(r, s, did, code)
		if !ok {
			continue
		}
		st := p.state(code)
		n := r.Counter(balanceKey(nil, s.ID, code, did))
		out.Balances = append(out.Balances, Balance{
			Currency: code, Scale: int(st.scale), Balance: n, FinalCredits: st.Credits, Unacknowledged: n - (st.Credits - st.Debits - st.spent) + st.charged, Charged: st.charged,
			Limit: st.limits.Limit, Available: st.available(), SetAside: max(0, st.Aside-st.freed-st.spent), Frozen: st.limits.Frozen,
		})
	}
	out.Allotments = allotments(r, s, m)
	return out, nil
}

// treasuryBalance is the account of the space's own money.
func treasuryBalance(op string, r api.Reader, s *fact.Space) (*BalanceOut, error) {
	d, err := treasuryDesk(op, r, s)
	if err != nil {
		return nil, err
	}
	p := d.purse(r, s, "", 0)
	out := &BalanceOut{DID: fact.TreasuryAccount, Balances: []Balance{}}
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		n := r.Counter(balanceKey(nil, s.ID, code, fact.TreasuryAccount))
		st := p.state(code)
		out.Balances = append(out.Balances, Balance{
			Currency: code, Scale: int(c.Scale), Balance: n, FinalCredits: st.Credits, Unacknowledged: n - (st.Credits - st.Debits) + st.charged, Charged: st.charged,
			Available: max(st.available(), 0),
		})
	}
	return out, nil
}

// frozenBalances is the account of who was removed, as its feed ended: nothing more is counted or spent.
func frozenBalances(r api.Reader, s *fact.Space, did api.DID, feed api.Hash) []Balance {
	var bs []Balance
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		a := getAccount(first(r.Own(feed, rowAccount(code))))
		n := r.Counter(balanceKey(nil, s.ID, code, did))
		bs = append(bs, Balance{Currency: code, Scale: int(c.Scale), Balance: n, FinalCredits: a.Credits, Unacknowledged: n - (a.Credits - a.Debits)})
	}
	return bs
}

// first drops where a row was written.
func first(b []byte, _ api.Position, ok bool) ([]byte, bool) { return b, ok }

// HistoryIn is the input of ledger.history.
type HistoryIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID      api.DID  `json:"did,omitempty" doc:"Account: a DID, or office:treasury for the space's own; default: your own"`
	Currency string   `json:"currency,omitempty" doc:"Only this currency"`
	Limit    int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor   string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *HistoryIn) Validate() error {
	if err := checkAccount("did", in.DID); err != nil {
		return err
	}
	if b, err := hex.DecodeString(in.Cursor); err != nil || len(b) != 0 && len(b) != suffixSize {
		return errCursor
	}
	return checkPage(in.Limit)
}

// HistoryOut is the output of ledger.history.
type HistoryOut struct {
	Entries []Entry `json:"entries"`
	Cursor  string  `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

// Entry is a transfer as one of its sides sees it. Time is the payer's clock.
type Entry struct {
	Time         time.Time `json:"time"`
	ID           api.Hash  `json:"id"`
	Kind         string    `json:"kind" doc:"transfer; charge: dues, a levy or demurrage; spend or pay: from the treasury"`
	From         api.DID   `json:"from" doc:"a DID, or office:treasury"`
	To           api.DID   `json:"to"`
	Currency     string    `json:"currency"`
	Scale        int       `json:"scale"`
	Amount       int64     `json:"amount"` // minor units
	Memo         string    `json:"memo"`
	Final        bool      `json:"final"`
	Level        api.Wait  `json:"level"`         // the highest level reached as far as this node knows: local, replicated(k) or final
	BalanceDelta int64     `json:"balance_delta"` // Amount, negative for the payer
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
	if in.Cursor != "" {
		if after, err = hex.DecodeString(in.Cursor); err != nil {
			return nil, api.Errorf(op, api.Invalid, "%w", errCursor)
		}
	}
	out, scanned, last := &HistoryOut{Entries: []Entry{}}, 0, []byte(nil)
	for k, v := range r.Index(didKey(nil, indexHistory, s.ID, did), after, true) {
		if len(out.Entries) == page(in.Limit) || scanned == maxScan {
			out.Cursor = hex.EncodeToString(last)
			break
		}
		scanned++
		last = k[len(k)-suffixSize:]
		e := get[entry](v, true)
		if in.Currency != "" && e.Code != in.Currency {
			continue
		}
		if full, ok := complete(host, r, s, k, e); ok {
			out.Entries = append(out.Entries, full)
		}
	}
	return out, nil
}

// complete reads the rest of a history row from its record.
func complete(host api.Host, r api.Reader, s *fact.Space, k []byte, e entry) (Entry, bool) {
	did, pos, ok := splitHistory(k)
	pos.ID = e.ID
	rec, v, here := r.Record(pos)
	if !ok || !here {
		return Entry{}, false
	}
	t, from, ok := said(rec, did, e)
	if !ok {
		return Entry{}, false
	}
	c, _ := s.Currency(t.Currency)
	level := api.LevelOf(v.Final, 0)
	if h, ok := host.(api.LevelHost); ok && !v.Final {
		level, _ = h.Level(pos)
	}
	return Entry{
		Time: rec.Time.Time(), ID: rec.ID, Kind: rec.Kind, From: from, To: t.To, Currency: t.Currency, Scale: int(c.Scale), Amount: t.Amount, Memo: t.Memo,
		Final: v.Final, Level: level, BalanceDelta: e.Delta,
	}, true
}

// said returns what a record says of an account, as a payment, and who pays.
func said(rec *api.Record, did api.DID, e entry) (t transfer, from api.DID, ok bool) {
	if rec.Kind == kindTransfer {
		t, err := decodeTransfer(rec.Body)
		return t, rec.Author, err == nil
	}
	if s, ok := spentBy(rec); ok {
		return transfer{To: s.To, Currency: s.Currency, Amount: s.Amount, Memo: s.Memo}, fact.TreasuryAccount, true
	}
	var c charge
	if rec.Kind != kindCharge || decode(rec.Body, &c) != nil {
		return t, "", false
	}
	other := fact.TreasuryAccount
	if did == other {
		other = rec.Author // all that are charged at once: the clerk speaks for them
	}
	from, t = did, transfer{To: other, Currency: e.Code, Amount: -e.Delta, Memo: c.Schedule + ", period " + strconv.FormatUint(c.Period, 10)}
	if e.Delta > 0 {
		from, t.To, t.Amount = other, did, e.Delta
	}
	return t, from, true
}

// spentBy returns what a record pays from the treasury.
func spentBy(rec *api.Record) (spending, bool) {
	var s spending
	var by spend
	switch rec.Kind {
	case kindPay:
		return s, decode(rec.Body, &s) == nil
	case kindSpend:
		ok := decode(rec.Body, &by) == nil
		return by.spending(), ok
	}
	return s, false
}
