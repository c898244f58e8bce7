package finality

import (
	"context"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// heir reports whether this node's device has said that it takes the place of a registrar, and so waits for that to be final.
func heir(r api.Reader, s *fact.Space, self api.Signer) bool {
	if self == nil {
		return false
	}
	_, said := r.Head(s.Feed(fact.OfficeTopic, self.Device()))
	return said
}

// isOwn reports whether feed is that by which this node's device takes an office.
func (a *App) isOwn(space, feed api.Hash) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host != nil && a.host.Self() != nil && a.host.Feed(api.Topic{Space: space, Name: fact.OfficeTopic}, a.host.Self().Device()) == feed
}

// takeOver does, once for each start of the registrar's node, what a registrar before may have left undone: it returns the feeds of which cuts are
// announced, and announces again those that witnesses have answered and that lie beyond where the feed before was cut. Their promises bind.
func (a *App) takeOver(ctx context.Context, host api.Host, r api.Reader, s *fact.Space) ([]api.Hash, error) {
	a.mu.Lock()
	taken := a.taken[s.ID]
	a.mu.Unlock()
	if taken {
		return nil, nil
	}
	feeds := openDrafts(r, s)
	for _, d := range answered(r, s) {
		if err := announce(ctx, host, s.ID, d); err != nil {
			return nil, err
		}
		feeds = append(feeds, d.Target.feed(s.ID))
	}
	a.mu.Lock()
	a.taken[s.ID] = true
	a.mu.Unlock()
	return feeds, nil
}

// answered lists the drafts that witnesses in force have answered and that have no effect, each once.
func answered(r api.Reader, s *fact.Space) (drafts []*draft) {
	seen := map[api.Hash]bool{}
	for _, w := range s.Finality() {
		for row, b := range r.Rows(w, rowsVow) {
			vows := get[[]vow](b, true)
			if len(row) < len(rowsVow)+len(api.Hash{}) || len(vows) == 0 {
				continue
			}
			feed := api.Hash(row[len(rowsVow):][:len(api.Hash{})])
			last := vows[len(vows)-1].Number
			ob, _, ok := r.Own(s.Cutter(), rowDraft(feed))
			if seen[feed] || cutNumber(r, s, feed) >= last || get[draft](ob, ok).Number >= last {
				continue
			}
			_, by, _ := r.Own(w, row)
			if d := draftOf(r, s.ID, feed, last, by); d != nil {
				seen[feed] = true
				drafts = append(drafts, d)
			}
		}
	}
	return drafts
}

// draftOf finds the draft that the promise at by answers, nil when it is none: a vote promises, too.
func draftOf(r api.Reader, space, feed api.Hash, number uint64, by api.Position) *draft {
	rec, _, ok := r.Record(by)
	if !ok || rec.Kind != kindPromise {
		return nil
	}
	for _, dep := range rec.Deps {
		dr, _, ok := r.Record(dep)
		var d draft
		if ok && dr.Topic.Name == fact.CutTopic && dr.Kind == kindDraft && read(dr.Body, &d) == nil && d.Target.feed(space) == feed && d.Number == number {
			return &d
		}
	}
	return nil
}

// announce writes a draft that a registrar before has written in vain.
func announce(ctx context.Context, host api.Host, space api.Hash, d *draft) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	deps := s.Entries(fact.CutTopic)
	for _, c := range d.Causes {
		deps = append(deps, c.Position())
	}
	if _, _, known := r.Own(s.Cutter(), rowRegistrar); !known {
		deps = append(deps, s.Founded)
	}
	draft := api.Draft{Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindDraft, Body: codec.MustMarshal(d)}
	_, err := host.Append(ctx, host.Self(), draft, api.WaitLocal)
	if api.KindOf(err) == api.Refused {
		host.Log().Error("a cut that was announced before is refused", "space", space.Short(), "feed", d.Target.feed(space).Short(), "err", err)
		return nil
	}
	return err
}
