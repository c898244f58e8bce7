package ledger

import (
	"bytes"
	"context"
	"iter"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
)

// maxNames bounds the names that are remembered while a book is written.
const maxNames = 10_000

// keeper reads the books of a space from a snapshot. What it gives depends on the records alone: rows in the order of time, feed, seq and leg, and
// accounts in the order of what identifies them. It keeps nothing but names, so a book may be of any length.
type keeper struct {
	ctx   context.Context
	r     api.Reader
	s     *fact.Space
	span  span
	alone bool // one account is read, with those of other systems that are its owner's
	names map[api.DID]string
}

func newKeeper(ctx context.Context, r api.Reader, s *fact.Space, p span) *keeper {
	return &keeper{ctx: ctx, r: r, s: s, span: p, names: map[api.DID]string{}}
}

// book is the account of did, or with an empty did all accounts.
func (k *keeper) book(did api.DID) *books.Book {
	k.alone = did != ""
	b := &books.Book{
		Space: k.s.ID.String(), Name: k.s.Genesis.Name, Test: k.s.Genesis.Test, Whole: did == "", From: k.span.from, To: k.span.to, Zone: k.span.zone,
	}
	for _, code := range k.s.Genesis.Currencies {
		c, _ := k.s.Currency(code)
		b.Currencies = append(b.Currencies, books.Currency{Code: code, Scale: int(c.Scale), Gift: c.Gift()})
	}
	b.Sections = func(yield func(*books.Section, error) bool) {
		if did != "" {
			yield(k.section(did), nil)
			return
		}
		for did := range accounts(k.r, k.s.ID, "") {
			if s := k.section(did); k.moves(did, s) && !yield(s, nil) {
				return
			}
		}
	}
	return b
}

// accounts lists who has ever paid or been paid, in order, after the given one.
func accounts(r api.Reader, space api.Hash, after api.DID) iter.Seq[api.DID] {
	return func(yield func(api.DID) bool) {
		prefix := spaceKey(nil, indexHistory, space)
		var from []byte
		if after != "" {
			from = behind(after)
		}
		for {
			var did api.DID
			for k := range r.Index(prefix, from, false) {
				name, _, _ := bytes.Cut(k[len(prefix):], []byte{0})
				did = api.DID(name)
				break
			}
			if did == "" || !yield(did) {
				return
			}
			from = behind(did)
		}
	}
}

// behind is the place behind all history rows of did, in which 0 follows on it.
func behind(did api.DID) []byte { return append([]byte(did), 1) }

// section is one account.
func (k *keeper) section(did api.DID) *books.Section {
	return &books.Section{Account: string(did), Name: k.name(did), Opening: k.opening(did), Rows: k.rows(did, nil)}
}

// moves reports whether an account has anything to show.
func (k *keeper) moves(did api.DID, s *books.Section) bool {
	for _, n := range s.Opening {
		if n != 0 {
			return true
		}
	}
	for key := range k.entries(did, nil) {
		return bytes.Compare(stamp(key), key8(k.span)) < 0
	}
	return false
}

// opening is what the account had when the period began: what it has now, less all that has moved since.
func (k *keeper) opening(did api.DID) []int64 {
	out := make([]int64, len(k.s.Genesis.Currencies))
	if k.span.from.IsZero() {
		return out
	}
	return k.before(did, nil)
}

// before is what the account had before the rows that follow on a place, by currency.
func (k *keeper) before(did api.DID, after []byte) []int64 {
	out := make([]int64, len(k.s.Genesis.Currencies))
	at := map[string]int{}
	for i, code := range k.s.Genesis.Currencies {
		at[code] = i
		for _, own := range k.own(did) {
			out[i] += k.r.Counter(balanceKey(nil, k.s.ID, code, own))
		}
	}
	for _, v := range k.entries(did, after) {
		e := get[entry](v, true)
		if i, ok := at[e.Code]; ok {
			out[i] -= e.Delta
		}
		if k.ctx.Err() != nil {
			break // whoever asked is gone, or learns of it with the rows
		}
	}
	return out
}

// entries visits the history rows of an account from the beginning of the period, or behind a place in it, to the end of all.
func (k *keeper) entries(did api.DID, after []byte) iter.Seq2[[]byte, []byte] {
	if after == nil {
		after = key(k.span.from)
	}
	return entriesOf(k.r, k.s.ID, k.own(did), after, false)
}

// own lists the accounts that are read as one.
func (k *keeper) own(did api.DID) []api.DID {
	if !k.alone {
		return []api.DID{did}
	}
	return accountsOf(k.r, k.s, did)
}

// stamp is the time in the key of a history row.
func stamp(k []byte) []byte { return k[len(k)-suffixSize:][:8] }

// key8 is the end of a period as it stands in keys.
func key8(s span) []byte { return key(s.to) }

// rows visits the movements of an account in the period, behind a place in it or from its beginning.
func (k *keeper) rows(did api.DID, after []byte) iter.Seq2[*books.Row, error] {
	return func(yield func(*books.Row, error) bool) {
		for row, err := range k.movements(did, after) {
			if !yield(row.Row, err) || err != nil {
				return
			}
		}
	}
}

// movement is a row and the place of the history row that it comes from; the legs of one record have one place.
type movement struct {
	*books.Row
	at []byte
}

// movements is rows, with their places.
func (k *keeper) movements(did api.DID, after []byte) iter.Seq2[movement, error] {
	return func(yield func(movement, error) bool) {
		end := key8(k.span)
		for at, v := range k.entries(did, after) {
			if bytes.Compare(stamp(at), end) >= 0 {
				return
			}
			rows, err := k.read(did, at, get[entry](v, true))
			if err != nil {
				yield(movement{}, err)
				return
			}
			for _, r := range rows {
				if !yield(movement{r, at[len(at)-suffixSize:]}, nil) {
					return
				}
			}
		}
	}
}

// read returns what a history row stands for: one movement, or of the treasury's share of charges one for each account that was charged.
func (k *keeper) read(did api.DID, at []byte, e entry) ([]*books.Row, error) {
	if err := k.ctx.Err(); err != nil {
		return nil, err
	}
	lost := api.Errorf("ledger.books", api.Internal, "the record %s of a movement of %s is not on this node: run `icnctl state verify`", e.ID, did)
	full, ok := complete(nil, k.r, k.s, at, e)
	if !ok {
		return nil, lost
	}
	if full.within(k.own(did)) {
		return nil, nil
	}
	row := &books.Row{
		Time: full.Time, ID: full.ID.String(), Currency: full.Currency, Amount: full.BalanceDelta, Memo: full.Memo, Category: full.Category,
		ValueDate: full.ValueDate, KeyedBy: string(full.KeyedBy), Kind: full.Kind, Leg: full.Leg, Final: full.Final,
		Lead: full.BalanceDelta < 0,
	}
	if full.Kind != kindCharge {
		counter := full.From
		if own, _, _, _ := splitHistory(at); counter == own {
			counter = full.To
		}
		row.Counter, row.CounterName = string(counter), k.name(counter)
		return []*books.Row{row}, nil
	}
	_, pos, _, _ := splitHistory(at)
	pos.ID = e.ID
	rec, _, here := k.r.Record(pos)
	var c charge
	if !here || decode(rec.Body, &c) != nil {
		return nil, lost
	}
	var out []*books.Row
	for i, l := range c.Legs {
		if did != fact.TreasuryAccount && did != l.Account {
			continue
		}
		one := *row
		one.Leg = i
		if did == l.Account { // the journal of a whole space has charges with those who are charged
			one.Amount, one.Lead, one.Counter = -l.Amount, true, string(fact.TreasuryAccount)
		} else {
			one.Amount, one.Lead, one.Counter, one.CounterName = l.Amount, false, string(l.Account), k.name(l.Account)
		}
		out = append(out, &one)
	}
	return out, nil
}

// name is how the owner of an account wants to be called.
func (k *keeper) name(did api.DID) string {
	name, ok := k.names[did]
	if !ok {
		p, _ := k.s.Profile(did)
		if len(k.names) >= maxNames {
			clear(k.names)
		}
		name = p.Name
		k.names[did] = name
	}
	return name
}
