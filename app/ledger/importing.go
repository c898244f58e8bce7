package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// What another system says of its accounts comes in as records of the clerk's office, in the topic postings. An account that nobody has a key for yet is called
// import:<code>: it has a balance and a history, and nobody can spend from it. When the clerk binds it to a member, what it has is the member's, debts as far as
// the member has taken them over, and what comes in for it later as well. Each movement has two sides, so the balances sum to zero whatever a file says.

const (
	kindImport     = "import"
	kindImportUndo = "import-undo"
	kindImportBind = "import-bind"
)

// importPrefix is what the names of accounts of other systems begin with.
const importPrefix = "import:"

const (
	maxMoves      = 64 // of one import record
	maxImportCode = 48
	maxImportID   = 64
	claimLeg      = 128 // legs from here on move between an account of another system and the member that it is bound to
)

// moved is one movement between accounts of another system.
type moved struct {
	_        struct{} `cbor:",toarray"`
	From     string   // codes
	To       string
	Currency string
	Amount   int64  `say:"amount,currency"` // minor units, > 0
	Day      string // by the other system, YYYY-MM-DD; empty: not known
	Memo     string
	Category string
	ID       string // what the other system calls it; empty: nothing
	N        uint64 // of movements alike that have no ID, from 0
}

func (m *moved) check() error {
	switch {
	case !isImportCode(m.From) || !isImportCode(m.To):
		return fmt.Errorf("from, to: want 1 to %d letters, digits and hyphens of ASCII", maxImportCode)
	case m.From == m.To:
		return errors.New("from, to: want two accounts")
	case m.Day != "" && !isOldDay(m.Day):
		return fmt.Errorf("day %q: want a day such as 2024-05-31, or nothing", clip(m.Day))
	case len(m.ID) > maxImportID || m.ID != "" && m.N != 0:
		return fmt.Errorf("id, n: want at most %d bytes, and no n with an id", maxImportID)
	}
	if err := checkLine("id", m.ID); err != nil {
		return err
	}
	return checkPayment("", m.Currency, m.Amount, m.Memo, m.Category)
}

// slot names what the movement is in its system, once: by what that calls it, else by all that it says.
func (m *moved) slot(source string) api.Hash {
	var b []byte
	if m.ID != "" {
		b = codec.MustMarshal([]any{source, m.ID})
	} else {
		b = codec.MustMarshal([]any{source, m})
	}
	return sha256.Sum256(append([]byte("icn-import\x00"), b...))
}

// turned are the movements that take others back.
func turned(moves []moved) []moved {
	back := slices.Clone(moves)
	for i := range back {
		back[i].From, back[i].To = back[i].To, back[i].From
	}
	return back
}

// imported is a part of what a file says: all of it counts, or nothing.
type imported struct {
	_      struct{} `cbor:",toarray"`
	File   api.Hash // digest of the file and of how it was read
	Source string   // the system that it comes from, 1 to 16 of a-z 0-9 -
	Part   uint64   // of the file, from 0 without gaps
	Moves  []moved  // 1 to 64
	Owners []owner  // of those accounts in the moves that are bound, ascending by code
}

// owner says whose an account of another system is.
type owner struct {
	_       struct{} `cbor:",toarray"`
	Code    string
	Account api.DID
}

func (c *imported) check() error {
	switch {
	case c.File.IsZero():
		return errors.New("file: missing")
	case !isCode(c.Source, maxCode):
		return fmt.Errorf("source: want 1 to %d of a-z 0-9 -", maxCode)
	}
	if len(c.Moves) == 0 || len(c.Moves) > maxMoves {
		return fmt.Errorf("%d moves: want 1 to %d", len(c.Moves), maxMoves)
	}
	for i := range c.Moves {
		if err := c.Moves[i].check(); err != nil {
			return fmt.Errorf("moves[%d]: %w", i, err)
		}
	}
	if len(c.Owners) > 2*maxMoves {
		return fmt.Errorf("%d owners: at most two for each of the moves", len(c.Owners))
	}
	for i, o := range c.Owners {
		if !isImportCode(o.Code) || o.Account == "" || len(o.Account) > maxDID || i > 0 && o.Code <= c.Owners[i-1].Code {
			return fmt.Errorf("owners[%d]: want a code and a DID, each code once, ascending", i)
		}
	}
	return nil
}

// importUndo takes a part of a file back.
type importUndo struct {
	_      struct{} `cbor:",toarray"`
	File   api.Hash
	Source string
	Part   uint64
	Reason string
	Moves  []moved // those of the part
	Owners []owner // as they are now
}

func (u *importUndo) check() error {
	c := imported{File: u.File, Source: u.Source, Part: u.Part, Moves: u.Moves, Owners: u.Owners}
	if err := c.check(); err != nil {
		return err
	}
	return checkLine("reason", u.Reason)
}

// importBind says whose an account of another system is.
type importBind struct {
	_       struct{} `cbor:",toarray"`
	Code    string
	Account api.DID
	Release bool // it is not the account's any more
}

func (b *importBind) check() error {
	switch {
	case !isImportCode(b.Code):
		return fmt.Errorf("code: want 1 to %d letters, digits and hyphens of ASCII", maxImportCode)
	case b.Account == "" || len(b.Account) > maxDID:
		return errors.New("account: want a DID")
	}
	return nil
}

func isImportCode(s string) bool {
	return len(s) > 0 && len(s) <= maxImportCode && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// isImported reports whether an account is one of another system.
func isImported(account api.DID) bool {
	code, ok := strings.CutPrefix(string(account), importPrefix)
	return ok && isImportCode(code)
}

func importAccount(code string) api.DID { return api.DID(importPrefix + code) }

// Feed rows of an office's feed in the topic postings:
//
//	impf/<file>          importFile
//	impp/<file><part>    importPart
//	imps/<slot>          a byte: 1 when a movement is in, 0 when it was taken back; half of the digest is enough
//	impa/<code>          importState
//	impd/<account>/<code> a byte: 1 while the account of that code is the member's
var (
	rowsFiles = []byte("impf/")
	rowsCodes = []byte("impa/")
)

func rowFile(file api.Hash) []byte { return append(slices.Clone(rowsFiles), file[:]...) }
func rowPart(file api.Hash, part uint64) []byte {
	return append(append([]byte("impp/"), file[:]...), api.Seq8(part)...)
}
func rowMoved(slot api.Hash) []byte { return append([]byte("imps/"), slot[:16]...) }
func rowCode(code string) []byte    { return append(slices.Clone(rowsCodes), code...) }
func rowsOf(account api.DID) []byte { return []byte("impd/" + string(account) + "/") }
func rowOf(account api.DID, code string) []byte {
	return append(rowsOf(account), code...)
}

// importFile is how much of a file is in.
type importFile struct {
	_      struct{} `cbor:",toarray"`
	Source string
	Parts  uint64 // that were ever written
	Undone uint64 // of these
	Moves  uint64 // that are in
}

// importPart is what is known of a part that is in.
type importPart struct {
	_      struct{} `cbor:",toarray"`
	Moves  api.Hash // digest
	Undone bool
}

// importState is an account of another system.
type importState struct {
	_       struct{} `cbor:",toarray"`
	Sums    []sum    // all that came in for it, less what was taken back
	Account api.DID  // whose it is; empty: nobody's yet
	Owes    []sum    // what that member has taken over at most
}

func movesDigest(moves []moved) api.Hash { return sha256.Sum256(codec.MustMarshal(moves)) }

// imports brings a part of a file in.
func (f *fold) imports(c *imported) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	file := get[importFile](f.Own(rowFile(c.File)))
	if c.Part != file.Parts {
		out := api.Voided(Domain, "out-of-order", "the parts of a file are numbered without gaps")
		out.Void.Inputs = map[string]string{"part": strconv.FormatUint(c.Part, 10), "parts": strconv.FormatUint(file.Parts, 10)}
		return out
	}
	taken := map[api.Hash]bool{}
	for i := range c.Moves {
		m := &c.Moves[i]
		if _, ok := f.currency(m.Currency); !ok {
			return unknownCurrency(m.Currency)
		}
		slot := m.slot(c.Source)
		if b, ok := f.Own(rowMoved(slot)); taken[slot] || ok && b[0] == 1 {
			out := api.Voided(Domain, "already-imported", "a movement is in already, and comes in once")
			out.Void.Inputs = map[string]string{"move": strconv.Itoa(i), "id": m.ID}
			return out
		}
		taken[slot] = true
		f.Put(rowMoved(slot), []byte{1})
	}
	file.Source, file.Parts, file.Moves = c.Source, file.Parts+1, file.Moves+uint64(len(c.Moves))
	f.Put(rowFile(c.File), codec.MustMarshal(&file))
	f.Put(rowPart(c.File, c.Part), codec.MustMarshal(&importPart{Moves: movesDigest(c.Moves)}))
	return f.enterMoves(c.Moves, c.Owners)
}

// undoImport takes a part of a file back, whole, once.
func (f *fold) undoImport(u *importUndo) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	b, ok := f.Own(rowPart(u.File, u.Part))
	switch part := get[importPart](b, ok); {
	case !ok || part.Moves != movesDigest(u.Moves):
		return notImported
	case part.Undone:
		return alreadyUndone
	}
	file := get[importFile](f.Own(rowFile(u.File)))
	if file.Source != u.Source {
		return notImported
	}
	for i := range u.Moves {
		f.Put(rowMoved(u.Moves[i].slot(u.Source)), []byte{0})
	}
	file.Undone, file.Moves = file.Undone+1, file.Moves-uint64(len(u.Moves))
	f.Put(rowFile(u.File), codec.MustMarshal(&file))
	f.Put(rowPart(u.File, u.Part), codec.MustMarshal(&importPart{Moves: movesDigest(u.Moves), Undone: true}))
	return f.enterMoves(turned(u.Moves), u.Owners)
}

// net is what a record comes to for one account of another system in one currency.
type net struct {
	code, currency string
	amount         int64
}

// nets lists what movements come to, in the order in which accounts first stand there: the place in it is the leg of a claim.
func nets(moves []moved) (all []net, fits bool) {
	add := func(code, currency string, n int64) bool {
		i := slices.IndexFunc(all, func(o net) bool { return o.code == code && o.currency == currency })
		if i < 0 {
			i = len(all)
			all = append(all, net{code: code, currency: currency})
		}
		return addTo(&all[i].amount, n)
	}
	for i := range moves {
		m := &moves[i]
		if !add(m.From, m.Currency, -m.Amount) || !add(m.To, m.Currency, m.Amount) {
			return nil, false
		}
	}
	return all, true
}

// addTo adds numbers of any sign, false on overflow.
func addTo(to *int64, n int64) bool {
	sum := *to + n
	if n > 0 && sum < *to || n < 0 && sum > *to {
		return false
	}
	*to = sum
	return true
}

// enterMoves enters movements in the accounts of the other system, and passes on what is bound.
func (f *fold) enterMoves(moves []moved, owners []owner) api.Outcome {
	all, fits := nets(moves)
	if !fits {
		return overflow
	}
	space, k := f.rec.Topic.Space, make([]byte, 0, keySize)
	for i := range moves {
		m := &moves[i]
		from, to := importAccount(m.From), importAccount(m.To)
		f.Add(balanceKey(k[:0], space, m.Currency, from), -m.Amount)
		f.Add(balanceKey(k[:0], space, m.Currency, to), m.Amount)
		out, in := entry{ID: f.rec.ID, Code: m.Currency, Delta: -m.Amount}, entry{ID: f.rec.ID, Code: m.Currency, Delta: m.Amount}
		f.Index(historyKey(k[:0], from, f.rec, i), out.encode())
		f.Index(historyKey(k[:0], to, f.rec, i), in.encode())
	}
	states := map[string]*importState{}
	var order []string
	var passed []claim
	for i, n := range all {
		st := states[n.code]
		if st == nil {
			read := get[importState](f.Own(rowCode(n.code)))
			st = &read
			states[n.code] = st
			order = append(order, n.code)
		}
		sum := of(st.Sums, n.currency)
		if !addTo(&sum, n.amount) {
			return overflow
		}
		st.Sums = with(st.Sums, n.currency, sum)
		if ownerOf(owners, n.code) != st.Account {
			out := api.Voided(Domain, "other-owner", "the record names another owner of an account than it has")
			out.Void.Inputs = map[string]string{"code": n.code, "account": string(st.Account)}
			return out
		}
		if taken := of(st.Owes, n.currency); st.Account != "" && n.amount < 0 && exceeds(sum, taken) {
			return notTaken(n.code, st.Account, n.currency, sum, taken)
		}
		if st.Account != "" && n.amount != 0 {
			passed = append(passed, claim{net: n, account: st.Account, leg: claimLeg + i})
		}
	}
	for _, code := range order {
		f.Put(rowCode(code), codec.MustMarshal(states[code]))
	}
	return f.passOn(passed)
}

// ownerOf returns who a record says owns an account; empty: nobody.
func ownerOf(owners []owner, code string) api.DID {
	if i, ok := slices.BinarySearchFunc(owners, code, func(o owner, code string) int { return strings.Compare(o.Code, code) }); ok {
		return owners[i].Account
	}
	return ""
}

// bindImport makes an account of another system a member's, or nobody's.
func (f *fold) bindImport(b *importBind) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	row, known := f.Own(rowCode(b.Code))
	st := get[importState](row, known)
	again := !b.Release && st.Account == b.Account
	switch {
	case !known:
		return notImported
	case b.Release && st.Account != b.Account, !b.Release && st.Account != "" && !again:
		out := api.Voided(Domain, "other-owner", "the account is bound to somebody else, or is to be released and is not bound")
		out.Void.Inputs = map[string]string{"code": b.Code, "account": string(st.Account)}
		return out
	}
	if _, err := record.ParseDID(string(b.Account)); err != nil {
		return api.Voided(Domain, "bad-account", "account: "+err.Error())
	}
	sign, now := int64(1), byte(1)
	if st.Account = b.Account; b.Release {
		st.Account, st.Owes, sign, now = "", nil, -1, 0
	} else {
		before := slices.Clone(st.Owes)
		if st.Owes = raise(st.Owes, f.taken(b.Account, b.Code)); again && slices.Equal(st.Owes, before) {
			return alreadyTheirs
		}
	}
	if again { // the member has it, and has taken over more than before
		f.Put(rowCode(b.Code), codec.MustMarshal(&st))
		return api.Accepted
	}
	var passed []claim
	for i, s := range st.Sums {
		if taken := of(st.Owes, s.Code); !b.Release && exceeds(s.Amount, taken) {
			return notTaken(b.Code, b.Account, s.Code, s.Amount, taken)
		}
		if s.Amount != 0 {
			passed = append(passed, claim{net: net{b.Code, s.Code, sign * s.Amount}, account: b.Account, leg: claimLeg + i})
		}
	}
	f.Put(rowCode(b.Code), codec.MustMarshal(&st))
	f.Put(rowOf(b.Account, b.Code), []byte{now})
	return f.passOn(passed)
}

// claim passes an amount from an account of another system to the member whose it is; one below zero is passed as well: the member owes it.
type claim struct {
	net
	account api.DID
	leg     int
}

// passOn posts what is passed on: to a member as what the office gives back or charges is, so that it counts when the member's feed cites it.
func (f *fold) passOn(all []claim) api.Outcome {
	space, k := f.rec.Topic.Space, make([]byte, 0, keySize)
	type totals struct{ back, charged []sum }
	rows := map[api.DID]*totals{}
	var order []api.DID
	for _, c := range all {
		t := rows[c.account]
		if t == nil {
			back, had := f.Own(rowBack(f.rec.Feed, c.account))
			charged, was := f.Own(rowCharged(f.rec.Feed, c.account))
			t = &totals{getSums(back, had), getSums(charged, was)}
			rows[c.account] = t
			order = append(order, c.account)
		}
		sums, counter, n := &t.back, dueKey, c.amount
		if n < 0 {
			sums, counter, n = &t.charged, feeKey, -n
		}
		total, fits := add(of(*sums, c.currency), n)
		if !fits {
			return overflow
		}
		*sums = with(*sums, c.currency, total)
		f.Add(counter(k[:0], space, c.account, f.rec.Feed, c.currency), n)
		from := importAccount(c.code)
		f.Add(balanceKey(k[:0], space, c.currency, from), -c.amount)
		f.Add(balanceKey(k[:0], space, c.currency, c.account), c.amount)
		out, in := entry{ID: f.rec.ID, Code: c.currency, Delta: -c.amount}, entry{ID: f.rec.ID, Code: c.currency, Delta: c.amount}
		f.Index(historyKey(k[:0], from, f.rec, c.leg), out.encode())
		f.Index(historyKey(k[:0], c.account, f.rec, c.leg), in.encode())
	}
	for _, did := range order {
		t := rows[did]
		if len(t.back) > 0 {
			f.Put(rowBack(f.rec.Feed, did), encodeSums(t.back))
		}
		if len(t.charged) > 0 {
			f.Put(rowCharged(f.rec.Feed, did), encodeSums(t.charged))
		}
	}
	return api.Accepted
}

var (
	notImported   = api.Voided(Domain, "not-imported", "nothing of the kind came in: no such file, part or account, or not with these movements")
	alreadyUndone = api.Voided(Domain, "already-undone", "this part of the file was taken back before")
)

// isOldDay reports whether s is a date in the one form, of which other systems may know.
func isOldDay(s string) bool {
	t, err := time.Parse(time.DateOnly, s)
	return err == nil && t.Year() >= 1900 && t.Year() <= 2200
}
