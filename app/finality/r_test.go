package finality

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// refusedBy wants the rules to refuse what a signer would write at a node.
func (c *council) refusedBy(rule string, node int, s api.Signer, topic, kind string, body any, deps ...api.Position) {
	c.t.Helper()
	_, err := c.nodes[node].Append(s, api.Draft{Topic: api.Topic{Space: c.space, Name: topic}, Kind: kind, Body: codec.MustMarshal(body), Deps: fact.Deps(deps)})
	if why := api.ReasonOf(err); why == nil || why.Rule != rule {
		c.t.Errorf("%s: %v, want refused by %s", kind, err, rule)
	}
}

// open gives the space as a node sees it.
func (c *council) open(node int, look func(*fact.Space)) {
	c.t.Helper()
	r := c.nodes[node].Read("finality")
	defer r.Close()
	s, ok := fact.Open(r, c.space)
	if !ok {
		c.t.Fatal("no space")
	}
	look(s)
}

// announce makes the registrar's first record about a cut, by hand, and returns the feed.
func (c *council) announce(who string) api.Hash {
	c.t.Helper()
	m := c.nodes[0]
	d := &draft{Target: target{Topic: "chat", Device: m.Signer(who).Device()}, Number: 1}
	_, err := m.Append(self(m), api.Draft{
		Topic: api.Topic{Space: c.space, Name: fact.CutTopic}, Kind: kindDraft, Body: codec.MustMarshal(d), Deps: []api.Position{m.Records()[0].Position()},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.gather(m)
	return d.Target.feed(c.space)
}

// R5: a feed is ended, and what lies beyond taken back, only by the registrar's record that shows the promises of enough witnesses.
func TestR5_NoCutWithoutCertificate(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	everybody := []int{0, 1, 2, 3}
	c.run(everybody...)
	one, two := c.say(0, "bob", "say"), c.say(0, "bob", "say")
	c.run(everybody...)
	m := c.nodes[0]
	office, bob := self(m), target{Topic: "chat", Device: m.Signer("bob").Device()}
	here := fact.Place{Seq: two.Seq, ID: two.ID}
	try := func(rule string, s api.Signer, body cut, deps ...api.Position) {
		t.Helper()
		c.refusedBy(rule, 0, s, fact.CutTopic, kindCut, &body, append(deps, two)...)
	}
	good := cut{Target: bob, Number: 1, At: here}
	founded := m.Records()[0].Position()
	try("no-draft", office, good, founded)

	feed := c.announce("bob")
	promised := func() (ps []api.Position) {
		c.deliver(m, true)
		c.open(0, func(s *fact.Space) {
			for _, w := range s.Finality() {
				if p, at, ok := s.Promise(w, feed); ok && p.Number == 1 {
					ps = append(ps, at)
				}
			}
		})
		return ps
	}
	try("too-few-promises", office, good)
	c.run(1, 2)
	ps := promised()
	if len(ps) != 2 {
		t.Fatalf("%d promises, want 2", len(ps))
	}
	try("too-few-promises", office, good, ps...)
	c.run(3)
	if ps = promised(); len(ps) != 3 {
		t.Fatalf("%d promises, want 3", len(ps))
	}
	try("not-registrar", m.Signer("eve"), good, append(ps, founded)...)
	try("no-draft", office, cut{Target: bob, Number: 2, At: here}, ps...)
	try("not-the-highest", office, cut{Target: bob, Number: 1, At: fact.Place{Seq: one.Seq, ID: one.ID}}, ps...)
	try("not-cited", office, cut{Target: bob, Number: 1, At: fact.Place{Seq: 2, ID: api.Hash{1}}}, ps...)
	if by, _, n := c.cutAt(0, feed); n != 0 {
		t.Fatalf("the feed is cut by %v", by)
	}
	c.wantFinal(two, true, everybody...)
	if _, err := m.Append(office, api.Draft{
		Topic: api.Topic{Space: c.space, Name: fact.CutTopic}, Kind: kindCut, Body: codec.MustMarshal(&good), Deps: fact.Deps(append(ps, two)),
	}); err != nil {
		t.Errorf("with the promises of three: %v", err)
	}
}

// A witness that has promised holds nothing beyond until the feed is cut.
func TestR5_VowBinds(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	c.say(1, "bob", "say")
	c.run(0, 1, 2, 3)
	c.announce("bob")
	c.run(1) // one promise: the cut waits
	p := c.say(1, "bob", "say")
	it := item{Feed: p.Feed, Seq: p.Seq, ID: p.ID, Accepted: true}
	c.refusedBy("vowed", 1, self(c.nodes[1]), fact.FinalityTopic, kindStatement, &statement{Final: []item{it}})
}

// A witness promises what enough have locked, as it shows, and not what pleases it.
func TestR5_PromiseIsCertified(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	c.say(1, "bob", "say")
	c.run(0, 1, 2, 3)
	high := c.say(1, "bob", "say")
	c.run(1) // one lock
	feed := c.announce("bob")
	c.deliver(c.nodes[2], true)
	c.open(2, func(s *fact.Space) {
		_, draft, ok := s.Draft(feed)
		if !ok {
			t.Fatal("no draft")
		}
		deps := []api.Position{draft, high}
		for _, v := range s.Views() {
			if v.Feed != s.Feed(fact.FinalityTopic, self(c.nodes[2]).Device()) {
				deps = append(deps, v)
			}
		}
		p := &promise{Feed: feed, Number: 1, At: fact.Place{Seq: high.Seq, ID: high.ID}}
		c.refusedBy("not-certified", 2, self(c.nodes[2]), fact.FinalityTopic, kindPromise, p, deps...)
	})
}

// Two phases: of several witnesses none holds what fewer than enough have locked.
func TestHoldsOnlyCertified(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	p := c.say(1, "bob", "say")
	c.run(1, 2)
	for _, n := range []int{1, 2} {
		c.open(n, func(s *fact.Space) {
			w := s.Feed(fact.FinalityTopic, self(c.nodes[n]).Device())
			if _, ok := s.Locked(w, 0, p.Feed); !ok {
				t.Errorf("witness %d has not locked", n)
			}
			if f, ok := s.Stated(w, 0, p.Feed); ok {
				t.Errorf("witness %d holds %d by two locks of three", n, f.Seq)
			}
		})
	}
	c.run(1, 2, 3)
	c.wantFinal(p, true, 1, 2, 3)
}
