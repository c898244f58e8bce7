package ledger

import (
	"fmt"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

func list(w *world, rows ...string) string {
	text := "to,amount,currency,memo,category\n" + strings.Join(rows, "\n")
	for did, name := range w.names {
		text = strings.ReplaceAll(text, "@"+name, string(did))
	}
	return text
}

func TestBatchPaysOnceAndGoesOn(t *testing.T) {
	w := newWorld(t, hours(10_000, 0), "ann", "bob", "carol")
	var rows []string
	for i := range 150 { // three parts
		rows = append(rows, fmt.Sprintf("@%s,0.%02d,hours,week %d,wages", []string{"bob", "carol"}[i%2], 1+i%9, i))
	}
	in := BatchIn{CSV: list(w, rows...)}
	in.DryRun = true
	dry := do[BatchOut](w, "ann", "ledger.batch", in)
	total := dry.Totals[0]
	if len(dry.Rows) != 150 || dry.Rows[149].State != "pays" || total.Open != total.Total || total.Left != 10_000-total.Total || !dry.Last.Position.IsZero() {
		t.Fatalf("%+v, %+v", total, dry.Rows[149])
	}
	if w.balance("ann").Balance != 0 {
		t.Fatal("a dry run has paid")
	}
	// The first part is there already: a run that was stopped.
	legs, err := in.legs(w.open())
	if err != nil {
		t.Fatal(err)
	}
	w.append("ann", api.Draft{
		Topic: w.topic(fact.LedgerTopic), Kind: kindBatch, Deps: []api.Position{w.admission()},
		Body: codec.MustMarshal(&batch{Legs: chunks(legs)[0], For: []purpose{{What: forBatch, ID: dry.ID}}}),
	})
	in.DryRun = false
	out := do[BatchOut](w, "ann", "ledger.batch", in)
	if out.Rows[0].State != "before" || out.Rows[63].State != "before" || out.Rows[64].State != "paid" || out.ID != dry.ID {
		t.Errorf("%+v, %+v", out.Rows[63], out.Rows[64])
	}
	if again := do[BatchOut](w, "ann", "ledger.batch", in); again.Totals[0].Open != 0 || again.Rows[149].State != "before" {
		t.Errorf("%+v", again.Totals)
	}
	if got := w.balance("ann").Balance; got != -total.Total {
		t.Errorf("ann has %d, want %d", got, -total.Total)
	}
	mine := w.entries("ann", HistoryIn{Limit: 500})
	if len(mine) != 150 || mine[0].Kind != "batch" || mine[0].Memo != "week 149" || mine[0].Leg != 21 || mine[0].Category != "wages" {
		t.Errorf("%d entries, %+v", len(mine), mine[0])
	}
	if got := len(w.entries("bob", HistoryIn{Limit: 500})); got != 75 {
		t.Errorf("bob has %d entries, want 75", got)
	}
	// The same list under another name is another one.
	in.Name = "again"
	if out := do[BatchOut](w, "ann", "ledger.batch", in); out.Rows[0].State != "paid" || out.ID == dry.ID {
		t.Errorf("%+v", out.Rows[0])
	}
	w.final()
	if got := w.balance("bob"); got.Unacknowledged != got.Balance || got.Balance == 0 {
		t.Errorf("%+v", got)
	}
	w.mustPay("bob", "carol", w.balance("bob").Available)
	w.verify()
	w.sameElsewhere(1)
}

// open returns the space over a snapshot that lives as long as the test.
func (w *world) open() *fact.Space {
	r := w.m.Read("ledger")
	w.t.Cleanup(r.Close)
	s, ok := fact.Open(r, w.space)
	if !ok {
		w.t.Fatal("no space")
	}
	return s
}

func TestBatchIsAllOrNothing(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob", "carol")
	w.signer("eve")
	for name, tc := range map[string]struct{ csv, rule, text string }{
		"over":     {list(w, "@bob,0.60,hours,,", "@carol,0.41,hours,,"), "over-limit", "row 2"},
		"stranger": {list(w, "@bob,0.60,hours,,", "@eve,0.01,hours,,"), "not-a-member", "row 2"},
		"self":     {list(w, "@ann,0.60,hours,,"), "self-transfer", "row 1"},
	} {
		in := BatchIn{CSV: tc.csv}
		_, err := w.call("ann", "ledger.batch", in)
		if why := api.ReasonOf(err); why == nil || why.Rule != tc.rule || !strings.Contains(why.Text, tc.text) {
			t.Errorf("%s: %v", name, err)
		}
		in.DryRun = true
		if rows := do[BatchOut](w, "ann", "ledger.batch", in).Rows; rows[len(rows)-1].State != "refused" || rows[len(rows)-1].Why == "" {
			t.Errorf("%s: %+v", name, rows)
		}
	}
	// The fold says the same, whoever has made the record.
	legs := []leg{{To: w.did("bob"), Currency: "hours", Amount: 60}, {To: w.did("carol"), Currency: "hours", Amount: 41}}
	_, out := w.deliver("ann", api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: kindBatch, Deps: []api.Position{w.admission()}, Body: codec.MustMarshal(&batch{Legs: legs})}, api.Position{})
	if out.Void == nil || out.Void.Rule != "over-limit" {
		t.Errorf("%+v", out.Void)
	}
	for _, who := range []string{"ann", "bob", "carol"} {
		if got := w.balance(who).Balance; got != 0 {
			t.Errorf("%s has %d", who, got)
		}
	}
	w.verify()
}

func TestBadLists(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	for name, tc := range map[string]struct{ csv, want string }{
		"no header":     {string(w.did("bob")) + ",1,hours", "row 1: column"},
		"no amounts":    {"to,currency\n", "no column amount"},
		"twice":         {"to,to,amount,currency\n", "once at most"},
		"empty":         {"to,amount,currency\n", "no rows"},
		"no DID":        {list(w, "bob,1,hours,,"), "row 2, column to"},
		"comma":         {list(w, `@bob,"1,50",hours,,`), `row 2, column amount: "1,50": want digits, and a point`},
		"decimals":      {list(w, "@bob,1.505,hours,,"), "3 decimals, want at most 2"},
		"zero":          {list(w, "@bob,1,hours,,", "@bob,0.00,hours,,"), "row 3, column amount: \"0.00\": want more than 0"},
		"negative":      {list(w, "@bob,-1,hours,,"), "column amount"},
		"too large":     {list(w, "@bob,92233720368547758.08,hours,,"), "too large"},
		"currency":      {list(w, "@bob,1,euros,,"), "row 2, column currency"},
		"category":      {list(w, "@bob,1,hours,,Food!"), "row 2, column category"},
		"memo":          {list(w, "@bob,1,hours,"+strings.Repeat("x", 257)+","), "row 2, column memo"},
		"fields":        {list(w, "@bob,1,hours"), "row 2: 3 fields, want 5"},
		"quotes":        {list(w, `@bob,1,hours,"a`), "csv"},
		"several":       {list(w, "x,1,hours,,", "@bob,x,hours,,"), "row 3, column amount"},
		"multi-line":    {list(w, "@bob,1,hours,\"a\nb\","), "column memo"},
		"too many":      {list(w, strings.Repeat("x,1,hours,,\n", 50)), "and more"},
		"bytes":         {strings.Repeat("x", maxCSV+1), "at most"},
		"too many rows": {list(w, strings.Repeat("@bob,1,hours,,\n", maxRows+1)), "more than 10000 rows"},
	} {
		_, err := w.call("ann", "ledger.batch", BatchIn{CSV: tc.csv})
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %.300v, want %q", name, err, tc.want)
		}
	}
	for name, in := range map[string]BatchIn{"both": {CSV: "x", Rows: []Leg{{}}}, "neither": {}, "row": {Rows: []Leg{{To: w.did("bob"), Currency: "hours", Amount: -1}}}} {
		if _, err := w.call("ann", "ledger.batch", in); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	rows := []Leg{{To: w.did("bob"), Currency: "hours", Amount: 100}}
	if out := do[BatchOut](w, "ann", "ledger.batch", BatchIn{Rows: rows}); out.Rows[0].State != "paid" {
		t.Errorf("%+v", out)
	}
}

func FuzzParseRows(f *testing.F) {
	f.Add("to,amount,currency\ndid:icn:7ebAX6vHDyfGYbTzBM3pDieYTmuYDUtGG1B3JHsCNRwE,12.50,hours\n")
	f.Fuzz(func(t *testing.T, text string) {
		legs, err := parseRows(text, func(code string) (int, bool) { return 2, code == "hours" })
		if err != nil {
			return
		}
		for _, l := range legs {
			if checkPayment(l.To, l.Currency, l.Amount, l.Memo, l.Category) != nil {
				t.Errorf("%+v from %q", l, text)
			}
		}
	})
}
