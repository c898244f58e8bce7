package finality

import (
	"context"
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// ReplaceIn is the input of office.replace.
type ReplaceIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Silent api.DID  `json:"silent" doc:"DID of the registrar who is to be replaced"`
	DID    api.DID  `json:"did" doc:"DID of the member who is to be the registrar"`
	Device api.Key  `json:"device" doc:"Device key of that member, 64 hexadecimal digits"`
	Again  bool     `json:"again,omitempty" doc:"Call another ballot, though witnesses have voted for somebody else in this one"`
}

// Validate implements api.Validator.
func (in *ReplaceIn) Validate() error {
	if _, err := record.ParseDID(string(in.Silent)); err != nil {
		return fmt.Errorf("silent: %w", err)
	}
	if _, err := record.ParseDID(string(in.DID)); err != nil {
		return fmt.Errorf("did: %w", err)
	}
	if err := record.CheckKey(in.Device); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return nil
}

// ReplaceOut is the output of office.replace. The new registrar is in office once its record is final: space.show says so.
type ReplaceOut struct {
	Number  uint64      `json:"number" doc:"the how-manieth registrar that is"`
	Ballot  uint64      `json:"ballot,omitempty"`
	Votes   int         `json:"votes" doc:"witnesses who have voted for this one in the ballot, as far as is known here"`
	Need    int         `json:"need" doc:"how many it takes"`
	Taken   bool        `json:"taken" doc:"the new registrar's node has taken the votes up"`
	Receipt api.Receipt `json:"receipt"`
}

// replaceRegistrar is asked on the witnesses' nodes, which vote, and on that of the new registrar, which takes the votes up when they are enough. Asked
// again it does what is left.
func (a *App) replaceRegistrar(ctx context.Context, call *api.Call, in *ReplaceIn) (*ReplaceOut, error) {
	const op = "office.replace"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	a.stating.Lock() // a witness must not sign for one while it votes for another
	defer a.stating.Unlock()
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	c := &change{op: op, in: in, signer: signer, v: newView(host, r, s)}
	if c.before, c.by, ok = s.Holder(fact.Registrar); !ok {
		return nil, api.Errorf(op, api.NotFound, "%s has no registrar", s.Genesis.Name)
	}
	if c.before.DID == in.DID && c.before.Device == in.Device {
		return &ReplaceOut{Number: max(c.before.Number, 1), Need: s.Need(), Taken: true, Receipt: fact.Repeated(r, c.by)}, nil
	}
	if c.before.DID != in.Silent {
		return nil, api.Errorf(op, api.Conflict, "silent: the registrar is %s, number %d, and not %s: somebody else has taken that place", c.before.DID, max(c.before.Number, 1), in.Silent)
	}
	if host.Self() == nil || signer.Device() != host.Self().Device() {
		return nil, api.Errorf(op, api.Unsupported, "a witness votes, and a registrar takes office, on the node of its own device")
	}
	if why := c.impossible(); why != nil {
		return nil, api.Refusal(op, why)
	}
	c.number = max(c.before.Number, 1) + 1
	votes := c.v.speaks()
	takes := signer.DID() == in.DID && signer.Device() == in.Device
	if !votes && !takes {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-a-witness", Text: "a registrar is replaced by the votes of the space's witnesses, on their nodes, and by the next one, on its own",
			Inputs: map[string]string{"device": signer.Device().String()}, Remedy: "ask the witnesses: icnctl space show lists them",
		})
	}
	out := &ReplaceOut{Number: c.number, Need: s.Need()}
	if votes {
		if err := c.vote(ctx, host, out); err != nil {
			return nil, err
		}
	}
	if takes {
		return out, c.take(ctx, host, out)
	}
	return out, nil
}

// change is one look at who is to replace a registrar.
type change struct {
	op     string
	in     *ReplaceIn
	signer api.Signer
	v      *view
	before fact.Office
	by     api.Position // the record that gives it the office
	number uint64       // of the next
}

// impossible says why the registrar cannot be replaced so, nil when it can.
func (c *change) impossible() *api.Reason {
	e, _ := c.v.Epoch()
	others := 0
	for _, w := range e.Witnesses {
		if w != c.before.Device {
			others++
		}
	}
	if others < int(e.Threshold) {
		return &api.Reason{
			Domain: Domain, Rule: "registrar-is-needed", Text: fmt.Sprintf("%d of %d witnesses make something final, and one of them is the registrar's own device: without it nobody's word is enough", e.Threshold, len(e.Witnesses)),
			Inputs: map[string]string{"registrar": string(c.before.DID)}, Remedy: "restore the registrar's device from its keystore, or found another space, with more witnesses",
		}
	}
	if m, _, ok := c.v.Member(c.in.DID); !ok || m.Device != c.in.Device {
		return &api.Reason{
			Domain: Domain, Rule: "not-a-member", Text: "the next registrar is a member, with the device that acts for it here",
			Inputs: map[string]string{"did": string(c.in.DID), "device": c.in.Device.String()}, Remedy: "see icnctl member list",
		}
	}
	for _, topic := range [...]string{fact.SpaceTopic, fact.CutTopic} {
		if _, begun := c.v.Head(c.v.Feed(topic, c.in.Device)); begun {
			return &api.Reason{
				Domain: Domain, Rule: "device-used", Text: "the device has written in topic " + topic + " before; a registrar begins with a fresh one",
				Inputs: map[string]string{"device": c.in.Device.String()}, Remedy: "name a member who has not held the office with this device",
			}
		}
	}
	return nil
}

// tally reads the votes of the highest ballot: how many are for the one named, and somebody else who has one.
func (c *change) tally() (ballot uint64, mine int, other fact.Vote) {
	var votes []fact.Vote
	for _, w := range c.v.Finality() {
		vt, _, ok := c.v.Vote(w, c.number)
		if e, _ := c.v.Epoch(); ok && vt.Epoch == e.Number {
			votes = append(votes, vt)
			ballot = max(ballot, vt.Ballot)
		}
	}
	for _, vt := range votes {
		switch {
		case vt.Ballot < ballot:
		case vt.DID == c.in.DID && vt.Device == c.in.Device:
			mine++
		default:
			other = vt
		}
	}
	return ballot, mine, other
}

func (c *change) vote(ctx context.Context, host api.Host, out *ReplaceOut) error {
	v := c.v
	last := get[fact.Vote](v.mark(rowVote(c.number)))
	ballot, mine, other := c.tally()
	same := last.DID == c.in.DID && last.Device == c.in.Device
	out.Ballot, out.Votes = ballot, mine
	switch {
	case ballot > 0 && last.Ballot == ballot && last.Epoch == v.stand.Epoch && same:
		_, by, _ := v.Own(v.own, rowVote(c.number))
		out.Receipt = fact.Repeated(v.Reader, by)
		return nil
	case ballot > 0 && (mine == 0 || last.Ballot >= ballot):
		if !c.in.Again {
			return api.Errorf(c.op, api.Conflict, "a witness has voted for %s, device %s, in ballot %d: vote for the same, or call another ballot (--again)", other.DID, other.Device, ballot)
		}
		ballot, out.Votes = ballot+1, 0
	case ballot == 0:
		ballot = 1
	}
	ballot = max(ballot, last.Ballot+1)
	if did, is := v.bound(c.before.Device, c.in.Device); is {
		return api.Refusal(c.op, &api.Reason{
			Domain: Domain, Rule: "bound", Text: "this witness has signed for " + string(did) + " to be the registrar, and that may be final",
			Inputs: map[string]string{"did": string(did)}, Remedy: "vote for " + string(did),
		})
	}
	b := &vote{Number: c.number, Ballot: ballot, DID: c.in.DID, Device: c.in.Device}
	feeds := officeFeeds(v.ID, c.before.Device)
	deps := []api.Position{c.by}
	for i, at := range [...]*fact.Place{&b.Cuts, &b.Space} {
		if last.Ballot > 0 && last.Epoch == v.stand.Epoch {
			*at = [...]fact.Place{last.Cuts, last.Space}[i]
		} else {
			p, shows := v.promise(feeds[i], fact.Draft{Number: 1}, c.by)
			if held := get[mark](v.mark(rowFinal(feeds[i], v.stand.Epoch))); p.At.Seq < held.Seq || !v.covers(p) {
				return api.Errorf(c.op, api.Conflict, "what this witness holds of the registrar's feed cannot be shown certified yet: ask again when the other witnesses have been heard")
			}
			*at = p.At
			deps = append(deps, shows...)
		}
		if at.Seq > 0 {
			deps = append(deps, at.Position(feeds[i]))
		}
	}
	if v.fresh {
		deps = append(deps, v.Founded)
	}
	d := api.Draft{Topic: api.Topic{Space: v.ID, Name: fact.FinalityTopic}, Deps: fact.Deps(deps), Kind: kindVote, Body: codec.MustMarshal(b)}
	rc, err := host.Append(ctx, c.signer, d, api.WaitLocal)
	if err != nil {
		return api.Wrap(c.op, err)
	}
	out.Ballot, out.Votes, out.Receipt = ballot, out.Votes+1, rc
	return nil
}

// take takes the votes up when they are enough.
func (c *change) take(ctx context.Context, host api.Host, out *ReplaceOut) error {
	r := host.Read() // with the vote of this very node
	defer r.Close()
	s, ok := fact.Open(r, c.v.ID)
	if !ok {
		return api.Errorf(c.op, api.NotFound, "space %s: its genesis is not on this node (yet)", c.v.ID)
	}
	c.v = newView(host, r, s)
	if at, said := r.Head(s.Feed(fact.OfficeTopic, c.in.Device)); said {
		rec, v, ok := r.Record(at)
		if b := slotOf(rec); !ok || b == nil || b.Number != c.number || !v.Accepted {
			return api.Refusal(c.op, &api.Reason{
				Domain: Domain, Rule: "device-used", Text: "this device has tried to take the office before", Inputs: map[string]string{"device": c.in.Device.String()},
				Remedy: "let another member take it",
			})
		}
		out.Taken, out.Receipt = true, fact.Repeated(r, at)
		return nil
	}
	ballot, mine, _ := c.tally()
	out.Ballot, out.Votes = ballot, mine
	if mine < s.Need() {
		return nil
	}
	e, _ := s.Epoch()
	b := &replace{Number: c.number, Epoch: e.Number, Ballot: ballot, DID: c.in.DID, Before: c.before.Device}
	var deps []api.Position
	for _, w := range s.Finality() {
		vt, by, ok := s.Vote(w, c.number)
		if !ok || vt.Epoch != e.Number || vt.Ballot != ballot || vt.Device != c.in.Device || vt.DID != c.in.DID || vt.Before != c.before.Device {
			continue
		}
		deps = append(deps, by)
		if vt.Cuts.Seq > b.Cuts.Seq {
			b.Cuts = vt.Cuts
		}
		if vt.Space.Seq > b.Space.Seq {
			b.Space = vt.Space
		}
	}
	for i, at := range [...]fact.Place{b.Cuts, b.Space} {
		if p := at.Position(officeFeeds(s.ID, c.before.Device)[i]); at.Seq > 0 {
			if !r.Before(p, p) {
				return api.Errorf(c.op, api.Unavailable, "record %v, up to which the registrar's feed stands, is not here yet: ask again when it has come", p)
			}
			deps = append(deps, p)
		}
	}
	d := api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.OfficeTopic}, Deps: fact.Deps(deps), Kind: kindReplace, Body: codec.MustMarshal(b)}
	rc, err := host.Append(ctx, c.signer, d, api.WaitLocal)
	if err != nil {
		return api.Wrap(c.op, err)
	}
	out.Taken, out.Receipt = true, rc
	return nil
}
