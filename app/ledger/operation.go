package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return slices.Concat(a.treasuryOperations(), a.escrowOperations(), a.disputeOperations(), a.importOperations(), a.mandateOperations(), a.reportOperations(), a.creditOperations(), []api.Operation{
		api.Handle(api.Operation{
			Name: "ledger.transfer", Method: http.MethodPost, Path: "/ledger/transfer", CLI: "ledger transfer", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Pay a member",
		}, a.transfer),
		api.Handle(api.Operation{
			Name: "ledger.balance", Method: http.MethodGet, Path: "/ledger/balance/{did}", CLI: "ledger balance", Scope: "ledger:read",
			Summary: "Show an account's balances and limits",
		}, a.balance),
		api.Handle(api.Operation{
			Name: "ledger.history", Kind: api.List, Method: http.MethodGet, Path: "/ledger/history", CLI: "ledger history", Scope: "ledger:read",
			Summary: "List an account's transfers, newest first",
		}, a.history),
		api.Handle(api.Operation{
			Name: "ledger.statement", Kind: api.List, Method: http.MethodGet, Path: "/ledger/statement", CLI: "ledger statement", Scope: "ledger:read",
			Summary: "State an account over a period, or with all the accounts of the space what each comes to",
		}, a.statement),
		api.HandleStream(api.Operation{
			Name: "ledger.export", Method: http.MethodGet, Path: "/ledger/export", CLI: "ledger export", Scope: "ledger:read",
			Summary: "Write an account, or all of the space, over a period as a file for other programs",
		}, a.export),
		api.HandleStream(api.Operation{
			Name: "ledger.audit", Method: http.MethodGet, Path: "/ledger/audit", CLI: "audit export", Scope: "ledger:read", Access: api.AccessHere,
			Summary: "Write an auditor's envelope: all exports of a space with the signed records that they come from, under your signature",
		}, a.audit),
		api.HandleStream(api.Operation{
			Name: "ledger.receipt", Method: http.MethodGet, Path: "/ledger/receipt", CLI: "ledger receipt make", Scope: "ledger:read", Access: api.AccessHere,
			Summary: "Write a receipt that proves, offline, that a payment is final, or what an account's balance was at a checkpoint",
		}, a.receipt),
		api.Handle(api.Operation{
			Name: "ledger.void", Kind: api.List, Method: http.MethodGet, Path: "/ledger/void", CLI: "ledger void", Scope: "ledger:read",
			Summary: "List the records that have no effect, and why",
		}, a.voids),
		api.Handle(api.Operation{
			Name: "ledger.retry", Method: http.MethodPost, Path: "/ledger/retry", CLI: "ledger retry", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Make a payment of your own that has no effect again, once",
		}, a.retry),
		api.Handle(api.Operation{
			Name: "ledger.request", Method: http.MethodPost, Path: "/ledger/request", CLI: "ledger request", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Ask a member to pay you",
		}, a.request),
		api.Handle(api.Operation{
			Name: "ledger.requests", Kind: api.List, Method: http.MethodGet, Path: "/ledger/requests", CLI: "ledger requests", Scope: "ledger:read",
			Summary: "List requests for payments, newest first, and what has become of them",
		}, a.requests),
		api.Handle(api.Operation{
			Name: "ledger.approve", Method: http.MethodPost, Path: "/ledger/approve", CLI: "ledger approve", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Pay what a member has asked you for, once",
		}, a.approve),
		api.Handle(api.Operation{
			Name: "ledger.decline", Method: http.MethodPost, Path: "/ledger/decline", CLI: "ledger decline", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Refuse to pay what a member has asked you for",
		}, a.decline),
		api.Handle(api.Operation{
			Name: "ledger.cancel", Method: http.MethodPost, Path: "/ledger/cancel", CLI: "ledger cancel", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Take back a request of your own",
		}, a.cancel),
		api.Handle(api.Operation{
			Name: "ledger.reverse", Method: http.MethodPost, Path: "/ledger/reverse", CLI: "ledger reverse", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Give back a payment that was made to you, wholly or in part",
		}, a.reverse),
		api.Handle(api.Operation{
			Name: "ledger.batch", Method: http.MethodPost, Path: "/ledger/batch", CLI: "ledger batch", Scope: "ledger:write", Write: true,
			Signs: api.SignsSeveral, Summary: "Pay a list of members, once; or say first what that would do",
		}, a.batch),
		api.Handle(api.Operation{
			Name: "ledger.order.new", Method: http.MethodPost, Path: "/ledger/order", CLI: "ledger order new", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Give a standing order: your node pays it at regular times",
		}, a.order),
		api.Handle(api.Operation{
			Name: "ledger.orders", Method: http.MethodGet, Path: "/ledger/orders", CLI: "ledger order list", Scope: "ledger:read",
			Summary: "List standing orders: what is paid, what is due, and why it is not paid",
		}, a.orders),
		api.Handle(api.Operation{
			Name: "ledger.order.pay", Method: http.MethodPost, Path: "/ledger/order/pay", CLI: "ledger order pay", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Pay what is due of a standing order of yours, once",
		}, a.orderPay),
		api.Handle(api.Operation{
			Name: "ledger.order.end", Method: http.MethodPost, Path: "/ledger/order/end", CLI: "ledger order end", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "End a standing order of yours",
		}, a.orderEnd),
		api.Handle(api.Operation{
			Name: "ledger.uri.make", Method: http.MethodGet, Path: "/ledger/uri", CLI: "ledger uri make", Scope: "ledger:read",
			Summary: "Make a payment link, for a QR code or a message",
		}, a.makeURI),
		api.Handle(api.Operation{
			Name: "ledger.uri.read", Method: http.MethodGet, Path: "/ledger/uri/read", CLI: "ledger uri read", Scope: "ledger:read",
			Summary: "Read and check a payment link",
		}, a.readURI),
		api.Handle(api.Operation{
			Name: "ledger.grant", Method: http.MethodPost, Path: "/ledger/grant", CLI: "ledger grant", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Set an account's credit limit",
		}, a.grant),
		api.Handle(api.Operation{
			Name: "ledger.allot", Method: http.MethodPost, Path: "/ledger/allot", CLI: "ledger allot", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Set an amount aside for another of your devices to spend",
		}, a.allot),
		api.Handle(api.Operation{
			Name: "ledger.return", Method: http.MethodPost, Path: "/ledger/return", CLI: "ledger return", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Give back what is left of this device's allotments",
		}, a.giveBack),
		api.Handle(api.Operation{
			Name: "ledger.allotments", Method: http.MethodGet, Path: "/ledger/allotments/{did}", CLI: "ledger allotments", Scope: "ledger:read",
			Summary: "Show what an account has set aside for other devices, and what is left of it",
		}, a.allotments),
		api.Handle(api.Operation{
			Name: "ledger.freeze", Method: http.MethodPost, Path: "/ledger/freeze", CLI: "ledger freeze", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Stop an account from spending, or let it spend again",
		}, a.freeze),
		api.Handle(api.Operation{
			Name: "ledger.freezes", Method: http.MethodGet, Path: "/ledger/freezes", CLI: "ledger freezes", Scope: "ledger:read",
			Summary: "List the accounts that are frozen, why and until when",
		}, a.freezes),
		api.Handle(api.Operation{
			Name: "ledger.schedule", Method: http.MethodPost, Path: "/ledger/schedules", CLI: "ledger schedule", Scope: "ledger:grant", Write: true,
			Signs: api.SignsOne, Summary: "Say what accounts are charged by period: dues, levies, demurrage",
		}, a.schedule),
		api.Handle(api.Operation{
			Name: "ledger.schedules", Method: http.MethodGet, Path: "/ledger/schedules", CLI: "ledger schedules", Scope: "ledger:read",
			Summary: "Show what accounts are charged, and when next",
		}, a.schedules),
		api.Handle(api.Operation{
			Name: "ledger.charge", Method: http.MethodPost, Path: "/ledger/charge", CLI: "ledger charge", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Charge accounts for the oldest period of a schedule that is due, which the clerk's node also does by itself",
		}, a.charge),
		api.Handle(api.Operation{
			Name: "ledger.verify", Method: http.MethodGet, Path: "/ledger/verify", CLI: "ledger verify", Scope: "ledger:read",
			Summary: "Check that the books balance",
		}, a.verify),
	})
}

// TransferIn is the input of ledger.transfer.
type TransferIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the member to pay, or office:treasury for the space's own account"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount" doc:"Minor units, more than 0" example:"150"`
	Memo     string   `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
	Category string   `json:"category,omitempty" doc:"For your books: at most 32 of a-z 0-9 -" example:"food"`
	For      string   `json:"for,omitempty" doc:"What it pays, once: request:ID of a request to you, or refund:ID of a payment to you that you give back"`
}

// Validate implements api.Validator.
func (in *TransferIn) Validate() error {
	if in.To != fact.TreasuryAccount {
		if err := checkDID("to", in.To); err != nil {
			return err
		}
	}
	t, err := in.body()
	if err != nil {
		return err
	}
	return t.check()
}

// Measure implements api.Measured.
func (in *TransferIn) Measure() (api.Topic, string, int64) {
	return api.Topic{Space: in.Space, Name: fact.LedgerTopic}, in.Currency, in.Amount
}

// body is what the input says; where a refund's payment stands is looked up later.
func (in *TransferIn) body() (transfer, error) {
	t := transfer{To: in.To, Currency: in.Currency, Amount: in.Amount, Memo: in.Memo, Category: in.Category}
	if in.For == "" {
		return t, nil
	}
	what, id, _ := strings.Cut(in.For, ":")
	h, err := api.ParseHash(id)
	switch {
	case err != nil:
	case what == whats[forRequest]:
		t.For = []purpose{{What: forRequest, ID: h}}
		return t, nil
	case what == whats[forRefund]:
		t.For = []purpose{{What: forRefund, ID: h, N: 1}}
		return t, nil
	}
	return t, fmt.Errorf("for %q: want request: or refund: and the id of a record, 64 hexadecimal digits", clip(in.For))
}

// checkDID looks at the spelling: what has no usable key is no member's, and found to be none.
func checkDID(field string, did api.DID) error {
	if did == "" {
		return fmt.Errorf("%s: missing; want did:icn: and a key", field)
	}
	if _, err := record.SpellDID(string(did)); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// TransferOut is the output of ledger.transfer. Amounts are minor units.
type TransferOut struct {
	Receipt   api.Receipt `json:"receipt"`
	Balance   int64       `json:"balance"`
	Available int64       `json:"available"`
	Gift      bool        `json:"gift,omitempty" doc:"a gift currency: balance and available are 0"`
	Warning   string      `json:"warning,omitempty" doc:"the account has come close to its limit: see soft in ledger.balance"`
}

// paidOut returns the receipt of a payment with what its payer has now.
func paidOut(r api.Reader, s *fact.Space, did api.DID, code string, rc api.Receipt) *TransferOut {
	out := &TransferOut{Receipt: rc}
	if c, _ := s.Currency(code); c.Gift() {
		out.Gift = true
		return out
	}
	out.Balance = r.Counter(balanceKey(nil, s.ID, code, did))
	if p, ok := prepareMost(r, s, did, code); ok {
		out.Available = p.state(code).available()
		_, out.Warning = soften(r, s, p.state(code), out.Balance)
	}
	return out
}

func (a *App) transfer(ctx context.Context, call *api.Call, in *TransferIn) (*TransferOut, error) {
	const op = "ledger.transfer"
	if _, err := call.SignerFor(op); err != nil {
		return nil, err
	}
	body, err := in.body()
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	for _, p := range body.For {
		a.awaitFinal(ctx, call, p.ID)
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return a.pay(ctx, call, op, host, r, s, &body)
}

// pay makes a payment of the call's signer, from the account or from what is set aside for the device.
func (a *App) pay(ctx context.Context, call *api.Call, op string, host api.Host, r api.Reader, s *fact.Space, t *transfer) (*TransferOut, error) {
	signer := call.Signer
	if err := checkCurrency(op, s, t.Currency); err != nil {
		return nil, err
	}
	if t.To == signer.DID() {
		return nil, api.Errorf(op, api.Invalid, "to: this is your own account; name the member to pay")
	}
	if !receives(s, t.To) {
		why := stranger(s, t.To)
		if why.Rule == "removed" {
			return nil, api.Refusal(op, why)
		}
		why.Rule, why.Remedy = "unknown-recipient", "check the DID for a typing error (icnctl member list); who is not a member yet can be invited"
		return nil, api.Refusal(op, why)
	}
	cites, err := citations(op, r, s, signer.DID(), t.For)
	if err != nil {
		return nil, err
	}
	p, ok := prepare(r, s, signer.DID(), t.Currency, t.Amount)
	if !ok {
		return nil, api.Refusal(op, stranger(s, signer.DID()))
	}
	if p.feed != s.Feed(fact.LedgerTopic, signer.Device()) {
		return a.spend(ctx, call, op, host, r, s, t)
	}
	p.deps = fact.Deps(append(p.deps, cites...))
	rc, err := host.Append(ctx, signer, p.draft(s, kindTransfer, t, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, explain(err, s, p.state(t.Currency)))
	}
	now := host.Read()
	defer now.Close()
	if after, ok := fact.Open(now, s.ID); ok {
		s = after
	}
	return paidOut(now, s, signer.DID(), t.Currency, rc), nil
}

// receives reports whether an account can be paid.
func receives(s *fact.Space, account api.DID) bool {
	if account == fact.TreasuryAccount {
		_, ok := s.Office(fact.Treasury)
		return ok
	}
	_, _, ok := s.Member(account)
	return ok
}

// explain adds to the refusal of an overdraft what only this node knows.
func explain(err error, s *fact.Space, st *state) error {
	why := api.ReasonOf(err)
	if why == nil || why.Rule != "over-limit" || st == nil {
		return err
	}
	return api.Refusal("", advise(why, s, st))
}

// advise says the reason of an overdraft in the decimals that people type, and adds whom to ask and what is on its way.
func advise(why *api.Reason, s *fact.Space, st *state) *api.Reason {
	more := *why
	more.Text = fmt.Sprintf("%s %s is more than the %s that may be spent: %s are missing", decimals(why.Inputs["amount"], st.scale), st.code,
		decimals(why.Inputs["available"], st.scale), decimals(why.Inputs["short_by"], st.scale))
	more.Inputs = maps.Clone(why.Inputs)
	more.Inputs["limit_by"] = st.limits.why(st.scale)
	var remedies []string
	if o, ok := s.Office(fact.Clerk); ok {
		more.Inputs["clerk"] = string(o.DID)
		remedies = append(remedies, "the clerk ("+string(o.DID)+") can grant a higher limit")
	}
	if waiting := st.due - st.gained; waiting > 0 {
		more.Inputs["unacknowledged"] = strconv.FormatInt(waiting, 10)
		remedies = append(remedies, fmt.Sprintf("%d minor units paid to you count once they are final and acknowledged", waiting))
	}
	if len(remedies) > 0 {
		more.Remedy = strings.Join(remedies, "; ")
	}
	return &more
}

// decimals writes minor units, given in digits, with a point before the last scale of them.
func decimals(minor string, scale uint8) string {
	n := int(scale)
	if n == 0 {
		return minor
	}
	minor, negative := strings.CutPrefix(minor, "-")
	minor = strings.Repeat("0", max(0, n+1-len(minor))) + minor
	minor = minor[:len(minor)-n] + "." + minor[len(minor)-n:]
	if negative {
		return "-" + minor
	}
	return minor
}

func checkCurrency(op string, s *fact.Space, code string) error {
	if !slices.Contains(s.Genesis.Currencies, code) {
		return api.Errorf(op, api.Invalid, "currency %q: %s has %s", clip(code), s.Genesis.Name, strings.Join(s.Genesis.Currencies, ", "))
	}
	return nil
}

// GrantIn is the input of ledger.grant.
type GrantIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the account"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Limit    int64    `json:"limit" doc:"How far the account may go below zero, minor units, 0 or more; policies leave it alone then" example:"10000"`
}

// Validate implements api.Validator.
func (in *GrantIn) Validate() error {
	switch err := checkDID("to", in.To); {
	case err != nil:
		return err
	case !isCode(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	case in.Limit < 0:
		return fmt.Errorf("limit %d: want 0 or more", in.Limit)
	}
	return nil
}

// GrantOut is the output of ledger.grant, ledger.regrade and ledger.freeze. Number counts the grants for this account and currency.
type GrantOut struct {
	Receipt api.Receipt `json:"receipt"`
	Number  uint64      `json:"number"`
	Limit   int64       `json:"limit" doc:"that holds now, minor units"`
	Cut     string      `json:"cut,omitempty" doc:"for what lessens: under-way when the account's feed is being cut, so that it binds even who does not look; by-registrar when the registrar's node will do that; waits when an earlier cut of the feed has to be made first"`
}

// FreezeIn is the input of ledger.freeze.
type FreezeIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the account"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Lift     bool     `json:"lift,omitempty" doc:"Let the account spend again"`

	Until  time.Time `json:"until,omitzero" doc:"When the clerk's node lifts it by itself, at most 5 years from now; default: never"`
	Reason string    `json:"reason,omitempty" doc:"Why, at most 256 bytes, one line; every member can read it"`
}

// Validate implements api.Validator.
func (in *FreezeIn) Validate() error {
	if in.Lift && (in.Reason != "" || !in.Until.IsZero()) {
		return errors.New("lift: want no reason and no end with it")
	}
	g := GrantIn{To: in.To, Currency: in.Currency}
	return cmp.Or(g.Validate(), checkLine("reason", in.Reason))
}

func (a *App) grant(ctx context.Context, call *api.Call, in *GrantIn) (*GrantOut, error) {
	return a.regrant(ctx, call, "ledger.grant", in.Space, in.To, in.Currency, func(_ api.Reader, _ *fact.Space, l *limits) error {
		l.Limit, l.ByHand, l.Policy, l.Terms = in.Limit, true, 0, nil
		return nil
	})
}

var errCursor = errors.New("cursor: not one that this operation gave")
