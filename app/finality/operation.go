package finality

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "feed.list", Method: http.MethodGet, Path: "/feed/list", CLI: "feed list", Scope: "topic:read",
			Summary: "List the feeds of a topic: how far they are final, forked, cut",
		}, a.list),
		api.Handle(api.Operation{
			Name: "feed.cut", Method: http.MethodPost, Path: "/feed/cut", CLI: "feed cut", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "End a device's feed where enough witnesses have seen it",
		}, a.cutFeed),
		api.Handle(api.Operation{
			Name: "feed.advise", Method: http.MethodGet, Path: "/feed/advise", CLI: "feed advise", Scope: "topic:read",
			Summary: "List the branches of a forked feed, and which one each strategy would adopt",
		}, a.advise),
		api.Handle(api.Operation{
			Name: "feed.close", Method: http.MethodPost, Path: "/feed/close", CLI: "feed close", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "End the own device's feed of a topic where it is",
		}, a.closeFeed),
		api.Handle(api.Operation{
			Name: "office.replace", Method: http.MethodPost, Path: "/office/replace", CLI: "office replace", Scope: "member:write", Write: true,
			Access: api.AccessHere, Summary: "Put a member in the place of a registrar who has fallen silent, by the votes of the witnesses",
		}, a.replaceRegistrar),
		api.Handle(api.Operation{
			Name: "space.witness", Method: http.MethodPost, Path: "/space/witness", CLI: "space witness", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "Name the witnesses that follow on those in force",
		}, a.witnesses),
		api.Handle(api.Operation{
			Name: "space.checkpoint.create", Method: http.MethodPost, Path: "/space/checkpoint/create", CLI: "space checkpoint create", Scope: "member:write", Write: true,
			Access: api.AccessHere, Summary: "Have the witnesses sign to what state all that is final comes",
		}, a.createCheckpoint),
		api.Handle(api.Operation{
			Name: "space.checkpoint.list", Method: http.MethodGet, Path: "/space/checkpoint/list", CLI: "space checkpoint list", Scope: "topic:read",
			Summary: "List checkpoints, the newest first, and who has signed them",
		}, a.listCheckpoints),
		api.Handle(api.Operation{
			Name: "space.checkpoint.show", Method: http.MethodGet, Path: "/space/checkpoint/show", CLI: "space checkpoint show", Scope: "topic:read",
			Summary: "Show a checkpoint, who has signed it, and who has found another state",
		}, a.showCheckpoint),
		api.Handle(api.Operation{
			Name: "space.checkpoint.verify", Method: http.MethodPost, Path: "/space/checkpoint/verify", CLI: "space checkpoint verify", Scope: "state:read",
			Access: api.AccessOperator, Summary: "Fold this node's records of a checkpoint anew and compare",
		}, a.verifyCheckpoint),
	}
}

// WitnessIn is the input of space.witness.
type WitnessIn struct {
	Space     api.Hash  `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Witnesses []api.Key `json:"witnesses" doc:"Device keys of all witnesses from then on, 1 to 16"`
	Threshold *int      `json:"threshold,omitempty" doc:"How many witnesses make a record final; default: the fewest that are safe"`
	Faulty    *int      `json:"faulty,omitempty" doc:"How many witnesses may lie without harm; default: a third of the others"`
}

// Validate implements api.Validator.
func (in *WitnessIn) Validate() error {
	fact.FillQuorum(len(in.Witnesses), &in.Threshold, &in.Faulty)
	if err := fact.CheckQuorumFields(*in.Threshold, *in.Faulty); err != nil {
		return err
	}
	return newEpoch(1, in.Witnesses, *in.Threshold, *in.Faulty).check()
}

// WitnessOut is the output of space.witness. The witnesses are named; space.show tells when they are in force.
type WitnessOut struct {
	Epoch   uint64      `json:"epoch" doc:"number of their epoch"`
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) witnesses(ctx context.Context, call *api.Call, in *WitnessIn) (*WitnessOut, error) {
	const op = "space.witness"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	for _, w := range in.Witnesses {
		if !slices.ContainsFunc(host.Heads(api.Topic{Space: space}), func(h api.Head) bool { return h.Device == w }) {
			return nil, api.Errorf(op, api.NotFound, "witnesses: device %s has written nothing in this space yet; its member has to join first", w)
		}
	}
	out := &WitnessOut{}
	out.Epoch, out.Receipt, err = a.Name(ctx, signer, space, in.Witnesses, *in.Threshold, *in.Faulty, call.Wait)
	return out, err
}

// ListIn is the input of feed.list.
type ListIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Topic string   `json:"topic,omitempty" doc:"Name of the topic; default: all of the space"`
	Odd   bool     `json:"odd,omitempty" doc:"Only feeds that are forked, closed or cut"`
}

// ListOut is the output of feed.list: at most 1000 feeds.
type ListOut struct {
	Feeds []FeedOut `json:"feeds"`
	More  bool      `json:"more,omitempty" doc:"there are more feeds than are listed"`
}

// FeedOut is one feed.
type FeedOut struct {
	Feed   api.Hash `json:"feed"`
	Topic  string   `json:"topic"`
	Author api.DID  `json:"author"`
	Device api.Key  `json:"device"`
	Seq    uint64   `json:"seq" doc:"newest record here"`
	Stands uint64   `json:"stands" doc:"newest record with effect"`
	Final  uint64   `json:"final"`
	Fork   uint64   `json:"fork,omitempty" doc:"lowest seq with two records"`
	Rival  uint64   `json:"rival,omitempty" doc:"a record on another branch that is as final as what is counted: witnesses have contradicted themselves"`
	Closed bool     `json:"closed,omitempty" doc:"its owner has ended it"`
	Cuts   []CutOut `json:"cuts,omitempty"`
}

// CutOut is one cut of a feed.
type CutOut struct {
	By    api.Position `json:"by"`
	At    uint64       `json:"at" doc:"the last seq that stands"`
	Final bool         `json:"final"`
	Cited bool         `json:"cited" doc:"the feed goes on from there"`
}

const maxList = 1000

func (a *App) list(_ context.Context, _ *api.Call, in *ListIn) (*ListOut, error) {
	host, space, err := a.at("feed.list", in.Space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	out := &ListOut{Feeds: []FeedOut{}}
	for _, h := range host.Heads(api.Topic{Space: space, Name: in.Topic}) {
		feed := h.Tip.Feed
		head, _ := r.Head(feed)
		final, _ := r.Final(feed)
		f := FeedOut{
			Feed: feed, Topic: h.Topic.Name, Author: h.Author, Device: h.Device, Seq: h.Tip.Seq, Stands: head.Seq, Final: final.Seq, Fork: h.Fork, Rival: h.Rival.Seq,
		}
		_, f.Closed = fact.Closed(r, feed)
		for _, c := range r.Cuts(feed) {
			f.Cuts = append(f.Cuts, CutOut{By: c.By, At: c.At.Seq, Final: c.Final, Cited: c.Cited})
		}
		if in.Odd && f.Fork == 0 && !f.Closed && len(f.Cuts) == 0 {
			continue
		}
		if out.More = len(out.Feeds) == maxList; out.More {
			break
		}
		out.Feeds = append(out.Feeds, f)
	}
	return out, nil
}

// with returns the host, or an error before Start.
func (a *App) with(op string) (api.Host, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host == nil {
		return nil, api.Errorf(op, api.Unavailable, "the node is starting")
	}
	return a.host, nil
}

// at returns the host and the space that is meant.
func (a *App) at(op string, space api.Hash) (api.Host, api.Hash, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, space, err
	}
	if space.IsZero() {
		space, err := a.spaces.Default()
		return host, space, err
	}
	if !slices.Contains(host.Follows(), space) {
		return nil, space, api.Errorf(op, api.NotFound, "space %s: this node does not follow it", space)
	}
	return host, space, nil
}

// CutIn is the input of feed.cut.
type CutIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Topic  string   `json:"topic" doc:"Topic of the feed, e.g. ledger" example:"ledger"`
	Device api.Key  `json:"device" doc:"Device key of the feed, 64 hexadecimal digits"`
	Adopt  api.Hash `json:"adopt,omitzero" doc:"Of a forked feed: id of a record on the branch to choose, if no other is certified"`
	By     string   `json:"by,omitempty" doc:"Of a forked feed: adopt the branch that feed.advise recommends by witnessed, endorsed or earliest" enum:"witnessed,endorsed,earliest"`
	Next   api.Key  `json:"next,omitzero" doc:"Device that goes on; default: the feed itself, which has to cite the cut"`
}

// Validate implements api.Validator.
func (in *CutIn) Validate() error {
	t := target{Topic: in.Topic, Device: in.Device}
	if err := t.check(); err != nil {
		return err
	}
	switch {
	case in.By == "":
	case !in.Adopt.IsZero():
		return fmt.Errorf("adopt, by: want one of them: the one names a branch, the other has it chosen")
	case in.By != byWitnessed && in.By != byEndorsed && in.By != byEarliest:
		return fmt.Errorf("by %q: want %s, %s or %s; what was decided elsewhere is named with adopt", in.By, byWitnessed, byEndorsed, byEarliest)
	}
	if in.Next != (api.Key{}) {
		if err := record.CheckKey(in.Next); err != nil {
			return fmt.Errorf("next: %w", err)
		}
	}
	return nil
}

// CutFeedOut is the output of feed.cut. The cut is announced; feed.list shows when it is final.
type CutFeedOut struct {
	Feed    api.Hash    `json:"feed"`
	Number  uint64      `json:"number"`
	Receipt api.Receipt `json:"receipt"`
	Adopt   api.Hash    `json:"adopt,omitzero" doc:"the record whose branch is to be adopted"`
}

func (a *App) cutFeed(ctx context.Context, call *api.Call, in *CutIn) (*CutFeedOut, error) {
	const op = "feed.cut"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	q := fact.CutRequest{Topic: in.Topic, Device: in.Device, Next: in.Next}
	if !in.Adopt.IsZero() {
		r := host.Read()
		rec, _, ok := r.Lookup(in.Adopt)
		r.Close()
		if !ok || rec.Topic != (api.Topic{Space: space, Name: in.Topic}) || rec.Device != in.Device {
			return nil, api.Errorf(op, api.NotFound, "adopt: record %s is not one of that feed here", in.Adopt)
		}
		q.Adopt = rec.Position()
	}
	if in.By != "" {
		if q.Adopt, err = adopts(ctx, op, host, space, in); err != nil {
			return nil, err
		}
	}
	out := &CutFeedOut{Adopt: q.Adopt.ID}
	out.Feed, out.Number, out.Receipt, err = a.Cut(ctx, signer, space, q, call.Wait)
	return out, err
}
