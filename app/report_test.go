package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/ledger"
)

// A funder's report has each payment once, by month and category, less what was given back, and nothing of dues or of what came in from elsewhere.
func TestReport(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 3, 30, 9, 0, 0, 0, time.UTC)
	n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV})
	if _, err := as[ledger.ImportTakeOut](n, carol, "ledger.import.take", ledger.ImportTakeIn{Account: "NET1"}); err != nil {
		t.Fatal(err)
	}
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "NET1", To: carol.DID()})
	n.charges(ledger.ScheduleIn{Name: "dues", Charge: "dues", Amount: 100, Every: "month"})
	n.passes(time.Minute)
	pay := func(amount int64, category string) *ledger.TransferOut {
		out, err := as[ledger.TransferOut](n, bob, "ledger.transfer", ledger.TransferIn{To: carol.DID(), Currency: "hours", Amount: amount, Category: category})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	care := pay(300, "care")
	pay(50, "")
	asked, err := as[ledger.RequestOut](n, carol, "ledger.request", ledger.RequestIn{Payer: bob.DID(), Currency: "hours", Amount: 200, Category: "care"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as[ledger.ApproveOut](n, bob, "ledger.approve", ledger.ApproveIn{ID: asked.Receipt.Position.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: care.Receipt.Position.ID, Amount: 100}); err != nil {
		t.Fatal(err)
	}
	n.m.Clock = n.m.Clock.AddDate(0, 0, 3)
	pay(25, "care")
	show := func(in ledger.ReportIn) (lines []string) {
		for _, l := range do[ledger.ReportOut](n, "ledger.report", in).Lines {
			lines = append(lines, fmt.Sprintf("%s %s %d %d %d %d>%d", l.Period, l.Category, l.Amount, l.Requested, l.Count, l.Payers, l.Payees))
		}
		return lines
	}
	for _, tc := range []struct {
		in   ledger.ReportIn
		want []string
	}{
		{ledger.ReportIn{}, []string{"2026-03-01  50 0 1 1>1", "2026-03-01 care 400 200 2 1>1", "2026-04-01 care 25 0 1 1>1"}},
		{ledger.ReportIn{Category: "care", Every: "year"}, []string{"2026-01-01 care 425 200 3 1>1"}},
		{ledger.ReportIn{Category: "care", Every: "week"}, []string{"2026-03-30 care 425 200 3 1>1"}},
		{ledger.ReportIn{From: "2026-04-01", To: "2026-04-30"}, []string{"2026-04-01 care 25 0 1 1>1"}},
		{ledger.ReportIn{Category: "cake"}, nil},
	} {
		if got := show(tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("%+v:\n got %q\nwant %q", tc.in, got, tc.want)
		}
	}
}
