package ledger

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Who was paid and will not give it back can be made to by nobody but the members: more than half of all there are have to say that the claim is right. No
// office has a say in it. What the clerk's records say follows from what they cite, and anybody can count again. It undoes a payment, in whole or in part, and
// takes nothing that was not paid by it. docs/adr/0059 has the argument.

// kindTally is the clerk's record, in the topic postings, that counts who upholds a dispute.
const kindTally = "dispute-tally"

// maxCounted bounds how many members one record counts: it has to cite the feeds of all of them, a cut of each perhaps, and the witnesses.
const maxCounted = 40

// upholding says that a claim is right.
type upholding struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Back    bool // it takes back what its author has said before
}

func (u *upholding) check() error { return checkID("dispute", u.Dispute) }

// tally counts those who uphold a dispute by what the record cites, beside those counted before.
type tally struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Place   uint64 // of the payment in its payer's feed
}

func (t *tally) check() error {
	if t.Place == 0 {
		return fmt.Errorf("place 0: want 1 or more")
	}
	return checkID("dispute", t.Dispute)
}

// tallied is what the clerk's feed has counted.
type tallied struct {
	_       struct{} `cbor:",toarray"`
	Upheld  uint64   // by how many members
	Members uint64   // of how many
	Paid    int64    // by the payment, minor units
}

// decided reports whether more than half of all members have upheld the claim.
func (t *tallied) decided() bool { return t.Upheld > t.Members/2 }

func rowUpheld(id api.Hash) []byte { return append([]byte("up/"), id[:]...) }

// On the clerk's feed: what was counted, and who.
func rowTally(id api.Hash) []byte { return append([]byte("tally/"), id[:]...) }

func rowCounted(id api.Hash, did api.DID) []byte {
	return append(append([]byte("counted/"), id[:]...), did...)
}

// Query rows: up/<space><dispute><did> 0 <feed><seq>, of who has ever said that they uphold it.
const indexUpheld = "up/"

func upheldKey(dst []byte, space, id api.Hash) []byte {
	return append(spaceKey(dst, indexUpheld, space), id[:]...)
}

// uphold folds a member's word that a claim is right.
func (f *fold) uphold(u *upholding) api.Outcome {
	if _, ok := f.claimed(u.Dispute); !ok {
		return noDispute
	}
	says := byte(1)
	if u.Back {
		says = 0
	}
	f.Put(rowUpheld(u.Dispute), []byte{says})
	k := append(append(upheldKey(nil, f.rec.Topic.Space, u.Dispute), f.rec.Author...), 0)
	f.Index(recordKey(k, f.rec), []byte(f.rec.Author))
	f.said(u.Dispute, 0)
	return api.Accepted
}

// upholds reads whether a member upholds a dispute.
func upholds(b []byte, ok bool) bool { return ok && len(b) == 1 && b[0] == 1 }

// tally counts members who uphold a dispute: each once, by the feed of the device that acts for them, and nothing left out that they have said since.
func (f *fold) tally(t *tally) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	c, ok := f.claimed(t.Dispute)
	if !ok {
		return noDispute
	}
	n := get[tallied](f.Own(rowTally(t.Dispute)))
	if n.decided() {
		return api.Voided(Domain, "already-counted", "more than half of all members were counted before")
	}
	views, cuts := f.witnessed()
	roll, members, ok := f.roll(views, cuts)
	if !ok {
		return api.Voided(Domain, "no-roll", "the record does not show how many members there are: it cites the registrar's feed as far as the witnesses hold it final")
	}
	all := f.sure()
	if f.over(all, t.Dispute, &c) {
		return api.Voided(Domain, "no-claim", "the claimant has withdrawn, written off or settled the claim")
	}
	if n.Paid = f.paidAbout(all, &c, t.Place); n.Paid <= 0 {
		return api.Voided(Domain, "not-paid", "the claim is not of who has paid, about a payment, as far as the record shows it certain")
	}
	n.Members = members
	before := n.Upheld
	for _, s := range all {
		if upholds(f.At(s.at, rowUpheld(t.Dispute))) && f.speaks(views, roll, s) {
			row := rowCounted(t.Dispute, s.by)
			if _, counted := f.Own(row); !counted {
				f.Put(row, nil)
				n.Upheld++
			}
		}
	}
	if n.Upheld == before {
		return api.Voided(Domain, "nothing-counted", "the record shows nobody who upholds the dispute and was not counted before")
	}
	f.Put(rowTally(t.Dispute), codec.MustMarshal(&n))
	return api.Accepted
}

// roll returns where the registrar's feed is certain, and how many members there are. A record that cites less of it than the cited witnesses hold final has
// none: it would count by an old roll.
func (f *fold) roll(views, cuts []api.Position) (at api.Position, members uint64, ok bool) {
	for _, d := range f.rec.Deps {
		sure, ok := f.certain(views, cuts, d)
		if !ok {
			continue
		}
		n, counts := fact.HeadcountAt(f, sure)
		o, known := fact.OfficeAt(f, sure, fact.Registrar)
		if !counts || !known || f.beyond(views, sure.Feed) {
			continue
		}
		own := record.FeedID(api.Topic{Space: f.rec.Topic.Space, Name: fact.SpaceTopic}, o.Device)
		if own == sure.Feed || !f.beyond(views, own) {
			return sure, n, true
		}
	}
	return at, 0, false
}

// paidAbout returns how much the payment that a claim is about has paid to whom it is against.
func (f *fold) paidAbout(all []sure, c *complaint, place uint64) int64 {
	for _, s := range all {
		at := api.Position{Feed: s.at.Feed, Seq: place, ID: c.About}
		if s.by == c.Claimant && place <= s.at.Seq && f.Within(at) {
			return f.paidIn(at, c.Claimant, c.Against, c.Currency)
		}
	}
	return 0
}

// over reports whether the claimant has ended the claim.
func (f *fold) over(all []sure, id api.Hash, c *complaint) bool {
	return slices.ContainsFunc(all, func(s sure) bool {
		_, over := f.At(s.at, rowOver(id))
		return over && s.by == c.Claimant
	})
}

// speaks reports whether a feed speaks for a member: it is that of the device that acts for it, or of the one before where that has said nothing yet; and the
// record cites all of it that the cited witnesses hold final.
func (f *fold) speaks(views []api.Position, roll api.Position, s sure) bool {
	m, ok := fact.MemberAt(f, roll, s.by)
	for _, d := range f.rec.Deps {
		if !ok { // a founder, of whom the registrar has said nothing
			m, ok = fact.MemberAt(f, d, s.by)
		}
	}
	if !ok || m.Device == (api.Key{}) || f.beyond(views, s.at.Feed) {
		return false
	}
	topic := api.Topic{Space: f.rec.Topic.Space, Name: fact.LedgerTopic}
	own := record.FeedID(topic, m.Device)
	if own == s.at.Feed {
		return true
	}
	_, begun := fact.FinalBy(f, views, own)
	return !begun && m.Before != (api.Key{}) && record.FeedID(topic, m.Before) == s.at.Feed
}

// upheld is what the members have decided about a payment: what is claimed of it, and was not given back.
func (f *fold) upheld(all []sure, id api.Hash, c *complaint) (a accord, ok bool) {
	n := get[tallied](f.Own(rowTally(id)))
	views, _ := f.witnessed()
	if !n.decided() || f.overlooks(views, c.Against) || f.overlooks(views, c.Claimant) || f.over(all, id, c) {
		return a, false
	}
	back := int64(0)
	for _, s := range all {
		if s.by == c.Against {
			back = max(back, of(getSums(f.At(s.at, rowRefunds(c.About))), c.Currency))
		}
	}
	return c.upheld(id, n.Paid-back), true
}

func (c *complaint) upheld(id api.Hash, left int64) accord {
	return accord{complaint: *c, Dispute: id, Amount: min(c.Amount, left), Why: whyUpheld}
}

// uphold makes the clerk's next record about a dispute that more than half of all members uphold; false while they do not.
func (d *desk) uphold(r api.Reader, s *fact.Space, id api.Hash, c *complaint) (draft api.Draft, ok bool) {
	paid, ok := c.payment(r, s)
	if _, _, done := r.Own(d.from, rowRedressed(c.About)); done || !ok {
		return draft, false
	}
	members, by := s.Headcount()
	roll, ok := certain(r, s, by.Feed)
	if !ok {
		return draft, false
	}
	on := *d
	on.deps = append(append(append(d.deps[:len(d.deps):len(d.deps)], s.Views()...), roll.cite...), s.Founded)
	for _, did := range [...]api.DID{c.Claimant, c.Against} {
		row, cites, ok := certainly(r, s, did)
		on.deps = append(on.deps, cites...)
		if did != c.Claimant {
			continue
		}
		if !ok {
			return draft, false
		}
		if _, over := row(rowOver(id)); over {
			return draft, false
		}
	}
	n := get[tallied](first(r.Own(d.from, rowTally(id))))
	if n.decided() {
		a := c.upheld(id, n.Paid-givenBack(r, s, paid, c.Against, c.Currency))
		body, due := a.redress()
		return on.draft(s, kindRedress, &body, ""), due
	}
	then := tallied{Upheld: n.Upheld, Members: members} // with those who are to be counted
	sh, ok := certain(r, s, paid.Feed)
	if !ok || sh.at.Seq < paid.Seq {
		return draft, false
	}
	on.deps = append(append(on.deps, sh.cite...), paid.Position())
	for _, did := range upholders(r, s, id) {
		if _, _, counted := r.Own(d.from, rowCounted(id, did)); counted {
			continue
		}
		row, cites, ok := certainly(r, s, did)
		if !ok || !upholds(row(rowUpheld(id))) {
			continue
		}
		if then.Upheld++; then.Upheld-n.Upheld <= maxCounted {
			on.deps = append(on.deps, cites...)
		}
	}
	if !then.decided() {
		return draft, false
	}
	return on.draft(s, kindTally, &tally{Dispute: id, Place: paid.Seq}, ""), true
}

// upholders lists the members who uphold a dispute, whether or not that is certain, by DID.
func upholders(r api.Reader, s *fact.Space, id api.Hash) (all []api.DID) {
	var last api.DID
	for _, b := range r.Index(upheldKey(nil, s.ID, id), nil, false) {
		did := api.DID(b)
		if did == last {
			continue
		}
		last = did
		feed, ok := voice(r, s, did)
		if _, _, member := s.Member(did); !ok || !member {
			continue
		}
		if b, _, ok := r.Own(feed, rowUpheld(id)); upholds(b, ok) {
			all = append(all, did)
		}
	}
	return all
}

// payment returns the payment that a claim is about; false where it is about something else, or no payment of the claimant's.
func (c *complaint) payment(r api.Reader, s *fact.Space) (*api.Record, bool) {
	rec, v, ok := r.Lookup(c.About)
	return rec, ok && v.Accepted && !v.Held && rec.Topic.Space == s.ID && rec.Author == c.Claimant && paidTo(rec, c.Against, c.Currency) > 0
}

// notUpheld says why members cannot uphold a claim that is about something else.
func notUpheld(c *complaint) *api.Reason {
	return &api.Reason{
		Domain: Domain, Rule: "not-paid", Text: "members can have a payment undone that the claimant has made; this dispute is about something else",
		Inputs: map[string]string{"about": c.About.String(), "claimant": string(c.Claimant), "amount": strconv.FormatInt(c.Amount, 10)},
	}
}
