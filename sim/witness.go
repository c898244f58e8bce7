package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// The records of witnesses, as the protocol has them: what a dishonest one signs is made here, not by app finality.
const (
	kindStatement = "statement"
	kindPromise   = "promise"
	kindStart     = "start"
)

type statement struct {
	_     struct{} `cbor:",toarray"`
	Final []item
	Locks []item
}

// turn is the body of a start.
type turn struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
}

type item struct {
	_        struct{} `cbor:",toarray"`
	Feed     api.Hash
	Seq      uint64
	ID       api.Hash
	Accepted bool
	Cut      uint64
}

func (it item) at() api.Position { return api.Position{Feed: it.Feed, Seq: it.Seq, ID: it.ID} }

type promise struct {
	_      struct{} `cbor:",toarray"`
	Feed   api.Hash
	Number uint64
	At     fact.Place
}

// end is where m's own feed in a topic ends, as n holds it.
func (w *World) end(n, m *kerneltest.Node, topic string) (api.Position, bool) {
	for _, h := range n.Heads(api.Topic{Space: w.Space, Name: topic}) {
		if h.Device == m.Member().Device() {
			return h.Tip, true
		}
	}
	return api.Position{}, false
}

// State lets a dishonest witness state that it locks and holds p as accepted, with so many cuts in account, after what the first of those to whom it shows that has of its feed: a fork of it,
// if it has told others more.
func (w *World) State(z *kerneltest.Node, p api.Position, cuts uint64, to ...*kerneltest.Node) error {
	if len(to) == 0 {
		return nil
	}
	prev, ok := w.end(to[0], z, fact.FinalityTopic)
	if !ok {
		return fmt.Errorf("%s has stated nothing yet", z.Name)
	}
	it := item{Feed: p.Feed, Seq: p.Seq, ID: p.ID, Accepted: true, Cut: cuts}
	_, err := z.Forge(api.Draft{
		Topic: api.Topic{Space: w.Space, Name: fact.FinalityTopic}, Kind: kindStatement, Body: codec.MustMarshal(&statement{Final: []item{it}, Locks: []item{it}}),
	}, prev, to...)
	return err
}

// Cite lets a dishonest member repeat its newest payment, standing on ps and on all that the first of those to whom it shows that knows of the
// witnesses.
func (w *World) Cite(z *kerneltest.Node, ps []api.Position, to ...*kerneltest.Node) error {
	prev, ok := w.end(to[0], z, fact.LedgerTopic)
	r := to[0].Read("")
	defer r.Close()
	last, _, here := r.Record(prev)
	s, opened := fact.Open(r, w.Space)
	if !ok || !here || !opened {
		return fmt.Errorf("%s knows no payment by %s", to[0].Name, z.Name)
	}
	_, err := z.Forge(api.Draft{Topic: last.Topic, Kind: last.Kind, Deps: fact.Deps(append(s.Views(), ps...)), Body: last.Body}, prev, to...)
	return err
}

// After lets a dishonest member repeat a payment of its own right after it, on whatever branch that is.
func (w *World) After(z *kerneltest.Node, p api.Position, to ...*kerneltest.Node) error {
	r := to[0].Read("")
	defer r.Close()
	last, _, ok := r.Record(p)
	if !ok {
		return fmt.Errorf("%s has no record %v", to[0].Name, p)
	}
	_, err := z.Forge(api.Draft{Topic: last.Topic, Kind: last.Kind, Body: last.Body}, p, to...)
	return err
}

// Promise lets a dishonest witness answer the newest draft of a cut of m's feed with a position, zero for nothing, citing all that the first of those
// to whom it shows that knows of other witnesses, and a record of the feed.
func (w *World) Promise(z, m *kerneltest.Node, topic string, at, cite api.Position, to ...*kerneltest.Node) error {
	r := to[0].Read("")
	defer r.Close()
	s, ok := fact.Open(r, w.Space)
	feed := s.Feed(topic, m.Member().Device())
	dr, by, drafted := s.Draft(feed)
	prev, spoken := w.end(to[0], z, fact.FinalityTopic)
	if !ok || !drafted || !spoken {
		return fmt.Errorf("no cut of %s's feed is announced to %s", m.Name, to[0].Name)
	}
	deps := []api.Position{by}
	for _, v := range s.Views() {
		if v.Feed != prev.Feed {
			deps = append(deps, v)
		}
	}
	if cite.Seq > 0 {
		deps = append(deps, cite)
	}
	_, err := z.Forge(api.Draft{
		Topic: api.Topic{Space: w.Space, Name: fact.FinalityTopic}, Kind: kindPromise, Deps: fact.Deps(deps),
		Body: codec.MustMarshal(&promise{Feed: feed, Number: dr.Number, At: fact.Place{Seq: at.Seq, ID: at.ID}}),
	}, prev, to...)
	return err
}

// Cut lets the registrar announce a cut of a member's feed. The error is the refusal.
func (w *World) Cut(m *kerneltest.Node, topic string, adopt api.Hash) error {
	out, err := call(w.members[0], "feed.cut", finality.CutIn{Space: w.Space, Topic: topic, Device: m.Member().Device(), Adopt: adopt})
	if err == nil {
		w.Count("cut", "%d of %s in %s", out.(*finality.CutFeedOut).Number, m.Name, topic)
	}
	return err
}

// cut lets the registrar cut somebody's feed, and if it is forked perhaps choose a branch.
func (w *World) cut() error {
	m := w.members[w.Rand.IntN(len(w.members))]
	topic := fact.LedgerTopic
	if w.Rand.IntN(6) == 0 {
		topic = trust.Topic
	}
	_ = w.Cut(m, topic, w.branch(w.members[0], m, topic))
	return nil
}

// branch draws a record of m's feed beyond a fork as n knows it, zero for none.
func (w *World) branch(n, m *kerneltest.Node, topic string) api.Hash {
	for _, h := range n.Heads(api.Topic{Space: w.Space, Name: topic}) {
		if h.Device != m.Member().Device() || h.Fork == 0 {
			continue
		}
		var beyond []api.Hash
		for _, r := range n.Records() {
			if r.Feed == h.Tip.Feed && r.Seq >= h.Fork {
				beyond = append(beyond, r.ID)
			}
		}
		if i := w.Rand.IntN(len(beyond) + 1); i < len(beyond) {
			return beyond[i]
		}
	}
	return api.Hash{}
}

// some draws the nodes that a lie is shown to.
func (w *World) some() (to []*kerneltest.Node) {
	for _, n := range w.Nodes() {
		if !n.Outsider && w.Rand.IntN(2) == 0 {
			to = append(to, n)
		}
	}
	return to
}

// liar draws a dishonest member whose node runs, nil for none; a witness if there is one and witness is set.
func (w *World) liar(witness bool) *kerneltest.Node {
	var ns []*kerneltest.Node
	for _, n := range w.members {
		if n.Liar() && n.Up() && (!witness || w.Witness(n)) {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return nil
	}
	return ns[w.Rand.IntN(len(ns))]
}

// betray lets a dishonest witness sign what it may not: for each of two branches, or for what nobody else has locked.
func (w *World) betray() error {
	z := w.liar(true)
	if z == nil {
		return nil
	}
	at := map[api.Position][]api.Position{} // predecessor -> what follows
	var rivals, any []api.Position
	for _, r := range z.Records() {
		if r.Topic.Space != w.Space || r.Topic.Name == fact.FinalityTopic {
			continue
		}
		any = append(any, r.Position())
		before := api.Position{Feed: r.Feed, Seq: r.Seq - 1, ID: r.Prev}
		at[before] = append(at[before], r.Position())
		if len(at[before]) == 2 {
			rivals = append(rivals, before)
		}
	}
	if len(any) > 0 {
		w.Count("lie-witness", "%s", z.Name)
	}
	if len(rivals) > 0 && w.Rand.IntN(4) > 0 {
		for _, p := range at[rivals[w.Rand.IntN(len(rivals))]] {
			_ = w.State(z, p, w.counted(z, p), w.some()...)
		}
	} else if len(any) > 0 {
		p := any[max(0, len(any)-1-w.Rand.IntN(8))]
		_ = w.State(z, p, w.counted(z, p), w.some()...)
	}
	return nil
}

// counted is how many cuts a dishonest witness takes into account: mostly those that are final, sometimes one too many.
func (w *World) counted(z *kerneltest.Node, p api.Position) (n uint64) {
	r := z.Read("")
	defer r.Close()
	for _, c := range r.Cuts(p.Feed) {
		if c.Final || w.Rand.IntN(2) == 0 {
			n++
		}
	}
	return n
}

// lies are those of dishonest members that know apps, and of dishonest witnesses.
func (w *World) lies() []kerneltest.Action {
	slander := kerneltest.Action{Name: "slander", Weight: 4, Do: func(*kerneltest.Cluster) error { return w.slander() }}
	if w.opt.Witnesses < 2 {
		return []kerneltest.Action{slander}
	}
	return []kerneltest.Action{
		slander,
		{Name: "betray", Weight: 14, Do: func(*kerneltest.Cluster) error { return w.betray() }},
		{Name: "mute", Weight: 8, Do: func(*kerneltest.Cluster) error {
			if z := w.liar(true); z != nil {
				z.Mute([]string{"", fact.FinalityTopic, fact.FinalityTopic}[w.Rand.IntN(3)])
			}
			return nil
		}},
	}
}
