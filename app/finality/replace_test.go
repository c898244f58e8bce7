package finality

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// voteFor makes a vote of a node's witness as the rules want it, but for what change does.
func (c *council) voteFor(node int, ballot uint64, next api.Signer, change func(*vote)) (api.Draft, api.Signer) {
	c.t.Helper()
	var d api.Draft
	m := c.nodes[node]
	c.open(node, func(s *fact.Space) {
		v := newView(m.Host("finality"), m.Read("finality"), s)
		defer v.Close()
		o, by, _ := s.Holder(fact.Registrar)
		feeds := officeFeeds(s.ID, o.Device)
		b := vote{Number: 2, Ballot: ballot, DID: next.DID(), Device: next.Device()}
		deps := []api.Position{by}
		for i, at := range [...]*fact.Place{&b.Cuts, &b.Space} {
			p, shows := v.promise(feeds[i], fact.Draft{Number: 1}, by)
			*at = p.At
			deps = append(deps, shows...)
			if p.At.Seq > 0 {
				deps = append(deps, p.At.Position(feeds[i]))
			}
		}
		if change != nil {
			change(&b)
		}
		d = api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.FinalityTopic}, Kind: kindVote, Deps: fact.Deps(deps), Body: codec.MustMarshal(&b)}
	})
	return d, self(m)
}

func (c *council) wantRule(err error, rule string) {
	c.t.Helper()
	switch why := api.ReasonOf(err); {
	case rule == "" && err != nil:
		c.t.Fatalf("%v, want accepted", err)
	case rule != "" && (why == nil || why.Rule != rule):
		c.t.Fatalf("%v, want void by %s", err, rule)
	}
}

// A witness has one vote in a ballot and promises one place; who takes office needs enough votes of one ballot, for itself.
func TestR5_OneVoteInABallot(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.announce("bob") // by the registrar: its feed of cuts is certified up to here
	for range 3 {
		c.run(0, 1, 2, 3)
	}
	next, rival := c.nodes[0].Signer("next"), c.nodes[0].Signer("rival")
	var votes []api.Position
	cast := func(node int, ballot uint64, who api.Signer, rule string, change func(*vote)) {
		t.Helper()
		d, s := c.voteFor(node, ballot, who, change)
		rc, err := c.nodes[node].Append(s, d)
		c.wantRule(err, rule)
		if err == nil {
			votes = append(votes, rc.Position)
			c.gather(c.nodes[node])
		}
	}
	cast(1, 1, next, "not-the-highest", func(b *vote) { b.Cuts = fact.Place{} })
	cast(1, 1, next, "no-such-office", func(b *vote) { b.Number = 3 })
	cast(1, 1, self(c.nodes[0]), "same-device", nil)
	cast(1, 1, next, "", nil)
	cast(1, 1, rival, "voted", nil)
	cast(2, 1, next, "", nil)
	cast(3, 1, rival, "", nil)
	var before api.Key
	var cuts fact.Place
	c.open(1, func(s *fact.Space) {
		o, _ := s.Office(fact.Registrar)
		v, _, ok := s.Vote(s.Feed(fact.FinalityTopic, self(c.nodes[1]).Device()), 2)
		if !ok {
			t.Fatal("the vote is not known")
		}
		before, cuts = o.Device, v.Cuts
	})
	m := c.nodes[1]
	c.deliver(m, true)
	take := func(who api.Signer, ballot uint64, votes []api.Position, rule string, change func(*replace)) {
		t.Helper()
		b := replace{Number: 2, Ballot: ballot, DID: who.DID(), Before: before, Cuts: cuts}
		if change != nil {
			change(&b)
		}
		deps := append([]api.Position{cuts.Position(officeFeeds(c.space, before)[0])}, votes...)
		_, err := m.Append(who, api.Draft{Topic: api.Topic{Space: c.space, Name: fact.OfficeTopic}, Kind: kindReplace, Deps: fact.Deps(deps), Body: codec.MustMarshal(&b)})
		c.wantRule(err, rule)
	}
	take(next, 1, votes, "too-few-votes", nil) // the third is for the rival
	take(rival, 1, votes, "too-few-votes", nil)
	cast(3, 2, next, "", nil)
	c.deliver(m, true)
	all := []api.Position{votes[0], votes[1], votes[3]}
	take(next, 1, all, "too-few-votes", nil) // of two ballots
	take(next, 2, all, "too-few-votes", nil)
	cast(1, 2, next, "vowed", func(b *vote) { b.Cuts = fact.Place{} })
	cast(1, 2, next, "", nil)
	cast(2, 2, next, "", nil)
	c.deliver(m, true)
	all = votes[3:]
	take(rival, 2, all, "too-few-votes", nil)
	take(next, 2, all, "not-the-highest", func(b *replace) { b.Cuts = fact.Place{} })
	take(next, 2, all, "device-used", func(b *replace) { b.DID = rival.DID() })
	take(next, 2, all, "", nil)
	take(next, 2, all, "device-used", nil)
}

// take writes the record by which who takes office with the votes of some nodes' witnesses, as one node knows them.
func (c *council) take(node int, who api.Signer, ballot uint64, voters ...int) api.Position {
	c.t.Helper()
	m := c.nodes[node]
	c.deliver(m, true)
	var d api.Draft
	c.open(node, func(s *fact.Space) {
		o, _ := s.Office(fact.Registrar)
		b := replace{Number: 2, Ballot: ballot, DID: who.DID(), Before: o.Device}
		var deps []api.Position
		for _, w := range voters {
			v, by, ok := s.Vote(s.Feed(fact.FinalityTopic, self(c.nodes[w]).Device()), 2)
			if !ok || v.Cuts.Seq > 0 || v.Space.Seq > 0 {
				c.t.Fatalf("vote %+v: want one that leaves nothing", v)
			}
			deps = append(deps, by)
		}
		d = api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.OfficeTopic}, Kind: kindReplace, Deps: fact.Deps(deps), Body: codec.MustMarshal(&b)}
	})
	rc, err := m.Append(who, d)
	if err != nil {
		c.t.Fatal(err)
	}
	return rc.Position
}

// Two members have enough votes, one in a ballot after the other, and the first has hidden that until now. Whatever comes when, only the second is in office.
func TestR5_TwoReplacements(t *testing.T) {
	for seed := range uint64(6) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.say(0, "bob", "say")
		c.run(0, 1, 2, 3)
		next, rival := c.nodes[0].Signer("next"), c.nodes[0].Signer("rival")
		poll := func(ballot uint64, who api.Signer) {
			for node := 1; node < 4; node++ {
				d, s := c.voteFor(node, ballot, who, nil)
				if _, err := c.nodes[node].Append(s, d); err != nil {
					t.Fatal(err)
				}
				c.gather(c.nodes[node])
			}
		}
		poll(1, rival)
		first := c.take(0, rival, 1, 1, 2, 3) // nobody else is told
		poll(2, next)
		second := c.take(1, next, 2, 1, 2, 3)
		if seed%2 == 0 {
			c.gather(c.nodes[1])
			c.run(1, 2, 3)
		}
		c.gather(c.nodes[0])
		c.gather(c.nodes[1])
		for range 4 {
			c.run(0, 1, 2, 3)
		}
		c.wantFinal(second, true, 0, 1, 2, 3)
		c.wantFinal(first, false, 0, 1, 2, 3)
		for node := range c.nodes {
			c.open(node, func(s *fact.Space) {
				if o, _ := s.Office(fact.Registrar); o.Device != next.Device() || o.Number != 2 {
					t.Errorf("node %d: the registrar is %+v", node, o)
				}
			})
		}
		c.same(0, 1, 2, 3)
	}
}
