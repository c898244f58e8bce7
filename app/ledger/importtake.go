package ledger

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// What an account of another system owes is a member's only as far as the member has said so: else the clerk could import any debt and make it somebody's, who
// would have paid without having signed anything. What an account has needs no such word.

// kindImportTake is of the topic ledger, and the member's.
const kindImportTake = "import-take"

const maxDebts = 16

// importTake is a member's word that an account of another system is theirs, with at most these debts.
type importTake struct {
	_    struct{} `cbor:",toarray"`
	Code string
	Owes []debt // at most 16, ascending by currency
}

// debt is what is owed at most in a currency.
type debt struct {
	_        struct{} `cbor:",toarray"`
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
}

func (t *importTake) check() error {
	switch {
	case !isImportCode(t.Code):
		return fmt.Errorf("code: want 1 to %d letters, digits and hyphens of ASCII", maxImportCode)
	case len(t.Owes) > maxDebts:
		return fmt.Errorf("owes: %d currencies, want at most %d", len(t.Owes), maxDebts)
	}
	for i, d := range t.Owes {
		switch {
		case !isCode(d.Currency, maxCode):
			return fmt.Errorf("owes[%d].currency: want 1 to %d of a-z 0-9 -", i, maxCode)
		case d.Amount <= 0:
			return fmt.Errorf("owes[%d].amount %d: want more than 0", i, d.Amount)
		case i > 0 && d.Currency <= t.Owes[i-1].Currency:
			return fmt.Errorf("owes[%d].currency: not after the one before; want each once, ascending", i)
		}
	}
	return nil
}

// rowTake is on the feed of a member: sums, which the member has taken over at most with an account of another system.
func rowTake(code string) []byte { return []byte("take/" + code) }

// takeOver keeps what the author takes over, in place of what they have said of the account before.
func (f *fold) takeOver() api.Outcome {
	var t importTake
	if err := decode(f.rec.Body, &t); err != nil {
		return malformed(err)
	}
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	var owes []sum
	for _, d := range t.Owes {
		owes = with(owes, d.Currency, d.Amount)
	}
	f.Put(rowTake(t.Code), encodeSums(owes))
	return api.Accepted
}

// taken returns what the record shows a member to have taken over with an account. What is signed counts, final or not.
func (f *fold) taken(by api.DID, code string) (owes []sum) {
	for _, d := range f.rec.Deps {
		h, _ := f.Dep(d)
		if h.Author != by || h.Topic != (api.Topic{Space: f.rec.Topic.Space, Name: fact.LedgerTopic}) {
			continue
		}
		owes = raise(owes, getSums(f.At(d, rowTake(code))))
	}
	return owes
}

// raise returns the higher amount of each currency.
func raise(sums, by []sum) []sum {
	for _, s := range by {
		if s.Amount > of(sums, s.Code) {
			sums = with(sums, s.Code, s.Amount)
		}
	}
	return sums
}

// exceeds reports whether an account of the sum owes more than was taken over.
func exceeds(sum, taken int64) bool { return sum < -taken }

func notTaken(code string, account api.DID, currency string, sum, taken int64) api.Outcome {
	out := api.Voided(Domain, "not-taken", "a member owes what an account of another system does only as far as they have taken it over")
	out.Void.Inputs = map[string]string{
		"code": code, "account": string(account), "currency": currency, "owed": strings.TrimPrefix(strconv.FormatInt(sum, 10), "-"), "taken": strconv.FormatInt(taken, 10),
	}
	out.Void.Remedy = "the member takes it over: icnctl ledger import take " + code
	return out
}

var alreadyTheirs = api.Voided(Domain, "already-theirs", "the account is the member's already, and the record shows nothing more that they have taken over with it")
