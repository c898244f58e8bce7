package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// A freeze is a grant that says so, and holds until a later one. Why it is there and when it is to end the clerk says in a record of its own; then the clerk's
// node lifts it, by a grant. Nobody's clock but the clerk's has a say in that, as the clerk can lift a freeze whenever it wants to.

// kindFreeze is the clerk's record, in the topic postings, about a freeze.
const kindFreeze = "freeze"

// freezing says why an account is frozen, and until when.
type freezing struct {
	_        struct{} `cbor:",toarray"`
	Account  api.DID
	Currency string
	Number   uint64 // of the grant that freezes it
	Until    int64  `say:"millis"` // Unix milliseconds; 0: until it is lifted
	Reason   string // empty, or one line
}

func (f *freezing) check() error {
	switch {
	case f.Account == "" || len(f.Account) > maxDID:
		return errors.New("account: want a DID")
	case !isCode(f.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case f.Number == 0:
		return errors.New("number 0: numbers start at 1")
	case f.Until < 0 || f.Until > maxN:
		return fmt.Errorf("until %d: want Unix milliseconds, or 0", f.Until)
	}
	return checkLine("reason", f.Reason)
}

// Feed rows of the clerk's feed: frz/<code>/<account> freezing, the newest.
var rowsFreeze = []byte("frz/")

func rowFreeze(code string, account api.DID) []byte {
	return []byte("frz/" + code + "/" + string(account))
}

func (f *fold) freezing(x *freezing) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	if _, ok := f.currency(x.Currency); !ok {
		return unknownCurrency(x.Currency)
	}
	f.Put(rowFreeze(x.Currency, x.Account), codec.MustMarshal(x))
	return api.Accepted
}

// maxFreeze is how far ahead the end of a freeze can be.
const maxFreeze = 5 * 366 * 24 * time.Hour

// freeze stops an account from spending, or lifts that.
func (a *App) freeze(ctx context.Context, call *api.Call, in *FreezeIn) (*GrantOut, error) {
	const op = "ledger.freeze"
	noted := !in.Until.IsZero() || in.Reason != ""
	if noted {
		if err := a.canNote(op, call, in); err != nil {
			return nil, err
		}
	}
	out, err := a.regrant(ctx, call, op, in.Space, in.To, in.Currency, func(_ api.Reader, _ *fact.Space, l *limits) error {
		l.Frozen = !in.Lift
		return nil
	})
	if err != nil || !noted {
		return out, err
	}
	return out, api.Wrap(op, a.noteFreeze(ctx, call, op, in, out.Number))
}

// canNote checks, before the account is frozen, that why can be said.
func (a *App) canNote(op string, call *api.Call, in *FreezeIn) error {
	signer, err := call.SignerFor(op)
	if err != nil {
		return err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return err
	}
	defer r.Close()
	if until := in.Until.Sub(host.Now()); !in.Until.IsZero() && (until <= 0 || until > maxFreeze) {
		return api.Errorf(op, api.Invalid, "until %s: want a time from now on, and within 5 years", in.Until.UTC().Format(time.RFC3339))
	}
	_, err = asClerk(op, r, s, signer, "freezes accounts")
	return err
}

// noteFreeze says why an account is frozen and until when, unless that was said.
func (a *App) noteFreeze(ctx context.Context, call *api.Call, op string, in *FreezeIn, number uint64) error {
	a.grants.Lock() // one record of the office at a time
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return err
	}
	defer r.Close()
	d, err := asClerk(op, r, s, call.Signer, "freezes accounts")
	if err != nil {
		return err
	}
	body := freezing{Account: in.To, Currency: in.Currency, Number: number, Reason: in.Reason}
	if !in.Until.IsZero() {
		body.Until = in.Until.UnixMilli()
	}
	if b, _, ok := r.Own(d.from, rowFreeze(in.Currency, in.To)); ok && get[freezing](b, ok) == body {
		return nil
	}
	_, err = host.Append(ctx, call.Signer, d.draft(s, kindFreeze, &body, ""), call.Wait)
	return err
}

// thaw lifts the freezes whose end has come, on the clerk's node.
func (a *App) thaw(ctx context.Context, host api.Host, space api.Hash, now time.Time) error {
	for _, x := range a.frozenTill(host, space, now) {
		call := &api.Call{Actor: host.Self().DID(), Signer: host.Self(), Wait: api.WaitLocal}
		_, err := a.regrant(ctx, call, "ledger.freeze", space, x.Account, x.Currency, func(_ api.Reader, _ *fact.Space, l *limits) error {
			l.Frozen = false
			return nil
		})
		if err != nil && api.KindOf(err) != api.Refused {
			return err
		}
		host.Log().Info("a freeze has ended", "space", space.Short(), "account", x.Account, "currency", x.Currency, "err", err)
	}
	return nil
}

// frozenTill lists the freezes that hold and whose end has come.
func (a *App) frozenTill(host api.Host, space api.Hash, now time.Time) (all []freezing) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(host.Self(), fact.Clerk) {
		return nil
	}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok {
		return nil
	}
	for _, b := range r.Rows(d.from, rowsFreeze) {
		x := get[freezing](b, true)
		if x.Until == 0 || now.UnixMilli() < x.Until {
			continue
		}
		if _, _, member := s.Member(x.Account); !member {
			continue
		}
		held, _ := lastGrants(r, s, x.Account, func(l limits) bool { return l.Code == x.Currency })
		if len(held) > 0 && held[0].Frozen && held[0].Number == x.Number {
			all = append(all, x)
		}
	}
	return all
}

// FreezesIn is the input of ledger.freezes.
type FreezesIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// FreezesOut is the output of ledger.freezes.
type FreezesOut struct {
	Freezes []Freeze `json:"freezes" doc:"by account and currency; at most 500"`
}

// Freeze is an account that may spend nothing.
type Freeze struct {
	Account  api.DID   `json:"account"`
	Currency string    `json:"currency"`
	Number   uint64    `json:"number" doc:"of the grant that freezes it"`
	Until    time.Time `json:"until,omitzero" doc:"when the clerk's node lifts it; none: somebody has to"`
	Reason   string    `json:"reason,omitempty"`
}

func (a *App) freezes(_ context.Context, _ *api.Call, in *FreezesIn) (*FreezesOut, error) {
	_, r, s, err := a.see("ledger.freezes", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	notes, _ := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	seen := map[api.DID]bool{}
	out := &FreezesOut{Freezes: []Freeze{}}
	for _, o := range clerks(s) {
		for k := range r.Rows(s.Feed(fact.LedgerTopic, o.Device), rowsGrant) {
			did := api.DID(k[len(rowsGrant):])
			if seen[did] {
				continue
			}
			seen[did] = true
			for _, code := range s.Genesis.Currencies {
				held, _ := lastGrants(r, s, did, func(l limits) bool { return l.Code == code })
				if len(held) == 0 || !held[0].Frozen {
					continue
				}
				f := Freeze{Account: did, Currency: code, Number: held[0].Number}
				if x := get[freezing](first(r.Own(notes.from, rowFreeze(code, did)))); x.Number == f.Number {
					if f.Reason = x.Reason; x.Until > 0 {
						f.Until = time.UnixMilli(x.Until).UTC()
					}
				}
				out.Freezes = append(out.Freezes, f)
			}
		}
	}
	slices.SortFunc(out.Freezes, func(a, b Freeze) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Currency, b.Currency))
	})
	out.Freezes = out.Freezes[:min(len(out.Freezes), maxPage)]
	return out, nil
}
