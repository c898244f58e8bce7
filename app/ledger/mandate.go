package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Who has no telephone, or cannot use one, lets somebody else enter what they pay: a relative, a steward. The helper holds a device of the member's, which spends
// from what is set aside for it, and a mandate says whose hands it is in and how much it may pay in a period. So what the helper enters is signed, is told
// from what the member has entered, and is at most what is set aside, whatever the helper does.

// kindMandate is a record of the account's own device.
const kindMandate = "mandate"

// maxMandates bounds for how many devices and currencies an account may give a mandate, ever.
const maxMandates = 64

// mandate says that a device of the author's is in somebody else's hands. One for the same device and currency takes the place of the one before.
type mandate struct {
	_        struct{} `cbor:",toarray"`
	Device   api.Key
	Helper   api.DID
	Currency string
	Amount   int64  `say:"amount,currency"` // that may be paid in a period, minor units; 0: the mandate has ended
	Every    string // day, week or month, by UTC
	Last     string // the last day, such as 2027-05-31; empty: until it is ended
	Consent  string // how the member has agreed, one line: by this record alone, or on paper, and where that is
}

func (m *mandate) check() error {
	switch {
	case m.Device == (api.Key{}):
		return errors.New("device: missing; want the public key of another device of yours")
	case m.Helper == "" || len(m.Helper) > maxDID:
		return errors.New("helper: want a DID")
	case !isCode(m.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case m.Amount < 0:
		return fmt.Errorf("amount %d: want more than 0, or 0 to end it", m.Amount)
	case m.Every != everyDay && m.Every != everyWeek && m.Every != everyMonth:
		return fmt.Errorf("every %q: want day, week or month", clip(m.Every))
	case m.Last != "" && !isDay(m.Last):
		return fmt.Errorf("last %q: want a date such as 2027-05-31, or nothing", clip(m.Last))
	}
	return checkLine("consent", m.Consent)
}

// period returns the number of the mandate's period in which a time is.
func (m *mandate) period(t time.Time) uint64 {
	t = t.UTC()
	days := max(0, t.Unix()/(24*60*60))
	switch m.Every {
	case everyDay:
		return uint64(days)
	case everyWeek:
		return uint64(days+3) / 7 // 1970-01-01 was a Thursday
	}
	return uint64(t.Year())*12 + uint64(t.Month()) - 1
}

// over reports whether the mandate has ended by a time.
func (m *mandate) over(t time.Time) bool {
	return m.Amount == 0 || m.Last != "" && t.UTC().Format(time.DateOnly) > m.Last
}

// Feed rows: of the account
//
//	mandates         mandated: the newest for each device and currency
//
// and of the device
//
//	mand/<feed>      helped: whose hands it is in; half of the feed's own id, since who goes on from it is another device
//	hand/<feed><code>  spent: what was paid in the newest period
var rowMandates = []byte("mandates")

func rowHelped(feed api.Hash) []byte { return append([]byte("mand/"), feed[:16]...) }
func rowHand(feed api.Hash, code string) []byte {
	return append(append([]byte("hand/"), feed[:16]...), code...)
}

// mandated is what an account has given.
type mandated struct {
	_      struct{} `cbor:",toarray"`
	Number uint64   // of mandates, ever
	All    []mandate
}

// helped is what a device knows of the mandates for it.
type helped struct {
	_        struct{} `cbor:",toarray"`
	Since    uint64   // its first record that a helper has written
	Number   uint64   // of the newest mandate of the account that it knows: a feed that has gone on in another is cited with the one before
	Mandates []mandate
}

// mandate gives one, changes one, or ends one.
func (f *fold) mandate(b *mandate) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	switch {
	case b.Device == f.rec.Device:
		return api.Voided(Domain, "own-device", "the device whose feed the account is stays in the member's hands")
	case b.Helper == f.rec.Author:
		return api.Voided(Domain, "own-helper", "nobody needs a mandate from oneself")
	}
	if _, ok := f.currency(b.Currency); !ok {
		return unknownCurrency(b.Currency)
	}
	if _, err := record.ParseDID(string(b.Helper)); err != nil {
		return api.Voided(Domain, "bad-account", "helper: "+err.Error())
	}
	given := get[mandated](f.Own(rowMandates))
	all, at := given.All, -1
	for i := range all {
		if all[i].Device != b.Device {
			continue
		}
		if all[i].Helper != b.Helper {
			out := api.Voided(Domain, "other-helper", "the device is in somebody else's hands, and what they have entered is theirs: another helper gets another device")
			out.Void.Inputs = map[string]string{"helper": string(all[i].Helper)}
			return out
		}
		if all[i].Currency == b.Currency {
			at = i
		}
	}
	switch {
	case at >= 0:
		all[at] = *b
	case len(all) == maxMandates:
		return api.Voided(Domain, "too-many-mandates", "an account gives mandates for at most "+strconv.Itoa(maxMandates)+" devices and currencies")
	default:
		all = append(all, *b)
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	f.Put(rowMandates, codec.MustMarshal(&mandated{Number: given.Number + 1, All: all}))
	f.close()
	return api.Accepted
}

// mandatesFor lists those for a device.
func mandatesFor(all []mandate, device api.Key) []mandate {
	return slices.DeleteFunc(all, func(m mandate) bool { return m.Device != device })
}

// learnMandates takes note of the mandates for this device that the account's feed shows at a position which is certain.
func (f *fold) learnMandates(at api.Position) {
	given := get[mandated](f.At(at, rowMandates))
	mine := mandatesFor(given.All, f.rec.Device)
	row := rowHelped(f.rec.Feed)
	if f.hands == nil {
		known := get[helped](f.Own(row))
		f.hands = &known
	}
	if len(mine) == 0 || given.Number <= f.hands.Number {
		return
	}
	if f.hands.Since == 0 {
		f.hands.Since = f.rec.Seq
	}
	f.hands.Number, f.hands.Mandates = given.Number, mine
	f.Put(row, codec.MustMarshal(f.hands))
}

// byHand counts what a helper pays against the mandate, if the device is in somebody's hands.
func (f *fold) byHand(legs []leg) *api.Outcome {
	h := f.hands
	if h == nil {
		known := get[helped](f.Own(rowHelped(f.rec.Feed)))
		h = &known
	}
	if len(h.Mandates) == 0 {
		return nil
	}
	now := f.rec.Time.Time()
	had := map[string]spent{}
	for i := range legs {
		l := &legs[i]
		n := slices.IndexFunc(h.Mandates, func(m mandate) bool { return m.Currency == l.Currency })
		if n < 0 || h.Mandates[n].over(now) {
			return &noMandate
		}
		m := &h.Mandates[n]
		sum, ok := had[l.Currency]
		if !ok {
			sum = get[spent](f.Own(rowHand(f.rec.Feed, l.Currency)))
		}
		if p := m.period(now); p > sum.Period { // an author's clock does not run backwards
			sum = spent{Period: p}
		}
		total, fits := add(sum.Amount, l.Amount)
		if !fits || total > m.Amount {
			out := api.Voided(Domain, "over-mandate", "the helper may pay less than that until the period ends")
			out.Void.Inputs = map[string]string{
				"currency": l.Currency, "amount": strconv.FormatInt(l.Amount, 10), "left": strconv.FormatInt(m.Amount-sum.Amount, 10), "every": m.Every,
			}
			return &out
		}
		sum.Amount = total
		had[l.Currency] = sum
		f.Put(rowHand(f.rec.Feed, l.Currency), codec.MustMarshal(&sum))
	}
	return nil
}

var noMandate = api.Voided(Domain, "no-mandate", "the helper's mandate has ended, or is for another currency")

// keyedBy says who has entered a record, if not its author.
func keyedBy(r api.Reader, rec *api.Record) api.DID {
	if isImport(rec) {
		return rec.Author
	}
	b, _, ok := r.Own(rec.Feed, rowHelped(rec.Feed))
	if h := get[helped](b, ok); ok && rec.Seq >= h.Since && len(h.Mandates) > 0 {
		return h.Mandates[0].Helper
	}
	return ""
}
