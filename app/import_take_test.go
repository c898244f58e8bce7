package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// takes says for a member that an account is theirs; without an amount: with what it owes now.
func (n *node) takes(by api.Signer, account string, most ...int64) *ledger.ImportTakeOut {
	n.t.Helper()
	out, err := n.tries(by, account, most...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *node) tries(by api.Signer, account string, most ...int64) (*ledger.ImportTakeOut, error) {
	in := ledger.ImportTakeIn{Account: account}
	for _, m := range most {
		in.Owes = append(in.Owes, ledger.ImportDebt{Currency: "hours", Amount: m})
	}
	return as[ledger.ImportTakeOut](n, by, "ledger.import.take", in)
}

func (n *node) bindsAccount(account string, to api.Signer) (*ledger.ImportBindOut, error) {
	return as[ledger.ImportBindOut](n, n.self, "ledger.import.bind", ledger.ImportBindIn{Account: account, To: to.DID()})
}

func (n *node) brings(csv string) error {
	_, err := as[ledger.ImportOut](n, n.self, "ledger.import.file", ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersHead + csv})
	return err
}

const transfersHead = "id,created,updated,state,amount,description,hash,authorization,payer.id,payer.code,payee.id,payee.code,user.id\n"

// owes is a line of such a file.
func owes(id, payer, payee, amount string) string {
	return id + ",2024-03-02T09:15:00.000Z,,committed," + amount + ",x,,,," + payer + ",," + payee + ",\n"
}

// bindsWith writes a bind that cites what it likes, as a clerk may whose program is their own.
func (n *node) bindsWith(code string, to api.DID, deps ...api.Position) error {
	return n.posts("import-bind", importBind{Code: code, Account: to}, deps...)
}

func (n *node) posts(kind string, body any, deps ...api.Position) error {
	_, err := n.m.Append(n.self, api.Draft{Topic: n.postings(), Kind: kind, Body: codec.MustMarshal(body), Deps: deps})
	return err
}

func (n *node) postings() api.Topic {
	for _, r := range n.m.Records() {
		if r.Topic.Name == "postings" {
			return r.Topic
		}
	}
	n.t.Fatal("nothing was posted")
	return api.Topic{}
}

// The clerk writes what he likes of another system: Alice owes Bob a thousand there. He gives Alice's account to a victim and Bob's to himself, and would have
// spent what is hers. Nothing that he can cite does it; only she can take the debt over, and no more of it than she says.
func TestClerkCannotBindDebts(t *testing.T) {
	n, victim, carol := bank(t)
	if err := n.brings(owes("1", "A", "B", "1000.00")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.bindsAccount("B", n.self); err != nil { // a credit is bound without a word of the member's
		t.Fatal(err)
	}
	_, err := n.bindsAccount("A", victim)
	n.wantRule(err, "not-taken")
	if why := api.ReasonOf(err); why != nil {
		for _, want := range []string{"import:A would owe 1000.00 hours", string(victim.DID()), "has taken over 0.00"} {
			if !strings.Contains(why.Text, want) {
				t.Errorf("%q does not say %q", why.Text, want)
			}
		}
		if why.Remedy != "the member takes it over: icnctl ledger import take A" {
			t.Errorf("remedy %q", why.Remedy)
		}
	}
	// By records of his own making he gets no further, whatever he cites.
	n.wantRule(n.bindsWith("A", victim.DID()), "not-taken")
	mine := n.takes(carol, "A") // somebody else's word
	n.wantRule(n.bindsWith("A", victim.DID(), mine.Receipt.Position), "not-taken")
	if err := n.pays(victim, carol, 100); err != nil {
		t.Fatal(err)
	}
	before := n.newest(victim)
	n.wantRule(n.bindsWith("A", victim.DID(), before.Position()), "not-taken")
	less := n.takes(victim, "A", 99_999)
	n.wantRule(n.bindsWith("A", victim.DID(), less.Receipt.Position), "not-taken")
	if n.balanceOf(victim) != -100 {
		t.Fatalf("the victim has %d", n.balanceOf(victim))
	}
	all := n.takes(victim, "A", 100_000)
	n.wantRule(n.bindsWith("A", victim.DID(), before.Position()), "not-taken") // it stands there later
	if err := n.bindsWith("A", victim.DID(), all.Receipt.Position); err != nil {
		t.Fatal(err)
	}
	if n.balanceOf(victim) != -100_100 {
		t.Errorf("she has %d, and took 1000.00 over", n.balanceOf(victim))
	}
	// Nor is what comes in later hers beyond that.
	n.wantRule(n.brings(owes("2", "A", "B", "0.01")), "not-taken")
	n.wantRule(n.posts("import", importPart{
		File: api.Hash{1}, Source: "x", Moves: []importMove{{From: "A", To: "B", Currency: "hours", Amount: 1}},
		Owners: []importOwner{{Code: "A", Account: victim.DID()}, {Code: "B", Account: n.self.DID()}},
	}), "not-taken")
	n.sound()
}

// A debt is bound to who has taken it over. What comes in later is theirs as far as they have; they may take more over, and the clerk bind it again.
func TestTakenOver(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.brings(owes("1", "A", "B", "10.00") + owes("2", "C", "B", "1.00")); err != nil {
		t.Fatal(err)
	}
	for account, want := range map[string]api.Kind{"Z": api.NotFound, "B": api.Conflict} {
		if _, err := n.tries(bob, account); api.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", account, err, want)
		}
	}
	stranger := kerneltest.Signer("nobody")
	_, err := n.tries(stranger, "A")
	n.wantRule(err, "not-a-member")
	said := n.takes(bob, "import:A")
	if len(said.Taken) != 1 || said.Taken[0].Amount != 1000 || said.Sums[0].Amount != -1000 {
		t.Errorf("%+v", said)
	}
	if again := n.takes(bob, "A"); !again.Receipt.Repeated || again.Receipt.Position != said.Receipt.Position {
		t.Errorf("said again: %+v", again.Receipt)
	}
	if _, err := n.bindsAccount("A", bob); err != nil {
		t.Fatal(err)
	}
	if again, err := n.bindsAccount("A", bob); err != nil || !again.Receipt.Repeated {
		t.Errorf("bound again: %+v, %v", again, err)
	}
	n.wantRule(n.bindsWith("A", bob.DID(), said.Receipt.Position), "already-theirs")
	if n.balanceOf(bob) != -1000 {
		t.Errorf("bob has %d", n.balanceOf(bob))
	}
	_, err = n.tries(carol, "A")
	n.wantRule(err, "other-owner")

	more := owes("3", "A", "B", "2.50")
	dry := n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersHead + more, DryRun: true})
	if want := (ledger.ImportLack{Account: "import:A", Owner: bob.DID(), Currency: "hours", Scale: 2, Owed: 1250, Taken: 1000}); !slices.Equal(dry.Lacks, []ledger.ImportLack{want}) {
		t.Errorf("a dry run: %+v", dry.Lacks)
	}
	err = n.brings(more)
	n.wantRule(err, "not-taken")
	if why := api.ReasonOf(err); why != nil && !strings.Contains(why.Text, "2.50 hours too little") || !strings.Contains(why.Remedy, "take A --owes 12.50") {
		t.Errorf("%+v", why)
	}
	if err := n.brings(owes("4", "B", "A", "2.50") + more); err != nil { // in one record it is as good as nothing
		t.Fatal(err)
	}
	n.takes(bob, "A", 1500)
	n.wantRule(n.brings(owes("5", "A", "B", "5.00")), "not-taken") // the clerk's record has to show it
	if _, err := n.bindsAccount("A", bob); err != nil {
		t.Fatal(err)
	}
	if n.balanceOf(bob) != -1000 {
		t.Errorf("bound again bob has %d", n.balanceOf(bob))
	}
	if err := n.brings(owes("5", "A", "B", "5.00")); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.brings(owes("6", "A", "B", "0.01")), "not-taken")
	if n.balanceOf(bob) != -1500 {
		t.Errorf("bob has %d", n.balanceOf(bob))
	}
	accounts := do[ledger.ImportAccountsOut](n, "ledger.import.accounts", ledger.ImportAccountsIn{}).Accounts
	if i := slices.IndexFunc(accounts, func(a ledger.ImportedAccount) bool { return a.Account == "import:A" }); len(accounts[i].Taken) != 1 || accounts[i].Taken[0].Amount != 1500 {
		t.Errorf("%+v", accounts)
	}
	n.sound()
}

// What is taken back may not leave a member owing what they have not taken over. Released, it is nobody's, and can be taken back.
func TestUndoLeavesNoDebtsThatNobodyTook(t *testing.T) {
	n, bob, _ := bank(t)
	first := n.imports(ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersHead + owes("1", "B", "A", "10.00")})
	if err := n.brings(owes("2", "A", "B", "8.00")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.bindsAccount("A", bob); err != nil {
		t.Fatal(err)
	}
	undo := func() error {
		_, err := as[ledger.ImportUndoOut](n, n.self, "ledger.import.undo", ledger.ImportUndoIn{File: first.File})
		return err
	}
	n.wantRule(undo(), "not-taken")
	n.wantRule(n.posts("import-undo", importUndo{
		File: first.File, Source: "komunitin", Moves: []importMove{{From: "B", To: "A", Currency: "hours", Amount: 1000, Day: "2024-03-02", Memo: "x", ID: "1"}},
		Owners: []importOwner{{Code: "A", Account: bob.DID()}},
	}), "not-taken")
	if n.balanceOf(bob) != 200 {
		t.Errorf("bob has %d", n.balanceOf(bob))
	}
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "A", To: bob.DID(), Release: true})
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	_, err := n.bindsAccount("A", bob)
	n.wantRule(err, "not-taken")
	n.takes(bob, "A")
	if _, err := n.bindsAccount("A", bob); err != nil || n.balanceOf(bob) != -800 {
		t.Errorf("%v, bob has %d", err, n.balanceOf(bob))
	}
	// What release gave up the next owner has to take over.
	do[ledger.ImportBindOut](n, "ledger.import.bind", ledger.ImportBindIn{Account: "A", To: bob.DID(), Release: true})
	_, err = n.bindsAccount("A", n.self)
	n.wantRule(err, "not-taken")
	n.sound()
}

func TestWrongTakesAreVoid(t *testing.T) {
	n, bob, _ := bank(t)
	if err := n.brings(owes("1", "A", "B", "10.00")); err != nil {
		t.Fatal(err)
	}
	n.takes(bob, "A")
	topic := n.newest(bob).Topic
	type debt struct {
		_        struct{} `cbor:",toarray"`
		Currency string
		Amount   int64
	}
	type take struct {
		_    struct{} `cbor:",toarray"`
		Code string
		Owes []debt
	}
	many := make([]debt, 17)
	for i := range many {
		many[i] = debt{Currency: fmt.Sprintf("c%02d", i), Amount: 1}
	}
	for name, tc := range map[string]struct {
		by   api.Signer
		body take
		rule string
	}{
		"nothing":        {bob, take{Code: "A", Owes: []debt{}}, ""},
		"one":            {bob, take{Code: "A", Owes: []debt{{Currency: "hours", Amount: 1}}}, ""},
		"as many as may": {bob, take{Code: "A", Owes: many[:16]}, ""},
		"too many":       {bob, take{Code: "A", Owes: many}, "malformed"},
		"of nothing":     {bob, take{Code: "A", Owes: []debt{{Currency: "hours"}}}, "malformed"},
		"below nothing":  {bob, take{Code: "A", Owes: []debt{{Currency: "hours", Amount: -1}}}, "malformed"},
		"twice":          {bob, take{Code: "A", Owes: []debt{{Currency: "hours", Amount: 1}, {Currency: "hours", Amount: 2}}}, "malformed"},
		"descending":     {bob, take{Code: "A", Owes: []debt{many[1], many[0]}}, "malformed"},
		"no code":        {bob, take{Owes: []debt{}}, "malformed"},
		"a name":         {bob, take{Code: "a/b", Owes: []debt{}}, "malformed"},
		"a stranger's":   {kerneltest.Signer("nobody"), take{Code: "A", Owes: []debt{}}, "not-a-member"},
	} {
		_, err := n.m.Append(tc.by, api.Draft{Topic: topic, Kind: "import-take", Body: codec.MustMarshal(tc.body)})
		if why := api.ReasonOf(err); tc.rule == "" && err != nil || tc.rule != "" && (why == nil || why.Rule != tc.rule) {
			t.Errorf("%s: %v, want %q", name, err, tc.rule)
		}
	}
}

// Whatever a clerk imports, binds, releases and takes back: by an account of another system no member is ever below minus what they have at some time taken
// over with it. The model knows nothing of floors: it adds up what came in, and what was passed on.
func TestNobodyOwesWhatTheyHaveNotTaken(t *testing.T) {
	debts := 0 // that were passed on
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t, "ann")
		members := []api.Signer{kerneltest.Signer("bob"), kerneltest.Signer("carol")}
		do[membership.CreateOut](n, "space.create", membership.CreateIn{Name: "Bank"})
		for _, m := range members {
			do[membership.AddOut](n, "member.add", membership.AddIn{DID: m.DID(), Device: m.Device()})
		}
		codes := []string{"A", "B", "C"}
		type pair struct {
			did  api.DID
			code string
		}
		took := map[pair]int64{} // ever
		var takes []api.Position
		var files []api.Hash
		for i := range rapid.IntRange(8, 20).Draw(rt, "steps") {
			code, who := rapid.SampledFrom(codes).Draw(rt, "code"), rapid.SampledFrom(members).Draw(rt, "who")
			switch rapid.SampledFrom([]string{"import", "import", "take", "bind", "bind", "forge", "release", "undo"}).Draw(rt, "what") {
			case "import":
				var csv strings.Builder
				for k := range rapid.IntRange(1, 3).Draw(rt, "lines") {
					to := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(codes), func(c string) bool { return c == code })).Draw(rt, "to")
					csv.WriteString(owes(fmt.Sprintf("%d-%d", i, k), code, to, fmt.Sprint(rapid.IntRange(1, 9).Draw(rt, "amount"))))
				}
				if out, err := as[ledger.ImportOut](n, n.self, "ledger.import.file", ledger.ImportIn{Mapping: "komunitin-transfers", CSV: transfersHead + csv.String()}); err == nil {
					files = append(files, out.File)
				}
			case "take":
				most := 100 * rapid.Int64Range(0, 20).Draw(rt, "most")
				if out, err := n.tries(who, code, most); err == nil {
					took[pair{who.DID(), code}] = max(took[pair{who.DID(), code}], most)
					takes = append(takes, out.Receipt.Position)
				}
			case "bind":
				_, _ = n.bindsAccount(code, who)
			case "forge": // citing any word of anybody's
				if len(takes) > 0 {
					_ = n.bindsWith(code, who.DID(), rapid.SampledFrom(takes).Draw(rt, "cite"))
				}
			case "release":
				_, _ = as[ledger.ImportBindOut](n, n.self, "ledger.import.bind", ledger.ImportBindIn{Account: code, To: who.DID(), Release: true})
			case "undo":
				if len(files) > 0 {
					_, _ = as[ledger.ImportUndoOut](n, n.self, "ledger.import.undo", ledger.ImportUndoIn{File: rapid.SampledFrom(files).Draw(rt, "file")})
				}
			}
			most := map[api.DID]int64{}
			for p, m := range took {
				most[p.did] += m
			}
			for _, m := range members {
				if got := n.balanceOf(m); got < -most[m.DID()] {
					rt.Fatalf("step %d: %d, and they have taken over %d", i, got, most[m.DID()])
				} else if got < 0 {
					debts++
				}
			}
			if len(files) == 0 {
				continue
			}
			for _, a := range do[ledger.ImportAccountsOut](n, "ledger.import.accounts", ledger.ImportAccountsIn{}).Accounts {
				for _, x := range a.Sums {
					if most := took[pair{a.Owner, strings.TrimPrefix(string(a.Account), "import:")}]; a.Owner != "" && x.Amount < -most {
						rt.Fatalf("step %d: %+v, and they have taken over %d", i, a, most)
					}
				}
			}
		}
		n.sound()
	})
	if debts == 0 {
		t.Error("no debt was ever passed on: this shows nothing")
	}
}
