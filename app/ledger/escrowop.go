package ledger

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// maxEscrow is how long something can be in escrow.
const maxEscrow = 5 * 366 * 24 * time.Hour

// escrowOperations are those of escrows.
func (a *App) escrowOperations() []api.Operation {
	write := func(name, path, cli, summary string) api.Operation {
		return api.Operation{
			Name: name, Method: http.MethodPost, Path: path, CLI: cli, Scope: "ledger:write", Write: true, Signs: api.SignsOne, Summary: summary,
		}
	}
	return []api.Operation{
		api.Handle(write("ledger.escrow.new", "/ledger/escrows", "ledger escrow new", "Put an amount in escrow for a member"), a.escrowNew),
		api.Handle(write("ledger.escrow.release", "/ledger/escrow/release", "ledger escrow release", "Release what you have put in escrow, wholly or in part"), a.escrowRelease),
		api.Handle(write("ledger.escrow.giveback", "/ledger/escrow/giveback", "ledger escrow giveback", "Give back what is in escrow for you, wholly or in part"), a.escrowGiveback),
		api.Handle(write("ledger.escrow.award", "/ledger/escrow/award", "ledger escrow award", "Say, as its arbiter, how much of an escrow its payee gets"), a.escrowAward),
		api.Handle(api.Operation{
			Name: "ledger.escrow.list", Kind: api.List, Method: http.MethodGet, Path: "/ledger/escrows", CLI: "ledger escrow list", Scope: "ledger:read",
			Summary: "List escrows, newest first, and what has become of them",
		}, a.escrowList),
		api.Handle(api.Operation{
			Name: "ledger.escrow.show", Method: http.MethodGet, Path: "/ledger/escrows/{id}", CLI: "ledger escrow show", Scope: "ledger:read",
			Summary: "Show an escrow and what has become of it",
		}, a.escrowShow),
	}
}

// EscrowIn is the input of ledger.escrow.new.
type EscrowIn struct {
	Space    api.Hash  `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Payee    api.DID   `json:"payee" doc:"DID of the member who is to be paid"`
	Currency string    `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64     `json:"amount" doc:"Minor units, more than 0" example:"150"`
	Arbiter  api.DID   `json:"arbiter,omitempty" doc:"DID of a member who may say how much the payee gets; default: nobody"`
	Expires  time.Time `json:"expires" doc:"When what is not decided goes one way, at most 5 years from now"`
	Then     string    `json:"then,omitempty" doc:"Who gets it then: payer or payee; default payer" enum:"payer,payee"`
	Memo     string    `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
	Category string    `json:"category,omitempty" doc:"For your books: at most 32 of a-z 0-9 -" example:"food"`
}

// Validate implements api.Validator.
func (in *EscrowIn) Validate() error {
	if err := checkDID("payee", in.Payee); err != nil {
		return err
	}
	if in.Arbiter != "" {
		if err := checkDID("arbiter", in.Arbiter); err != nil {
			return err
		}
	}
	return in.body().check()
}

func (in *EscrowIn) body() *escrow {
	return &escrow{
		Payee: in.Payee, Currency: in.Currency, Amount: in.Amount, Arbiter: in.Arbiter, Expires: in.Expires.UnixMilli(), Then: cmp.Or(in.Then, thenPayer),
		Memo: in.Memo, Category: in.Category,
	}
}

// EscrowOut is the output of the operations that write about an escrow.
type EscrowOut struct {
	Receipt api.Receipt `json:"receipt" doc:"repeated: it was done before"`
	Escrow  Escrow      `json:"escrow"`
}

// The states of an escrow.
const (
	escrowOpen     = "open"
	escrowExpired  = "expired"
	escrowDecided  = "decided"
	escrowSettled  = "settled"
	escrowNoEffect = "no-effect"
)

var escrowStates = []string{escrowOpen, escrowExpired, escrowDecided, escrowSettled}

// Escrow is an amount that is out of its payer's account and not in its payee's. Amounts are minor units.
type Escrow struct {
	ID       api.Hash  `json:"id"`
	Account  api.DID   `json:"account" doc:"on which it is: escrow: and the id"`
	Time     time.Time `json:"time" doc:"by the payer's clock"`
	Payer    api.DID   `json:"payer"`
	Payee    api.DID   `json:"payee"`
	Arbiter  api.DID   `json:"arbiter,omitempty" doc:"who may award it"`
	Currency string    `json:"currency"`
	Scale    int       `json:"scale"`
	Amount   int64     `json:"amount"`
	Memo     string    `json:"memo,omitempty"`
	Category string    `json:"category,omitempty"`
	Expires  time.Time `json:"expires"`
	Then     string    `json:"then" doc:"who gets at that time what is not decided: payer or payee"`
	Released int64     `json:"released,omitempty" doc:"what the payer has released to the payee"`
	Back     int64     `json:"back,omitempty" doc:"what the payee gives back"`
	Award    *int64    `json:"award,omitempty" doc:"what the arbiter has awarded to the payee"`
	State    string    `json:"state" doc:"open; expired: its date has come, by the clock of the node that shows it; decided: the clerk's node settles it as soon as what decides it is final; settled"`

	Settlement *Settlement `json:"settlement,omitempty"`
}

// Settlement is how an escrow was paid out. Amounts are minor units.
type Settlement struct {
	ID    api.Hash  `json:"id" doc:"of the record"`
	Time  time.Time `json:"time" doc:"by the clerk's clock"`
	Paid  int64     `json:"paid" doc:"to the payee"`
	Back  int64     `json:"back" doc:"to the payer"`
	Why   string    `json:"why" doc:"agreed, awarded or expired"`
	Final bool      `json:"final"`
}

// readEscrow reads an escrow and what has become of it.
func readEscrow(r api.Reader, s *fact.Space, now time.Time, id api.Hash) (Escrow, bool) {
	rec, v, ok := r.Lookup(id)
	var body escrow
	if !ok || !v.Accepted || v.Held || rec.Kind != kindEscrow || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}) || decode(rec.Body, &body) != nil {
		return Escrow{}, false
	}
	c, _ := s.Currency(body.Currency)
	e := Escrow{
		ID: id, Account: EscrowAccount(id), Time: rec.Time.Time(), Payer: rec.Author, Payee: body.Payee, Arbiter: body.Arbiter, Currency: body.Currency,
		Scale: int(c.Scale), Amount: body.Amount, Memo: body.Memo, Category: body.Category, Expires: time.UnixMilli(body.Expires).UTC(), Then: body.Then,
		State: escrowOpen,
	}
	for _, b := range r.Index(wordsKey(nil, s.ID, id), nil, false) {
		switch w := get[word](b, true); w.Kind {
		case kindRelease:
			e.Released = max(e.Released, w.Amount)
		case kindEscrowBack:
			e.Back = max(e.Back, w.Amount)
		case kindAward:
			e.Award = &w.Amount
		case kindSettle:
			e.Settlement = readSettlement(r, w.ID)
		}
	}
	switch {
	case e.Settlement != nil:
		e.State = escrowSettled
	case e.Released >= e.Amount-e.Back || e.Award != nil:
		e.State = escrowDecided
	case !now.Before(e.Expires):
		e.State = escrowExpired
	}
	return e, true
}

func readSettlement(r api.Reader, id api.Hash) *Settlement {
	rec, v, ok := r.Lookup(id)
	var body settlement
	if !ok || decode(rec.Body, &body) != nil {
		return nil
	}
	return &Settlement{ID: id, Time: rec.Time.Time(), Paid: body.Paid, Back: body.Back, Why: body.Why, Final: v.Final}
}

func (a *App) escrowNew(ctx context.Context, call *api.Call, in *EscrowIn) (*EscrowOut, error) {
	const op = "ledger.escrow.new"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body := in.body()
	if err := checkEscrow(op, s, signer.DID(), body, host.Now()); err != nil {
		return nil, err
	}
	p, ok := prepare(r, s, signer.DID(), body.Currency, body.Amount)
	if !ok {
		return nil, api.Refusal(op, stranger(s, signer.DID()))
	}
	if m, _, _ := s.Member(signer.DID()); m.Device != signer.Device() {
		return nil, api.Refusal(op, onPrimary(signer.Device(), m.Device))
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kindEscrow, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, explain(err, s, p.state(body.Currency)))
	}
	return a.escrowAfter(op, s.ID, rc.Position.ID, rc)
}

// checkEscrow checks an escrow that a member is about to make.
func checkEscrow(op string, s *fact.Space, payer api.DID, e *escrow, now time.Time) error {
	if err := checkCurrency(op, s, e.Currency); err != nil {
		return err
	}
	switch until := time.UnixMilli(e.Expires).Sub(now); {
	case e.Payee == payer:
		return api.Errorf(op, api.Invalid, "payee: this is your own account; name the member to pay")
	case e.Arbiter == payer:
		return api.Errorf(op, api.Invalid, "arbiter: this is you; name a member who is on neither side")
	case until <= 0 || until > maxEscrow:
		return api.Errorf(op, api.Invalid, "expires %s: want a time from now on, and within 5 years", time.UnixMilli(e.Expires).UTC().Format(time.RFC3339))
	}
	for _, did := range [...]api.DID{e.Payee, e.Arbiter} {
		if _, _, ok := s.Member(did); !ok && did != "" {
			return api.Refusal(op, stranger(s, did))
		}
	}
	return nil
}

// escrowAfter answers with what has become of an escrow.
func (a *App) escrowAfter(op string, space, id api.Hash, rc api.Receipt) (*EscrowOut, error) {
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &EscrowOut{Receipt: rc, Escrow: Escrow{ID: id, Account: EscrowAccount(id), State: escrowNoEffect}}
	if e, ok := readEscrow(r, s, host.Now(), id); ok {
		out.Escrow = e
	}
	return out, nil
}

// EscrowPartIn is the input of ledger.escrow.release and ledger.escrow.giveback.
type EscrowPartIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the escrow, 64 hexadecimal digits: ledger.escrow.list lists them"`
	Amount int64    `json:"amount,omitempty" doc:"Minor units, in all: what was said before is part of it; default: all that is in escrow"`
}

// Validate implements api.Validator.
func (in *EscrowPartIn) Validate() error {
	if in.Amount < 0 {
		return fmt.Errorf("amount %d: want more than 0, or nothing for all", in.Amount)
	}
	return checkID("id", in.ID)
}

func (a *App) escrowRelease(ctx context.Context, call *api.Call, in *EscrowPartIn) (*EscrowOut, error) {
	return a.sayOfEscrow(ctx, call, "ledger.escrow.release", in.Space, in.ID, func(e *Escrow, me api.DID) (any, string, *api.Reason) {
		amount := cmp.Or(in.Amount, e.Amount)
		if e.Payer != me {
			return nil, "", notTheirs(e, "only its payer releases what is in escrow", e.Payer)
		}
		return &release{Escrow: e.ID, Amount: amount}, kindRelease, tooMuch(e, amount, e.Released)
	})
}

func (a *App) escrowGiveback(ctx context.Context, call *api.Call, in *EscrowPartIn) (*EscrowOut, error) {
	return a.sayOfEscrow(ctx, call, "ledger.escrow.giveback", in.Space, in.ID, func(e *Escrow, me api.DID) (any, string, *api.Reason) {
		amount := cmp.Or(in.Amount, e.Amount)
		if e.Payee != me {
			return nil, "", notTheirs(e, "only its payee gives back what is in escrow", e.Payee)
		}
		return &escrowBack{Escrow: e.ID, Amount: amount}, kindEscrowBack, tooMuch(e, amount, e.Back)
	})
}

// EscrowAwardIn is the input of ledger.escrow.award.
type EscrowAwardIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the escrow, 64 hexadecimal digits: ledger.escrow.list lists them"`
	Amount int64    `json:"amount" doc:"What the payee gets, minor units, 0 or more; the rest goes back to the payer"`
	Reason string   `json:"reason,omitempty" doc:"Why, for both sides: at most 256 bytes, one line"`
}

// Validate implements api.Validator.
func (in *EscrowAwardIn) Validate() error {
	w := award{Escrow: in.ID, Amount: in.Amount, Reason: in.Reason}
	return w.check()
}

func (a *App) escrowAward(ctx context.Context, call *api.Call, in *EscrowAwardIn) (*EscrowOut, error) {
	return a.sayOfEscrow(ctx, call, "ledger.escrow.award", in.Space, in.ID, func(e *Escrow, me api.DID) (any, string, *api.Reason) {
		switch {
		case e.Arbiter != me:
			return nil, "", notTheirs(e, "only its arbiter awards what is in escrow", cmp.Or(e.Arbiter, e.Payer))
		case e.Award != nil && *e.Award != in.Amount:
			return nil, "", &api.Reason{
				Domain: Domain, Rule: "already-awarded", Text: "an award is made once", Inputs: map[string]string{"escrow": e.ID.String(), "awarded": strconv.FormatInt(*e.Award, 10)},
			}
		}
		return &award{Escrow: e.ID, Amount: in.Amount, Reason: in.Reason}, kindAward, tooMuch(e, in.Amount, 0)
	})
}

func notTheirs(e *Escrow, text string, who api.DID) *api.Reason {
	return &api.Reason{Domain: Domain, Rule: "no-escrow", Text: text, Inputs: map[string]string{"escrow": e.ID.String(), "who": string(who)}, Remedy: "ask " + string(who)}
}

func tooMuch(e *Escrow, amount, had int64) *api.Reason {
	if amount <= e.Amount && amount >= had {
		return nil
	}
	out := notMore(amount, had, e.Amount)
	out.Void.Text = fmt.Sprintf("%s %s is not between what was said before, %s, and what is in escrow, %s",
		decimals(strconv.FormatInt(amount, 10), uint8(e.Scale)), e.Currency, decimals(strconv.FormatInt(had, 10), uint8(e.Scale)), decimals(strconv.FormatInt(e.Amount, 10), uint8(e.Scale)))
	return out.Void
}

// sayOfEscrow writes what one side, or the arbiter, says about an escrow that is not settled; what was said before is the answer to who says it again.
func (a *App) sayOfEscrow(
	ctx context.Context, call *api.Call, op string, space, id api.Hash, say func(*Escrow, api.DID) (any, string, *api.Reason),
) (*EscrowOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, id)
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, ok := readEscrow(r, s, host.Now(), id)
	if !ok {
		return nil, noSuchEscrow(op, s, id)
	}
	body, kind, why := say(&e, signer.DID())
	if why != nil {
		return nil, api.Refusal(op, why)
	}
	for _, b := range r.Index(wordsKey(nil, s.ID, id), nil, false) {
		w := get[word](b, true)
		rec, _, ok := r.Lookup(w.ID)
		if ok && w.Kind == kind && w.Amount == amountOf(body) {
			return &EscrowOut{Receipt: fact.Repeated(r, rec.Position()), Escrow: e}, nil
		}
	}
	if e.State == escrowSettled {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "already-settled", Text: "the escrow was settled before: " + e.Settlement.Why,
			Inputs: map[string]string{"escrow": id.String(), "by": e.Settlement.ID.String()},
		})
	}
	n := note{kind: kind, body: body}
	if rec, v, ok := r.Lookup(id); ok {
		if n.cite, err = answered(op, rec, v, signer.DID()); err != nil {
			return nil, err
		}
	}
	rc, err := a.write(ctx, call, op, host, r, s, n)
	if err != nil {
		return nil, err
	}
	return a.escrowAfter(op, s.ID, id, rc)
}

func amountOf(body any) int64 {
	switch b := body.(type) {
	case *release:
		return b.Amount
	case *escrowBack:
		return b.Amount
	case *award:
		return b.Amount
	}
	return -1
}

func noSuchEscrow(op string, s *fact.Space, id api.Hash) error {
	return api.Errorf(op, api.NotFound, "id: the ledger of %s has no escrow %s here (yet); icnctl ledger escrow list lists them", s.Genesis.Name, id)
}

// EscrowsIn is the input of ledger.escrow.list.
type EscrowsIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did,omitempty" doc:"DID of a side or arbiter; default: your own"`
	State  string   `json:"state,omitempty" doc:"Only those that are open, expired, decided or settled"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *EscrowsIn) Validate() error {
	if in.DID != "" {
		if err := checkDID("did", in.DID); err != nil {
			return err
		}
	}
	if in.State != "" && !slices.Contains(escrowStates, in.State) {
		return fmt.Errorf("state %q: want one of %v", clip(in.State), escrowStates)
	}
	return checkPlaces(in.Cursor, in.Limit)
}

// EscrowsOut is the output of ledger.escrow.list.
type EscrowsOut struct {
	Escrows []Escrow `json:"escrows"`
	Cursor  string   `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

func (a *App) escrowList(_ context.Context, call *api.Call, in *EscrowsIn) (*EscrowsOut, error) {
	const op = "ledger.escrow.list"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &EscrowsOut{Escrows: []Escrow{}}
	out.Cursor, err = newest(r, didKey(nil, indexEscrows, s.ID, cmp.Or(in.DID, call.Actor)), in.Cursor, page(in.Limit), maxScan, func(_, id []byte) bool {
		e, ok := readEscrow(r, s, host.Now(), api.Hash(id))
		if ok = ok && (in.State == "" || e.State == in.State); ok {
			out.Escrows = append(out.Escrows, e)
		}
		return ok
	})
	return out, api.Wrap(op, err)
}

// EscrowShowIn is the input of ledger.escrow.show.
type EscrowShowIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of the escrow, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *EscrowShowIn) Validate() error { return checkID("id", in.ID) }

// EscrowShowOut is the output of ledger.escrow.show.
type EscrowShowOut struct {
	Escrow Escrow `json:"escrow"`
}

func (a *App) escrowShow(_ context.Context, _ *api.Call, in *EscrowShowIn) (*EscrowShowOut, error) {
	const op = "ledger.escrow.show"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, ok := readEscrow(r, s, host.Now(), in.ID)
	if !ok {
		return nil, noSuchEscrow(op, s, in.ID)
	}
	return &EscrowShowOut{Escrow: e}, nil
}

// escrowBalance is the account of an escrow, which nobody spends from.
func escrowBalance(op string, r api.Reader, s *fact.Space, id api.Hash) (*BalanceOut, error) {
	e, ok := readEscrow(r, s, time.Time{}, id)
	if !ok {
		return nil, noSuchEscrow(op, s, id)
	}
	n := r.Counter(balanceKey(nil, s.ID, e.Currency, e.Account))
	return &BalanceOut{DID: e.Account, Balances: []Balance{{Currency: e.Currency, Scale: e.Scale, Balance: n}}}, nil
}
