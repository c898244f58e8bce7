package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// foreign are the accounts that the co-op had in another system.
var foreign = [...]string{"A", "B", "C", "D"}

// maxFiles bounds how many files a run brings in.
const maxFiles = 6

// taken is a member's word on an account of another system.
type taken struct {
	by   api.DID
	code string
}

// comeIn lets the clerk do some of what it takes to move from another system.
func (w *World) comeIn() error {
	for range 1 + w.Rand.IntN(4) {
		if err := w.move(); err != nil {
			return err
		}
	}
	return nil
}

// move lets the clerk bring in a file of another system, an old one again or a longer one; take one back; or give an account to a member, or take it away.
func (w *World) move() error {
	if w.clerk.Liar() {
		return nil
	}
	code := foreign[w.Rand.IntN(len(foreign))]
	m := w.members[w.Rand.IntN(len(w.members))]
	switch n := w.Rand.IntN(6); {
	case n < 3:
		if len(w.files) < maxFiles && (n == 0 || len(w.files) == 0) {
			w.files = append(w.files, w.file())
		}
		_, _ = call(w.clerk, "ledger.import.file", ledger.ImportIn{
			Space: w.Space, Mapping: `{"preset":"komunitin-transfers","currency":"` + Currency + `"}`, CSV: strings.Join(w.files[:1+w.Rand.IntN(len(w.files))], ""),
		})
	case n == 3:
		out, err := w.clerk.Ask("ledger.import.list", ledger.ImportsIn{Space: w.Space})
		if err != nil {
			return nil //nolint:nilerr // the clerk's node does not run, or knows nothing yet
		}
		if all := out.(*ledger.ImportsOut).Files; len(all) > 0 {
			_, _ = call(w.clerk, "ledger.import.undo", ledger.ImportUndoIn{Space: w.Space, File: all[w.Rand.IntN(len(all))].File})
		}
	default:
		if w.Rand.IntN(4) > 0 { // else the clerk tries without the member
			most := int64(w.Rand.IntN(4000))
			w.took[taken{m.Member().DID(), code}] = max(w.took[taken{m.Member().DID(), code}], most)
			_, _ = call(m, "ledger.import.take", ledger.ImportTakeIn{Space: w.Space, Account: code, Owes: []ledger.ImportDebt{{Currency: Currency, Amount: most}}})
		}
		_, _ = call(w.clerk, "ledger.import.bind", ledger.ImportBindIn{Space: w.Space, Account: code, To: m.Member().DID(), Release: n == 4 && w.Rand.IntN(2) == 0})
	}
	return nil
}

// file is the next part of what the other system exports: each row is named once in a run, and by its memo.
func (w *World) file() string {
	var b strings.Builder
	if len(w.files) == 0 {
		b.WriteString("id,created,state,amount,description,payer.code,payee.code\n")
	}
	for i := range 1 + w.Rand.IntN(5) {
		from := w.Rand.IntN(len(foreign))
		to := (from + 1 + w.Rand.IntN(len(foreign)-1)) % len(foreign)
		id := fmt.Sprintf("t%d-%d", len(w.files), i)
		fmt.Fprintf(&b, "%s,2024-01-%02d,committed,%d.%02d,%s,%s,%s\n", id, 1+len(w.files), w.Rand.IntN(9), 1+w.Rand.IntN(99), id, foreign[from], foreign[to])
	}
	return b.String()
}

// cameIn adds up what imports have taken from a member's account, as n has it: it may go below its limit by that.
func (w *World) cameIn(n, m *kerneltest.Node) (owed int64, any bool) {
	if len(w.files) == 0 {
		return 0, false
	}
	_ = w.rows(n, m.Member().DID(), func(e *ledger.Entry) {
		if strings.HasPrefix(e.Kind, "import") {
			any = true
			owed += max(0, -e.BalanceDelta)
		}
	})
	return owed, any
}

// rows goes through the history of an account, as n has it; false where n has not heard of it.
func (w *World) rows(n *kerneltest.Node, account api.DID, visit func(*ledger.Entry)) bool {
	for in := (ledger.HistoryIn{Space: w.Space, DID: account, Limit: 500}); ; {
		out, err := n.Ask("ledger.history", in)
		if err != nil {
			return false
		}
		page := out.(*ledger.HistoryOut)
		for i := range page.Entries {
			visit(&page.Entries[i])
		}
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return true
		}
	}
}

// importedOnce checks that what came from the other system is in once at most, that nobody was given a debt beyond what they have taken over, and that a member's history, with what it has from there, sums to the balance.
func (w *World) importedOnce(n *kerneltest.Node) error {
	if len(w.files) == 0 || !n.Up() {
		return nil
	}
	in := map[string]int{}
	for _, code := range foreign {
		w.rows(n, api.DID("import:"+code), func(e *ledger.Entry) {
			switch {
			case e.BalanceDelta > 0 && e.Kind == "import":
				in[e.Memo]++
			case e.BalanceDelta < 0 && e.Kind == "import-undo": // turned round: who was paid pays
				in[e.Memo]--
			}
		})
	}
	for _, memo := range slices.Sorted(maps.Keys(in)) {
		times := in[memo]
		if times != 0 && times != 1 {
			return fmt.Errorf("%s: the movement %s is in %d times", n.Name, memo, times)
		}
		w.Count("import", "%s %d", memo, times)
	}
	if out, err := n.Ask("ledger.import.accounts", ledger.ImportAccountsIn{Space: w.Space}); err == nil {
		for _, a := range out.(*ledger.ImportAccountsOut).Accounts {
			most := w.took[taken{a.Owner, strings.TrimPrefix(string(a.Account), "import:")}]
			for _, x := range a.Sums {
				switch {
				case a.Owner != "" && x.Amount < -most:
					return fmt.Errorf("%s: %s was given %s, which stands at %d, and has taken over %d at most", n.Name, a.Owner, a.Account, x.Amount, most)
				case a.Owner != "" && x.Amount < 0:
					w.Count("import-taken", "%s", a.Account)
				}
			}
		}
	}
	for _, m := range w.members {
		var sum int64
		if !w.rows(n, m.Member().DID(), func(e *ledger.Entry) { sum += e.BalanceDelta }) {
			continue
		}
		out, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: w.Space, DID: m.Member().DID()})
		if err != nil {
			continue
		}
		if b := out.(*ledger.BalanceOut).Balances; len(b) > 0 && b[0].Balance != sum {
			return fmt.Errorf("%s: %s has %d, and a history of %d", n.Name, m.Name, b[0].Balance, sum)
		}
		if _, any := w.cameIn(n, m); any {
			w.Count("import-owned", "%s", m.Name)
		}
	}
	return nil
}
