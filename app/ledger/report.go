package ledger

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
)

// maxReport bounds the lines of a report; what comes later is counted in its category "(other)".
const maxReport = 2000

// otherCategories stands for those that a report has no lines for.
const otherCategories = "(other)"

// reportOperations are those for who pays for what members do for each other.
func (a *App) reportOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "ledger.report", Method: http.MethodGet, Path: "/ledger/report", CLI: "ledger report", Scope: "ledger:read",
			Summary: "Report what members have paid each other, by period and category, for a funder",
		}, a.report),
	}
}

// ReportIn is the input of ledger.report.
type ReportIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	From     string   `json:"from,omitempty" doc:"First day, YYYY-MM-DD; default: from the beginning" example:"2026-01-01"`
	To       string   `json:"to,omitempty" doc:"Last day, YYYY-MM-DD; default: today" example:"2026-12-31"`
	Zone     string   `json:"zone,omitempty" doc:"Time zone in which days begin and end, as the IANA names it; default UTC" example:"Europe/Madrid"`
	Every    string   `json:"every,omitempty" doc:"day, week, month or year; default: month" example:"month"`
	Currency string   `json:"currency,omitempty" doc:"Only this currency"`
	Category string   `json:"category,omitempty" doc:"Only this category" example:"care"`
}

// Validate implements api.Validator.
func (in *ReportIn) Validate() error {
	switch {
	case !slices.Contains([]string{"", everyDay, everyWeek, everyMonth, everyYear}, in.Every):
		return fmt.Errorf("every %q: want day, week, month or year", clip(in.Every))
	case in.Category != "" && !isCode(in.Category, maxCategory):
		return fmt.Errorf("category %q: want at most %d of a-z 0-9 -", clip(in.Category), maxCategory)
	case in.Currency != "" && !isCode(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	}
	return in.period().check()
}

func (in *ReportIn) period() *Period { return &Period{From: in.From, To: in.To, Zone: in.Zone} }

// ReportOut is the output of ledger.report. The same records give the same report on every node.
type ReportOut struct {
	Space api.Hash     `json:"space"`
	Name  string       `json:"name" doc:"of the space"`
	From  time.Time    `json:"from,omitzero" doc:"beginning of the first day; none: from the beginning"`
	To    time.Time    `json:"to" doc:"end of the last day, which is not in it"`
	Zone  string       `json:"zone"`
	Lines []ReportLine `json:"lines" doc:"in order of period, currency and category, at most 2000"`
}

// ReportLine is what was paid in a period for a category. Amounts are minor units.
type ReportLine struct {
	Period    string `json:"period" doc:"its first day, YYYY-MM-DD"`
	Currency  string `json:"currency"`
	Scale     int    `json:"scale"`
	Category  string `json:"category" doc:"empty: none was given"`
	Amount    int64  `json:"amount" doc:"paid, less what was given back"`
	Requested int64  `json:"requested" doc:"of this, what was paid for a request"`
	Count     int    `json:"count" doc:"payments, without those that give back"`
	Payees    int    `json:"payees" doc:"accounts that were paid"`
	Payers    int    `json:"payers" doc:"accounts that have paid"`
	Open      int    `json:"open" doc:"payments that are not final"`
}

// lineKey is what a line is of.
type lineKey struct{ period, currency, category string }

// lineSum is a line while it is added up.
type lineSum struct {
	ReportLine
	payees, payers map[string]bool
}

// report adds up what was paid, each payment once: as who has paid it sees it. Charges and what came in from other systems are no work of anybody's.
func (a *App) report(ctx context.Context, _ *api.Call, in *ReportIn) (*ReportOut, error) {
	const op = "ledger.report"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if in.Currency != "" {
		if err := checkCurrency(op, s, in.Currency); err != nil {
			return nil, err
		}
	}
	p, err := in.period().span(host.Now())
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	k, sums := newKeeper(ctx, r, s, p), map[lineKey]*lineSum{}
	whole := newKeeper(ctx, r, s, span{to: p.to, zone: p.zone})
	for did := range accounts(r, s.ID, "") {
		from, payer, held := k, string(did), strings.HasPrefix(string(did), escrowPrefix)
		if held { // what comes out of it is work, by whoever has put it in, but what goes back to them
			from = whole
		}
		for m, err := range from.movements(did, nil) {
			if err != nil {
				return nil, api.Wrap(op, err)
			}
			row := m.Row
			if held && row.Amount > 0 {
				payer = row.Counter
			}
			if held && (row.Counter == payer || row.Time.Before(p.from)) || strings.HasPrefix(row.Counter, escrowPrefix) {
				continue
			}
			if !row.Lead || row.Kind == kindCharge || strings.HasPrefix(row.Kind, kindImport) ||
				in.Currency != "" && row.Currency != in.Currency || in.Category != "" && row.Category != in.Category {
				continue
			}
			in.line(sums, p.zone, row).add(payer, row)
		}
	}
	out := &ReportOut{Space: s.ID, Name: s.Genesis.Name, From: p.from, To: p.to, Zone: p.zone.String(), Lines: []ReportLine{}}
	for _, l := range sums {
		c, _ := s.Currency(l.Currency)
		l.Scale, l.Payees, l.Payers = int(c.Scale), len(l.payees), len(l.payers)
		out.Lines = append(out.Lines, l.ReportLine)
	}
	slices.SortFunc(out.Lines, func(a, b ReportLine) int {
		return cmp.Or(strings.Compare(a.Period, b.Period), strings.Compare(a.Currency, b.Currency), strings.Compare(a.Category, b.Category))
	})
	return out, nil
}

// line finds the line of a payment.
func (in *ReportIn) line(sums map[lineKey]*lineSum, zone *time.Location, row *books.Row) *lineSum {
	key := lineKey{in.begin(row.Time.In(zone)), row.Currency, row.Category}
	if _, ok := sums[key]; !ok && len(sums) >= maxReport {
		key.category = otherCategories
	}
	l, ok := sums[key]
	if !ok {
		l = &lineSum{payees: map[string]bool{}, payers: map[string]bool{}}
		l.Period, l.Currency, l.Category = key.period, key.currency, key.category
		sums[key] = l
	}
	return l
}

// begin returns the first day of the period in which a time is.
func (in *ReportIn) begin(t time.Time) string {
	switch in.Every {
	case everyDay:
	case everyWeek:
		t = t.AddDate(0, 0, -(int(t.Weekday())+6)%7) // Monday
	case everyYear:
		t = time.Date(t.Year(), 1, 1, 0, 0, 0, 0, t.Location())
	default:
		t = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
	}
	return t.Format(time.DateOnly)
}

func (l *lineSum) add(payer string, row *books.Row) {
	if !row.Final {
		l.Open++
	}
	if row.Kind == whats[forRefund] {
		l.Amount += row.Amount // below 0: it has gone out
		return
	}
	l.Amount = addMax(l.Amount, -row.Amount)
	l.Count++
	l.payees[row.Counter], l.payers[payer] = true, true
	if row.Kind == whats[forRequest] {
		l.Requested = addMax(l.Requested, -row.Amount)
	}
}
