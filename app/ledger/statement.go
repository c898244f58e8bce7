package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
)

// StatementIn is the input of ledger.statement.
type StatementIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"Account: a DID, office:treasury for the space's own, or escrow: and the id of an escrow; default: your own"`
	All   bool     `json:"all,omitempty" doc:"All accounts of the space: what each had, got, gave and has, without the rows"`
	From  string   `json:"from,omitempty" doc:"First day, YYYY-MM-DD; default: from the beginning" example:"2026-11-01"`
	To    string   `json:"to,omitempty" doc:"Last day, YYYY-MM-DD; default: today" example:"2026-11-30"`
	Zone  string   `json:"zone,omitempty" doc:"Time zone in which days begin and end, as the IANA names it; default UTC" example:"Europe/Madrid"`

	Limit  int    `json:"limit,omitempty" doc:"Rows of a page, or accounts, 1 to 500; default 50. The legs of one record are on one page, even if those are more"`
	Cursor string `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *StatementIn) Validate() error {
	if err := checkWhose(in.DID, in.All); err != nil {
		return err
	}
	if err := in.period().check(); err != nil {
		return err
	}
	if b, err := hex.DecodeString(in.Cursor); !in.All && (err != nil || len(b) != 0 && len(b) != suffixSize) || len(in.Cursor) > 2*suffixSize {
		return errCursor
	}
	return checkPage(in.Limit)
}

func (in *StatementIn) period() *Period { return &Period{From: in.From, To: in.To, Zone: in.Zone} }

func checkWhose(did api.DID, all bool) error {
	switch {
	case did == "":
		return nil
	case all:
		return errors.New("did and all: want one account or all of them")
	}
	return checkAccount("did", did)
}

// StatementOut is the output of ledger.statement. Amounts are minor units. The same records give the same statement on every node.
type StatementOut struct {
	Space    api.Hash  `json:"space"`
	Name     string    `json:"name" doc:"of the space"`
	From     time.Time `json:"from,omitzero" doc:"beginning of the first day; none: from the beginning"`
	To       time.Time `json:"to" doc:"end of the last day, which is not in it"`
	Zone     string    `json:"zone"`
	DID      api.DID   `json:"did,omitempty"`
	Owner    string    `json:"owner,omitempty" doc:"how the account's owner wants to be called"`
	Accounts []Account `json:"accounts" doc:"one line per account and currency; for one account only on the first page"`

	Rows       []StatementRow `json:"rows" doc:"oldest first; none when all accounts were asked for"`
	Categories []CategorySum  `json:"categories" doc:"of one account, by currency and category, on the first page"`

	Cursor string `json:"cursor,omitempty"` // empty on the last page
}

// Account is what an account comes to in one currency over a period.
type Account struct {
	DID      api.DID `json:"did"`
	Name     string  `json:"name,omitempty"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Gift     bool    `json:"gift,omitempty" doc:"a gift currency: opening, closing and the balances of rows are 0"`
	Opening  int64   `json:"opening"`
	In       int64   `json:"in"`
	Out      int64   `json:"out"`
	Closing  int64   `json:"closing"`
	Count    uint64  `json:"count" doc:"rows"`
}

// CategorySum is what a category comes to in one currency over a period.
type CategorySum struct {
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
	Category string `json:"category"`
	In       int64  `json:"in"`
	Out      int64  `json:"out"`
	Count    uint64 `json:"count"`
}

// StatementRow is one movement.
type StatementRow struct {
	Time      time.Time `json:"time" doc:"by the clock of who paid"`
	ID        string    `json:"id" doc:"of the record"`
	Leg       int       `json:"leg"`
	With      api.DID   `json:"with"`
	WithName  string    `json:"with_name,omitempty"`
	Kind      string    `json:"kind"`
	Category  string    `json:"category"`
	Memo      string    `json:"memo"`
	Currency  string    `json:"currency"`
	Scale     int       `json:"scale"`
	Amount    int64     `json:"amount" doc:"negative when it went out"`
	Balance   int64     `json:"balance" doc:"after it"`
	Gift      bool      `json:"gift,omitempty" doc:"of a gift currency, which shows no balances: it is 0"`
	KeyedBy   api.DID   `json:"keyed_by,omitempty"`
	ValueDate string    `json:"value_date,omitempty" doc:"of what came in from another system: the day by that, YYYY-MM-DD"`
	Final     bool      `json:"final"`
}

func (a *App) statement(ctx context.Context, call *api.Call, in *StatementIn) (*StatementOut, error) {
	const op = "ledger.statement"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p, err := in.period().span(host.Now())
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	out := &StatementOut{
		Space: s.ID, Name: s.Genesis.Name, From: p.from, To: p.to, Zone: p.zone.String(), Accounts: []Account{}, Rows: []StatementRow{}, Categories: []CategorySum{},
	}
	k := newKeeper(ctx, r, s, p)
	if in.All {
		return out, api.Wrap(op, k.balances(out, api.DID(in.Cursor), page(in.Limit)))
	}
	if out.DID, err = whose(op, s, call, in.DID); err != nil {
		return nil, err
	}
	out.Owner = k.name(out.DID)
	return out, api.Wrap(op, k.page(out, in.Cursor, page(in.Limit)))
}

// whose returns the account that is meant: of who is or was a member, the treasury, or an escrow.
func whose(op string, s *fact.Space, call *api.Call, did api.DID) (api.DID, error) {
	switch did {
	case "":
		did = call.Actor
	case fact.TreasuryAccount:
		return did, nil
	}
	if _, ok := escrowOf(did); ok || isImported(did) {
		return did, nil
	}
	if _, _, ok := s.Known(did); !ok {
		why := stranger(s, did)
		return "", &api.Error{Op: op, Kind: api.NotFound, Reason: why, Err: why}
	}
	return did, nil
}

// balances lists accounts with what they come to.
func (k *keeper) balances(out *StatementOut, after api.DID, limit int) error {
	b := k.book("")
	last := api.DID("")
	n := 0
	for did := range accounts(k.r, k.s.ID, after) {
		s := k.section(did)
		if !k.moves(did, s) {
			continue
		}
		if n == limit {
			out.Cursor = string(last)
			return nil
		}
		t := b.NewTotals()
		if err := b.Walk(s, t, nil); err != nil {
			return err
		}
		out.Accounts = append(out.Accounts, lines(b, s, t)...)
		last = did
		n++
	}
	return nil
}

// lines are what an account comes to, by currency.
func lines(b *books.Book, s *books.Section, t *books.Totals) (out []Account) {
	for i, c := range b.Currencies {
		if t.Sums[i].Count == 0 && s.Opening[i] == 0 && len(b.Currencies) > 1 {
			continue
		}
		a := Account{
			DID: api.DID(s.Account), Name: s.Name, Currency: c.Code, Scale: c.Scale, Gift: c.Gift, In: t.Sums[i].In, Out: t.Sums[i].Out, Count: t.Sums[i].Count,
		}
		if !c.Gift {
			a.Opening, a.Closing = s.Opening[i], t.Closing[i]
		}
		out = append(out, a)
	}
	return out
}

// page is a page of the rows of one account, and on the first one what all of them come to.
func (k *keeper) page(out *StatementOut, cursor string, limit int) error {
	b := k.book(out.DID)
	var after []byte
	if cursor != "" {
		var err error
		if after, err = hex.DecodeString(cursor); err != nil {
			return errCursor
		}
		if bytes.Compare(after[:8], key(k.span.from)) < 0 { // of another period
			return errCursor
		}
	} else {
		s, t := k.section(out.DID), b.NewTotals()
		if err := b.Walk(s, t, nil); err != nil {
			return err
		}
		out.Accounts = lines(b, s, t)
		for _, c := range t.Categories() {
			cur := b.Currencies[c.Currency]
			out.Categories = append(out.Categories, CategorySum{Currency: cur.Code, Scale: cur.Scale, Category: c.Category, In: c.In, Out: c.Out, Count: c.Count})
		}
	}
	var last []byte
	rest := &books.Section{Account: string(out.DID), Opening: k.before(out.DID, after)}
	rest.Rows = func(yield func(*books.Row, error) bool) {
		for row, err := range k.movements(out.DID, after) {
			if err == nil && len(out.Rows) >= limit && !bytes.Equal(row.at, last) { // a page ends behind a record, not between its legs
				out.Cursor = hex.EncodeToString(last)
				return
			}
			last = row.at
			if !yield(row.Row, err) {
				return
			}
		}
	}
	return b.Walk(rest, b.NewTotals(), func(r *books.Row, i int) error {
		gift := b.Currencies[i].Gift
		if gift {
			r.Balance = 0
		}
		out.Rows = append(out.Rows, StatementRow{
			Time: r.Time, ID: r.ID, Leg: r.Leg, With: api.DID(r.Counter), WithName: r.CounterName, Kind: r.Kind, Category: r.Category, Memo: r.Memo,
			Currency: r.Currency, Scale: b.Currencies[i].Scale, Amount: r.Amount, Balance: r.Balance, Gift: gift, KeyedBy: api.DID(r.KeyedBy), ValueDate: r.ValueDate, Final: r.Final,
		})
		return nil
	})
}

// ExportIn is the input of ledger.export.
type ExportIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did,omitempty" doc:"Account: a DID, office:treasury for the space's own, or escrow: and the id of an escrow; default: your own"`
	All    bool     `json:"all,omitempty" doc:"All accounts of the space"`
	Format string   `json:"format" doc:"csv, beancount, hledger (a journal), ofx or pdf" enum:"csv,beancount,hledger,ofx,pdf" example:"csv"`
	From   string   `json:"from,omitempty" doc:"First day, YYYY-MM-DD; default: from the beginning" example:"2026-11-01"`
	To     string   `json:"to,omitempty" doc:"Last day, YYYY-MM-DD; default: today" example:"2026-11-30"`
	Zone   string   `json:"zone,omitempty" doc:"Time zone in which days begin and end, as the IANA names it; default UTC" example:"Europe/Madrid"`
}

// Validate implements api.Validator.
func (in *ExportIn) Validate() error {
	if books.MediaType(in.Format) == "" {
		return fmt.Errorf("format %q: want one of %v", clip(in.Format), books.Formats())
	}
	if err := checkWhose(in.DID, in.All); err != nil {
		return err
	}
	return in.period().check()
}

func (in *ExportIn) period() *Period { return &Period{From: in.From, To: in.To, Zone: in.Zone} }

// FilePart is a part of a file. Parts follow on each other; the file is whole when the stream ends without an error.
type FilePart struct {
	Name string `json:"name,omitempty" doc:"of the file, on the first part"`
	Type string `json:"type,omitempty" doc:"media type, on the first part"`
	Data []byte `json:"data" doc:"bytes that follow on those before, in base64"`
}

var _ api.Part = (*FilePart)(nil)

// FilePart implements api.Part.
func (p *FilePart) FilePart() (name, mediaType string, data []byte) { return p.Name, p.Type, p.Data }

// partSize is how many bytes a part has, but for the last.
const partSize = 48 << 10

// parts cuts a file into parts.
type parts struct {
	next FilePart
	emit func(*FilePart) error
}

func newParts(name, mediaType string, emit func(*FilePart) error) *parts {
	return &parts{next: FilePart{Name: name, Type: mediaType, Data: make([]byte, 0, partSize)}, emit: emit}
}

// Write implements io.Writer.
func (p *parts) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		m := min(len(b), partSize-len(p.next.Data))
		p.next.Data = append(p.next.Data, b[:m]...)
		b, n = b[m:], n+m
		if len(p.next.Data) == partSize {
			if err := p.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush gives what there is, which is the end, or the whole of an empty file.
func (p *parts) flush() error {
	part := p.next
	p.next = FilePart{Data: make([]byte, 0, partSize)}
	return p.emit(&part)
}

func (a *App) export(ctx context.Context, call *api.Call, in *ExportIn, emit func(*FilePart) error) error {
	const op = "ledger.export"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := in.period().span(host.Now())
	if err != nil {
		return api.Errorf(op, api.Invalid, "%w", err)
	}
	var did api.DID
	if !in.All {
		if did, err = whose(op, s, call, in.DID); err != nil {
			return err
		}
	}
	b := newKeeper(ctx, r, s, p).book(did)
	out := newParts(fileName(b, did, in.Format), books.MediaType(in.Format), emit)
	if _, err := books.Write(out, b, in.Format); err != nil {
		if errors.Is(err, books.ErrTooLong) {
			return api.Errorf(op, api.TooLarge, "%w", err)
		}
		return api.Wrap(op, err)
	}
	return out.flush()
}

// fileName names an export by what is in it.
func fileName(b *books.Book, did api.DID, format string) string {
	who := "all"
	if did != "" {
		who = string(did[max(0, len(did)-8):])
	}
	from := "beginning"
	if !b.From.IsZero() {
		from = b.From.In(b.Zone).Format(time.DateOnly)
	}
	return fmt.Sprintf("icn-%.8s-%s-%s-%s.%s", b.Space, who, from, b.To.Add(-time.Nanosecond).In(b.Zone).Format(time.DateOnly), books.Extension(format))
}
