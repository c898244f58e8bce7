package ledger

import (
	"bytes"
	"context"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
)

// trading is a world in which there have been some payments, in two currencies, over three months.
func trading(t testing.TB, payments int) *world {
	w := newWorld(t, map[string]fact.Currency{"eggs": {Limit: 1e9, P: 1e9}, "hours": {Scale: 2, Limit: 1e9, P: 1e9}}, "ann", "bob", "cleo")
	w.m.Clock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"ann", "bob", "cleo"}
	for i := range payments {
		w.m.Clock = w.m.Clock.Add(time.Duration(90*24/payments+1) * time.Hour)
		from := rng.IntN(3)
		in := TransferIn{To: w.did(names[(from+1+rng.IntN(2))%3]), Currency: []string{"hours", "eggs"}[rng.IntN(2)], Amount: 1 + rng.Int64N(900), Memo: "for " + names[from]}
		if _, err := w.call(names[from], "ledger.transfer", in); err != nil {
			t.Fatal(err)
		}
		if i == payments*2/3 {
			w.final()
		}
	}
	return w
}

func (w *world) statement(who string, in StatementIn) *StatementOut {
	w.t.Helper()
	out, err := w.call(who, "ledger.statement", in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.(*StatementOut)
}

// balances by a statement's lines.
func closings(o *StatementOut) map[string]int64 {
	m := map[string]int64{}
	for _, a := range o.Accounts {
		m[string(a.DID)+" "+a.Currency] = a.Closing
	}
	return m
}

func TestStatement(t *testing.T) {
	w := trading(t, 120)
	all := w.statement("ann", StatementIn{To: "2026-12-31", Limit: 500})
	if len(all.Rows) < 40 || all.Cursor != "" || all.DID != w.did("ann") {
		t.Fatalf("%d rows", len(all.Rows))
	}
	if !slices.IsSortedFunc(all.Rows, func(a, b StatementRow) int { return a.Time.Compare(b.Time) }) {
		t.Error("rows are not in order of time")
	}
	out, err := w.call("ann", "ledger.balance", BalanceIn{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range out.(*BalanceOut).Balances {
		if got := closings(all)[string(all.DID)+" "+b.Currency]; got != b.Balance {
			t.Errorf("%s: closes with %d, the balance is %d", b.Currency, got, b.Balance)
		}
	}
	history, err := w.call("ann", "ledger.history", HistoryIn{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	entries := history.(*HistoryOut).Entries
	if len(entries) != len(all.Rows) {
		t.Fatalf("%d rows, %d in the history", len(all.Rows), len(entries))
	}
	open := 0
	for i, r := range all.Rows {
		if e := entries[len(entries)-1-i]; e.ID.String() != r.ID || e.BalanceDelta != r.Amount || e.Final != r.Final || !e.Time.Equal(r.Time) || e.Memo != r.Memo {
			t.Errorf("row %d is %+v, want %+v", i, r, e)
		}
		if !r.Final {
			open++
		}
	}
	if open == 0 || open == len(all.Rows) {
		t.Errorf("%d of %d rows are not final", open, len(all.Rows))
	}

	// Three months follow on each other, and so do pages.
	var rows []StatementRow
	before := map[string]int64{}
	for _, month := range [][2]string{{"", "2026-01-31"}, {"2026-02-01", "2026-02-28"}, {"2026-03-01", "2026-12-31"}} {
		in := StatementIn{From: month[0], To: month[1], Limit: 7}
		o := w.statement("ann", in)
		for _, a := range o.Accounts {
			if a.Opening != before[string(a.DID)+" "+a.Currency] || a.Opening+a.In-a.Out != a.Closing {
				t.Errorf("%v: %+v, want an opening balance of %d", month, a, before[string(a.DID)+" "+a.Currency])
			}
			before[string(a.DID)+" "+a.Currency] = a.Closing
		}
		for rows = append(rows, o.Rows...); o.Cursor != ""; rows = append(rows, o.Rows...) {
			in.Cursor = o.Cursor
			if o = w.statement("ann", in); len(o.Accounts) > 0 {
				t.Error("a later page has what all come to, too")
			}
		}
	}
	if !slices.Equal(rows, all.Rows) {
		t.Errorf("the months and pages are not the whole: %d rows, want %d", len(rows), len(all.Rows))
	}

	// All accounts, on pages of one.
	whole := w.statement("bob", StatementIn{All: true, From: "2026-02-01", To: "2026-12-31"})
	sum := map[string]int64{}
	for _, a := range whole.Accounts {
		sum[a.Currency] += a.Opening
		sum[a.Currency+"'"] += a.Closing
		sum[a.Currency+" moved"] += a.In - a.Out
	}
	for what, n := range sum {
		if n != 0 {
			t.Errorf("%s: %d, want 0", what, n)
		}
	}
	var paged []Account
	for in := (StatementIn{All: true, From: "2026-02-01", To: "2026-12-31", Limit: 1}); ; {
		o := w.statement("bob", in)
		paged = append(paged, o.Accounts...)
		if in.Cursor = o.Cursor; in.Cursor == "" {
			break
		}
	}
	if !slices.Equal(paged, whole.Accounts) || len(paged) != 6 {
		t.Errorf("%+v, want %+v", paged, whole.Accounts)
	}
}

// Where the day ends depends on the zone.
func TestStatementZone(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	w.m.Clock = time.Date(2026, 3, 31, 23, 30, 0, 0, time.UTC) // half past one, 1 April, in Madrid
	w.mustPay("ann", "bob", 5)
	for zone, want := range map[string]int{"": 1, "UTC": 1, "Europe/Madrid": 0, "America/New_York": 1} {
		if got := w.statement("ann", StatementIn{From: "2026-03-01", To: "2026-03-31", Zone: zone}); len(got.Rows) != want {
			t.Errorf("%q: %d rows in March, want %d", zone, len(got.Rows), want)
		}
	}
	if got := w.statement("ann", StatementIn{From: "2026-04-01", To: "2026-04-01", Zone: "Europe/Madrid"}); len(got.Rows) != 1 || got.To.Sub(got.From) != 24*time.Hour {
		t.Errorf("%+v", got)
	}
	if got := w.statement("ann", StatementIn{From: "2026-03-29", To: "2026-03-29", Zone: "Europe/Madrid"}); got.To.Sub(got.From) != 23*time.Hour {
		t.Errorf("the day on which clocks go forward has %s", got.To.Sub(got.From))
	}
}

func TestStatementInputs(t *testing.T) {
	w := trading(t, 6)
	for want, in := range map[string]StatementIn{
		"from \"2026-1-1\"":   {From: "2026-1-1"},
		"to \"tomorrow\"":     {To: "tomorrow"},
		"from 2026-02-02":     {From: "2026-02-02", To: "2026-02-01"},
		"from \"1969-12-31\"": {From: "1969-12-31"},
		"zone \"Mars\"":       {Zone: "Mars"},
		"zone \"Local\"":      {Zone: "Local"},
		"did and all":         {DID: w.did("ann"), All: true},
		"limit 501":           {Limit: 501},
		"cursor":              {Cursor: "xx"},
		"cursor: not":         {From: "2026-03-01", Cursor: strings.Repeat("00", suffixSize)},
	} {
		if _, err := w.call("ann", "ledger.statement", in); api.KindOf(err) != api.Invalid && err == nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", in, err, want)
		}
	}
	if _, err := w.call("eve", "ledger.statement", StatementIn{}); api.KindOf(err) != api.NotFound {
		t.Errorf("a stranger's: %v", err)
	}
	if _, err := w.call("ann", "ledger.export", ExportIn{Format: "xls"}); api.KindOf(err) != api.Invalid {
		t.Errorf("%v", err)
	}
}

// export is what an export gives, and the name of the file.
func export(t testing.TB, w *world, who string, in ExportIn) (string, string) {
	t.Helper()
	var b bytes.Buffer
	name := ""
	for _, o := range w.app.Operations() {
		if o.Name != "ledger.export" {
			continue
		}
		v, err := o.Decode(w.json(in))
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Do(context.Background(), &api.Call{Actor: w.did(who), Signer: w.signer(who), Scopes: []string{"*"}}, v, func(item any) error {
			p := item.(*FilePart)
			if name == "" {
				name = p.Name
			} else if p.Name != "" || len(p.Data) == 0 {
				t.Errorf("a later part is named %q and has %d bytes", p.Name, len(p.Data))
			}
			b.Write(p.Data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), name
}

// The same records give the same bytes, on every node and whatever the order in which they came.
func TestExportIsTheSameEverywhere(t *testing.T) {
	w := trading(t, 90)
	other := w.elsewhere(7)
	other.m.Clock = w.m.Clock
	for _, format := range books.Formats() {
		for _, in := range []ExportIn{{All: true, To: "2026-12-31"}, {DID: w.did("bob"), From: "2026-01-20", To: "2026-02-20", Zone: "Asia/Kolkata"}} {
			in.Format = format
			a, name := export(t, w, "ann", in)
			b, _ := export(t, other, "ann", in)
			if a != b || a == "" {
				t.Errorf("%s: two nodes give other bytes (%d and %d)", name, len(a), len(b))
			}
			if !strings.HasPrefix(name, "icn-") || !strings.HasSuffix(name, "."+books.Extension(format)) {
				t.Errorf("%q", name)
			}
		}
	}
}

func TestExportCSV(t *testing.T) {
	w := trading(t, 90)
	text, name := export(t, w, "ann", ExportIn{All: true, Format: "csv", To: "2026-12-31"})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 181 || !strings.HasSuffix(name, "-all-beginning-2026-12-31.csv") {
		t.Errorf("%d rows in %s, %v", len(rows), name, err)
	}
}
