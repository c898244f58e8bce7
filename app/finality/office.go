package finality

import (
	"context"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// settleDrafts makes the cuts for which enough witnesses have promised, of the given feeds.
func settleDrafts(ctx context.Context, host api.Host, space api.Hash, feeds []api.Hash) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	for _, feed := range feeds {
		b, _, ok := r.Own(s.Cutter(), rowDraft(feed))
		d := get[draft](b, ok)
		if !ok || cutNumber(r, s, feed) >= d.Number {
			continue
		}
		c, deps, ok := cutOf(r, s, feed, &d)
		if !ok {
			continue
		}
		deps = append(deps, s.Entries(fact.CutTopic)...)
		draft := api.Draft{Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindCut, Body: codec.MustMarshal(c)}
		_, err := host.Append(ctx, host.Self(), draft, api.WaitLocal)
		if api.KindOf(err) == api.Refused {
			host.Log().Error("a cut is refused", "space", space.Short(), "feed", feed.Short(), "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func cutNumber(r api.Reader, s *fact.Space, feed api.Hash) uint64 {
	b, _, ok := r.Own(s.Cutter(), rowCut(feed))
	return fact.Number(b, ok)
}

// cutOf builds the cut that a draft announces and what it cites, once enough witnesses have promised.
func cutOf(r api.Reader, s *fact.Space, feed api.Hash, d *draft) (*cut, []api.Position, bool) {
	c := &cut{Target: d.Target, Number: d.Number}
	var deps []api.Position
	voices := map[uint64]int{}
	enough := false
	b, _, ok := r.Own(s.Cutter(), rowEpoch)
	named := fact.Number(b, ok)
	for _, w := range s.Finality() {
		p, at, ok := s.Promise(w, feed)
		if !ok || p.Number != d.Number || p.Epoch < named {
			continue
		}
		deps = append(deps, at)
		voices[p.Epoch]++
		enough = enough || voices[p.Epoch] >= int(p.Need)
		if p.At.Seq > c.At.Seq {
			c.At = p.At
		}
	}
	if !enough {
		return nil, nil, false
	}
	if most := c.At.Position(feed); d.Adopt.Seq > c.At.Seq && (most.Seq == 0 || r.Before(most, d.Adopt.Position(feed))) {
		c.At = d.Adopt
	}
	if c.At.Seq > 0 {
		if at := c.At.Position(feed); r.Before(at, at) {
			deps = append(deps, at)
		} else {
			return nil, nil, false // it is certified and will come
		}
	}
	return c, deps, true
}

// Cut implements fact.Cutter.
func (a *App) Cut(ctx context.Context, signer api.Signer, space api.Hash, q fact.CutRequest, wait api.Wait) (feed api.Hash, number uint64, rc api.Receipt, err error) {
	const op = "feed.cut"
	host, err := a.with(op)
	if err != nil {
		return feed, 0, rc, err
	}
	a.cutting.Lock() // before reading: the number must be the newest
	defer a.cutting.Unlock()
	r := host.Read()
	defer r.Close()
	s, err := asRegistrar(op, r, signer, space, "cuts feeds")
	if err != nil {
		return feed, 0, rc, err
	}
	d := &draft{Target: target{Topic: q.Topic, Device: q.Device}, Adopt: fact.Place{Seq: q.Adopt.Seq, ID: q.Adopt.ID}, Next: q.Next}
	feed = d.Target.feed(space)
	d.Number = cutNumber(r, s, feed) + 1
	if c, at, ok := s.Cut(feed); ok && serves(c.Causes, &q) { // whoever asked had not seen it
		return feed, c.Number, fact.Repeated(r, at), nil
	}
	b, at, ok := r.Own(s.Cutter(), rowDraft(feed))
	open := get[draft](b, ok)
	if open.Number < d.Number && open.passesOn() {
		return feed, 0, rc, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "feed-ended", Text: "the feed has ended for good: another device goes on from there",
			Inputs: map[string]string{"feed": feed.String(), "next": open.Next.String()}, Remedy: "cut the feed of that device: icnctl feed cut " + q.Topic + " " + open.Next.String(),
		})
	}
	if open.Number == d.Number {
		if serves(open.Causes, &q) {
			return feed, d.Number, fact.Repeated(r, at), nil
		}
		return feed, d.Number, rc, api.Errorf(op, api.Conflict, "cut %d of feed %s is under way: it waits for the witnesses' promises", d.Number, feed)
	}
	var deps []api.Position
	for _, c := range causes(s, feed, q.Causes) {
		deps = append(deps, c)
		d.Causes = append(d.Causes, fact.Cause{Feed: c.Feed, Seq: c.Seq, ID: c.ID})
	}
	if err := d.check(); err != nil {
		return feed, 0, rc, api.Errorf(op, api.Invalid, "%w", err)
	}
	if _, _, known := r.Own(s.Cutter(), rowRegistrar); !known {
		deps = append(deps, s.Founded)
	}
	deps = append(deps, s.Entries(fact.CutTopic)...)
	rc, err = host.Append(ctx, signer, api.Draft{Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindDraft, Body: codec.MustMarshal(d)}, wait)
	return feed, d.Number, rc, api.Wrap(op, err)
}

// serves reports whether a cut for the sake of causes is as good as what is asked for: it names those causes, or what was written after them.
func serves(causes []fact.Cause, q *fact.CutRequest) bool {
	return len(q.Causes) > 0 && !slices.ContainsFunc(q.Causes, func(c api.Position) bool { return !fact.Names(causes, c) })
}

// causes are those of a cut of feed and of the cut before it, of each feed the newest; when they are too many, the ones that are asked for.
func causes(s *fact.Space, feed api.Hash, asked []api.Position) []api.Position {
	all := slices.Clone(asked)
	if c, _, ok := s.Cut(feed); ok {
		for _, why := range c.Causes {
			all = append(all, why.Position())
		}
	}
	if all = fact.Deps(all); len(all) > maxCauses {
		return fact.Deps(asked)
	}
	return all
}

// Name names the witnesses of the next epoch.
func (a *App) Name(ctx context.Context, signer api.Signer, space api.Hash, witnesses []api.Key, threshold, faulty int, wait api.Wait) (number uint64, rc api.Receipt, err error) {
	const op = "space.witness"
	host, err := a.with(op)
	if err != nil {
		return 0, rc, err
	}
	a.cutting.Lock() // before reading: the number must be the newest
	defer a.cutting.Unlock()
	r := host.Read()
	defer r.Close()
	s, err := asRegistrar(op, r, signer, space, "names witnesses")
	if err != nil {
		return 0, rc, err
	}
	now, _ := s.Epoch()
	e := newEpoch(now.Number+1, witnesses, threshold, faulty)
	if err := e.check(); err != nil {
		return 0, rc, api.Errorf(op, api.Invalid, "%w", err)
	}
	if _, _, open := s.Named(e.Number); open {
		return 0, rc, api.Errorf(op, api.Conflict, "witness epoch %d is named and not in force yet: it waits for the witnesses of epoch %d to seal theirs", e.Number, now.Number)
	}
	if slices.Equal(e.Witnesses, now.Witnesses) && e.Threshold == now.Threshold {
		return 0, rc, api.Errorf(op, api.Invalid, "these are the witnesses in force, with the same threshold: there is nothing to change")
	}
	var deps []api.Position
	if _, _, known := r.Own(s.Cutter(), rowRegistrar); !known {
		deps = append(deps, s.Founded)
	}
	deps = append(deps, s.Entries(fact.CutTopic)...)
	if now.Number > 0 {
		started := 0
		for _, w := range s.Finality() {
			if st, at := s.Standing(w); st.Epoch == now.Number {
				started++
				deps = append(deps, at)
			}
		}
		if started < s.Need() {
			return 0, rc, api.Errorf(op, api.Conflict, "witness epoch %d has begun for %d of %d witnesses here, and %d have to be heard of before another is named", now.Number, started, len(now.Witnesses), s.Need())
		}
	}
	rc, err = host.Append(ctx, signer, api.Draft{Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindEpoch, Body: codec.MustMarshal(e)}, wait)
	return e.Number, rc, api.Wrap(op, err)
}

// asRegistrar opens a space for its registrar, who alone does what.
func asRegistrar(op string, r api.Reader, signer api.Signer, space api.Hash, what string) (*fact.Space, error) {
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	if !s.Holds(signer, fact.Registrar) {
		o, _ := s.Office(fact.Registrar)
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-registrar", Text: "only the registrar of " + s.Genesis.Name + " " + what,
			Inputs: map[string]string{"registrar": string(o.DID)}, Remedy: "ask " + string(o.DID),
		})
	}
	return s, nil
}
