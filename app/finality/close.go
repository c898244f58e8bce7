package finality

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// CloseIn is the input of feed.close.
type CloseIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Topic string   `json:"topic" doc:"Topic of the feed: ledger, market, security or trust" enum:"ledger,market,security,trust"`
}

// Validate implements api.Validator.
func (in *CloseIn) Validate() error {
	if topics := fact.MemberTopics(); !slices.Contains(topics, in.Topic) {
		return fmt.Errorf("topic %q: members close their feeds of %s", in.Topic, strings.Join(topics, ", "))
	}
	return nil
}

// CloseOut is the output of feed.close.
type CloseOut struct {
	Feed    api.Hash    `json:"feed"`
	At      uint64      `json:"at" doc:"the last seq before the close"`
	Receipt api.Receipt `json:"receipt"`
}

// closeFeed ends the caller's own feed. A feed that is forked has ended without it: nothing of either branch counts that is not final, and no word of a
// key that has signed twice chooses between them. Asked again it does nothing more.
func (a *App) closeFeed(ctx context.Context, call *api.Call, in *CloseIn) (*CloseOut, error) {
	const op = "feed.close"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	heads := host.Heads(api.Topic{Space: space, Name: in.Topic})
	i := slices.IndexFunc(heads, func(h api.Head) bool { return h.Device == signer.Device() })
	if i < 0 {
		return nil, api.Errorf(op, api.NotFound, "topic: device %s has written nothing in %s here; there is nothing to close", signer.Device(), in.Topic)
	}
	head := heads[i]
	feed := head.Tip.Feed
	if by, closed := fact.Closed(r, feed); closed {
		return &CloseOut{Feed: feed, At: by.Seq - 1, Receipt: fact.Repeated(r, by)}, nil
	}
	if why := unclosable(s, &head); why != nil {
		return nil, api.Refusal(op, why)
	}
	d := api.Draft{Topic: head.Topic, Kind: fact.KindClose, Body: fact.CloseBody(fact.Place{Seq: head.Tip.Seq, ID: head.Tip.ID}), Idempotency: call.Idempotency}
	rc, err := host.Append(ctx, signer, d, call.Wait)
	return &CloseOut{Feed: feed, At: head.Tip.Seq, Receipt: rc}, api.Wrap(op, err)
}

// unclosable says why a feed is not closed by its owner.
func unclosable(s *fact.Space, h *api.Head) *api.Reason {
	if h.Fork > 0 {
		return &api.Reason{
			Domain: Domain, Rule: "feed-forked", Text: fmt.Sprintf("the feed has two records at %d and has ended before them; nothing that this device signs chooses one", h.Fork),
			Inputs: map[string]string{"feed": h.Tip.Feed.String(), "fork": fmt.Sprint(h.Fork)},
			Remedy: "tell the registrar which branch is yours, and ask for another device to go on from there",
		}
	}
	for _, name := range s.Genesis.Offices {
		if o, ok := s.Office(name); ok && o.Device == h.Device {
			return &api.Reason{
				Domain: Domain, Rule: "holds-office", Text: "the device fills the office of " + name + ", which goes on with this device only",
				Inputs: map[string]string{"office": name, "device": h.Device.String()}, Remedy: "hand the office over first: icnctl office hand " + name,
			}
		}
	}
	return nil
}
