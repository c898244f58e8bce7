package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const transfersCSV = `id,created,updated,state,amount,description,hash,authorization,payer.id,payer.code,payee.id,payee.code,user.id
t1,2024-03-02T09:15:00.000Z,,committed,1.50,bread,,,,NET1,,NET2,
t2,2024-03-05T18:40:12.000Z,,committed,12.00,massage,,,,NET2,,NET3,
t3,2024-03-06T08:00:00.000Z,,rejected,99.00,no,,,,NET1,,NET3,
`

const balancesCSV = `code,balance
NET1,8.50
NET2,-20.50
NET3,12.00
`

func (n *node) imports(in ledger.ImportIn) *ledger.ImportOut {
	n.t.Helper()
	return do[ledger.ImportOut](n, "ledger.import.file", in)
}

func (n *node) importedBalance(code string) int64 {
	n.t.Helper()
	return do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: api.DID("import:" + code)}).Balances[0].Balance
}

// History, then balances, then a member who joins: what was elsewhere is theirs, as it was, and can be spent.
func TestImport(t *testing.T) {
	n, bob, carol := bank(t)
	in := ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV, DryRun: true}
	if dry := n.imports(in); dry.New != 2 || dry.Skipped != 1 || dry.Parts != 1 || len(dry.Accounts) != 3 || !dry.Last.Position.IsZero() || n.importedBalance("NET1") != 0 {
		t.Fatalf("a dry run: %+v", dry)
	}
	in.DryRun = false
	first := n.imports(in)
	if n.importedBalance("NET1") != -150 || n.importedBalance("NET2") != -1050 || n.importedBalance("NET3") != 1200 {
		t.Fatalf("%d %d %d", n.importedBalance("NET1"), n.importedBalance("NET2"), n.importedBalance("NET3"))
	}
	if again := n.imports(in); again.New != 0 || again.Before != 2 || !again.Last.Position.IsZero() || again.File != first.File {
		t.Errorf("the same file again: %+v", again)
	}
	longer := in
	longer.CSV += "t4,2024-03-07T08:00:00.000Z,,committed,1.00,eggs,,,,NET3,,NET1,\n"
	if more := n.imports(longer); more.New != 1 || more.Before != 2 || n.importedBalance("NET1") != -50 {
		t.Errorf("a longer file: %+v", more)
	}
	// What the accounts stand at is reached, and is then as stated.
	stand := n.imports(ledger.ImportIn{Mapping: "komunitin-accounts", CSV: balancesCSV})
	if n.importedBalance("NET1") != 850 || n.importedBalance("NET2") != -2050 || n.importedBalance("NET3") != 1200 || n.importedBalance("clearing") != 0 {
		t.Errorf("balances: %+v", stand)
	}
	if again := n.imports(ledger.ImportIn{Mapping: "komunitin-accounts", CSV: balancesCSV}); again.New != 0 {
		t.Errorf("balances again: %+v", again)
	}
	n.sound()

	// Carol has joined: NET1 is hers. Bob owes what NET2 did.
	bound := do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "NET1", To: carol.DID()})
	if len(bound.Passed) != 1 || bound.Passed[0].Amount != 850 || n.balanceOf(carol) != 850 || n.importedBalance("NET1") != 0 {
		t.Fatalf("bound: %+v, carol has %d", bound, n.balanceOf(carol))
	}
	if again := do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "import:NET1", To: carol.DID()}); !again.Receipt.Repeated || n.balanceOf(carol) != 850 {
		t.Errorf("bound again: %+v", again)
	}
	_, err := as[ledger.ImportBindOut](n, n.self, "ledger.import.bind", ledger.ImportBindIn{Account: "NET1", To: bob.DID()})
	n.wantRule(err, "other-owner")
	n.takes(bob, "NET2", 2250) // 2.00 more than it owes now
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "NET2", To: bob.DID()})
	if b := n.account(bob); b.Balance != -2050 || b.Charged != 2050 || b.Available != b.Limit-2050 {
		t.Errorf("bob owes: %+v", b)
	}
	n.wantRule(n.pays(bob, carol, n.account(bob).Available+1), "over-limit")
	if err := n.pays(carol, bob, n.account(carol).Limit+850); err != nil { // all of it can be spent
		t.Fatal(err)
	}
	// What comes in later for an account that is bound goes on to the member at once.
	later := in
	later.CSV += "t4,2024-03-07T08:00:00.000Z,,committed,1.00,eggs,,,,NET3,,NET1,\nt5,2024-04-07T08:00:00.000Z,,committed,2.00,wood,,,,NET2,,NET1,\n"
	before := n.balanceOf(carol)
	if out := n.imports(later); out.New != 1 || n.balanceOf(carol) != before+200 || n.importedBalance("NET1") != 0 || n.balanceOf(bob) == 0 {
		t.Errorf("later: %+v, carol %d", out, n.balanceOf(carol)-before)
	}
	n.sound()
	// Carol sees her own past, with the days of then, and not how it was passed on; what she sees sums to what she has.
	var sum int64
	var days []string
	for cursor, first := "", true; first || cursor != ""; first = false {
		h := do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: carol.DID(), Limit: 2, Cursor: cursor})
		for _, e := range h.Entries {
			sum += e.BalanceDelta
			if e.Kind == "import-claim" {
				t.Errorf("carol sees how it was passed on: %+v", e)
			}
			if e.Kind == "import" {
				days = append(days, e.ValueDate+" "+strings.TrimPrefix(string(e.From), "import:")+">"+strings.TrimPrefix(string(e.To), "import:"))
			}
		}
		cursor = h.Cursor
	}
	if want := []string{"2024-04-07 NET2>NET1", " clearing>NET1", "2024-03-07 NET3>NET1", "2024-03-02 NET1>NET2"}; !slices.Equal(days, want) {
		t.Errorf("carol's past: %q, want %q", days, want)
	}
	if sum != n.balanceOf(carol) {
		t.Errorf("carol's history sums to %d, she has %d", sum, n.balanceOf(carol))
	}
	st := do[ledger.StatementOut](n, "ledger.statement", ledger.StatementIn{DID: carol.DID()})
	if a := st.Accounts[0]; a.Opening != 0 || a.Closing != n.balanceOf(carol) || int(a.Count) != len(st.Rows) {
		t.Errorf("carol's statement: %+v, %d rows", a, len(st.Rows))
	}
	if !slices.ContainsFunc(st.Rows, func(r ledger.StatementRow) bool {
		return r.ValueDate == "2024-03-02" && r.With == "import:NET2" && r.Amount == -150
	}) {
		t.Errorf("carol's statement has no value dates: %+v", st.Rows)
	}
	// All accounts: each movement with its two sides, and they sum to zero.
	all := do[ledger.StatementOut](n, "ledger.statement", ledger.StatementIn{All: true})
	var total int64
	for _, a := range all.Accounts {
		total += a.Closing
		if a.DID == "import:NET1" && a.Closing != 0 {
			t.Errorf("%+v", a)
		}
	}
	if total != 0 || len(all.Accounts) < 5 {
		t.Errorf("the accounts sum to %d: %+v", total, all.Accounts)
	}

	// A file is taken back whole, also from who has it by now; then it can come in again.
	undo := do[ledger.ImportUndoOut](n, "ledger.import.undo", ledger.ImportUndoIn{File: stand.File, Reason: "an old file"})
	if undo.Parts != 1 || undo.Moves != 3 || n.balanceOf(carol) != before+200-900 {
		t.Errorf("undone: %+v, carol has %d", undo, n.balanceOf(carol))
	}
	if again := do[ledger.ImportUndoOut](n, "ledger.import.undo", ledger.ImportUndoIn{File: stand.File}); again.Parts != 0 {
		t.Errorf("undone again: %+v", again)
	}
	n.sound()
	if b := n.account(carol); b.Available != b.Limit+b.Balance {
		t.Errorf("carol owes what was taken back: %+v", b)
	}
	if again := n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV}); again.New != 0 {
		t.Errorf("what was not taken back comes in again: %+v", again)
	}
	if again := do[ledger.ImportUndoOut](n, "ledger.import.undo", ledger.ImportUndoIn{File: first.File}); again.Moves != 2 {
		t.Errorf("%+v", again)
	}
	if again := n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV}); again.New != 2 {
		t.Errorf("what was taken back does not come in again: %+v", again)
	}
	// Released, it is nobody's, with all that ever came in for it.
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "NET1", To: carol.DID(), Release: true})
	if got := n.importedBalance("NET1"); got != 150 { // -1.50 +1.00 +2.00
		t.Errorf("released: %d", got)
	}
	n.sound()
	files := do[ledger.ImportsOut](n, "ledger.import.list", ledger.ImportsIn{}).Files
	if len(files) != 4 {
		t.Errorf("%+v", files)
	}
	page := do[ledger.ImportAccountsOut](n, "ledger.import.accounts", ledger.ImportAccountsIn{Limit: 2})
	rest := do[ledger.ImportAccountsOut](n, "ledger.import.accounts", ledger.ImportAccountsIn{Cursor: page.Cursor})
	if len(page.Accounts) != 2 || page.Accounts[1].Owner != bob.DID() || len(rest.Accounts) != 2 || rest.Accounts[0].Account != "import:NET3" {
		t.Errorf("%+v, %+v", page, rest)
	}
}

// A file that does not sum to zero is refused, with the difference; or an account that is named takes it, once.
func TestImportSumsToZero(t *testing.T) {
	n, _, _ := bank(t)
	in := ledger.ImportIn{Mapping: "komunitin-accounts", CSV: "code,balance\nA,5\nB,-4.75\n"}
	if _, err := as[ledger.ImportOut](n, n.self, "ledger.import.file", in); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "0.25 more") {
		t.Errorf("%v", err)
	}
	dry := in
	dry.DryRun = true
	if out := n.imports(dry); len(out.Rest) != 1 || out.Rest[0].Amount != 25 {
		t.Errorf("%+v", out.Rest)
	}
	in.Rest = "rounding"
	for range 2 {
		n.imports(in)
		if a, b, c, left := n.importedBalance("A"), n.importedBalance("B"), n.importedBalance("rounding"), n.importedBalance("clearing"); a != 500 || b != -475 || c != -25 || left != 0 {
			t.Errorf("%d %d %d %d", a, b, c, left)
		}
	}
	n.sound()
	in.CSV = "code,balance\nA,x\nB,1.001\nA,1\nA,1\n"
	_, err := as[ledger.ImportOut](n, n.self, "ledger.import.file", in)
	for _, want := range []string{`row 2, column balance: "x"`, `row 3, column balance: "1.001"`, "row 5: account A stands there twice"} {
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A long file comes in by parts; what stops in between goes on.
func TestImportByParts(t *testing.T) {
	n, bob, _ := bank(t)
	var b strings.Builder
	b.WriteString("code,balance\n")
	for i := range 100 {
		fmt.Fprintf(&b, "A%03d,1\nB%03d,-1\n", i, i)
	}
	out := n.imports(ledger.ImportIn{Mapping: "komunitin-accounts", CSV: b.String()})
	if out.Parts != 4 || out.New != 200 || n.importedBalance("B099") != -100 {
		t.Errorf("%d parts, %d new", out.Parts, out.New)
	}
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "A003", To: bob.DID()})
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "A099", To: bob.DID()})
	if n.balanceOf(bob) != 200 {
		t.Errorf("bob has two accounts: %d", n.balanceOf(bob))
	}
	undo := do[ledger.ImportUndoOut](n, "ledger.import.undo", ledger.ImportUndoIn{File: out.File})
	if undo.Parts != 4 || undo.Moves != 200 || n.balanceOf(bob) != 0 || n.importedBalance("B000") != 0 {
		t.Errorf("%+v, bob has %d", undo, n.balanceOf(bob))
	}
	n.sound()
}

// What is in the bodies of records, as a clerk writes them whose program is their own.
type (
	importMove struct {
		_                  struct{} `cbor:",toarray"`
		From, To, Currency string
		Amount             int64
		Day, Memo, Cat, ID string
		N                  uint64
	}
	importOwner struct {
		_       struct{} `cbor:",toarray"`
		Code    string
		Account api.DID
	}
	importPart struct {
		_      struct{} `cbor:",toarray"`
		File   api.Hash
		Source string
		Part   uint64
		Moves  []importMove
		Owners []importOwner
	}
	importUndo struct {
		_      struct{} `cbor:",toarray"`
		File   api.Hash
		Source string
		Part   uint64
		Reason string
		Moves  []importMove
		Owners []importOwner
	}
	importBind struct {
		_       struct{} `cbor:",toarray"`
		Code    string
		Account api.DID
		Release bool
	}
)

// Nothing comes in but by the clerk, in order, once, for who owns it.
func TestWrongImportsAreVoid(t *testing.T) {
	n, bob, carol := bank(t)
	out := n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV})
	n.takes(carol, "NET1")
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "NET1", To: carol.DID()})
	for name, in := range map[string]any{
		"ledger.import.file": ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersCSV},
		"ledger.import.undo": ledger.ImportUndoIn{File: out.File},
		"ledger.import.bind": ledger.ImportBindIn{Account: "NET2", To: bob.DID()},
	} {
		_, err := as[ledger.ImportOut](n, bob, name, in)
		n.wantRule(err, "not-clerk")
	}
	space := out.Last.Topic
	a := importMove{From: "X", To: "Y", Currency: "hours", Amount: 1, ID: "new"}
	in := importMove{From: "NET1", To: "NET2", Currency: "hours", Amount: 150, Day: "2024-03-02", Memo: "bread", ID: "t1"}
	other := importMove{From: "NET2", To: "NET3", Currency: "hours", Amount: 1200, Day: "2024-03-05", Memo: "massage", ID: "t2"}
	mine := []importOwner{{Code: "NET1", Account: carol.DID()}}
	with := func(m importMove, change func(*importMove)) []importMove { change(&m); return []importMove{m} }
	for name, tc := range map[string]struct {
		by   api.Signer
		kind string
		body any
		rule string
	}{
		"not the clerk":       {bob, "import", importPart{File: api.Hash{1}, Source: "x", Moves: []importMove{a}}, "not-in-office"},
		"a gap":               {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Part: 1, Moves: []importMove{a}}, "out-of-order"},
		"the first again":     {n.self, "import", importPart{File: out.File, Source: "komunitin", Part: 0, Moves: []importMove{a}}, "out-of-order"},
		"what is in":          {n.self, "import", importPart{File: api.Hash{1}, Source: "komunitin", Moves: []importMove{in}, Owners: mine}, "already-imported"},
		"the same twice":      {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: []importMove{a, a}}, "already-imported"},
		"another currency":    {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.Currency = "eggs" })}, "unknown-currency"},
		"nothing":             {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.Amount = 0 })}, "malformed"},
		"to oneself":          {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.To = "X" })}, "malformed"},
		"no such day":         {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.Day = "2024-02-30" })}, "malformed"},
		"a name that is none": {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.To = "a:b" })}, "malformed"},
		"too much":            {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: []importMove{with(a, func(m *importMove) { m.Amount = 1<<63 - 1 })[0], with(a, func(m *importMove) { m.ID, m.Amount = "b", 1<<63-1 })[0]}}, "overflow"},
		"an owner left out":   {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.To = "NET1" })}, "other-owner"},
		"another owner":       {n.self, "import", importPart{File: api.Hash{1}, Source: "x", Moves: with(a, func(m *importMove) { m.To = "NET1" }), Owners: []importOwner{{Code: "NET1", Account: bob.DID()}}}, "other-owner"},
		"other movements":     {n.self, "import-undo", importUndo{File: out.File, Source: "komunitin", Moves: []importMove{in}, Owners: mine}, "not-imported"},
		"another source":      {n.self, "import-undo", importUndo{File: out.File, Source: "x", Moves: []importMove{in, other}, Owners: mine}, "not-imported"},
		"another file":        {n.self, "import-undo", importUndo{File: api.Hash{1}, Source: "komunitin", Moves: []importMove{in, other}, Owners: mine}, "not-imported"},
		"somebody's":          {n.self, "import-bind", importBind{Code: "NET1", Account: bob.DID()}, "other-owner"},
		"not theirs":          {n.self, "import-bind", importBind{Code: "NET1", Account: bob.DID(), Release: true}, "other-owner"},
		"an unknown account":  {n.self, "import-bind", importBind{Code: "NET9", Account: bob.DID()}, "not-imported"},
		"no DID":              {n.self, "import-bind", importBind{Code: "NET2", Account: "did:icn:x"}, "bad-account"},
	} {
		_, err := n.m.Append(tc.by, api.Draft{
			Topic: space, Kind: tc.kind, Body: codec.MustMarshal(tc.body),
		})
		if why := api.ReasonOf(err); why == nil || why.Rule != tc.rule {
			t.Errorf("%s: %v, want %s", name, err, tc.rule)
		}
	}
	undone := importUndo{File: out.File, Source: "komunitin", Moves: []importMove{in, other}, Owners: mine}
	for i, want := range []string{"", "already-undone"} {
		_, err := n.m.Append(n.self, api.Draft{Topic: space, Kind: "import-undo", Body: codec.MustMarshal(undone)})
		if why := api.ReasonOf(err); want == "" && err != nil || want != "" && (why == nil || why.Rule != want) {
			t.Errorf("taken back %d times: %v", i+1, err)
		}
	}
	n.sound()
}
