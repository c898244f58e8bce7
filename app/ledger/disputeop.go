package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Deadlines of disputes: until when an answer is asked for.
const (
	answerWithin = 14 * 24 * time.Hour
	maxDeadline  = 366 * 24 * time.Hour
)

// maxSayings bounds what is shown of one dispute.
const maxSayings = 500

// disputeOperations are those of disputes.
func (a *App) disputeOperations() []api.Operation {
	write := func(verb, summary string) api.Operation {
		return api.Operation{
			Name: "ledger.dispute." + verb, Method: http.MethodPost, Path: "/ledger/dispute/" + verb, CLI: "ledger dispute " + verb, Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: summary,
		}
	}
	return []api.Operation{
		api.Handle(write("file", "Dispute a payment or an escrow"), a.disputeFile),
		api.Handle(write("say", "Say something in a dispute: evidence, an answer, that you mediate, withdraw, and so on"), a.disputeSay),
		api.Handle(write("mediator", "Agree to a mediator, be bound by what one awards, or as registrar name one"), a.disputeMediator),
		api.Handle(write("offer", "Offer how much the claimant gets"), a.disputeOffer),
		api.Handle(write("accept", "Accept an offer"), a.disputeAccept),
		api.Handle(write("award", "Say, as its mediator, how much the claimant gets"), a.disputeAward),
		api.Handle(write("uphold", "Say that a claim is right: once more than half of all members do, the payment is undone"), a.disputeUphold),
		api.Handle(api.Operation{
			Name: "ledger.dispute.list", Kind: api.List, Method: http.MethodGet, Path: "/ledger/disputes", CLI: "ledger dispute list", Scope: "ledger:read",
			Summary: "List disputes, newest first, and what they have come to",
		}, a.disputeList),
		api.Handle(api.Operation{
			Name: "ledger.dispute.show", Method: http.MethodGet, Path: "/ledger/disputes/{id}", CLI: "ledger dispute show", Scope: "ledger:read",
			Summary: "Show a dispute and all that was said in it",
		}, a.disputeShow),
	}
}

// The states of a dispute.
const (
	disputeOpen      = "open"
	disputeOverdue   = "unanswered"
	disputeAnswered  = "answered"
	disputeEscalated = "escalated"
	disputeAgreed    = "agreed"
	disputeAwarded   = "awarded"
	disputeUpheld    = "upheld"
	disputeDone      = "redressed"
	disputeWithdrawn = "withdrawn"
	disputeWritten   = "written-off"
	disputeSettled   = "settled"
)

var disputeStates = []string{
	disputeOpen, disputeOverdue, disputeAnswered, disputeEscalated, disputeAgreed, disputeAwarded, disputeUpheld, disputeDone, disputeWithdrawn, disputeWritten, disputeSettled,
}

// endings are the states in which there is no claim any more.
var endings = []string{disputeWithdrawn, disputeWritten, disputeSettled}

// Dispute is what somebody claims from somebody, and what has come of it. Amounts are minor units.
type Dispute struct {
	ID       api.Hash   `json:"id"`
	Time     time.Time  `json:"time" doc:"by the claimant's clock"`
	About    api.Hash   `json:"about" doc:"record of a payment or an escrow"`
	Escrow   bool       `json:"escrow,omitempty" doc:"it is about an escrow"`
	Claimant api.DID    `json:"claimant"`
	Against  api.DID    `json:"against"`
	Currency string     `json:"currency"`
	Scale    int        `json:"scale"`
	Amount   int64      `json:"amount" doc:"what the claimant wants to have of it"`
	Reason   string     `json:"reason"`
	Evidence []api.Hash `json:"evidence,omitempty" doc:"digests of files: blob.get has those that a node has"`
	Deadline time.Time  `json:"deadline" doc:"until when an answer is asked for; it decides nothing"`
	Mediator api.DID    `json:"mediator,omitempty" doc:"on whom both sides agree, or whom the registrar has named"`
	Mediates bool       `json:"mediates,omitempty" doc:"the mediator has said so"`
	Bound    []api.DID  `json:"bound,omitempty" doc:"the sides that have bound themselves to what the mediator awards"`
	State    string     `json:"state" doc:"open, unanswered (the deadline is past), answered, escalated, agreed, awarded or upheld (the clerk's node carries it out), awarded without both sides being bound (nobody is made to pay), redressed, withdrawn, written-off or settled"`
	Upheld   []api.DID  `json:"upheld,omitempty" doc:"the members who say that the claim is right, at most 500; more than half of all members decide"`
	Members  int        `json:"members,omitempty" doc:"how many members there are"`
	Comes    *int64     `json:"comes_to,omitempty" doc:"what the claimant gets, where that is agreed, awarded or upheld"`
	Binding  bool       `json:"binding,omitempty" doc:"it is carried out without anybody else's consent"`
	By       api.Hash   `json:"by,omitzero" doc:"the record that has carried it out"`
}

// DisputeSaid is one thing that was said in a dispute.
type DisputeSaid struct {
	ID       api.Hash   `json:"id" doc:"of the record"`
	Time     time.Time  `json:"time"`
	By       api.DID    `json:"by"`
	What     string     `json:"what" doc:"evidence, answer, escalate, mediate, refuse, withdraw, write-off, settled, mediator, bound, offer, accept, award, uphold, take-back or redress"`
	Text     string     `json:"text,omitempty"`
	Evidence []api.Hash `json:"evidence,omitempty"`
	Mediator api.DID    `json:"mediator,omitempty"`
	Offer    api.Hash   `json:"offer,omitzero" doc:"that is accepted"`
	Amount   *int64     `json:"amount,omitempty" doc:"of an offer, an award or a redress"`
	Final    bool       `json:"final"`
}

// readClaim reads what a record claims.
func readClaim(r api.Reader, s *fact.Space, id api.Hash) (complaint, bool) {
	rec, v, ok := r.Lookup(id)
	var body dispute
	if !ok || !v.Accepted || v.Held || rec.Kind != kindDispute || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}) || decode(rec.Body, &body) != nil {
		return complaint{}, false
	}
	return complaint{About: body.About, Claimant: rec.Author, Against: body.Against, Currency: body.Currency, Amount: body.Amount}, true
}

// readDispute reads a dispute, what was said in it, oldest first, and what it has come to.
func readDispute(r api.Reader, s *fact.Space, now time.Time, id api.Hash) (d Dispute, said []DisputeSaid, ok bool) {
	c, ok := readClaim(r, s, id)
	if !ok {
		return d, nil, false
	}
	rec, _, _ := r.Lookup(id)
	var body dispute
	if decode(rec.Body, &body) != nil {
		return d, nil, false
	}
	cur, _ := s.Currency(c.Currency)
	d = Dispute{
		ID: id, Time: rec.Time.Time(), About: c.About, Claimant: c.Claimant, Against: c.Against, Currency: c.Currency, Scale: int(cur.Scale), Amount: c.Amount,
		Reason: body.Reason, Evidence: body.Evidence, Deadline: time.UnixMilli(body.Deadline).UTC(), State: disputeOpen,
	}
	for _, b := range r.Index(wordsKey(nil, s.ID, id), nil, false) {
		if x, ok := readSaid(r, get[word](b, true)); ok {
			said = append(said, x)
		}
		if len(said) == maxSayings {
			break
		}
	}
	slices.SortStableFunc(said, func(a, b DisputeSaid) int { return cmp.Or(a.Time.Compare(b.Time), a.ID.Compare(b.ID)) })
	e, escrowed := readEscrow(r, s, now, c.About)
	d.Escrow = escrowed
	d.weigh(s, said)
	if !now.Before(d.Deadline) && d.State == disputeOpen {
		d.State = disputeOverdue
	}
	if escrowed && e.Settlement != nil && d.Binding {
		d.State, d.By = disputeDone, e.Settlement.ID
	}
	d.count(r, s, &c)
	return d, said, true
}

// readSaid reads one thing that was said.
func readSaid(r api.Reader, w word) (x DisputeSaid, ok bool) {
	rec, v, ok := r.Lookup(w.ID)
	if !ok || !v.Accepted || v.Held {
		return x, false
	}
	x = DisputeSaid{ID: rec.ID, Time: rec.Time.Time(), By: rec.Author, Final: v.Final, Amount: &w.Amount}
	switch rec.Kind {
	case kindSay:
		var b saying
		ok = decode(rec.Body, &b) == nil
		x.What, x.Text, x.Evidence, x.Amount = b.What, b.Text, b.Evidence, nil
	case kindBind:
		var b binding
		ok = decode(rec.Body, &b) == nil
		x.What, x.Mediator, x.Amount = "mediator", b.Mediator, nil
		if b.Bound {
			x.What = "bound"
		}
	case kindOffer:
		var b offer
		ok = decode(rec.Body, &b) == nil
		x.What, x.Text = "offer", b.Text
	case kindAccept:
		var b acceptance
		ok = decode(rec.Body, &b) == nil
		x.What, x.Offer = "accept", b.Offer
	case kindJudge:
		var b judgement
		ok = decode(rec.Body, &b) == nil
		x.What, x.Text = "award", b.Reason
	case kindUphold:
		var b upholding
		ok = decode(rec.Body, &b) == nil
		x.What, x.Amount = "uphold", nil
		if b.Back {
			x.What = "take-back"
		}
	case kindRedress:
		x.What = "redress"
	}
	return x, ok
}

// weigh says what has come of a dispute by what was said in it.
func (d *Dispute) weigh(s *fact.Space, said []DisputeSaid) {
	registrar, _ := s.Office(fact.Registrar)
	for _, x := range said { // whom the registrar names is mediator until both sides agree on somebody else
		if x.Mediator != "" && x.By == registrar.DID && x.By != d.Claimant && x.By != d.Against {
			d.Mediator = x.Mediator
		}
	}
	mediators, deals, bound := map[api.DID]api.DID{}, map[api.DID]api.Hash{}, map[api.DID]api.DID{}
	offers := map[api.Hash]int64{}
	for _, x := range said {
		side := x.By == d.Claimant || x.By == d.Against
		switch {
		case x.What == "offer":
			offers[x.ID] = *x.Amount
			if side {
				deals[x.By] = x.ID
			}
		case x.What == "accept":
			deals[x.By] = x.Offer
		case x.Mediator != "" && side:
			if mediators[x.By] = x.Mediator; x.What == "bound" {
				bound[x.By] = x.Mediator
			}
		}
	}
	if m := mediators[d.Claimant]; m != "" && m == mediators[d.Against] {
		d.Mediator = m
	}
	for _, did := range [...]api.DID{d.Claimant, d.Against} {
		if m := bound[did]; m != "" && m == d.Mediator {
			d.Bound = append(d.Bound, did)
		}
	}
	for _, x := range said {
		switch {
		case x.What == sayMediate && x.By == d.Mediator:
			d.Mediates = true
		case x.What == sayAnswer:
			d.State = disputeAnswered
		case x.What == sayEscalate:
			d.State = disputeEscalated
		}
	}
	for _, x := range said {
		if x.What == "award" && x.By == d.Mediator {
			d.State, d.Comes, d.Binding = disputeAwarded, x.Amount, len(d.Bound) == 2
		}
	}
	if o := deals[d.Claimant]; !o.IsZero() && o == deals[d.Against] {
		n := offers[o]
		d.State, d.Comes, d.Binding = disputeAgreed, &n, true
	}
	for _, x := range said {
		switch x.What {
		case sayWithdraw:
			d.State = disputeWithdrawn
		case sayWriteOff:
			d.State = disputeWritten
		case saySettled:
			d.State = disputeSettled
		case "redress":
			d.State, d.By = disputeDone, x.ID
			return
		}
	}
}

// DisputeOut is the output of the operations that write about a dispute.
type DisputeOut struct {
	Receipt api.Receipt `json:"receipt"`
	Dispute Dispute     `json:"dispute"`
}

// DisputeFileIn is the input of ledger.dispute.file.
type DisputeFileIn struct {
	Space    api.Hash   `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	About    api.Hash   `json:"about" doc:"Id of a payment or an escrow in which you are one side"`
	Against  api.DID    `json:"against" doc:"DID of the other side"`
	Currency string     `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64      `json:"amount" doc:"What you want to have of it: minor units, more than 0" example:"150"`
	Reason   string     `json:"reason" doc:"Why, at most 4096 bytes; every member can read it"`
	Deadline time.Time  `json:"deadline,omitzero" doc:"Until when you ask for an answer; default: in 14 days"`
	Evidence []api.Hash `json:"evidence,omitempty" doc:"Digests of files, at most 8: blob.add gives them"`
}

// Validate implements api.Validator.
func (in *DisputeFileIn) Validate() error {
	if err := checkDID("against", in.Against); err != nil {
		return err
	}
	return in.body(time.Unix(1, 0)).check()
}

func (in *DisputeFileIn) body(now time.Time) *dispute {
	until := in.Deadline
	if until.IsZero() {
		until = now.Add(answerWithin)
	}
	return &dispute{
		About: in.About, Against: in.Against, Currency: in.Currency, Amount: in.Amount, Reason: in.Reason, Deadline: until.UnixMilli(), Evidence: in.Evidence,
	}
}

func (a *App) disputeFile(ctx context.Context, call *api.Call, in *DisputeFileIn) (*DisputeOut, error) {
	const op = "ledger.dispute.file"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	most, err := disputable(op, r, s, in, signer.DID())
	body := in.body(host.Now())
	switch until := time.UnixMilli(body.Deadline).Sub(host.Now()); {
	case err != nil:
		return nil, err
	case in.Amount > most:
		return nil, api.Errorf(op, api.Invalid, "amount %d: more than the %d that it is about", in.Amount, most)
	case until <= 0 || until > maxDeadline:
		return nil, api.Errorf(op, api.Invalid, "deadline: want a time from now on, and within a year")
	}
	rc, err := a.write(ctx, call, op, host, r, s, note{kind: kindDispute, body: body})
	if err != nil {
		return nil, err
	}
	return a.disputeAfter(op, s.ID, rc.Position.ID, rc)
}

// disputable returns how much a dispute can be about: what went, or is to go, between the two by the record.
func disputable(op string, r api.Reader, s *fact.Space, in *DisputeFileIn, me api.DID) (most int64, err error) {
	rec, v, ok := r.Lookup(in.About)
	switch {
	case !ok || rec.Topic.Space != s.ID:
		return 0, api.Errorf(op, api.NotFound, "about: the ledger of %s has no record %s here (yet); icnctl ledger history lists payments", s.Genesis.Name, in.About)
	case !v.Accepted || v.Held:
		return 0, api.Errorf(op, api.Conflict, "about: record %s has no effect: icnctl explain %s says why", in.About, in.About)
	case in.Against == me:
		return 0, api.Errorf(op, api.Invalid, "against: this is you; name the other side")
	}
	two := func(a, b api.DID) bool { return a == me && b == in.Against || b == me && a == in.Against }
	if e, ok := readEscrow(r, s, time.Time{}, in.About); ok && two(e.Payer, e.Payee) && e.Currency == in.Currency {
		return e.Amount, nil
	}
	if b, ok := settledBy(rec); ok && two(b.Payer, b.Payee) && b.Currency == in.Currency {
		return b.Paid + b.Back, nil
	}
	for _, did := range [...]api.DID{me, in.Against} {
		if two(rec.Author, did) {
			most = addMax(most, paidTo(rec, did, in.Currency))
		}
	}
	if most == 0 {
		return 0, api.Errorf(op, api.Invalid, "about: record %s is no payment or escrow in %s between you and %s", in.About, in.Currency, in.Against)
	}
	return most, nil
}

// disputeAfter answers with what has come of a dispute.
func (a *App) disputeAfter(op string, space, id api.Hash, rc api.Receipt) (*DisputeOut, error) {
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, _, ok := readDispute(r, s, host.Now(), id)
	if !ok {
		d.ID = id
	}
	return &DisputeOut{Receipt: rc, Dispute: d}, nil
}

// inTheDispute writes a record about a dispute that is here; cite is another record that it has to cite.
func (a *App) inTheDispute(ctx context.Context, call *api.Call, op string, space, id, cite api.Hash, kind string, body any) (*DisputeOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, id, cite)
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	n := note{kind: kind, body: body}
	for _, id := range [...]api.Hash{id, cite} {
		rec, v, ok := r.Lookup(id)
		switch {
		case id.IsZero():
		case !ok:
			return nil, api.Errorf(op, api.NotFound, "the ledger of %s has no record %s here (yet); icnctl ledger dispute list lists disputes", s.Genesis.Name, id)
		default:
			cite, err := answered(op, rec, v, signer.DID())
			if err != nil {
				return nil, err
			}
			n.cite = append(n.cite, cite...)
		}
	}
	if _, ok := readClaim(r, s, id); !ok {
		return nil, api.Errorf(op, api.NotFound, "id: record %s is no dispute; icnctl ledger dispute list lists them", id)
	}
	rc, err := a.write(ctx, call, op, host, r, s, n)
	if err != nil {
		return nil, err
	}
	return a.disputeAfter(op, s.ID, id, rc)
}

// DisputeSayIn is the input of ledger.dispute.say.
type DisputeSayIn struct {
	Space    api.Hash   `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID       api.Hash   `json:"id" doc:"Id of the dispute: ledger.dispute.list lists them"`
	What     string     `json:"what" doc:"evidence (by a side), answer (by whom it is against), escalate (ask the registrar to name a mediator), mediate or refuse (by who is asked to mediate), withdraw (there is no claim), write-off (the claim is given up) or settled (by the claimant)" enum:"evidence,answer,escalate,mediate,refuse,withdraw,write-off,settled"`
	Text     string     `json:"text,omitempty" doc:"At most 4096 bytes; every member can read it" example:"what the bill says is not what we agreed on"`
	Evidence []api.Hash `json:"evidence,omitempty" doc:"Digests of files, at most 8: blob.add gives them"`
}

// Validate implements api.Validator.
func (in *DisputeSayIn) Validate() error { return in.body().check() }

func (in *DisputeSayIn) body() *saying {
	return &saying{Dispute: in.ID, What: in.What, Text: in.Text, Evidence: in.Evidence}
}

func (a *App) disputeSay(ctx context.Context, call *api.Call, in *DisputeSayIn) (*DisputeOut, error) {
	return a.inTheDispute(ctx, call, "ledger.dispute.say", in.Space, in.ID, api.Hash{}, kindSay, in.body())
}

// DisputeMediatorIn is the input of ledger.dispute.mediator.
type DisputeMediatorIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID       api.Hash `json:"id" doc:"Id of the dispute"`
	Mediator api.DID  `json:"mediator" doc:"DID of a member who is on neither side"`
	Bound    bool     `json:"bound,omitempty" doc:"What the mediator awards, up to what is claimed, is carried out without asking you again, if the other side says the same. It cannot be taken back"`
}

// Validate implements api.Validator.
func (in *DisputeMediatorIn) Validate() error {
	if err := checkDID("mediator", in.Mediator); err != nil {
		return err
	}
	return checkID("id", in.ID)
}

func (a *App) disputeMediator(ctx context.Context, call *api.Call, in *DisputeMediatorIn) (*DisputeOut, error) {
	const op = "ledger.dispute.mediator"
	if err := a.isMember(op, in.Space, in.Mediator); err != nil {
		return nil, err
	}
	return a.inTheDispute(ctx, call, op, in.Space, in.ID, api.Hash{}, kindBind, &binding{Dispute: in.ID, Mediator: in.Mediator, Bound: in.Bound})
}

func (a *App) isMember(op string, space api.Hash, did api.DID) error {
	_, r, s, err := a.see(op, space)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, _, ok := s.Member(did); !ok {
		return api.Refusal(op, stranger(s, did))
	}
	return nil
}

// DisputeVerdictIn is the input of ledger.dispute.offer and ledger.dispute.award.
type DisputeVerdictIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the dispute"`
	Amount int64    `json:"amount" doc:"What the claimant gets: minor units, 0 to what is claimed"`
	Text   string   `json:"text,omitempty" doc:"Why, at most 4096 bytes; every member can read it"`
}

// Validate implements api.Validator.
func (in *DisputeVerdictIn) Validate() error { return checkVerdict(in.ID, in.Amount, in.Text) }

func (a *App) disputeOffer(ctx context.Context, call *api.Call, in *DisputeVerdictIn) (*DisputeOut, error) {
	return a.inTheDispute(ctx, call, "ledger.dispute.offer", in.Space, in.ID, api.Hash{}, kindOffer, &offer{Dispute: in.ID, Amount: in.Amount, Text: in.Text})
}

func (a *App) disputeAward(ctx context.Context, call *api.Call, in *DisputeVerdictIn) (*DisputeOut, error) {
	return a.inTheDispute(ctx, call, "ledger.dispute.award", in.Space, in.ID, api.Hash{}, kindJudge, &judgement{Dispute: in.ID, Amount: in.Amount, Reason: in.Text})
}

// DisputeAcceptIn is the input of ledger.dispute.accept.
type DisputeAcceptIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of the dispute"`
	Offer api.Hash `json:"offer" doc:"Id of the offer: ledger.dispute.show lists them"`
}

// Validate implements api.Validator.
func (in *DisputeAcceptIn) Validate() error {
	return cmp.Or(checkID("id", in.ID), checkID("offer", in.Offer))
}

func (a *App) disputeAccept(ctx context.Context, call *api.Call, in *DisputeAcceptIn) (*DisputeOut, error) {
	return a.inTheDispute(ctx, call, "ledger.dispute.accept", in.Space, in.ID, in.Offer, kindAccept, &acceptance{Dispute: in.ID, Offer: in.Offer})
}

// DisputesIn is the input of ledger.dispute.list.
type DisputesIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did,omitempty" doc:"DID of a side; default: your own"`
	All    bool     `json:"all,omitempty" doc:"Everybody's: for mediators and the registrar"`
	State  string   `json:"state,omitempty" doc:"Only those in this state"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *DisputesIn) Validate() error {
	if in.DID != "" {
		if err := checkDID("did", in.DID); err != nil {
			return err
		}
	}
	switch {
	case in.DID != "" && in.All:
		return errors.New("did and all: want the disputes of one member or all of them")
	case in.State != "" && !slices.Contains(disputeStates, in.State):
		return fmt.Errorf("state %q: want one of %v", clip(in.State), disputeStates)
	}
	return checkPlaces(in.Cursor, in.Limit)
}

// DisputesOut is the output of ledger.dispute.list.
type DisputesOut struct {
	Disputes []Dispute `json:"disputes"`
	Cursor   string    `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

func (a *App) disputeList(_ context.Context, call *api.Call, in *DisputesIn) (*DisputesOut, error) {
	const op = "ledger.dispute.list"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	did := cmp.Or(in.DID, call.Actor)
	if in.All {
		did = ""
	}
	out := &DisputesOut{Disputes: []Dispute{}}
	out.Cursor, err = newest(r, didKey(nil, indexDisputes, s.ID, did), in.Cursor, page(in.Limit), maxDisputes, func(_, id []byte) bool {
		d, _, ok := readDispute(r, s, host.Now(), api.Hash(id))
		if ok = ok && (in.State == "" || d.State == in.State); ok {
			out.Disputes = append(out.Disputes, d)
		}
		return ok
	})
	return out, api.Wrap(op, err)
}

// DisputeShowIn is the input of ledger.dispute.show.
type DisputeShowIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of the dispute, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *DisputeShowIn) Validate() error { return checkID("id", in.ID) }

// DisputeShowOut is the output of ledger.dispute.show.
type DisputeShowOut struct {
	Dispute Dispute       `json:"dispute"`
	Said    []DisputeSaid `json:"said" doc:"oldest first, by the clocks of those who said it; at most 500"`
}

func (a *App) disputeShow(_ context.Context, _ *api.Call, in *DisputeShowIn) (*DisputeShowOut, error) {
	const op = "ledger.dispute.show"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, said, ok := readDispute(r, s, host.Now(), in.ID)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "id: the ledger of %s has no dispute %s here (yet); icnctl ledger dispute list lists them", s.Genesis.Name, in.ID)
	}
	return &DisputeShowOut{Dispute: d, Said: append([]DisputeSaid{}, said...)}, nil
}
