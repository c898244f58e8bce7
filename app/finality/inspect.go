package finality

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// inspectEvery is how often a witness looks again at a checkpoint for which something is missing here still.
const inspectEvery = 5 * time.Second

// noteCheckpoint has a space's newest checkpoint looked at soon.
func (a *App) noteCheckpoint(space api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inspects[space] = time.Time{}
}

// inspecting looks at checkpoints as they come, beside the statements: to fold a large space takes long.
func (a *App) inspecting(ctx context.Context, host api.Host) {
	look := time.NewTicker(dueEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if err := a.inspect(ctx, host, host.Now()); err != nil && ctx.Err() == nil {
			host.Log().Error("a checkpoint cannot be checked now", "err", err)
		}
	}
}

// inspect checks the newest checkpoints of the spaces that are due.
func (a *App) inspect(ctx context.Context, host api.Host, now time.Time) error {
	a.mu.Lock()
	due := slices.DeleteFunc(slices.SortedFunc(maps.Keys(a.inspects), api.Hash.Compare), func(s api.Hash) bool { return now.Before(a.inspects[s]) })
	for _, space := range due {
		delete(a.inspects, space)
	}
	a.mu.Unlock()
	for _, space := range due {
		again, err := a.inspectSpace(ctx, host, space)
		if again || err != nil {
			a.mu.Lock()
			if _, noted := a.inspects[space]; !noted {
				a.inspects[space] = now.Add(inspectEvery)
			}
			a.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inspectSpace checks the newest checkpoint of a space, if this node is a witness and has not. It reports whether to try again.
func (a *App) inspectSpace(ctx context.Context, host api.Host, space api.Hash) (again bool, err error) {
	folder, ok := host.(api.SectionHost)
	if !ok {
		return false, nil
	}
	c, at, again := a.unchecked(host, space)
	if c == nil {
		return again, nil
	}
	sec, err := folder.FoldSection(ctx, space, c.by())
	switch kind := api.KindOf(err); {
	case kind == api.NotFound || kind == api.Unavailable:
		return true, nil
	case kind == api.Internal:
		host.Log().Error("a checkpoint is not signed: this node's records do not come to its state", "space", space.Short(), "number", c.Number, "err", err)
		return false, nil
	case err != nil:
		return true, err
	case len(sec.Open) > 0:
		return true, nil // it will become final here, too
	}
	say := check{Number: c.Number, Digest: sec.Digest}
	if sec.Digest != c.Digest {
		say.Apps = digests(sec)
		diverges(host, space, c, at, &say)
	}
	a.stating.Lock() // the witness's feed has one writer at a time
	defer a.stating.Unlock()
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return false, nil
	}
	v := newView(host, r, s)
	if !v.speaks() {
		return true, nil
	}
	return false, v.write(ctx, host, kindCheck, codec.MustMarshal(&say), at)
}

// unchecked returns the newest checkpoint of a space and its place, if it is for this node to check it and all that it names is here; nil otherwise, and
// whether that may change.
func (a *App) unchecked(host api.Host, space api.Hash) (c *checkpoint, at api.Position, again bool) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !isWitness(s, host.Self()) {
		return nil, at, false
	}
	c, at, ok = newestCheckpoint(r, s)
	if !ok {
		return nil, at, false
	}
	v := newView(host, r, s)
	if b, said := v.mark(rowCheck(at.ID)); said {
		_, _, stands := c.standing(words(r, s, at))
		if stands || get[checked](b, said).Epoch == v.stand.Epoch {
			return nil, at, false // what was said in an earlier epoch does not add up with what is said in this one
		}
	}
	if !v.speaks() {
		e, _ := s.Epoch()
		return nil, at, slices.Contains(e.Witnesses, host.Self().Device())
	}
	for _, p := range c.by() {
		if !s.States(p.Feed) {
			return nil, at, true // of an epoch that has not begun here
		}
		if !r.Before(p, p) {
			return nil, at, true
		}
	}
	return c, at, false
}

// diverges tells everybody whom it concerns on this node that it has found another state than the registrar.
func diverges(host api.Host, space api.Hash, c *checkpoint, at api.Position, say *check) {
	apps := strings.Join(c.differing(say.Apps), ", ")
	host.Log().Error("a checkpoint's records come to another state here: do not trust balances until people have looked at it (icnctl space checkpoint show)",
		"space", space.Short(), "number", c.Number, "checkpoint", c.Digest.String(), "here", say.Digest.String(), "apps", apps)
	if reporter, ok := host.(api.IncidentHost); ok {
		reporter.Report(api.Incident{
			Kind: api.Divergence, Feed: at.Feed, Seq: at.Seq,
			Detail: fmt.Sprintf("checkpoint %d has %s, here %s: %s", c.Number, c.Digest.Short(), say.Digest.Short(), apps),
		})
	}
}

// by lists the places up to which statements count.
func (c *checkpoint) by() (ps []api.Position) {
	for _, p := range c.By {
		ps = append(ps, p.Position())
	}
	return ps
}

func digests(sec *api.Section) (apps []appDigest) {
	for _, d := range sec.Apps {
		apps = append(apps, appDigest{App: d.App, Digest: d.Digest})
	}
	return apps
}

// newestCheckpoint returns the checkpoint that the registrar wrote last.
func newestCheckpoint(r api.Reader, s *fact.Space) (*checkpoint, api.Position, bool) {
	b, _, ok := r.Own(s.Cutter(), rowLast)
	if !ok {
		return nil, api.Position{}, false
	}
	return checkpointAt(r, s, fact.Number(b, ok))
}

func checkpointAt(r api.Reader, s *fact.Space, number uint64) (*checkpoint, api.Position, bool) {
	b, at, ok := r.Own(s.Cutter(), rowCheckpoint(number))
	if !ok {
		return nil, at, false
	}
	c := get[checkpoint](b, ok)
	return &c, at, true
}

// words lists what the witnesses of all epochs have found of the checkpoint at a place.
func words(r api.Reader, s *fact.Space, at api.Position) (ws []word) {
	for e, feeds := range s.Epochs() {
		for i, feed := range feeds {
			b, by, ok := r.Own(feed, rowCheck(at.ID))
			if c := get[checked](b, ok); ok && c.Epoch == e.Number { // who is a witness of several epochs speaks in one
				ws = append(ws, word{c, e.Witnesses[i], by})
			}
		}
	}
	return ws
}
