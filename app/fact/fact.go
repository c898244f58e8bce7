// Package fact is the neutral vocabulary in which apps tell each other what they know: the names, keys and values of the facts that one
// app publishes (api.Tx.Publish) and others read. It exists so that no app imports another.
//
// It is not an app: it owns no topic, and no rule but that of how an owner closes a feed (Close), which is the same in several topics. Who may publish a
// fact is decided by the app that publishes it. Inside Apply use the
// functions that take a Tx (PutMember, MemberAt, ...), which read at a record that is cited; for queries open a Space over a Reader.
//
// Values are canonical CBOR arrays. A fact that does not decode counts as absent, on every node alike.
package fact

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

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
	PostingsTopic = "postings" // what the clerk's office posts to the accounts of others: dues, levies, demurrage
	TreasuryTopic = "treasury" // what the treasury's office spends of the space's own money
	TrustTopic    = "trust"    // attestations
	SecurityTopic = "security" // reports, appeals, pardons
	KeysTopic     = "keys"     // key event logs, and what the registrar makes of them
	OfficeTopic   = "offices"  // who takes the place of a registrar that has fallen silent
	MarketTopic   = "market"   // offers and wants
)

// MemberTopics lists the topics in which members write as members: those in which a feed ends when its device is replaced or its member removed,
// also where nothing is known of it yet. Requests to be admitted are not among them: whoever makes one is no member.
func MemberTopics() []string { return []string{LedgerTopic, MarketTopic, SecurityTopic, TrustTopic} }

// Offices that the genesis of a space fills.
const (
	Registrar = "registrar" // admits members
	Clerk     = "clerk"     // grants credit limits
	Treasury  = "treasury"  // holds the space's own money
)

// TreasuryAccount is the account of a space's own money: what the office of the treasury spends. It stands where else the DID of an account's owner
// stands, and is no DID.
const TreasuryAccount api.DID = "office:" + Treasury

// Names of facts, and their keys.
const (
	nameGenesis  = "genesis"  // no key
	nameMember   = "member"   // DID
	nameRemoval  = "removal"  // DID
	nameCurrency = "currency" // code
	nameOffice   = "office"   // office name; also with a slash and the number
	nameWitness  = "witness"  // device key
	nameEpoch    = "epoch"    // number
	nameSeal     = "seal"     // number
	nameStanding = "standing" // no key
	nameFinal    = "final"    // feed, epoch
	nameLock     = "lock"     // feed, epoch
	nameDraft    = "draft"    // feed that is to be cut
	namePromise  = "promise"  // feed that is to be cut
	nameCut      = "cut"      // feed that is cut
	nameSpenders = "spenders" // no key
	nameClosed   = "closed"   // no key
	nameVote     = "vote"     // number of the registrar to be
	nameProfile  = "profile"  // no key
	nameHeads    = "heads"    // no key
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

// Member says that a DID is a member and which of its devices acts and spends for it; or, without a device, that it was one.
type Member struct {
	_       struct{} `cbor:",toarray"`
	Device  api.Key  // zero: removed
	Number  uint64   // in the order of admission, from 1; who is admitted again has a new one
	Founder bool
	Before  api.Key // the device that acted before this one, whose feeds it continues, or the last one of who was removed; zero: none
	Since   int64   // when it was admitted, Unix milliseconds by the registrar's clock; 0: when the space was founded
}

// Removal says why a member was removed.
type Removal struct {
	_      struct{} `cbor:",toarray"`
	Reason string
}

// Profile is how a member wants to be called. It is for display beside the DID, and identifies nobody.
type Profile struct {
	_     struct{} `cbor:",toarray"`
	Name  string   // 1 to 64 bytes, printable, on one line; members may share one
	About string   // at most 1024 bytes, on one line
	Area  string   // at most 64 bytes: where the member is to be found
}

// Currency is a unit of account. Amounts are integers of minor units; Scale is the number of decimals for people.
type Currency struct {
	_     struct{} `cbor:",toarray"`
	Scale uint8    // 0 to 6
	Limit int64    // default credit limit, minor units, >= 0, or NoLimit
	P     int64    // how much credit that is not final may be spent again, minor units, >= 0
}

// NoLimit is the default limit of a gift currency.
const NoLimit = math.MaxInt64

// Gift reports whether a currency counts what members do for each other and nothing else: nobody owes in it, so it has no limits, and no balance is shown.
func (c Currency) Gift() bool { return c.Limit == NoLimit }

// Office says who acts for the space in a role, from the Number-th on: Number grows by one with every change of holder, from 1.
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

// Epoch names the witnesses that follow on those before. Published by the registrar; it is in force once enough of the outgoing ones have sealed.
type Epoch struct {
	_         struct{}  `cbor:",toarray"`
	Number    uint64    // from 1; the genesis names those of epoch 0
	Witnesses []api.Key // device keys, ascending
	Threshold uint16    // t
	Faulty    uint16    // f
}

// Seal is an outgoing witness's word that it states nothing more in its epoch, and for whom it makes room.
type Seal struct {
	_      struct{} `cbor:",toarray"`
	Number uint64   // of the epoch that follows
	Next   Cause    // the record that names it
	Need   uint16   // outgoing witnesses that must seal
}

// Standing says in which epoch a witness speaks; absent it is epoch 0.
type Standing struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
	Need  uint16 // witnesses of that epoch that make a position final
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
	Next   api.Key // the device that goes on, zero: the feed's own; the feed's own device: nobody does
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
	Next   api.Key        // who goes on; zero: the feed itself; Device: nobody
	Causes []api.Position // records for the sake of which it is cut
}

// Cutter makes cuts, found among api.Services. Cut announces one; witnesses' promises and the cut follow by themselves. It returns the feed that will
// be cut and the number of the cut. The cut names the causes of those before it, too: whoever cites only the newest has to know them all. It is
// Refused unless signer is the space's registrar on this node, and a Conflict while another cut of the feed is under way; one that names the same
// causes, or more, is an answer.
type Cutter interface {
	Cut(ctx context.Context, signer api.Signer, space api.Hash, q CutRequest, wait api.Wait) (feed api.Hash, number uint64, rc api.Receipt, err error)
	// Hand closes the registrar's feed of cuts, from which the next registrar's goes on, and returns the record that does. Asked again for the same
	// holder it does nothing more.
	Hand(ctx context.Context, signer api.Signer, space api.Hash, next Office) (api.Position, error)
}

// Mover gives a member another device, found among api.Services: it says so, and cuts the feeds of the one before for the new one to go on from. It is
// Refused unless signer is the space's registrar on this node, or where the device fills an office. Asked again, it does what a crash has left out.
type Mover interface {
	Move(ctx context.Context, signer api.Signer, space api.Hash, did api.DID, device api.Key) error
}

// Roll lists the members of a space by DID, ascending, found among api.Services.
type Roll interface {
	Roll(space api.Hash) ([]api.DID, error)
}

// PutSpenders publishes which other devices of its author may spend by what is in this feed.
func PutSpenders(tx api.Tx, devices []api.Key) {
	tx.Publish(nameSpenders, nil, codec.MustMarshal(devices))
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

// PutHeadcount publishes how many members the space has.
func PutHeadcount(tx api.Tx, members uint64) { tx.Publish(nameHeads, nil, api.Seq8(members)) }

// HeadcountAt reads how many members the space had at dep, a position of a feed that admits members.
func HeadcountAt(tx api.Tx, dep api.Position) (uint64, bool) {
	b, ok := tx.Fact(dep, nameHeads, nil)
	return Number(b, ok), ok
}

// PutRemoval publishes why did is no member any more.
func PutRemoval(tx api.Tx, did api.DID, r Removal) {
	tx.Publish(nameRemoval, []byte(did), codec.MustMarshal(&r))
}

// MemberAt reads what did was at dep, a position of a feed that admits members: a member if it had a device.
func MemberAt(tx api.Tx, dep api.Position, did api.DID) (Member, bool) {
	return at[Member](tx, dep, nameMember, []byte(did))
}

// PutProfile publishes how the author of the feed wants to be called.
func PutProfile(tx api.Tx, p Profile) { tx.Publish(nameProfile, nil, codec.MustMarshal(&p)) }

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
	b := codec.MustMarshal(&o)
	tx.Publish(nameOffice, []byte(name), b)
	tx.Publish(nameOffice, officeKey(name, o.Number), b)
}

// officeKey is the key of the Number-th holder of an office.
func officeKey(name string, number uint64) []byte {
	return strconv.AppendUint(append([]byte(name), '/'), number, 10)
}

// OfficeAt reads who held an office at dep, a position of the feed that founded the space or of one in which the office was handed over.
func OfficeAt(tx api.Tx, dep api.Position, name string) (Office, bool) {
	return at[Office](tx, dep, nameOffice, []byte(name))
}

// HandedAt reads who was the Number-th holder of an office, at dep as for OfficeAt.
func HandedAt(tx api.Tx, dep api.Position, name string, number uint64) (Office, bool) {
	return at[Office](tx, dep, nameOffice, officeKey(name, number))
}

// PutWitness publishes that device is a witness.
func PutWitness(tx api.Tx, device api.Key, w Witness) {
	tx.Publish(nameWitness, device[:], codec.MustMarshal(&w))
}

// WitnessAt reads whether device was a witness at dep, a position of the feed that founded the space.
func WitnessAt(tx api.Tx, dep api.Position, device api.Key) (Witness, bool) {
	return at[Witness](tx, dep, nameWitness, device[:])
}

// PutEpoch publishes who the witnesses of an epoch are to be.
func PutEpoch(tx api.Tx, e Epoch) { tx.Publish(nameEpoch, api.Seq8(e.Number), codec.MustMarshal(&e)) }

// EpochAt reads the witnesses of an epoch that the registrar in whose feed dep is has named.
func EpochAt(tx api.Tx, dep api.Position, number uint64) (Epoch, bool) {
	return at[Epoch](tx, dep, nameEpoch, api.Seq8(number))
}

// PutSeal publishes that a witness's epoch has ended for it.
func PutSeal(tx api.Tx, s Seal) { tx.Publish(nameSeal, api.Seq8(s.Number), codec.MustMarshal(&s)) }

// SealAt reads whether the witness in whose feed dep is has made room for an epoch.
func SealAt(tx api.Tx, dep api.Position, number uint64) (Seal, bool) {
	return at[Seal](tx, dep, nameSeal, api.Seq8(number))
}

// PutStanding publishes in which epoch a witness speaks from now on.
func PutStanding(tx api.Tx, s Standing) { tx.Publish(nameStanding, nil, codec.MustMarshal(&s)) }

// StandingAt reads in which epoch the witness in whose feed dep is spoke; epoch 0 when it has not said.
func StandingAt(tx api.Tx, dep api.Position) Standing {
	s, _ := at[Standing](tx, dep, nameStanding, nil)
	return s
}

// inEpoch is the key of what witnesses say of a feed. A later epoch says it anew: what was said in the one before stays to be seen.
func inEpoch(feed api.Hash, epoch uint64) []byte {
	if epoch == 0 {
		return feed[:]
	}
	return append(feed[:], api.Seq8(epoch)...)
}

// PutFinal publishes how far a feed is final.
func PutFinal(tx api.Tx, feed api.Hash, f Final) {
	tx.Publish(nameFinal, inEpoch(feed, f.Epoch), codec.MustMarshal(&f))
}

// PutLock publishes how far a feed is locked.
func PutLock(tx api.Tx, feed api.Hash, f Final) {
	tx.Publish(nameLock, inEpoch(feed, f.Epoch), codec.MustMarshal(&f))
}

// LockAt reads how far a feed was locked, in an epoch, by the witness in whose feed dep is. A lone witness holds without locking: what it has held.
func LockAt(tx api.Tx, dep api.Position, epoch uint64, feed api.Hash) (Final, bool) {
	if f, ok := at[Final](tx, dep, nameLock, inEpoch(feed, epoch)); ok {
		return f, true
	}
	f, ok := FinalAt(tx, dep, epoch, feed)
	return f, ok && f.Need == 1
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

// Vote is a witness's word that somebody takes the place of a registrar who has fallen silent, and its promise to hold nothing of that registrar's two
// feeds beyond two places.
type Vote struct {
	_      struct{} `cbor:",toarray"`
	Number uint64   // of the registrar to be
	Ballot uint64   // a witness has one vote in each
	DID    api.DID
	Device api.Key
	Before api.Key // the device that has fallen silent
	Cuts   Place   // of its feed of cuts
	Space  Place   // of its feed of admissions
	Epoch  uint64
	Need   uint16
}

// PutVote publishes a witness's vote.
func PutVote(tx api.Tx, v Vote) { tx.Publish(nameVote, api.Seq8(v.Number), codec.MustMarshal(&v)) }

// VoteAt reads a witness's newest vote on the Number-th registrar.
func VoteAt(tx api.Tx, dep api.Position, number uint64) (Vote, bool) {
	return at[Vote](tx, dep, nameVote, api.Seq8(number))
}

// ReplacesAt reads, among what rec cites, the record by which rec's device takes the place of a silent registrar.
func ReplacesAt(tx api.Tx, rec *api.Record) (Office, bool) {
	for _, d := range rec.Deps {
		if h, accepted := tx.Dep(d); !accepted || h.Topic.Name != OfficeTopic {
			continue
		}
		if o, ok := OfficeAt(tx, d, Registrar); ok && o.Device == rec.Device && o.DID == rec.Author {
			return o, true
		}
	}
	return Office{}, false
}

// PutCut publishes where a feed ends.
func PutCut(tx api.Tx, feed api.Hash, c Cut) {
	tx.Publish(nameCut, feed[:], codec.MustMarshal(&c))
}

// CutAt reads the newest cut of feed by the office in whose feed dep is.
func CutAt(tx api.Tx, dep api.Position, feed api.Hash) (Cut, bool) {
	return at[Cut](tx, dep, nameCut, feed[:])
}

// FinalAt reads how far a feed was final, in an epoch, in the view that a witness had at dep, a position of its finality feed.
func FinalAt(tx api.Tx, dep api.Position, epoch uint64, feed api.Hash) (Final, bool) {
	return at[Final](tx, dep, nameFinal, inEpoch(feed, epoch))
}

// FinalWithin returns the newest position at or before dep that enough witnesses hold final: those whose statements are cited at views. They are of
// the newest epoch among the views, or of the one before it, in which all that the new one has not stated yet is as final.
// What is final may be final as void. Accepted does not tell, for it is the word of one of them; Cut does, on which they agree.
func FinalWithin(tx api.Tx, views []api.Position, dep api.Position) (Final, bool) {
	var newest uint64
	for _, v := range views {
		newest = max(newest, StandingAt(tx, v).Epoch)
	}
	var said []Final
	for _, v := range views {
		for _, e := range recent(newest) {
			if f, ok := FinalAt(tx, v, e, dep.Feed); ok && (f.Position(dep.Feed) == dep || tx.Within(f.Position(dep.Feed))) {
				said = append(said, f)
			}
		}
	}
	return Supported(said)
}

// FinalBy returns how far a feed is final by what the witnesses cited at views say, wherever that is. It is for what must not be overlooked; what is to count
// is read with FinalWithin.
func FinalBy(tx api.Tx, views []api.Position, feed api.Hash) (Final, bool) {
	var newest uint64
	for _, v := range views {
		newest = max(newest, StandingAt(tx, v).Epoch)
	}
	var said []Final
	for _, v := range views {
		for _, e := range recent(newest) {
			if f, ok := FinalAt(tx, v, e, feed); ok {
				said = append(said, f)
			}
		}
	}
	return Supported(said)
}

// SaidBy returns how far a feed is final by the word of one witness, cited at view, in the epoch in which it speaks.
func SaidBy(tx api.Tx, view api.Position, feed api.Hash) (Final, bool) {
	return FinalAt(tx, view, StandingAt(tx, view).Epoch, feed)
}

// recent lists the epochs whose statements are cited when newest is in force.
func recent(newest uint64) []uint64 {
	if newest == 0 {
		return []uint64{0}
	}
	return []uint64{newest - 1, newest}
}

// Supported returns the newest of what witnesses say of one branch, each once per epoch, that enough of them say.
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

// Number reads a row or fact that api.Seq8 wrote, as the look-up gave it; 0 when there is none.
func Number(b []byte, ok bool) uint64 {
	if !ok {
		return 0
	}
	return binary.BigEndian.Uint64(b)
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
