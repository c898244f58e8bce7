package membership

import (
	"encoding/binary"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Feed rows. On the registrar's feed:
//
//	charter          what of the genesis admissions need
//	invite/<key>     invite body
//	used/<key>       how often it was used, 8 bytes
//	number           of the last admission, 8 bytes
//	heads            how many members there are, once somebody was admitted or removed, 8 bytes
//	member/<did>     fact.Member: as admitted here, with the newest device, or removed
//	office/<name>    fact.Office: who holds it
//	had/<device>     nothing: a member acted with this device and got another one, or was removed
//
// and on a feed of topic join:
//
//	join             key of the invitation that the newest join used
var (
	rowCharter = []byte("charter")
	rowNumber  = []byte("number")
	rowHeads   = []byte("heads")
	rowJoin    = []byte("join")
)

func rowInvite(k api.Key) []byte   { return append([]byte("invite/"), k[:]...) }
func rowUsed(k api.Key) []byte     { return append([]byte("used/"), k[:]...) }
func rowMember(did api.DID) []byte { return append([]byte("member/"), did...) }
func rowOffice(name string) []byte { return append([]byte("office/"), name...) }
func rowHad(device api.Key) []byte { return append([]byte("had/"), device[:]...) }

// Query rows: member/<space><did> 0 <feed><seq> -> member, and a counter of members per space.
func indexMembers(space api.Hash) []byte { return append([]byte("member/"), space[:]...) }
func countMembers(space api.Hash) []byte { return append([]byte("members/"), space[:]...) }

func indexMember(space api.Hash, did api.DID, by *api.Record) []byte {
	k := append(append(indexMembers(space), did...), 0)
	return append(append(k, by.Feed[:]...), api.Seq8(by.Seq)...)
}

// member is a row of the list of members.
type member struct {
	_       struct{} `cbor:",toarray"`
	DID     api.DID
	Device  api.Key
	Since   int64 // Unix milliseconds, by the author's clock
	Founder bool
}

// charter is what the registrar's feed remembers of the genesis.
type charter struct {
	_         struct{} `cbor:",toarray"`
	Registrar api.Key
	Founders  []fact.Founder
}

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Topic.Name + " " + rec.Kind {
	case fact.SpaceTopic + " " + kindGenesis:
		return applyGenesis(tx, rec)
	case fact.SpaceTopic + " " + kindInvite:
		return applyInvite(tx, rec)
	case fact.SpaceTopic + " " + kindAdmit:
		return applyAdmit(tx, rec)
	case fact.SpaceTopic + " " + kindDevice:
		return applyDevice(tx, rec)
	case fact.SpaceTopic + " " + kindRemove:
		return applyRemove(tx, rec)
	case fact.SpaceTopic + " " + kindOffice:
		return applyOffice(tx, rec)
	case fact.JoinTopic + " " + kindJoin:
		return applyJoin(tx, rec)
	case fact.JoinTopic + " " + kindProfile:
		return applyProfile(tx, rec)
	}
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

func applyGenesis(tx api.Tx, rec *api.Record) api.Outcome {
	if rec.Seq != 1 || rec.ID != rec.Topic.Space {
		return api.Voided(Domain, "not-founding", "a genesis founds its own space and is the first record of its feed")
	}
	var g genesis
	if err := decode(rec.Body, &g); err != nil {
		return malformed(err)
	}
	f := fact.Genesis{Name: g.Name, Kind: g.Kind, Test: g.Test, Founders: g.Founders, Witnesses: g.Witnesses, Threshold: g.Threshold, Faulty: g.Faulty}
	ch := charter{}
	byFounder := false
	for _, m := range g.Founders {
		byFounder = byFounder || m.DID == rec.Author && m.Device == rec.Device
		ch.Founders = append(ch.Founders, m)
	}
	if !byFounder {
		return api.Voided(Domain, "not-a-founder", "the author's DID and device are not among the founders")
	}
	for i, m := range g.Founders {
		putMember(tx, rec, m.DID, fact.Member{Device: m.Device, Number: uint64(i) + 1, Founder: true})
	}
	tx.Add(countMembers(rec.Topic.Space), int64(len(g.Founders)))
	fact.PutHeadcount(tx, uint64(len(g.Founders)))
	for _, o := range g.Offices {
		f.Offices = append(f.Offices, o.Name)
		putOffice(tx, o.Name, fact.Office{DID: o.DID, Device: o.Device, Number: 1})
		if o.Name == fact.Registrar {
			ch.Registrar = o.Device
		}
	}
	for _, c := range g.Currencies {
		f.Currencies = append(f.Currencies, c.Code)
		fact.PutCurrency(tx, c.Code, fact.Currency{Scale: c.Scale, Limit: c.Limit, P: c.P})
	}
	for _, w := range g.Witnesses {
		fact.PutWitness(tx, w, fact.Witness{})
	}
	fact.PutGenesis(tx, f)
	tx.Put(rowCharter, codec.MustMarshal(&ch))
	return api.Accepted
}

// putMember publishes a member whom rec admits or gives another device, as a row of the list.
func putMember(tx api.Tx, rec *api.Record, did api.DID, m fact.Member) {
	fact.PutMember(tx, did, m)
	tx.Index(indexMember(rec.Topic.Space, did, rec), codec.MustMarshal(&member{DID: did, Device: m.Device, Since: rec.Time.Millis(), Founder: m.Founder}))
}

func putOffice(tx api.Tx, name string, o fact.Office) {
	fact.PutOffice(tx, name, o)
	tx.Put(rowOffice(name), codec.MustMarshal(&o))
}

// registrar returns the charter if rec is by the registrar's device. A registrar that did not found the space cites the genesis once.
func registrar(tx api.Tx, rec *api.Record) (charter, bool) {
	var c charter
	heir, replaces := fact.ReplacesAt(tx, rec)
	if b, ok := tx.Own(rowCharter); ok {
		ok = codec.Unmarshal(b, &c) == nil
		if ok && replaces && c.Registrar != rec.Device {
			c.take(tx, heir)
		}
		return c, ok && c.Registrar == rec.Device
	}
	for _, d := range rec.Deps {
		g, ok := fact.GenesisAt(tx, d)
		if !ok {
			continue
		}
		o, ok := fact.OfficeAt(tx, d, fact.Registrar)
		replaces = replaces && ok && heir.Number == max(o.Number, 1)+1 // one who has never written
		if !ok || !replaces && (o.Number > 1 || o.Device != rec.Device || o.DID != rec.Author) {
			return c, false // a later registrar goes on from the feed of the one before, and has the charter from there
		}
		for _, name := range g.Offices {
			if o, ok := fact.OfficeAt(tx, d, name); ok {
				tx.Put(rowOffice(name), codec.MustMarshal(&o))
			}
		}
		c.Registrar = o.Device
		c.Founders = g.Founders
		if replaces {
			c.take(tx, heir)
			return c, true
		}
		tx.Put(rowCharter, codec.MustMarshal(&c))
		return c, true
	}
	return c, false
}

// take gives the charter to who has taken the place of a silent registrar, in the first record that says so.
func (c *charter) take(tx api.Tx, heir fact.Office) {
	c.Registrar = heir.Device
	tx.Put(rowCharter, codec.MustMarshal(c))
	putOffice(tx, fact.Registrar, heir)
}

var notRegistrar = api.Voided(Domain, "not-registrar", "only the registrar's device writes invitations and admissions, and its first record cites the genesis")

func applyInvite(tx api.Tx, rec *api.Record) api.Outcome {
	var i invite
	if err := decode(rec.Body, &i); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	if _, ok := tx.Own(rowInvite(i.Key)); ok {
		return api.Voided(Domain, "invitation-exists", "an invitation with this key has been written before")
	}
	tx.Put(rowInvite(i.Key), rec.Body)
	return api.Accepted
}

func applyJoin(tx api.Tx, rec *api.Record) api.Outcome {
	var j join
	if err := decode(rec.Body, &j); err != nil {
		return malformed(err)
	}
	if j.DID != rec.Author || j.Device != rec.Device {
		return api.Voided(Domain, "not-own-join", "a join names its author's own DID and device")
	}
	for _, d := range rec.Deps {
		if _, ok := tx.At(d, rowInvite(j.Key)); !ok {
			continue
		}
		if !j.valid(rec.Topic.Space) {
			return api.Voided(Domain, "bad-invitation", "the invitation's key did not sign this join")
		}
		tx.Put(rowJoin, j.Key[:])
		return api.Accepted
	}
	return api.Voided(Domain, "no-invitation", "a join cites the invitation that it uses")
}

// applyProfile takes what a member says of itself. It counts for display alone.
func applyProfile(tx api.Tx, rec *api.Record) api.Outcome {
	var p profile
	if err := decode(rec.Body, &p); err != nil {
		return malformed(err)
	}
	for _, d := range rec.Deps {
		if m, ok := fact.MemberAt(tx, d, rec.Author); ok && m.Device == rec.Device {
			fact.PutProfile(tx, fact.Profile{Name: p.Name, About: p.About, Area: p.Area})
			return api.Accepted
		}
	}
	return api.Voided(Domain, "not-own-profile", "a profile is written by a member's acting device and cites the record that says so")
}

func applyAdmit(tx api.Tx, rec *api.Record) api.Outcome {
	var a admit
	if err := decode(rec.Body, &a); err != nil {
		return malformed(err)
	}
	c, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	last := uint64(len(c.Founders))
	if b, ok := tx.Own(rowNumber); ok {
		last = binary.BigEndian.Uint64(b)
	}
	if a.Number != last+1 {
		out := api.Voided(Domain, "out-of-order", "admissions are numbered without gaps")
		out.Void.Inputs = map[string]string{"number": strconv.FormatUint(a.Number, 10), "last": strconv.FormatUint(last, 10)}
		return out
	}
	before, known := memberOf(tx, &c, a.DID)
	if known && before.Device != (api.Key{}) {
		return api.Voided(Domain, "member-exists", "this DID is a member already, with its one device")
	}
	if a.Device != before.Before && had(tx, a.Device) {
		return deviceUsed
	}
	for _, d := range rec.Deps {
		h, accepted := tx.Dep(d)
		if h.Topic.Name != fact.JoinTopic {
			continue
		}
		if !accepted || h.Author != a.DID || h.Device != a.Device {
			return api.Voided(Domain, "join-mismatch", "the admission cites a join that is void or another's")
		}
		if known {
			return api.Voided(Domain, "was-removed", "who was removed is not admitted again by an invitation, but by the registrar alone")
		}
		if !useInvitation(tx, d) {
			return api.Voided(Domain, "invitation-used-up", "the invitation has been used as often as it says")
		}
	}
	tx.Put(rowNumber, api.Seq8(a.Number))
	m := fact.Member{Device: a.Device, Number: a.Number, Founder: before.Founder, Before: before.Before, Since: rec.Time.Millis()}
	tx.Put(rowMember(a.DID), codec.MustMarshal(&m))
	putMember(tx, rec, a.DID, m)
	c.count(tx, rec, 1)
	return api.Accepted
}

// count adds to the number of members.
func (c *charter) count(tx api.Tx, rec *api.Record, delta int64) {
	n := int64(len(c.Founders))
	if b, ok := tx.Own(rowHeads); ok {
		n = int64(binary.BigEndian.Uint64(b))
	}
	n += delta
	tx.Put(rowHeads, api.Seq8(uint64(n)))
	fact.PutHeadcount(tx, uint64(n))
	tx.Add(countMembers(rec.Topic.Space), delta)
}

// memberOf returns what the registrar's feed knows of a DID: a member, or one who was removed.
func memberOf(tx api.Tx, c *charter, did api.DID) (m fact.Member, known bool) {
	if b, ok := tx.Own(rowMember(did)); ok {
		return m, codec.Unmarshal(b, &m) == nil
	}
	for i, f := range c.Founders {
		if f.DID == did {
			return fact.Member{Device: f.Device, Number: uint64(i) + 1, Founder: true}, true
		}
	}
	return m, false
}

// had reports whether a member acted with this device and got another one, or was removed. What the device wrote after that nobody goes on from, so
// it must not come back with the rows it had then.
func had(tx api.Tx, device api.Key) bool {
	_, ok := tx.Own(rowHad(device))
	return ok
}

var deviceUsed = api.Voided(Domain, "device-used", "a member acted with this device before and got another one, or was removed; it does not come back")

// applyRemove ends a membership. The member's feeds are cut because of it.
func applyRemove(tx api.Tx, rec *api.Record) api.Outcome {
	var d remove
	if err := decode(rec.Body, &d); err != nil {
		return malformed(err)
	}
	c, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	m, known := memberOf(tx, &c, d.DID)
	switch {
	case !known || m.Device == (api.Key{}):
		return api.Voided(Domain, "not-a-member", "only a member is removed")
	case m.Device == c.Registrar:
		return api.Voided(Domain, "holds-office", "the registrar does not remove itself")
	}
	tx.Put(rowHad(m.Device), nil)
	m.Before, m.Device = m.Device, api.Key{}
	tx.Put(rowMember(d.DID), codec.MustMarshal(&m))
	fact.PutMember(tx, d.DID, m)
	fact.PutRemoval(tx, d.DID, fact.Removal{Reason: d.Reason})
	c.count(tx, rec, -1)
	return api.Accepted
}

// applyDevice gives a member another device. It names the one before, so that nobody begins with an empty account by changing devices.
func applyDevice(tx api.Tx, rec *api.Record) api.Outcome {
	var d device
	if err := decode(rec.Body, &d); err != nil {
		return malformed(err)
	}
	c, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	m, known := memberOf(tx, &c, d.DID)
	switch {
	case !known || m.Device == (api.Key{}):
		return api.Voided(Domain, "not-a-member", "only a member is given another device")
	case m.Device == d.Device:
		return api.Voided(Domain, "same-device", "the member acts with this device already")
	case had(tx, d.Device):
		return deviceUsed
	}
	tx.Put(rowHad(m.Device), nil)
	m.Before, m.Device = m.Device, d.Device
	tx.Put(rowMember(d.DID), codec.MustMarshal(&m))
	putMember(tx, rec, d.DID, m)
	return api.Accepted
}

// useInvitation counts one use of the invitation that the join at d stands on, if one is left.
func useInvitation(tx api.Tx, d api.Position) bool {
	k, ok := tx.At(d, rowJoin)
	if !ok || len(k) != len(api.Key{}) {
		return false
	}
	b, ok := tx.Own(rowInvite(api.Key(k)))
	var i invite
	if !ok || codec.Unmarshal(b, &i) != nil {
		return false
	}
	used := uint64(0)
	if b, ok := tx.Own(rowUsed(i.Key)); ok {
		used = binary.BigEndian.Uint64(b)
	}
	tx.Put(rowUsed(i.Key), api.Seq8(used+1))
	return used < uint64(i.Uses)
}
