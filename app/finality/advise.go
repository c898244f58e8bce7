package finality

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Whose branch of a forked feed a cut should adopt is advised here to the registrar, and to whoever asks, from what this node has. It is an opinion: no
// verdict comes of it, and another node that has other records gives another.
const (
	byWitnessed  = "witnessed"
	byEndorsed   = "endorsed"
	byEarliest   = "earliest"
	byGovernance = "governance"
)

// Bounds of what one piece of advice looks at, in records.
const (
	maxEndorsing = 100_000 // of the space, for citations
	maxReason    = 256     // bytes of what was decided elsewhere
)

// AdviseIn is the input of feed.advise.
type AdviseIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Topic  string   `json:"topic" doc:"Topic of the feed, e.g. ledger" example:"ledger"`
	Of     string   `json:"of" doc:"Whose feed: DID of the member, or the device key, or the id of the feed" example:"did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5"`
	Branch api.Hash `json:"branch,omitzero" doc:"Id of a record on the branch that was decided on elsewhere"`
	Reason string   `json:"reason,omitempty" doc:"Who decided that, and why: with branch, one line of at most 256 bytes"`
}

// Validate implements api.Validator.
func (in *AdviseIn) Validate() error {
	switch {
	case in.Topic == "":
		return fmt.Errorf("topic: missing; want the topic of the feed, e.g. ledger")
	case in.Branch.IsZero() != (in.Reason == ""):
		return fmt.Errorf("branch, reason: want both or neither: a decision names its branch, and who took it and why")
	case len(in.Reason) > maxReason || strings.ContainsAny(in.Reason, "\r\n"):
		return fmt.Errorf("reason of %d bytes: want one line of at most %d", len(in.Reason), maxReason)
	}
	if strings.HasPrefix(in.Of, "did:") {
		_, err := record.ParseDID(in.Of)
		return err
	}
	if _, err := api.ParseHash(in.Of); err != nil {
		return fmt.Errorf("of %q: want a DID, or the 64 digits of a device key or of a feed", in.Of)
	}
	return nil
}

// AdviseOut is the output of feed.advise.
type AdviseOut struct {
	Feed     api.Hash    `json:"feed"`
	Author   api.DID     `json:"author"`
	Device   api.Key     `json:"device"`
	Fork     uint64      `json:"fork" doc:"lowest seq with two records"`
	Branches []BranchOut `json:"branches" doc:"as far as they are here, at most 64"`
	Advice   []AdviceOut `json:"advice" doc:"an opinion of this node for whoever issues the cut; nothing follows from it by itself"`
}

// BranchOut is one branch of a forked feed, from the fork to where it ends here.
type BranchOut struct {
	Tip       api.Position `json:"tip" doc:"its newest record here"`
	First     api.Hash     `json:"first" doc:"its record at the fork"`
	Time      time.Time    `json:"time" doc:"of that, by the clock of who forked"`
	Locks     int          `json:"locks" doc:"witnesses in force that have locked something of it"`
	Certified uint64       `json:"certified" doc:"the highest seq of it that enough of them have locked, 0 for none"`
	Endorsers int          `json:"endorsers" doc:"other members with an accepted record that cites something of it"`
}

// AdviceOut is what one strategy says.
type AdviceOut struct {
	By     string   `json:"by" doc:"witnessed, endorsed, earliest, or governance for what was decided elsewhere"`
	Branch api.Hash `json:"branch,omitzero" doc:"the record to adopt; none when it has no answer"`
	Tie    bool     `json:"tie,omitempty" doc:"two branches are alike to it"`
	Why    string   `json:"why"`
}

func (a *App) advise(ctx context.Context, _ *api.Call, in *AdviseIn) (*AdviseOut, error) {
	const op = "feed.advise"
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	head, err := forked(op, host.Heads(api.Topic{Space: space, Name: in.Topic}), in.Of)
	if err != nil {
		return nil, err
	}
	out, err := adviseOn(ctx, op, host, r, space, head)
	if err != nil || in.Branch.IsZero() {
		return out, err
	}
	rec, _, ok := r.Lookup(in.Branch)
	if !ok || rec.Feed != out.Feed || rec.Seq < out.Fork {
		return nil, api.Errorf(op, api.NotFound, "branch: record %s is on no branch of that feed here; want one at %d or later", in.Branch, out.Fork)
	}
	out.Advice = append(out.Advice, AdviceOut{By: byGovernance, Branch: in.Branch, Why: in.Reason})
	return out, nil
}

// forked finds the one forked feed that is meant.
func forked(op string, heads []api.Head, of string) (api.Head, error) {
	var found []api.Head
	known := false
	for _, h := range heads {
		if string(h.Author) == of || h.Device.String() == of || h.Tip.Feed.String() == of {
			known = true
			if h.Fork != 0 {
				found = append(found, h)
			}
		}
	}
	switch {
	case !known:
		return api.Head{}, api.Errorf(op, api.NotFound, "of %s: this node has no such feed of that topic; icnctl feed list shows those it has", of)
	case len(found) == 0:
		return api.Head{}, api.Errorf(op, api.NotFound, "of %s: the feed is not forked here: there is nothing to choose", of)
	case len(found) > 1:
		return api.Head{}, api.Errorf(op, api.Invalid, "of %s: %d feeds of that member are forked; name one by its device: icnctl feed list --odd", of, len(found))
	}
	return found[0], nil
}

// adviseOn looks a forked feed over.
func adviseOn(ctx context.Context, op string, host api.Host, r api.Reader, space api.Hash, h api.Head) (*AdviseOut, error) {
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	out := &AdviseOut{Feed: h.Tip.Feed, Author: h.Author, Device: h.Device, Fork: h.Fork, Branches: []BranchOut{}}
	for _, tip := range r.Branches(out.Feed) {
		if b, ok := branch(r, s, tip, h.Fork); ok {
			out.Branches = append(out.Branches, b)
		}
	}
	if err := endorse(ctx, host, r, out, h); err != nil {
		return nil, api.Wrap(op, err)
	}
	out.Advice = []AdviceOut{witnessed(s, out.Branches), endorsed(out.Branches), earliest(out.Branches)}
	return out, nil
}

// branch describes the branch that ends at tip; it is false when it is longer than one look goes.
func branch(r api.Reader, s *fact.Space, tip api.Position, fork uint64) (b BranchOut, ok bool) {
	at := tip
	for range maxWalk {
		rec, _, here := r.Record(at)
		if !here {
			return b, false
		}
		if at.Seq == fork {
			b = BranchOut{Tip: tip, First: rec.ID, Time: rec.Time.Time()}
			break
		}
		at.Seq, at.ID = at.Seq-1, rec.Prev
	}
	if b.First.IsZero() {
		return b, false
	}
	e, _ := s.Epoch()
	cuts, _ := s.FinalCuts(tip.Feed) // what was locked before a cut does not count beside what was after it
	var locks []uint64
	for _, w := range s.Finality() {
		if l, ok := s.Locked(w, e.Number, tip.Feed); ok && l.Cut == cuts && l.Seq >= fork && r.Before(l.Position(tip.Feed), tip) {
			locks = append(locks, l.Seq)
		}
	}
	slices.Sort(locks)
	b.Locks = len(locks)
	if need := s.Need(); b.Locks >= need && need > 0 {
		b.Certified = locks[b.Locks-need] // as many have locked that or more
	}
	return b, true
}

// endorse counts, per branch, the other members who have built on it: of whom an accepted record cites what lies on it beyond the fork. Witnesses'
// statements and the registrar's cuts cite nothing by choice and do not count.
func endorse(ctx context.Context, host api.Host, r api.Reader, out *AdviseOut, forked api.Head) error {
	who := make([]map[api.DID]bool, len(out.Branches))
	left := maxEndorsing
	for _, h := range host.Heads(api.Topic{Space: forked.Topic.Space}) {
		if h.Author == forked.Author || h.Topic.Name == fact.FinalityTopic || h.Topic.Name == fact.CutTopic {
			continue
		}
		at, ok := r.Head(h.Tip.Feed)
		for ; ok && at.Seq > 0 && left > 0; left-- {
			if err := ctx.Err(); err != nil {
				return err
			}
			rec, v, here := r.Record(at)
			if !here {
				break
			}
			for _, d := range rec.Deps {
				if d.Feed != out.Feed || d.Seq < out.Fork || !v.Accepted || v.Held {
					continue
				}
				for i := range out.Branches {
					if r.Before(d, out.Branches[i].Tip) {
						if who[i] == nil {
							who[i] = map[api.DID]bool{}
						}
						who[i][h.Author] = true
					}
				}
			}
			at.Seq, at.ID = at.Seq-1, rec.Prev
		}
	}
	for i := range who {
		out.Branches[i].Endorsers = len(who[i])
	}
	return nil
}

// best returns the branch that comes first by order, which is below zero for what is better; tie when another is as good.
func best(branches []BranchOut, order func(a, b BranchOut) int) (b BranchOut, tie bool) {
	sorted := slices.SortedStableFunc(slices.Values(branches), order)
	return sorted[0], len(sorted) > 1 && order(sorted[0], sorted[1]) == 0
}

func witnessed(s *fact.Space, branches []BranchOut) AdviceOut {
	a := AdviceOut{By: byWitnessed, Why: "no witness in force has locked a record of any branch"}
	if len(branches) == 0 {
		return a
	}
	b, tie := best(branches, func(a, b BranchOut) int {
		return cmp.Or(cmp.Compare(b.Certified, a.Certified), cmp.Compare(b.Locks, a.Locks))
	})
	switch {
	case b.Locks == 0:
	case tie:
		a.Tie, a.Why = true, fmt.Sprintf("two branches have %d locks each", b.Locks)
	case b.Certified > 0:
		a.Branch, a.Why = b.Tip.ID, fmt.Sprintf("%d of %d witnesses have locked it, and %d of them up to %d, which certifies that", b.Locks, len(s.Finality()), s.Need(), b.Certified)
	default:
		a.Branch, a.Why = b.Tip.ID, fmt.Sprintf("%d of %d witnesses have locked it, more than any other; %d would certify it", b.Locks, len(s.Finality()), s.Need())
	}
	return a
}

func endorsed(branches []BranchOut) AdviceOut {
	a := AdviceOut{By: byEndorsed, Why: "no other member has built on a branch"}
	if len(branches) == 0 {
		return a
	}
	b, tie := best(branches, func(a, b BranchOut) int { return cmp.Compare(b.Endorsers, a.Endorsers) })
	switch {
	case b.Endorsers == 0:
	case tie:
		a.Tie, a.Why = true, fmt.Sprintf("on two branches %d other members each have built", b.Endorsers)
	default:
		a.Branch, a.Why = b.Tip.ID, fmt.Sprintf("%d other members have records that cite it, more than any other", b.Endorsers)
	}
	return a
}

func earliest(branches []BranchOut) AdviceOut {
	const caution = "the clock is that of who forked, who chooses what it says"
	a := AdviceOut{By: byEarliest, Why: "no branch is here"}
	if len(branches) == 0 {
		return a
	}
	b, tie := best(branches, func(a, b BranchOut) int { return a.Time.Compare(b.Time) })
	if tie {
		a.Tie, a.Why = true, "two branches begin with one time or one record; "+caution
		return a
	}
	a.Branch, a.Why = b.Tip.ID, "its record at the fork is dated "+b.Time.Format(time.RFC3339Nano)+"; "+caution
	return a
}

// adopts returns the record to adopt by a strategy's advice.
func adopts(ctx context.Context, op string, host api.Host, space api.Hash, in *CutIn) (api.Position, error) {
	r := host.Read()
	defer r.Close()
	head, err := forked(op, host.Heads(api.Topic{Space: space, Name: in.Topic}), in.Device.String())
	if err != nil {
		return api.Position{}, err
	}
	out, err := adviseOn(ctx, op, host, r, space, head)
	if err != nil {
		return api.Position{}, err
	}
	said := out.Advice[slices.IndexFunc(out.Advice, func(a AdviceOut) bool { return a.By == in.By })]
	for _, b := range out.Branches {
		if b.Tip.ID == said.Branch {
			return b.Tip, nil
		}
	}
	return api.Position{}, api.Refusal(op, &api.Reason{
		Domain: Domain, Rule: "no-advice", Text: in.By + " recommends no branch: " + said.Why, Inputs: map[string]string{"feed": out.Feed.String(), "by": in.By},
		Remedy: "look at the branches, icnctl feed advise " + in.Topic + " " + in.Device.String() + ", and choose one: icnctl feed cut with --adopt",
	})
}
