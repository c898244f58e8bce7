package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// takeOperation is the member's part of an import.
func (a *App) takeOperation() api.Operation {
	return api.Handle(api.Operation{
		Name: "ledger.import.take", Method: http.MethodPost, Path: "/ledger/import/take", CLI: "ledger import take", Scope: "ledger:write", Write: true,
		Signs: api.SignsOne, Summary: "Take over an account of another system as yours, with at most what it owes",
	}, a.takeImport)
}

// ImportTakeIn is the input of ledger.import.take.
type ImportTakeIn struct {
	Space   api.Hash     `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Account string       `json:"account" doc:"Account of another system, as ledger import accounts lists them: its code, or import: and its code" example:"NET0012"`
	Owes    []ImportDebt `json:"owes,omitempty" doc:"What you take over at most, by currency; an amount of 0: nothing; default: what the account owes now"`
}

// ImportDebt is what is owed at most in a currency.
type ImportDebt struct {
	Currency string `json:"currency" example:"hours"`
	Amount   int64  `json:"amount" doc:"minor units, 0 or more" example:"1050"`
}

// Validate implements api.Validator.
func (in *ImportTakeIn) Validate() error {
	for i, o := range in.Owes {
		if o.Amount < 0 {
			return fmt.Errorf("owes[%d].amount %d: want 0 or more; what is owed is above 0 here", i, o.Amount)
		}
		if slices.ContainsFunc(in.Owes[:i], func(p ImportDebt) bool { return p.Currency == o.Currency }) {
			return fmt.Errorf("owes[%d].currency %q: stands there twice", i, clip(o.Currency))
		}
	}
	return in.body().check()
}

func (in *ImportTakeIn) code() string { return strings.TrimPrefix(in.Account, importPrefix) }

func (in *ImportTakeIn) body() *importTake {
	t := &importTake{Code: in.code(), Owes: []debt{}}
	for _, o := range in.Owes {
		if o.Amount != 0 {
			t.Owes = append(t.Owes, debt{Currency: o.Currency, Amount: o.Amount})
		}
	}
	slices.SortFunc(t.Owes, func(a, b debt) int { return cmp.Compare(a.Currency, b.Currency) })
	return t
}

// ImportTakeOut is the output of ledger.import.take.
type ImportTakeOut struct {
	Receipt api.Receipt `json:"receipt" doc:"repeated: it was said before"`
	Taken   []ImportSum `json:"taken" doc:"what you have taken over at most; in any other currency nothing"`
	Sums    []ImportSum `json:"sums" doc:"what came in for the account so far; below 0: it owes"`
}

// takeImport says, for a member, that an account of another system is theirs.
func (a *App) takeImport(ctx context.Context, call *api.Call, in *ImportTakeIn) (*ImportTakeOut, error) {
	const op = "ledger.import.take"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	var b []byte
	if ok {
		b, _, ok = r.Own(d.from, rowCode(in.code()))
	}
	st := get[importState](b, ok)
	switch {
	case !ok:
		return nil, api.Errorf(op, api.NotFound, "account %s: nothing came in for it here (yet); ledger import accounts lists the others", clip(in.Account))
	case st.Account != "" && st.Account != signer.DID():
		out := api.Voided(Domain, "other-owner", "the account is bound to somebody else")
		out.Void.Inputs = map[string]string{"code": in.code(), "account": string(st.Account)}
		return nil, api.Refusal(op, out.Void)
	}
	body := in.body()
	if len(in.Owes) == 0 {
		body.Owes = owed(st.Sums)
	}
	if len(in.Owes) == 0 && len(body.Owes) == 0 {
		return nil, api.Errorf(op, api.Conflict, "account %s owes nothing, so there is nothing to take over: the clerk can bind it; to take over what may come in later, say how much with owes", clip(in.Account))
	}
	var want []sum
	for _, o := range body.Owes {
		if err := checkCurrency(op, s, o.Currency); err != nil {
			return nil, err
		}
		want = with(want, o.Currency, o.Amount)
	}
	out := &ImportTakeOut{Taken: importSums(s, want, 1), Sums: importSums(s, st.Sums, 1)}
	if have, at, ok := takenBy(r, s, signer.DID(), in.code()); ok && slices.Equal(have, want) {
		out.Receipt = fact.Repeated(r, at)
		return out, nil
	}
	out.Receipt, err = a.write(ctx, call, op, host, r, s, note{kind: kindImportTake, body: body})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// owed lists what an account of the sums owes.
func owed(sums []sum) []debt {
	all := []debt{}
	for _, s := range sums {
		if s.Amount < 0 {
			all = append(all, debt{Currency: s.Code, Amount: -max(s.Amount, -math.MaxInt64)})
		}
	}
	return all
}

// takenBy returns what a member has taken over with an account, and where that stands.
func takenBy(r api.Reader, s *fact.Space, did api.DID, code string) (owes []sum, at api.Position, ok bool) {
	m, _, ok := s.Member(did)
	if !ok {
		return nil, at, false
	}
	from, _, _ := standing(r, s, s.Feed(fact.LedgerTopic, m.Device), m)
	b, at, ok := r.Own(from, rowTake(code))
	return getSums(b, ok), at, ok
}

// ImportLack is by how much a member has not taken over what an account of theirs would owe. Amounts are minor units.
type ImportLack struct {
	Account  api.DID `json:"account" doc:"import: and the code"`
	Owner    api.DID `json:"owner" doc:"the member"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Owed     int64   `json:"owed" doc:"what it would owe at most, on the way or in the end"`
	Taken    int64   `json:"taken" doc:"what the member has taken over; the clerk's node knows it since the account was bound last"`
}

func lack(s *fact.Space, code string, owner api.DID, currency string, sum, taken int64) ImportLack {
	c, _ := s.Currency(currency)
	return ImportLack{Account: importAccount(code), Owner: owner, Currency: currency, Scale: int(c.Scale), Owed: -max(sum, -math.MaxInt64), Taken: taken}
}

// lacksOf lists what an account owes beyond what its owner has taken over.
func lacksOf(s *fact.Space, code string, owner api.DID, sums, taken []sum) (all []ImportLack) {
	for _, x := range sums {
		if t := of(taken, x.Code); exceeds(x.Amount, t) {
			all = append(all, lack(s, code, owner, x.Code, x.Amount, t))
		}
	}
	return all
}

// maxLacks bounds how many are listed.
const maxLacks = 100

// floors follows what accounts that are bound come to with records that are still to be written, as the fold does.
type floors struct {
	r      api.Reader
	desk   *desk
	states map[string]importState
	lowest map[net]int64 // of those that would owe more than was taken over, without an amount
}

// enter follows one record.
func (w *floors) enter(moves []moved) {
	if w.states == nil {
		w.states, w.lowest = map[string]importState{}, map[net]int64{}
	}
	all, _ := nets(moves)
	for _, n := range all {
		st, known := w.states[n.code]
		if !known {
			st = stateOf(w.r, w.desk, n.code)
		}
		sum := of(st.Sums, n.currency)
		if addTo(&sum, n.amount) { // else the fold says so
			st.Sums = with(st.Sums, n.currency, sum)
		}
		w.states[n.code] = st
		if k := (net{code: n.code, currency: n.currency}); st.Account != "" && n.amount < 0 && exceeds(sum, of(st.Owes, n.currency)) {
			w.lowest[k] = min(w.lowest[k], sum)
		}
	}
}

func (w *floors) lacks(s *fact.Space) []ImportLack {
	all := []ImportLack{}
	for k, sum := range w.lowest {
		st := w.states[k.code]
		all = append(all, lack(s, k.code, st.Account, k.currency, sum, of(st.Owes, k.currency)))
	}
	slices.SortFunc(all, func(a, b ImportLack) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Currency, b.Currency))
	})
	return all[:min(len(all), maxLacks)]
}

// refuseLacks refuses what members have not taken over, of accounts that are theirs already, or are to be.
func refuseLacks(op, what string, bound bool, all []ImportLack) error {
	if len(all) == 0 {
		return nil
	}
	amount := func(n int64, l *ImportLack) string {
		return decimals(strconv.FormatInt(n, 10), uint8(l.Scale)) + " " + l.Currency
	}
	var says []error
	for i := range all[:min(len(all), toldProblems)] {
		l := &all[i]
		says = append(says, fmt.Errorf("%s would owe %s, and %s has taken over %s: %s too little",
			l.Account, amount(l.Owed, l), l.Owner, amount(l.Taken, l), amount(l.Owed-l.Taken, l)))
	}
	first := &all[0]
	code := strings.TrimPrefix(string(first.Account), importPrefix)
	out := notTaken(code, first.Owner, first.Currency, -first.Owed, first.Taken)
	out.Void.Text = fmt.Sprintf("%s: %v", what, errors.Join(says...))
	if bound {
		out.Void.Remedy = fmt.Sprintf("the member takes it over, icnctl ledger import take %[1]s --owes %[3]s --currency %[4]s, and you bind it again, icnctl ledger import bind %[1]s %[2]s; or release it with --release",
			code, first.Owner, decimals(strconv.FormatInt(first.Owed, 10), uint8(first.Scale)), first.Currency)
	}
	return api.Refusal(op, out.Void)
}
