// Package fact is the neutral vocabulary in which apps tell each other what they know: the names, keys and values of the facts that one
// app publishes (api.Tx.Publish) and others read. It exists so that no app imports another.
//
// It is not an app: it owns no topic and no rule, and who may publish a fact is decided by the app that publishes it. Inside Apply use the
// functions that take a Tx (PutMember, MemberAt, ...), which read at a record that is cited; for queries open a Space over a Reader.
//
// Values are canonical CBOR arrays. A fact that does not decode counts as absent, on every node alike.
package fact

import (
	"cmp"
	"context"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Topic names that more than one app knows.
const (
	SpaceTopic    = "space"    // genesis, invitations, admissions
	JoinTopic     = "join"     // requests to be admitted
	FinalityTopic = "finality" // what witnesses state
	CutTopic      = "cuts"     // where an office ends or corrects other feeds
	LedgerTopic   = "ledger"   // transfers, grants, acknowledgements
	KeysTopic     = "keys"     // key event logs, and what the registrar makes of them
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
	nameLock     = "lock"     // feed
	nameDraft    = "draft"    // feed that is to be cut
	namePromise  = "promise"  // feed that is to be cut
	nameCut      = "cut"      // feed that is cut
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
	Before  api.Key // the device that acted before this one, whose feeds it continues; zero: none
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

// Final says up to where a witness holds a feed to be final, or, as a lock, up to where it will not sign for anything else.
type Final struct {
	_        struct{} `cbor:",toarray"`
	Seq      uint64
	ID       api.Hash
	Accepted bool   // the verdict there
	Cut      uint64 // how many cuts of the feed the verdicts take into account
	Epoch    uint64 // of the witness
	Need     uint16 // witnesses that must say so
}

// Position returns the final position of feed.
func (f Final) Position(feed api.Hash) api.Position {
	return api.Position{Feed: feed, Seq: f.Seq, ID: f.ID}
}

// Support returns how the statement counts.
func (f Final) Support() api.Support {
	return api.Support{Epoch: f.Epoch, Variant: f.Cut, Need: f.Need}
}

// Draft announces a cut: the Number-th of the feed. Adopt names a branch of a forked feed that the cut is to choose; zero for none.
type Draft struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Adopt  Place
}

// Place is a position of a feed that is known.
type Place struct {
	_   struct{} `cbor:",toarray"`
	Seq uint64
	ID  api.Hash
}

// Position returns the place in feed; for seq 0 the zero position of that feed.
func (p Place) Position(feed api.Hash) api.Position {
	return api.Position{Feed: feed, Seq: p.Seq, ID: p.ID}
}

// Promise is a witness's word that it holds nothing of the feed final beyond a place until the Number-th cut of it is final.
type Promise struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	At     Place
	Epoch  uint64
	Need   uint16
}

// Cut says where a feed ends, for the Number-th time, and why. Whoever goes on from there cites the causes, too.
type Cut struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	At     Place
	Next   api.Key // the device that goes on, zero: the feed's own
	Causes []Cause
}

// Cause is a record for the sake of which a feed is cut.
type Cause struct {
	_    struct{} `cbor:",toarray"`
	Feed api.Hash
	Seq  uint64
	ID   api.Hash
}

// Position returns where the record stands.
func (c Cause) Position() api.Position { return api.Position{Feed: c.Feed, Seq: c.Seq, ID: c.ID} }

// CutRequest asks for a cut of a device's feed in a topic.
type CutRequest struct {
	Topic  string
	Device api.Key
	Adopt  api.Position   // of a forked feed the branch to choose; zero for none
	Next   api.Key        // who goes on; zero: the feed itself
	Causes []api.Position // records for the sake of which it is cut
}

// Cutter makes cuts, found among api.Services. Cut announces one; witnesses' promises and the cut follow by themselves. It returns the feed that will
// be cut and the number of the cut. It is Refused unless signer is the space's registrar on this node, and a Conflict while another cut of the feed
// is under way.
type Cutter interface {
	Cut(ctx context.Context, signer api.Signer, space api.Hash, q CutRequest, wait api.Wait) (feed api.Hash, number uint64, rc api.Receipt, err error)
}

// Mover gives a member another device, found among api.Services: it says so, and cuts the feeds of the one before for the new one to go on from. It is
// Refused unless signer is the space's registrar on this node, or where the device fills an office. Asked again, it does what a crash has left out.
type Mover interface {
	Move(ctx context.Context, signer api.Signer, space api.Hash, did api.DID, device api.Key) error
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

// PutLock publishes how far a feed is locked.
func PutLock(tx api.Tx, feed api.Hash, f Final) {
	tx.Publish(nameLock, feed[:], codec.MustMarshal(&f))
}

// LockAt reads how far a feed was locked by the witness in whose feed dep is.
func LockAt(tx api.Tx, dep api.Position, feed api.Hash) (Final, bool) {
	return at[Final](tx, dep, nameLock, feed[:])
}

// PutDraft publishes that a cut of feed is on its way.
func PutDraft(tx api.Tx, feed api.Hash, d Draft) {
	tx.Publish(nameDraft, feed[:], codec.MustMarshal(&d))
}

// DraftAt reads the newest announcement of a cut of feed.
func DraftAt(tx api.Tx, dep api.Position, feed api.Hash) (Draft, bool) {
	return at[Draft](tx, dep, nameDraft, feed[:])
}

// PutPromise publishes a witness's promise.
func PutPromise(tx api.Tx, feed api.Hash, p Promise) {
	tx.Publish(namePromise, feed[:], codec.MustMarshal(&p))
}

// PromiseAt reads a witness's newest promise about feed.
func PromiseAt(tx api.Tx, dep api.Position, feed api.Hash) (Promise, bool) {
	return at[Promise](tx, dep, namePromise, feed[:])
}

// PutCut publishes where a feed ends.
func PutCut(tx api.Tx, feed api.Hash, c Cut) {
	tx.Publish(nameCut, feed[:], codec.MustMarshal(&c))
}

// CutAt reads the newest cut of feed by the office in whose feed dep is.
func CutAt(tx api.Tx, dep api.Position, feed api.Hash) (Cut, bool) {
	return at[Cut](tx, dep, nameCut, feed[:])
}

// FinalAt reads how far a feed was final in the view that a witness had at dep, a position of its finality feed.
func FinalAt(tx api.Tx, dep api.Position, feed api.Hash) (Final, bool) {
	return at[Final](tx, dep, nameFinal, feed[:])
}

// FinalWithin returns the newest position at or before dep that enough witnesses hold final: those whose statements are cited at views.
func FinalWithin(tx api.Tx, views []api.Position, dep api.Position) (Final, bool) {
	var said []Final
	for _, v := range views {
		if f, ok := FinalAt(tx, v, dep.Feed); ok && (f.Position(dep.Feed) == dep || tx.Within(f.Position(dep.Feed))) {
			said = append(said, f)
		}
	}
	return Supported(said)
}

// Supported returns the newest of what witnesses say of one branch, each once, that enough of them say.
func Supported(said []Final) (Final, bool) {
	slices.SortStableFunc(said, func(a, b Final) int { return cmp.Compare(b.Seq, a.Seq) })
	for i, f := range said {
		n := 0
		for _, o := range said[:i+1] {
			if o.Support() == f.Support() {
				n++
			}
		}
		if f.Need > 0 && n >= int(f.Need) {
			return f, true
		}
	}
	return Final{}, false
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
