package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// dispute lets some members dispute what they have paid, or do something in a dispute: their own or another's.
func (w *World) dispute(n *kerneltest.Node) error {
	for range 4 {
		if err := w.quarrel(n); err != nil {
			return err
		}
		n = w.other(n)
	}
	return nil
}

func (w *World) quarrel(n *kerneltest.Node) error {
	if !n.Up() {
		return nil
	}
	me := n.Member().DID()
	out, err := n.Ask("ledger.dispute.list", ledger.DisputesIn{Space: w.Space, All: true, Limit: 3})
	if err != nil {
		return nil //nolint:nilerr // the node is not that far
	}
	all := out.(*ledger.DisputesOut).Disputes
	if len(all) == 0 || w.Rand.IntN(5) == 0 {
		if e, ok := w.received(n, true); ok {
			in := ledger.DisputeFileIn{Space: w.Space, About: e.ID, Against: e.To, Currency: Currency, Amount: 1 + w.Rand.Int64N(e.Amount), Reason: "no"}
			if _, err := call(n, "ledger.dispute.file", in); err == nil {
				w.Count("dispute", "%d by %s", in.Amount, n.Name)
			}
		}
		return nil
	}
	d := all[w.Rand.IntN(len(all))]
	if d.Against != me && w.Rand.IntN(3) > 0 {
		in := ledger.DisputeUpholdIn{Space: w.Space, ID: d.ID, Back: w.Rand.IntN(6) == 0}
		if _, err := call(n, "ledger.dispute.uphold", in); err == nil {
			w.Count("dispute.uphold", "%s by %s, back %t", d.ID.Short(), n.Name, in.Back)
			return nil
		}
	}
	if d.Claimant != me && d.Against != me {
		_, _ = call(n, "ledger.dispute.award", ledger.DisputeVerdictIn{Space: w.Space, ID: d.ID, Amount: w.Rand.Int64N(d.Amount + 1)})
		return nil
	}
	show, err := n.Ask("ledger.dispute.show", ledger.DisputeShowIn{Space: w.Space, ID: d.ID})
	if err != nil {
		return nil //nolint:nilerr // it has lost its effect
	}
	for _, x := range show.(*ledger.DisputeShowOut).Said {
		if x.What == "offer" && x.By != me && w.Rand.IntN(2) == 0 {
			_, _ = call(n, "ledger.dispute.accept", ledger.DisputeAcceptIn{Space: w.Space, ID: d.ID, Offer: x.ID})
			return nil
		}
		if x.What == "award" && w.Rand.IntN(2) == 0 {
			_, _ = call(n, "ledger.dispute.mediator", ledger.DisputeMediatorIn{Space: w.Space, ID: d.ID, Mediator: x.By, Bound: true})
			return nil
		}
	}
	_, _ = call(n, "ledger.dispute.offer", ledger.DisputeVerdictIn{Space: w.Space, ID: d.ID, Amount: w.Rand.Int64N(d.Amount + 1)})
	return nil
}

// redress, claimed and bound are bodies of records, as this package reads them.
type (
	redress struct {
		_        struct{} `cbor:",toarray"`
		Dispute  api.Hash
		From, To api.DID
		Currency string
		Amount   int64
		Why      string
	}
	claimed struct {
		_        struct{} `cbor:",toarray"`
		About    api.Hash
		Against  api.DID
		Currency string
		Amount   int64
		Reason   string
		Deadline int64
		Evidence []api.Hash
	}
)

// uphold and tally are bodies of records, as this package reads them.
type (
	uphold struct {
		_       struct{} `cbor:",toarray"`
		Dispute api.Hash
		Back    bool
	}
	tally struct {
		_       struct{} `cbor:",toarray"`
		Dispute api.Hash
		Place   uint64
	}
)

// upheld is who has upheld a claim, ever, and of how many members, at least, the last count was.
type upheld struct {
	by      map[api.DID]bool
	members int
}

// upheld reads from the records that have effect on n who has upheld which claim.
func (w *World) upheld(n *kerneltest.Node, accepted func(*api.Record) bool) (map[api.Hash]*upheld, error) {
	all := map[api.Hash]*upheld{}
	of := func(id api.Hash) *upheld {
		if all[id] == nil {
			all[id] = &upheld{by: map[api.DID]bool{}}
		}
		return all[id]
	}
	admitted, removed := map[api.Hash][]uint64{}, 0
	var tallies []*api.Record
	for _, rec := range n.Records() {
		switch {
		case !accepted(rec):
		case rec.Topic.Name == fact.SpaceTopic && rec.Kind == "admit":
			admitted[rec.Feed] = append(admitted[rec.Feed], rec.Seq)
		case rec.Topic.Name == fact.SpaceTopic && rec.Kind == "remove":
			removed++
		case rec.Kind == "dispute-tally":
			tallies = append(tallies, rec)
		case rec.Kind == "dispute-uphold":
			var u uphold
			if err := codec.Unmarshal(rec.Body, &u); err != nil {
				return nil, fmt.Errorf("%s: an accepted %s: %w", n.Name, rec.Kind, err)
			}
			of(u.Dispute).by[rec.Author] = of(u.Dispute).by[rec.Author] || !u.Back
		}
	}
	for _, rec := range tallies {
		var t tally
		if err := codec.Unmarshal(rec.Body, &t); err != nil {
			return nil, fmt.Errorf("%s: an accepted %s: %w", n.Name, rec.Kind, err)
		}
		members := 1 - removed // the founder; and of those whom other registrars have admitted none is counted
		for _, d := range rec.Deps {
			for _, seq := range admitted[d.Feed] {
				if seq <= d.Seq {
					members++
				}
			}
		}
		of(t.Dispute).members = members
	}
	return all, nil
}

// redresses checks, from the records that have effect on n, that a payment is redressed once at most, and from nobody who has consented to nothing unless more
// than half of the members uphold it.
func (w *World) redresses(n *kerneltest.Node) error {
	r := n.Read("")
	defer r.Close()
	claims, consents, by := map[api.Hash]claimed{}, map[api.DID]bool{}, map[api.Hash]api.Hash{}
	var all []redress
	for _, rec := range n.Records() {
		full, v, ok := r.Record(rec.Position())
		if !ok || !v.Accepted || v.Held {
			continue
		}
		switch {
		case rec.Topic.Name == fact.LedgerTopic && rec.Kind == "dispute":
			var c claimed
			if err := codec.Unmarshal(rec.Body, &c); err != nil {
				return fmt.Errorf("%s: an accepted dispute: %w", n.Name, err)
			}
			claims[rec.ID] = c
		case rec.Kind == "dispute-offer", rec.Kind == "dispute-accept", rec.Kind == "dispute-mediator":
			consents[full.Author] = true
		case rec.Topic.Name == fact.PostingsTopic && rec.Kind == "redress":
			var b redress
			if err := codec.Unmarshal(rec.Body, &b); err != nil {
				return fmt.Errorf("%s: an accepted redress: %w", n.Name, err)
			}
			all = append(all, b)
		}
	}
	members, err := w.upheld(n, func(rec *api.Record) bool {
		_, v, ok := r.Record(rec.Position())
		return ok && v.Accepted && !v.Held
	})
	if err != nil {
		return err
	}
	for _, b := range all {
		c, ok := claims[b.Dispute]
		if !ok || b.From != c.Against || b.Amount > c.Amount || b.Why != "upheld" && !consents[b.From] {
			return fmt.Errorf("%s: a redress %+v of the claim %+v", n.Name, b, c)
		}
		if b.Why == "upheld" {
			u := members[b.Dispute]
			yes := 0
			for _, said := range u.by {
				if said {
					yes++
				}
			}
			if yes < 2 || 2*yes <= u.members {
				return fmt.Errorf("%s: a redress %+v by %d of at least %d members", n.Name, b, yes, u.members)
			}
		}
		if one, twice := by[c.About]; twice {
			return fmt.Errorf("%s: the payment %s is redressed by the disputes %s and %s", n.Name, c.About.Short(), one.Short(), b.Dispute.Short())
		}
		by[c.About] = b.Dispute
		w.Count("redress "+b.Why, "%d of %s", b.Amount, c.About.Short())
	}
	return nil
}
