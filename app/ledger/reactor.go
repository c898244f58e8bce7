package ledger

import (
	"context"
	"maps"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// busy is how many payers may wait before this node's member acknowledges them in a record of its own. Below that its next transfer does.
const busy = 32

// Watch implements api.Reactor: what becomes final may be acknowledged, and a cut that is made may have been in the way of another,
// and the clerk's office may be handed over.
func (*App) Watch() []string { return []string{fact.FinalityTopic, fact.CutTopic, fact.SpaceTopic} }

// React forgets cached ceilings, acknowledges what a busy account has been paid, takes in what was set aside for this device, on the clerk's node settles
// escrows, and on the registrar's has the feeds cut of whom a grant gives less.
func (a *App) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	host.Oracles().Invalidate(Domain)
	if self := host.Self(); self != nil {
		all := spaces(commits, self.DID())
		for _, space := range slices.SortedFunc(maps.Keys(all), api.Hash.Compare) {
			if err := a.acknowledge(ctx, host, space, all[space]); err != nil {
				return err
			}
		}
	}
	if err := a.settleSpoken(ctx, host, commits); err != nil {
		return err
	}
	return a.bindOwed(ctx, host, commits)
}

// spaces lists those of the commits, and whether one of them may bring this member's device an allotment: what others pay each other does not.
func spaces(commits []api.Commit, self api.DID) map[api.Hash]bool {
	all := map[api.Hash]bool{}
	for _, c := range commits {
		t := c.Record.Topic
		all[t.Space] = all[t.Space] || t.Name != fact.LedgerTopic || c.Record.Author == self
	}
	return all
}

func (a *App) acknowledge(ctx context.Context, host api.Host, space api.Hash, mayTakeIn bool) error {
	self := host.Self()
	r := host.Read()
	defer r.Close()
	many := len(dues(r, space, self.DID(), busy+1)) > busy
	if !many && !mayTakeIn { // most records
		return nil
	}
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	if m, _, ok := s.Member(self.DID()); ok && m.Device != self.Device() {
		return a.takeIn(ctx, host, r, s)
	}
	if !many {
		return nil
	}
	p, ok := prepareMost(r, s, self.DID(), s.Genesis.Currencies[0])
	if !ok || p.acks == 0 || p.feed != s.Feed(fact.LedgerTopic, self.Device()) {
		return nil
	}
	_, err := host.Append(ctx, self, p.draft(s, kindAck, &ack{}, ""), api.WaitLocal)
	if api.KindOf(err) == api.Refused {
		host.Log().Warn("incoming payments are not acknowledged", "space", space.Short(), "err", err)
		return nil
	}
	return err
}

// takeIn takes in what was set aside for this node's device, which is not the member's primary one, while there are peers to learn it from: it may be
// offline when it is to be spent.
func (a *App) takeIn(ctx context.Context, host api.Host, r api.Reader, s *fact.Space) error {
	self := host.Self()
	p, ok := prepareDevice(r, s, self.DID(), self.Device())
	if !ok || !p.news {
		return nil
	}
	_, err := host.Append(ctx, self, p.draft(s, kindAck, &ack{}, ""), api.WaitLocal)
	if api.KindOf(err) == api.Refused {
		host.Log().Warn("an allotment is not taken in", "space", s.ID.Short(), "err", err)
		return nil
	}
	return err
}
