package membership

import (
	"context"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// RemoveIn is the input of member.remove.
type RemoveIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did" doc:"DID of the member"`
	Reason string   `json:"reason" doc:"Why, 1 to 256 bytes on one line; all members can read it" example:"moved away"`
}

// Validate implements api.Validator.
func (in *RemoveIn) Validate() error {
	b := remove{DID: in.DID, Reason: in.Reason}
	return b.check()
}

// RemoveOut is the output of member.remove.
type RemoveOut struct {
	Receipt api.Receipt `json:"receipt"`
	Cuts    []DeviceCut `json:"cuts" doc:"feeds of the member that are being cut: nothing counts that comes later"`
}

// remove ends a membership: it says so, and cuts all feeds of the member's device. What is final stays, the balance with it. Asked again, it
// announces what a crash left out.
func (a *App) remove(ctx context.Context, call *api.Call, in *RemoveIn) (*RemoveOut, error) {
	const op = "member.remove"
	a.admit.Lock() // before reading: two removals of one member would be one too many
	defer a.admit.Unlock()
	host, signer, r, s, err := a.asRegistrar(op, call, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m, at, ok := s.Known(in.DID)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "did: %s is no member of %s", in.DID, s.Genesis.Name)
	}
	out := &RemoveOut{Cuts: []DeviceCut{}}
	if m.Device == (api.Key{}) {
		out.Receipt = fact.Repeated(r, at)
	} else {
		if why := needed(s, m.Device); why != nil {
			return nil, api.Refusal(op, why)
		}
		d := registrarDraft(r, s, kindRemove, codec.MustMarshal(&remove{DID: in.DID, Reason: in.Reason}))
		d.Idempotency = call.Idempotency
		if out.Receipt, err = host.Append(ctx, signer, d, call.Wait); err != nil {
			return nil, api.Wrap(op, err)
		}
	}
	out.Cuts, err = a.cutOwed(ctx, host, signer, s.ID, in.DID)
	return out, api.Wrap(op, err)
}

// needed says why a member cannot be done without: its device fills an office, or witnesses.
func needed(s *fact.Space, device api.Key) *api.Reason {
	if why := inOffice(s, device); why != nil {
		return why
	}
	if slices.Contains(s.Finality(), s.Feed(fact.FinalityTopic, device)) {
		return &api.Reason{
			Domain: Domain, Rule: "is-witness", Text: "the device is a witness of " + s.Genesis.Name + ": without it fewer make records final",
			Inputs: map[string]string{"device": device.String()}, Remedy: "let another witness take its place first: icnctl space witness",
		}
	}
	return nil
}

// inOffice says that a device fills an office.
func inOffice(s *fact.Space, device api.Key) *api.Reason {
	for _, name := range s.Genesis.Offices {
		if o, ok := s.Office(name); ok && o.Device == device {
			return &api.Reason{
				Domain: Domain, Rule: "holds-office", Text: "the device fills the office of " + name + ", which does not pass to another by itself",
				Inputs: map[string]string{"office": name, "device": device.String()}, Remedy: "hand the office over first: icnctl office hand " + name,
			}
		}
	}
	return nil
}

// uncut are topics whose feeds end neither with a device nor with a membership: what the registrar and the witnesses write, and who asks to be
// admitted is no member.
var uncut = []string{fact.FinalityTopic, fact.CutTopic, fact.SpaceTopic, fact.JoinTopic, fact.OfficeTopic}

// cutOwed announces the cuts that follow from the newest record about a DID: of a removed member's feeds, after which nobody goes on; of a replaced
// device's, after which the new one does; of those of a removed member who is admitted again. A feed with another cut under way has to wait for
// that; what is left out then is asked for again when it is made (see React). The registrar's node alone does this.
func (a *App) cutOwed(ctx context.Context, host api.Host, signer api.Signer, space api.Hash, did api.DID) ([]DeviceCut, error) {
	cuts := []DeviceCut{}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return cuts, nil
	}
	owed := owedBy(host, s, did)
	a.owed.Note(space, did, len(owed) > 0)
	if len(owed) == 0 {
		return cuts, nil
	}
	cutter, ok := api.Lookup[fact.Cutter](host.Services())
	if !ok {
		return cuts, api.Errorf("feed.cut", api.Unavailable, "nobody here cuts feeds: ask again when the node has started")
	}
	for _, q := range owed {
		feed, number, _, err := cutter.Cut(ctx, signer, space, q, api.WaitLocal)
		if err != nil && api.KindOf(err) != api.Conflict {
			return cuts, err
		}
		cuts = append(cuts, DeviceCut{Topic: q.Topic, Feed: feed, Number: number})
	}
	return cuts, nil
}

// owedBy lists the cuts that the newest record about a DID asks for and that are not made yet.
func owedBy(host api.Host, s *fact.Space, did api.DID) []fact.CutRequest {
	m, at, ok := s.Known(did)
	if !ok || m.Before == (api.Key{}) {
		return nil
	}
	old, next := m.Before, m.Device
	switch next {
	case api.Key{}:
		next = old // nobody
	case old:
		next = api.Key{} // it goes on itself
	}
	topics := fact.MemberTopics()
	for _, h := range host.Heads(api.Topic{Space: s.ID}) {
		if h.Device == old && !slices.Contains(uncut, h.Topic.Name) && !slices.Contains(topics, h.Topic.Name) {
			topics = append(topics, h.Topic.Name)
		}
	}
	var owed []fact.CutRequest
	ask := func(topic string, device, next api.Key) {
		c, _, cut := s.Cut(s.Feed(topic, device))
		if cut && c.Names(at) {
			return
		}
		if next == (api.Key{}) && (!cut || c.Next != device) {
			return // it never ended
		}
		owed = append(owed, fact.CutRequest{Topic: topic, Device: device, Next: next, Causes: []api.Position{at}})
	}
	for _, topic := range topics {
		ask(topic, old, next)
	}
	if next == old || next == (api.Key{}) { // removed, or admitted again: so are the other devices that may spend
		for _, device := range s.Spenders(did) {
			if next == (api.Key{}) {
				ask(fact.LedgerTopic, device, next)
			} else {
				ask(fact.LedgerTopic, device, device)
			}
		}
	}
	return owed
}

// findOwed notes, when the node starts, for whom cuts are owed.
func (a *App) findOwed(host api.Host) {
	r := host.Read()
	defer r.Close()
	for _, id := range host.Follows() {
		s, ok := fact.Open(r, id)
		if !ok || !s.Holds(host.Self(), fact.Registrar) {
			continue
		}
		last := api.DID("")
		for _, v := range r.Index(indexMembers(id), nil, false) {
			var m member
			if codec.Unmarshal(v, &m) != nil || m.DID == last {
				continue
			}
			last = m.DID
			if len(owedBy(host, s, m.DID)) > 0 {
				a.owed.Note(id, m.DID, true)
			}
		}
	}
}

// settle announces, on the registrar's node, the cuts that are owed in a space: for whom a record has just said something, and for whom an earlier
// cut was in the way.
func (a *App) settle(ctx context.Context, host api.Host, space api.Hash) error {
	for _, did := range a.owed.In(space) {
		if _, err := a.cutOwed(ctx, host, host.Self(), space, did); err != nil {
			if kind := api.KindOf(err); kind == api.Refused || kind == api.Unavailable { // the next cut, or the next start, tries again
				host.Log().Warn("the feeds of a member are not cut", "did", did, "err", err)
				continue
			}
			return fmt.Errorf("cutting the feeds of %s: %w", did, err)
		}
	}
	return nil
}

// concerns returns whom a record of the registrar's is about, if cuts may follow from it.
func concerns(rec *api.Record) api.DID {
	switch rec.Kind {
	case kindRemove:
		var b remove
		if decode(rec.Body, &b) == nil {
			return b.DID
		}
	case kindDevice:
		var b device
		if decode(rec.Body, &b) == nil {
			return b.DID
		}
	case kindAdmit:
		var b admit
		if decode(rec.Body, &b) == nil {
			return b.DID
		}
	}
	return ""
}
