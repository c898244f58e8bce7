package ledger

import (
	"bytes"
	"iter"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// A member whose account in another system was bound sees what was there as part of their own history, day by day as that system had it, in place of the one
// row by which it was passed on. The books of the whole space have both accounts, and what was passed on between them.

// isImport reports whether a record moves what came from another system.
func isImport(rec *api.Record) bool {
	return rec.Topic.Name == fact.PostingsTopic && (rec.Kind == kindImport || rec.Kind == kindImportUndo || rec.Kind == kindImportBind)
}

// movesOf returns the movements of a record as they count: turned round where it takes them back.
func movesOf(rec *api.Record) (moves []moved, owners []owner, ok bool) {
	switch rec.Kind {
	case kindImport:
		var c imported
		if decode(rec.Body, &c) == nil {
			return c.Moves, c.Owners, true
		}
	case kindImportUndo:
		var u importUndo
		if decode(rec.Body, &u) == nil {
			return turned(u.Moves), u.Owners, true
		}
	}
	return nil, nil, false
}

// saidImport is said for what came from another system.
func saidImport(rec *api.Record, did api.DID, n int, e entry) (l leg, from api.DID, what []purpose, ok bool) {
	moves, owners, isMoves := movesOf(rec)
	if isMoves && n < claimLeg {
		if n >= len(moves) {
			return l, "", nil, false
		}
		m := &moves[n]
		return leg{To: importAccount(m.To), Currency: m.Currency, Amount: m.Amount, Memo: m.Memo, Category: m.Category}, importAccount(m.From), nil, true
	}
	var code string
	var member api.DID
	if isMoves {
		all, fits := nets(moves)
		if i := n - claimLeg; fits && i < len(all) {
			code, member = all[i].code, ownerOf(owners, all[i].code)
		}
	} else {
		var b importBind
		if decode(rec.Body, &b) != nil {
			return l, "", nil, false
		}
		code, member = b.Code, b.Account
	}
	l = leg{To: member, Currency: e.Code, Amount: e.Delta}
	from = importAccount(code)
	if did == from {
		l.Amount = -e.Delta
	}
	if l.Amount < 0 {
		l.Amount, l.To, from = -l.Amount, from, member
	}
	return l, from, nil, member != ""
}

// importEntry says what a person calls a movement, and on which day it was.
func importEntry(rec *api.Record, n int) (kind, day string) {
	if n >= claimLeg {
		return "import-claim", ""
	}
	if moves, _, ok := movesOf(rec); ok && n < len(moves) {
		day = moves[n].Day
	}
	return rec.Kind, day
}

// accountsOf lists the accounts that a member sees as one: their own, and those of other systems that are bound to it.
func accountsOf(r api.Reader, s *fact.Space, did api.DID) []api.DID {
	all := []api.DID{did}
	if isImported(did) {
		return all
	}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok {
		return all
	}
	prefix := rowsOf(did)
	for k, v := range r.Rows(d.from, prefix) {
		if len(v) == 1 && v[0] == 1 {
			all = append(all, importAccount(string(k[len(prefix):])))
		}
	}
	return all
}

// within reports whether an entry moves between accounts that are seen as one.
func (e *Entry) within(own []api.DID) bool {
	return len(own) > 1 && slices.Contains(own, e.From) && slices.Contains(own, e.To)
}

// entriesOf visits the history rows of accounts together, in the order of time, feed, seq and leg, behind a place or before it.
func entriesOf(r api.Reader, space api.Hash, own []api.DID, after []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	if len(own) == 1 {
		return r.Index(didKey(nil, indexHistory, space, own[0]), after, reverse)
	}
	return func(yield func(k, v []byte) bool) {
		type head struct {
			k, v []byte
			next func() ([]byte, []byte, bool)
		}
		var heads []*head
		for _, did := range own {
			next, stop := iter.Pull2(r.Index(didKey(nil, indexHistory, space, did), after, reverse))
			defer stop()
			if k, v, ok := next(); ok {
				heads = append(heads, &head{k, v, next})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				order := bytes.Compare(place(h.k), place(heads[first].k))
				if reverse && order > 0 || !reverse && order < 0 {
					first = i
				}
			}
			h := heads[first]
			k, v := h.k, h.v
			var more bool
			if h.k, h.v, more = h.next(); !more {
				heads = slices.Delete(heads, first, first+1)
			}
			if !yield(k, v) {
				return
			}
		}
	}
}

// place is the end of the key of a history row: where it stands among the rows of its account.
func place(k []byte) []byte { return k[len(k)-suffixSize:] }

// importBalance is what an account of another system comes to, as long as it is nobody's.
func importBalance(r api.Reader, s *fact.Space, did api.DID) *BalanceOut {
	out := &BalanceOut{DID: did, Balances: []Balance{}}
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		out.Balances = append(out.Balances, Balance{Currency: code, Scale: int(c.Scale), Balance: r.Counter(balanceKey(nil, s.ID, code, did))})
	}
	return out
}

// importPaid returns what a record has passed on to a member.
func importPaid(r api.Reader, rec *api.Record, did api.DID) (sums []sum) {
	for _, v := range r.Index(placeKey(nil, indexHistory, did, rec), nil, false) {
		if e := get[entry](v, true); e.Delta > 0 {
			sums = with(sums, e.Code, addMax(of(sums, e.Code), e.Delta))
		}
	}
	return sums
}
