// Package fact is the neutral vocabulary in which apps tell each other what they know: the names, keys and values of the facts that one
// app publishes (api.Tx.Publish) and others read. It exists so that no app imports another.
//
// It is not an app: it owns no topic and no rule, and who may publish a fact is decided by the app that publishes it. Inside Apply use the
// functions that take a Tx (PutMember, MemberAt, ...), which read at a record that is cited; for queries open a Space over a Reader.
//
// Values are canonical CBOR arrays. A fact that does not decode counts as absent, on every node alike.
package fact

import (
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Topic names that more than one app knows.
const (
	SpaceTopic    = "space"    // genesis, invitations, admissions
	JoinTopic     = "join"     // requests to be admitted
	FinalityTopic = "finality" // what witnesses state
	LedgerTopic   = "ledger"   // transfers, grants, acknowledgements
)

// Offices that the genesis of a space fills.
const (
	Registrar = "registrar" // admits members
	Clerk     = "clerk"     // grants credit limits
	Treasury  = "treasury"  // holds the space's own money
)

// Names of facts, and their keys.
const (
	nameGenesis  = "genesis"  // no key
	nameMember   = "member"   // DID
	nameCurrency = "currency" // code
	nameOffice   = "office"   // office name
	nameWitness  = "witness"  // device key
	nameFinal    = "final"    // feed
)

// Genesis says what a space is. Published once, by the record that founds the space.
type Genesis struct {
	_          struct{} `cbor:",toarray"`
	Name       string
	Kind       string // cooperative, community, federation, personal
	Test       bool   // a test space: nothing in it is meant
	Founders   []Founder
	Witnesses  []api.Key // device keys, ascending
	Threshold  uint16    // t: witnesses that make a position final
	Faulty     uint16    // f: witnesses that may lie without harm
	Currencies []string  // codes, ascending
	Offices    []string  // names, ascending
}

// Founder is a member from the first record on.
type Founder struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Device api.Key
}

// Member says that a DID is a member and which of its devices acts and spends for it.
type Member struct {
	_       struct{} `cbor:",toarray"`
	Device  api.Key
	Number  uint64 // in the order of admission, from 1
	Founder bool
}

// Currency is a unit of account. Amounts are integers of minor units; Scale is the number of decimals for people.
type Currency struct {
	_     struct{} `cbor:",toarray"`
	Scale uint8    // 0 to 6
	Limit int64    // default credit limit, minor units, >= 0
	P     int64    // how much credit that is not final may be spent again, minor units, >= 0
}

// Office says who acts for the space in a role. Number grows with every change of holder.
type Office struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Device api.Key
	Number uint64
}

// Witness says that a device key is a witness of the space.
type Witness struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
}

// Final says that a feed is final up to a position, and the verdict there.
type Final struct {
	_        struct{} `cbor:",toarray"`
	Seq      uint64
	ID       api.Hash
	Accepted bool
}

// Position returns the final position of feed.
func (f Final) Position(feed api.Hash) api.Position {
	return api.Position{Feed: feed, Seq: f.Seq, ID: f.ID}
}

// PutGenesis publishes what the space is.
func PutGenesis(tx api.Tx, g Genesis) { tx.Publish(nameGenesis, nil, codec.MustMarshal(&g)) }

// GenesisAt reads the genesis of the space from the feed that founded it.
func GenesisAt(tx api.Tx, dep api.Position) (Genesis, bool) {
	return at[Genesis](tx, dep, nameGenesis, nil)
}

// PutMember publishes that did is a member.
func PutMember(tx api.Tx, did api.DID, m Member) {
	tx.Publish(nameMember, []byte(did), codec.MustMarshal(&m))
}

// MemberAt reads whether did was a member at dep, a position of a feed that admits members.
func MemberAt(tx api.Tx, dep api.Position, did api.DID) (Member, bool) {
	return at[Member](tx, dep, nameMember, []byte(did))
}

// PutCurrency publishes a currency.
func PutCurrency(tx api.Tx, code string, c Currency) {
	tx.Publish(nameCurrency, []byte(code), codec.MustMarshal(&c))
}

// CurrencyAt reads a currency from the feed that founded the space.
func CurrencyAt(tx api.Tx, dep api.Position, code string) (Currency, bool) {
	return at[Currency](tx, dep, nameCurrency, []byte(code))
}

// PutOffice publishes who holds an office.
func PutOffice(tx api.Tx, name string, o Office) {
	tx.Publish(nameOffice, []byte(name), codec.MustMarshal(&o))
}

// OfficeAt reads who holds an office from the feed that founded the space.
func OfficeAt(tx api.Tx, dep api.Position, name string) (Office, bool) {
	return at[Office](tx, dep, nameOffice, []byte(name))
}

// PutWitness publishes that device is a witness.
func PutWitness(tx api.Tx, device api.Key, w Witness) {
	tx.Publish(nameWitness, device[:], codec.MustMarshal(&w))
}

// WitnessAt reads whether device was a witness at dep, a position of the feed that founded the space.
func WitnessAt(tx api.Tx, dep api.Position, device api.Key) (Witness, bool) {
	return at[Witness](tx, dep, nameWitness, device[:])
}

// PutFinal publishes how far a feed is final.
func PutFinal(tx api.Tx, feed api.Hash, f Final) {
	tx.Publish(nameFinal, feed[:], codec.MustMarshal(&f))
}

// FinalAt reads how far a feed was final in the view that a witness had at dep, a position of its finality feed.
func FinalAt(tx api.Tx, dep api.Position, feed api.Hash) (Final, bool) {
	return at[Final](tx, dep, nameFinal, feed[:])
}

func at[T any](tx api.Tx, dep api.Position, name string, key []byte) (T, bool) {
	b, ok := tx.Fact(dep, name, key)
	return decode[T](b, ok)
}

func decode[T any](b []byte, ok bool) (v T, _ bool) {
	if !ok || codec.Unmarshal(b, &v) != nil {
		var zero T
		return zero, false
	}
	return v, true
}
