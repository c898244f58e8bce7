package ledger

import (
	"context"
	"encoding/hex"
	"fmt"

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

// checkPlaces checks where a page of rows begins that stand in the order of their places, and how long it is to be.
func checkPlaces(cursor string, limit int) error {
	if b, err := hex.DecodeString(cursor); err != nil || len(b) != 0 && len(b) != placeSize {
		return errCursor
	}
	return checkPage(limit)
}

// newest goes over the index rows of a prefix, the newest first, from where the page before has ended: until take has kept as many as a page has, or most
// were looked at. It returns where the next page begins; empty after the last row.
func newest(r api.Reader, prefix []byte, cursor string, kept, most int, take func(place, v []byte) bool) (next string, err error) {
	after, err := hex.DecodeString(cursor)
	if err != nil {
		return "", api.Errorf("", api.Invalid, "%w", errCursor)
	}
	if len(after) == 0 {
		after = nil // from the newest on
	}
	var last []byte
	for k, v := range r.Index(prefix, after, true) {
		if kept == 0 || most == 0 {
			return hex.EncodeToString(last), nil
		}
		most--
		last = k[len(k)-placeSize:]
		if take(last, v) {
			kept--
		}
	}
	return "", nil
}

// BalanceIn is the input of ledger.balance.
type BalanceIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"Account: a DID, office:treasury for the space's own, or escrow: and the id of an escrow; default: your own"`
}

// Validate implements api.Validator.
func (in *BalanceIn) Validate() error { return checkAccount("did", in.DID) }

// checkAccount checks the name of an account; an empty one is the caller's own.
func checkAccount(field string, account api.DID) error {
	if account == "" || account == fact.TreasuryAccount || isImported(account) {
		return nil
	}
	if _, ok := escrowOf(account); ok {
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
	Soft           int64  `json:"soft,omitempty" doc:"who owes more than this is warned, by the credit policy; 0: nobody is"`
	Warning        string `json:"warning,omitempty" doc:"the account owes more than soft"`

	Gift bool  `json:"gift,omitempty" doc:"a gift currency: it has no balance and no limit, these are 0, and in and out are what counts"`
	In   int64 `json:"in,omitempty" doc:"of a gift currency: all that others have thanked the account for"`
	Out  int64 `json:"out,omitempty" doc:"of a gift currency: all that it has thanked others for"`
}

// gifts is an account in a gift currency.
func gifts(code string, scale uint8, balance int64, a account) Balance {
	return Balance{Currency: code, Scale: int(scale), Gift: true, In: a.Debits + balance, Out: a.Debits}
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
	if id, ok := escrowOf(did); ok {
		return escrowBalance(op, r, s, id)
	}
	if isImported(did) {
		return importBalance(r, s, did), nil
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
		if c, _ := s.Currency(code); c.Gift() {
			b := gifts(code, c.Scale, n, st.account)
			b.Frozen = st.limits.Frozen
			out.Balances = append(out.Balances, b)
			continue
		}
		b := Balance{
			Currency: code, Scale: int(st.scale), Balance: n, FinalCredits: st.Credits, Unacknowledged: n - (st.Credits - st.Debits - st.spent) + st.charged, Charged: st.charged,
			Limit: st.limits.Limit, Available: st.available(), SetAside: max(0, st.Aside-st.freed-st.spent), Frozen: st.limits.Frozen,
		}
		b.Soft, b.Warning = soften(r, s, st, n)
		out.Balances = append(out.Balances, b)
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
		if c.Gift() {
			out.Balances = append(out.Balances, gifts(code, c.Scale, n, st.account))
			continue
		}
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
		if c.Gift() {
			bs = append(bs, gifts(code, c.Scale, n, a))
			continue
		}
		bs = append(bs, Balance{Currency: code, Scale: int(c.Scale), Balance: n, FinalCredits: a.Credits, Unacknowledged: n - (a.Credits - a.Debits)})
	}
	return bs
}

// first drops where a row was written.
func first(b []byte, _ api.Position, ok bool) ([]byte, bool) { return b, ok }

// Balances implements fact.Balances.
func (a *App) Balances(space api.Hash, accounts []api.DID, currency string) ([]int64, error) {
	_, r, s, err := a.see("ledger.balances", space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]int64, len(accounts))
	for i, did := range accounts {
		out[i] = r.Counter(balanceKey(nil, s.ID, currency, did))
	}
	return out, nil
}
