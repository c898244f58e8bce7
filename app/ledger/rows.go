package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Feed rows, all on the feed of the account or clerk concerned:
//
//	self             what this device is in the space
//	cur/<code>       fact.Currency, copied from the genesis
//	acct/<code>      account: credits counted and debits, ever
//	limit/<code>     limits: the newest grant cited
//	paid/<feed><to>  sums: all this feed has paid to that account; half of the feed's own id keeps it apart from what a device before has paid
//	seen/<feed>      sums: how much of what that feed has paid is counted
//	grant/<account>  []limits: the newest grant per currency (clerk)
//	clerk            how many clerks there were when the newest was cited, 8 bytes; absent: one
//	less/<account>   sums: per currency the number of the newest grant that lessens what the account may do (clerk)
//	aside            []aside: what is set aside for other devices
//	purse/<feed>     purse: what this device, which is not the primary one, has of that; half of the feed's own id, as above
//	req/<id>         asked: a request of this account's (see slot.go)
//	order/<id>       ordered: a standing order of this account's (see order.go)
//	slot/<what><id><n>  filled: what this account has paid, or will not pay; not by feed: who goes on from a device before has filled them, too
//	back/<id>        sums: what of that payment to this account was given back
//	cut/<feed>       number of the newest cut of this feed that it has taken into account, 8 bytes; half of the feed's own id, as above
var (
	rowSelf   = []byte("self")
	rowClerk  = []byte("clerk")
	rowAsides = []byte("aside")
	rowsLess  = []byte("less/")
	rowsGrant = []byte("grant/")
)

func rowCurrency(code string) []byte { return []byte("cur/" + code) }
func rowAccount(code string) []byte  { return []byte("acct/" + code) }
func rowLimit(code string) []byte    { return []byte("limit/" + code) }
func rowPaid(by api.Hash, to api.DID) []byte {
	return append(append(append(make([]byte, 0, 96), "paid/"...), by[:16]...), to...)
}
func rowPurse(by api.Hash) []byte      { return append([]byte("purse/"), by[:16]...) }
func rowCut(of api.Hash) []byte        { return append([]byte("cut/"), of[:16]...) }
func rowSeen(feed api.Hash) []byte     { return append([]byte("seen/"), feed[:]...) }
func rowGrants(account api.DID) []byte { return []byte("grant/" + account) }
func rowLess(account api.DID) []byte   { return append(bytes.Clone(rowsLess), account...) }

type self struct {
	_      struct{} `cbor:",toarray"`
	Member bool     // this feed spends for its author
	Clerk  bool     // this feed grants
	Terms  bool     // the currencies are known
	Allots bool     // the account has set something aside
	Device api.Key  // whose feed it is: it says nothing of the device that goes on
}

type account struct {
	_       struct{} `cbor:",toarray"`
	Credits int64    // acknowledged and final
	Debits  int64    // own payments, and what other devices had spent when they were settled
	Aside   int64    // allotments that are not settled
}

type limits struct {
	_      struct{} `cbor:",toarray"`
	Code   string
	Number uint64 // above all that earlier clerks gave: see before
	Limit  int64
	P      int64
	Frozen bool   // nothing may be spent
	ByHand bool   // a person has set the limit
	Policy uint64 // that it comes from, 0 for none
	Terms  []term
}

// same reports whether two grants say the same, whatever their numbers.
func (l *limits) same(o *limits) bool {
	return l.Limit == o.Limit && l.P == o.P && l.Frozen == o.Frozen && l.ByHand == o.ByHand && l.Policy == o.Policy && slices.Equal(l.Terms, o.Terms)
}

// lessens reports whether an account may do less by l than by the limits before.
func (l limits) lessens(before limits) bool {
	return l.Limit < before.Limit || l.P < before.P || l.Frozen && !before.Frozen
}

// before is the number before the first grant of the nth clerk, 1 for the one of the genesis. A later clerk's numbers are above all that an earlier one
// can give, so that of two grants for one account the later clerk's holds, and a clerk who has handed over fills no place of the next one's.
func before(nth uint64) uint64 { return (max(nth, 1) - 1) << 32 }

// sum is an amount of one currency; a list of sums is ascending by code.
type sum struct {
	_      struct{} `cbor:",toarray"`
	Code   string
	Amount int64
}

// of returns the amount of code in sums.
func of(sums []sum, code string) int64 {
	if i, ok := find(sums, code); ok {
		return sums[i].Amount
	}
	return 0
}

// with returns sums with the amount of code set.
func with(sums []sum, code string, amount int64) []sum {
	i, ok := find(sums, code)
	if !ok {
		sums = slices.Insert(sums, i, sum{Code: code})
	}
	sums[i].Amount = amount
	return sums
}

func find(sums []sum, code string) (int, bool) {
	return slices.BinarySearchFunc(sums, code, func(s sum, c string) int { return cmp.Compare(s.Code, c) })
}

// get decodes a row that this app wrote; what is absent is the zero value.
func get[T any](b []byte, ok bool) (v T) {
	if ok && codec.Unmarshal(b, &v) != nil {
		panic(damaged)
	}
	return v
}

const damaged = "ledger: a row does not decode: the store is damaged"

// The rows that every transfer reads and writes are read and written by hand, in the form that get and codec.Marshal know too.

func getSelf(b []byte, ok bool) (s self) {
	return readRow(b, ok, s, func(r *codec.Reader) self {
		r.Array(5)
		s = self{Member: r.Bool(), Clerk: r.Bool(), Terms: r.Bool(), Allots: r.Bool()}
		copy(s.Device[:], r.Bytes())
		return s
	})
}

func getCurrency(b []byte, ok bool) (c fact.Currency) {
	return readRow(b, ok, c, func(r *codec.Reader) fact.Currency {
		r.Array(3)
		return fact.Currency{Scale: uint8(r.Uint(math.MaxUint8)), Limit: r.Int(), P: r.Int()}
	})
}

func getAccount(b []byte, ok bool) (a account) {
	return readRow(b, ok, a, func(r *codec.Reader) account {
		r.Array(3)
		return account{Credits: r.Int(), Debits: r.Int(), Aside: r.Int()}
	})
}

func (a *account) encode() []byte {
	return codec.AppendInt(codec.AppendInt(codec.AppendInt(codec.AppendArray(nil, 3), a.Credits), a.Debits), a.Aside)
}

func getSums(b []byte, ok bool) (sums []sum) {
	return readRow(b, ok, sums, func(r *codec.Reader) []sum {
		n := r.ArrayLen(codec.MaxArray)
		sums := make([]sum, 0, min(n+1, 8)) // often one is added
		for range n {
			r.Array(2)
			if sums = append(sums, sum{Code: r.Text(), Amount: r.Int()}); r.Failed() {
				break
			}
		}
		return sums
	})
}

func encodeSums(sums []sum) []byte {
	b := codec.AppendArray(make([]byte, 0, 16), len(sums))
	for _, s := range sums {
		b = codec.AppendInt(codec.AppendText(codec.AppendArray(b, 2), s.Code), s.Amount)
	}
	return b
}

// readRow is get with a decoder.
func readRow[T any](b []byte, ok bool, zero T, read func(*codec.Reader) T) T {
	if !ok {
		return zero
	}
	r := codec.NewReader(b)
	v := read(&r)
	if r.End() != nil {
		panic(damaged)
	}
	return v
}

// Query rows and counters, all by space:
//
//	bal/<space><code>/<did>                       balance (counter)
//	due/<space><did> 0 <payer feed><code>         paid to did by that feed and not counted by did yet (counter)
//	fee/<space><did> 0 <office feed><code>        charged to did by that feed and not counted by did yet (counter)
//	untraded/<space><did> 0 <code>                of what did was paid, what was no trade: given back, in either direction (counter)
//	hist/<space><did> 0 <time><feed><seq><leg>    entry: one side of a payment, newest last
//	log/<space><did> 0 <time><feed><seq>          id of a grant for did; without a did, of any; newest last
//	ask/<space><did> 0 <time><feed><seq>          id of a request to or by did, newest last
//	ord/<space><did> 0 <time><feed><seq>          id of a standing order of did's, newest last
//	slot/<space><what><id><n><feed><seq>          settled: what has become of a request, or fills another slot
const (
	counterBalance = "bal/"
	counterDue     = "due/"
	counterFee     = "fee/"
	counterOther   = "untraded/"
	indexHistory   = "hist/"
	indexAsks      = "ask/"
	indexGrants    = "log/"
	indexOrders    = "ord/"
	indexSlots     = "slot/"
)

// entry is one side of a payment. The rest is in the record.
type entry struct {
	_     struct{} `cbor:",toarray"`
	ID    api.Hash
	Code  string
	Delta int64
}

func (e *entry) encode() []byte {
	b := codec.AppendBytes(codec.AppendArray(make([]byte, 0, 64), 3), e.ID[:])
	return codec.AppendInt(codec.AppendText(b, e.Code), e.Delta)
}

// How long <time><feed><seq> is, and with <leg> behind it.
const (
	placeSize  = 8 + 32 + 8
	suffixSize = placeSize + 1
)

// The keys of query rows are appended to dst.

func spaceKey(dst []byte, kind string, space api.Hash) []byte {
	return append(append(dst, kind...), space[:]...)
}

func balanceKey(dst []byte, space api.Hash, code string, did api.DID) []byte {
	return append(append(append(spaceKey(dst, counterBalance, space), code...), '/'), did...)
}

func didKey(dst []byte, kind string, space api.Hash, did api.DID) []byte {
	return append(append(spaceKey(dst, kind, space), did...), 0)
}

func dueKey(dst []byte, space api.Hash, did api.DID, payer api.Hash, code string) []byte {
	return append(append(didKey(dst, counterDue, space, did), payer[:]...), code...)
}

func feeKey(dst []byte, space api.Hash, did api.DID, office api.Hash, code string) []byte {
	return append(append(didKey(dst, counterFee, space, did), office[:]...), code...)
}

func historyKey(dst []byte, did api.DID, rec *api.Record, leg int) []byte {
	return append(placeKey(dst, indexHistory, did, rec), byte(leg))
}

// placeKey is the key of a row of did's about a record, in order of time.
func placeKey(dst []byte, kind string, did api.DID, rec *api.Record) []byte {
	k := binary.BigEndian.AppendUint64(didKey(dst, kind, rec.Topic.Space, did), uint64(rec.Time))
	return binary.BigEndian.AppendUint64(append(k, rec.Feed[:]...), rec.Seq)
}

// splitHistory takes the key of a history row apart; the position lacks the id, which is in the row.
func splitHistory(k []byte) (did api.DID, pos api.Position, leg int, ok bool) {
	head := len(indexHistory) + len(pos.Feed)
	if len(k) < head {
		return "", pos, 0, false
	}
	name, suffix, ok := bytes.Cut(k[head:], []byte{0})
	if !ok || len(suffix) != suffixSize {
		return "", pos, 0, false
	}
	pos.Feed, pos.Seq = api.Hash(suffix[8:40]), binary.BigEndian.Uint64(suffix[40:placeSize])
	return api.DID(name), pos, int(suffix[placeSize]), true
}
