package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// BatchIn is the input of ledger.batch.
type BatchIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Rows   []Leg    `json:"rows,omitempty" doc:"The payments, at most 10,000; this or csv"`
	CSV    string   `json:"csv,omitempty" doc:"The payments as CSV with the header to,amount,currency,memo,category in any order, amounts in decimals; at most 10,000 rows and 4 MiB" example:"to,amount,currency,memo"`
	Name   string   `json:"name,omitempty" doc:"Tells the same list apart that is to be paid again, such as wages-2026-12: at most 64 bytes, one line"`
	DryRun bool     `json:"dry_run,omitempty" doc:"Pay nobody, only say what would happen"`
}

// maxBatchName bounds the name of a list, in bytes.
const maxBatchName = 64

// Validate implements api.Validator.
func (in *BatchIn) Validate() error {
	switch {
	case len(in.Rows) > 0 == (in.CSV != ""):
		return errors.New("rows: want either rows or csv")
	case len(in.Rows) > maxRows:
		return fmt.Errorf("rows: %d, at most %d; make several lists of it", len(in.Rows), maxRows)
	case len(in.CSV) > maxCSV:
		return fmt.Errorf("csv of %d bytes: at most %d; make several lists of it", len(in.CSV), maxCSV)
	case len(in.Name) > maxBatchName:
		return fmt.Errorf("name of %d bytes: at most %d", len(in.Name), maxBatchName)
	}
	for i, row := range in.Rows {
		if err := checkDID("to", row.To); err != nil {
			return fmt.Errorf("rows[%d]: %w", i, err)
		}
		if err := checkPayment(row.To, row.Currency, row.Amount, row.Memo, row.Category); err != nil {
			return fmt.Errorf("rows[%d]: %w", i, err)
		}
	}
	return checkLine("name", in.Name)
}

// BatchOut is the output of ledger.batch.
type BatchOut struct {
	ID     api.Hash     `json:"id" doc:"digest of the list and its name: the same list is paid once"`
	Rows   []BatchRow   `json:"rows" doc:"in the order of the list"`
	Totals []BatchTotal `json:"totals"`
	Last   api.Receipt  `json:"last,omitzero" doc:"of the last record that was written now; none: everything was paid before, or nothing was to be"`
}

// BatchRow is a payment of a list and what becomes of it.
type BatchRow struct {
	To       api.DID  `json:"to"`
	Currency string   `json:"currency"`
	Scale    int      `json:"scale"`
	Amount   int64    `json:"amount" doc:"minor units"`
	Memo     string   `json:"memo,omitempty"`
	Category string   `json:"category,omitempty"`
	State    string   `json:"state" doc:"paid (now), before (paid by an earlier run), pays (a run would pay it) or refused"`
	By       api.Hash `json:"by,omitzero" doc:"the record that paid it"`
	Why      string   `json:"why,omitempty" doc:"why it is refused"`
}

// BatchTotal sums up one currency of a list, in minor units.
type BatchTotal struct {
	Currency  string `json:"currency"`
	Scale     int    `json:"scale"`
	Total     int64  `json:"total" doc:"of all rows"`
	Open      int64  `json:"open" doc:"of those that are not paid"`
	Available int64  `json:"available" doc:"what may be spent now"`
	Left      int64  `json:"left" doc:"of that after all open rows; below 0: so much is missing"`
}

// The states of a row.
const (
	rowPaidNow = "paid"
	rowBefore  = "before"
	rowPays    = "pays"
	rowRefused = "refused"
)

// batchID names a list: what it pays in which order, and its name.
func batchID(name string, legs []leg) api.Hash {
	return sha256.Sum256(append([]byte("icn-batch\x00"), codec.MustMarshal([]any{name, chunks(legs)})...))
}

// chunks are the parts of a list that are paid together.
func chunks(legs []leg) [][]leg { return slices.Collect(slices.Chunk(legs, maxBatch)) }

// batch pays a list, part by part. Each part fills a slot, so that who runs it again goes on where it stopped. Nobody is paid as long as a row of what is open
// could not be, as far as this node knows.
func (a *App) batch(ctx context.Context, call *api.Call, in *BatchIn) (*BatchOut, error) {
	const op = "ledger.batch"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	legs, err := in.legs(s)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	m, _, ok := s.Member(signer.DID())
	switch {
	case !ok:
		return nil, api.Refusal(op, stranger(s, signer.DID()))
	case m.Device != signer.Device():
		return nil, api.Refusal(op, onPrimary(signer.Device(), m.Device))
	}
	out := &BatchOut{ID: batchID(in.Name, legs), Rows: []BatchRow{}, Totals: []BatchTotal{}}
	why := out.plan(r, s, signer.DID(), legs)
	switch {
	case in.DryRun:
		return out, nil
	case why != nil:
		return nil, api.Refusal(op, why)
	}
	for i, part := range chunks(legs) {
		first := i * maxBatch
		if out.Rows[first].State == rowBefore {
			continue
		}
		rc, err := a.payPart(ctx, call, op, host, s.ID, part, purpose{What: forBatch, ID: out.ID, N: uint64(i)})
		if err != nil {
			if first > 0 {
				err = fmt.Errorf("rows 1 to %d are paid, the others not; run the same list again to go on: %w", first, err)
			}
			return nil, api.Wrap(op, err)
		}
		out.Last = rc
		for j := range part {
			out.Rows[first+j].State, out.Rows[first+j].By = rowPaidNow, rc.Position.ID
		}
	}
	return out, nil
}

func (in *BatchIn) legs(s *fact.Space) ([]leg, error) {
	if in.CSV != "" {
		return parseRows(in.CSV, func(code string) (int, bool) {
			c, ok := s.Currency(code)
			return int(c.Scale), ok
		})
	}
	legs := make([]leg, len(in.Rows))
	for i, row := range in.Rows {
		if _, ok := s.Currency(row.Currency); !ok {
			return nil, fmt.Errorf("rows[%d]: currency %q: the space has no such currency", i, row.Currency)
		}
		legs[i] = leg{To: row.To, Currency: row.Currency, Amount: row.Amount, Memo: row.Memo, Category: row.Category}
	}
	return legs, nil
}

// plan says of each row what becomes of it, and why the list is not paid, if it is not.
func (out *BatchOut) plan(r api.Reader, s *fact.Space, payer api.DID, legs []leg) (why *api.Reason) {
	bad := func(row *BatchRow, n int, reason *api.Reason) {
		row.State, row.Why = rowRefused, reason.Text
		if why == nil {
			named := *reason
			named.Text = "row " + strconv.Itoa(n+1) + " of the list: " + reason.Text
			why = &named
		}
	}
	for i, part := range chunks(legs) {
		by, done := filledBy(r, s, &purpose{What: forBatch, ID: out.ID, N: uint64(i)}, payer)
		for j := range part {
			l := &part[j]
			c, _ := s.Currency(l.Currency)
			row := BatchRow{
				To: l.To, Currency: l.Currency, Scale: int(c.Scale), Amount: l.Amount, Memo: l.Memo, Category: l.Category, State: rowPays,
			}
			t := out.total(r, s, payer, l.Currency)
			t.Total = addMax(t.Total, l.Amount)
			n := i*maxBatch + j
			switch _, _, member := s.Member(l.To); {
			case done:
				row.State, row.By = rowBefore, by
			case l.To == payer:
				bad(&row, n, &api.Reason{Domain: Domain, Rule: "self-transfer", Text: "nobody pays oneself"})
			case !member:
				bad(&row, n, stranger(s, l.To))
			default:
				t.Open = addMax(t.Open, l.Amount)
				if t.Left = t.Available - t.Open; t.Left < 0 || t.Open == math.MaxInt64 {
					bad(&row, n, overLimit(l.Currency, t.Open, t.Available, c.Limit).Void)
				}
			}
			out.Rows = append(out.Rows, row)
		}
	}
	return why
}

// total returns what sums up a currency.
func (out *BatchOut) total(r api.Reader, s *fact.Space, payer api.DID, code string) *BatchTotal {
	i := slices.IndexFunc(out.Totals, func(t BatchTotal) bool { return t.Currency == code })
	if i < 0 {
		i = len(out.Totals)
		c, _ := s.Currency(code)
		t := BatchTotal{Currency: code, Scale: int(c.Scale)}
		if p, ok := prepareMost(r, s, payer, code); ok {
			t.Available = max(0, p.state(code).available())
		}
		t.Left = t.Available
		out.Totals = append(out.Totals, t)
	}
	return &out.Totals[i]
}

// filledBy returns the record of an account that fills a slot, as far as this node knows.
func filledBy(r api.Reader, s *fact.Space, p *purpose, payer api.DID) (api.Hash, bool) {
	for _, b := range r.Index(slotKey(nil, s.ID, p), nil, false) {
		x := get[settled](b, true)
		if rec, _, ok := r.Lookup(x.ID); ok && rec.Author == payer && x.State == slotPaid {
			return x.ID, true
		}
	}
	return api.Hash{}, false
}

// payPart pays one part of a list; that a faster run has paid it is as good.
func (a *App) payPart(ctx context.Context, call *api.Call, op string, host api.Host, space api.Hash, legs []leg, p purpose) (api.Receipt, error) {
	r := host.Read() // anew: what the part before has cited is cited
	defer r.Close()
	s, err := a.open(op, r, space)
	if err != nil {
		return api.Receipt{}, err
	}
	plan, ok := prepareMost(r, s, call.Signer.DID(), legs[0].Currency)
	if !ok {
		return api.Receipt{}, api.Refusal(op, stranger(s, call.Signer.DID()))
	}
	rc, err := host.Append(ctx, call.Signer, plan.draft(s, kindBatch, &batch{Legs: legs, For: []purpose{p}}, ""), call.Wait)
	if why := api.ReasonOf(err); why != nil && why.Rule == "already-paid" {
		now := host.Read()
		defer now.Close()
		if by, ok := filledBy(now, s, &p, call.Signer.DID()); ok {
			return done(now, by), nil
		}
	}
	return rc, explain(err, s, plan.state(legs[0].Currency))
}
