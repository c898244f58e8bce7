package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Feed rows, all on the feed of the account or clerk concerned:
//
//	self             what this device is in the space
//	cur/<code>       fact.Currency, copied from the genesis
//	acct/<code>      account: credits counted and debits, ever
//	limit/<code>     limits: the newest grant cited
//	paid/<to>        sums: all this feed has paid to that account
//	seen/<feed>      sums: how much of what that feed has paid is counted
//	grant/<account>  []limits: the newest grant per currency (clerk)
var rowSelf = []byte("self")

func rowCurrency(code string) []byte   { return []byte("cur/" + code) }
func rowAccount(code string) []byte    { return []byte("acct/" + code) }
func rowLimit(code string) []byte      { return []byte("limit/" + code) }
func rowPaid(to api.DID) []byte        { return []byte("paid/" + to) }
func rowSeen(feed api.Hash) []byte     { return append([]byte("seen/"), feed[:]...) }
func rowGrants(account api.DID) []byte { return []byte("grant/" + account) }

type self struct {
	_      struct{} `cbor:",toarray"`
	Member bool     // this feed spends for its author
	Clerk  bool     // this feed grants
	Terms  bool     // the currencies are known
}

type account struct {
	_       struct{} `cbor:",toarray"`
	Credits int64    // acknowledged and final
	Debits  int64
}

type limits struct {
	_      struct{} `cbor:",toarray"`
	Code   string
	Number uint64
	Limit  int64
	P      int64
}

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
		panic("ledger: a row does not decode: the store is damaged")
	}
	return v
}

// Query rows and counters, all by space:
//
//	bal/<space><code>/<did>                       balance (counter)
//	due/<space><did> 0 <payer feed><code>         paid to did by that feed and not counted by did yet (counter)
//	hist/<space><did> 0 <time><feed><seq>         entry: one side of a transfer, newest last
//	in/<space><did> 0 <payer feed><seq>           sum: a transfer to did
const (
	counterBalance = "bal/"
	counterDue     = "due/"
	indexHistory   = "hist/"
	indexIncoming  = "in/"
)

// entry is one side of a transfer. The rest is in the record.
type entry struct {
	_     struct{} `cbor:",toarray"`
	ID    api.Hash
	Code  string
	Delta int64
}

// suffixSize is the length of <time><feed><seq>.
const suffixSize = 8 + 32 + 8

func spaceKey(kind string, space api.Hash) []byte { return append([]byte(kind), space[:]...) }

func balanceKey(space api.Hash, code string, did api.DID) []byte {
	return append(append(append(spaceKey(counterBalance, space), code...), '/'), did...)
}

func didKey(kind string, space api.Hash, did api.DID) []byte {
	return append(append(spaceKey(kind, space), did...), 0)
}

func dueKey(space api.Hash, did api.DID, payer api.Hash, code string) []byte {
	return append(append(didKey(counterDue, space, did), payer[:]...), code...)
}

func incomingKey(space api.Hash, did api.DID, payer api.Hash) []byte {
	return append(didKey(indexIncoming, space, did), payer[:]...)
}

func historyKey(did api.DID, rec *api.Record) []byte {
	k := append(didKey(indexHistory, rec.Topic.Space, did), api.Seq8(uint64(rec.Time))...)
	return append(append(k, rec.Feed[:]...), api.Seq8(rec.Seq)...)
}

// splitHistory takes the key of a history row apart; the position lacks the id, which is in the row.
func splitHistory(k []byte) (did api.DID, pos api.Position, ok bool) {
	head := len(indexHistory) + len(pos.Feed)
	if len(k) < head {
		return "", pos, false
	}
	name, suffix, ok := bytes.Cut(k[head:], []byte{0})
	if !ok || len(suffix) != suffixSize {
		return "", pos, false
	}
	pos.Feed, pos.Seq = api.Hash(suffix[8:40]), binary.BigEndian.Uint64(suffix[40:])
	return api.DID(name), pos, true
}
