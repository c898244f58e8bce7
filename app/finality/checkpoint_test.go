package finality

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// folding is a host on which every section comes to what is given.
type folding struct {
	api.Host
	sec      *api.Section
	err      error
	folds    int
	reported []api.Incident
}

func (f *folding) FoldSection(context.Context, api.Hash, []api.Position) (*api.Section, error) {
	f.folds++
	return f.sec, f.err
}

func (f *folding) Report(i api.Incident) { f.reported = append(f.reported, i) }

func state(name string) *api.Section {
	return &api.Section{Records: 7, Digest: api.Hash{1, name[0]}, Apps: []api.StateDigest{{App: "chat", Digest: api.Hash{2}}, {App: "ledger", Digest: api.Hash{3, name[0]}}}}
}

// proposed is a checkpoint of state "a" by what witness 0 has said.
func (c *council) proposed(number uint64) *checkpoint {
	sec := state("a")
	cp := &checkpoint{Number: number, Records: sec.Records, Digest: sec.Digest, Apps: digests(sec)}
	c.open(0, func(s *fact.Space) {
		for _, p := range fact.Deps(s.Views()) {
			cp.By = append(cp.By, fact.Cause{Feed: p.Feed, Seq: p.Seq, ID: p.ID})
		}
	})
	return cp
}

// write appends to a feed of app finality's on a node.
func (c *council) write(node int, who, topic, kind string, body any, deps ...api.Position) (api.Receipt, error) {
	m := c.nodes[node]
	r, err := m.Append(m.Signer(who), api.Draft{Topic: api.Topic{Space: c.space, Name: topic}, Kind: kind, Body: codec.MustMarshal(body), Deps: fact.Deps(deps)})
	c.gather(m)
	return r, err
}

func (c *council) founded() (p api.Position) {
	c.open(0, func(s *fact.Space) { p = s.Founded })
	return p
}

// inspects lets a witness look at checkpoints, and returns its host.
func (c *council) inspects(node int, sec *api.Section, err error) *folding {
	c.t.Helper()
	h := &folding{Host: c.nodes[node].Host("finality"), sec: sec, err: err}
	if err := c.apps[node].inspect(c.t.Context(), h, h.Now()); err != nil {
		c.t.Fatal(err)
	}
	c.gather(c.nodes[node])
	return h
}

// standing tells how many have signed the newest checkpoint as a node has it, how many have found something else, and whether it stands.
func (c *council) standing(node int) (o CheckpointOut) {
	c.t.Helper()
	r := c.nodes[node].Read("finality")
	defer r.Close()
	s, cp, at, err := pick("test", r, c.space, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return describe(r, s, cp, at, words(r, s, at))
}

func (c *council) wantStanding(node int, signed, differ int, stands bool) {
	c.t.Helper()
	if o := c.standing(node); o.Signed != signed || o.Differ != differ || o.Stands != stands || o.Need != 3 {
		c.t.Errorf("node %d: %+v; want %d signed of 3, %d otherwise, stands %t", node, o, signed, differ, stands)
	}
}

// signing is a council of four witnesses, of whom three are needed, with a checkpoint that nobody has signed.
func signing(t *testing.T) *council {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	c.say(0, "bob", "say")
	c.run(0, 1, 2, 3)
	if _, err := c.write(0, "w0", fact.CutTopic, kindCheckpoint, c.proposed(1), c.founded()); err != nil {
		t.Fatal(err)
	}
	c.run(0, 1, 2, 3)
	return c
}

// A checkpoint stands once enough witnesses have found its state by themselves, and one that finds another says so.
func TestCheckpointStands(t *testing.T) {
	c := signing(t)
	c.wantStanding(0, 0, 0, false)
	c.inspects(0, state("a"), nil)
	c.inspects(1, state("a"), nil)
	c.run(0, 1, 2, 3)
	c.wantStanding(0, 2, 0, false)
	h := c.inspects(2, state("b"), nil)
	c.run(0, 1, 2, 3)
	c.wantStanding(3, 2, 1, false)
	if len(h.reported) != 1 || h.reported[0].Kind != api.Divergence || !strings.Contains(h.reported[0].Detail, "ledger") || strings.Contains(h.reported[0].Detail, "chat") {
		t.Errorf("reported %+v", h.reported)
	}
	if h := c.inspects(3, state("a"), nil); len(h.reported) > 0 {
		t.Errorf("reported %+v", h.reported)
	}
	c.run(0, 1, 2, 3)
	for i := range c.nodes {
		c.wantStanding(i, 3, 1, true)
	}
	if h := c.inspects(3, state("a"), nil); h.folds > 0 {
		t.Error("it is looked at twice")
	}
	for i := 1; i < 4; i++ {
		if c.nodes[i].Digest("finality") != c.nodes[0].Digest("finality") {
			t.Errorf("node %d has another state", i)
		}
	}
}

// What is not here or not final here yet is looked at again later, and nothing is signed meanwhile; nor is what this node's records do not come to.
func TestCheckpointWaits(t *testing.T) {
	open := &api.Section{Open: []api.Position{{Feed: api.Hash{1}, Seq: 1, ID: api.Hash{2}}}}
	for name, tc := range map[string]struct {
		sec   *api.Section
		err   error
		again bool
	}{
		"open":    {open, nil, true},
		"missing": {nil, api.Errorf("x", api.NotFound, "x"), true},
		"busy":    {nil, api.Errorf("x", api.Unavailable, "x"), true},
		"broken":  {nil, api.Errorf("x", api.Internal, "x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := signing(t)
			c.inspects(1, tc.sec, tc.err)
			c.run(0, 1)
			c.wantStanding(1, 0, 0, false)
			if h := c.inspects(1, state("a"), nil); h.folds > 0 {
				t.Error("it looks again at once")
			}
			c.nodes[1].Clock = c.nodes[1].Clock.Add(inspectEvery + time.Second)
			if h := c.inspects(1, state("a"), nil); (h.folds > 0) != tc.again {
				t.Errorf("it has folded %d times later, want again %t", h.folds, tc.again)
			}
		})
	}
}

// A witness that lacks what the checkpoint names folds nothing.
func TestCheckpointOfUnknownPlaces(t *testing.T) {
	for name, bend := range map[string]func(*checkpoint, *council){
		"a record that is nowhere": func(p *checkpoint, _ *council) { p.By[0].ID = api.Hash{9} },
		"somebody who is no witness": func(p *checkpoint, c *council) {
			at := c.say(0, "eve", "say")
			p.By = []fact.Cause{{Feed: at.Feed, Seq: at.Seq, ID: at.ID}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := signing(t)
			p := c.proposed(2)
			bend(p, c)
			if _, err := c.write(0, "w0", fact.CutTopic, kindCheckpoint, p); err != nil {
				t.Fatal(err)
			}
			c.run(0, 1, 2, 3)
			if h := c.inspects(1, state("a"), nil); h.folds > 0 {
				t.Error("it is folded")
			}
		})
	}
}

func TestCheckpointRules(t *testing.T) {
	c := signing(t)
	first := c.standing(0).Record
	other := digests(state("b"))
	void := func(rule string, node int, who, topic, kind string, body any, deps ...api.Position) {
		t.Helper()
		_, err := c.write(node, who, topic, kind, body, deps...)
		if r := api.ReasonOf(err); r == nil || r.Rule != rule {
			t.Errorf("%s by %s: %v, want %s", kind, who, err, rule)
		}
	}
	bent := func(bend func(*checkpoint)) *checkpoint {
		p := c.proposed(2)
		bend(p)
		return p
	}
	void("not-registrar", 0, "eve", fact.CutTopic, kindCheckpoint, c.proposed(2), c.founded())
	void("out-of-order", 0, "w0", fact.CutTopic, kindCheckpoint, c.proposed(1))
	void("out-of-order", 0, "w0", fact.CutTopic, kindCheckpoint, c.proposed(3))
	void("malformed", 0, "w0", fact.CutTopic, kindCheckpoint, bent(func(p *checkpoint) { p.By = nil }))
	void("malformed", 0, "w0", fact.CutTopic, kindCheckpoint, bent(func(p *checkpoint) { p.By[0], p.By[1] = p.By[1], p.By[0] }))
	void("malformed", 0, "w0", fact.CutTopic, kindCheckpoint, bent(func(p *checkpoint) { p.By = make([]fact.Cause, maxBy+1) }))
	void("malformed", 0, "w0", fact.CutTopic, kindCheckpoint, bent(func(p *checkpoint) { p.Apps = nil }))
	void("malformed", 0, "w0", fact.CutTopic, kindCheckpoint, bent(func(p *checkpoint) { p.Apps[1].App = "chat" }))

	same, differs := &check{Number: 1, Digest: state("a").Digest}, &check{Number: 1, Digest: state("b").Digest, Apps: other}
	void("not-a-witness", 0, "eve", fact.FinalityTopic, kindCheck, same, first, c.founded())
	void("no-checkpoint", 1, "w1", fact.FinalityTopic, kindCheck, same)
	void("no-checkpoint", 1, "w1", fact.FinalityTopic, kindCheck, &check{Number: 2, Digest: same.Digest}, first)
	void("no-digests", 1, "w1", fact.FinalityTopic, kindCheck, &check{Number: 1, Digest: differs.Digest}, first)
	void("no-digests", 1, "w1", fact.FinalityTopic, kindCheck, &check{Number: 1, Digest: same.Digest, Apps: other}, first)
	if _, err := c.write(1, "w1", fact.FinalityTopic, kindCheck, differs, first); err != nil {
		t.Fatal(err)
	}
	void("checked", 1, "w1", fact.FinalityTopic, kindCheck, differs, first)
	c.run(0, 1)
	c.wantStanding(0, 0, 1, false)
	if _, err := c.write(1, "w1", fact.FinalityTopic, kindCheck, same, first); err != nil { // it was repaired
		t.Fatal(err)
	}
	c.run(0, 1)
	c.wantStanding(0, 1, 0, false)
}

// Witnesses of two epochs do not add up, and the new ones check what the old ones have not.
func TestCheckpointAcrossEpochs(t *testing.T) {
	c := signing(t)
	c.join("next")
	c.inspects(0, state("a"), nil)
	c.inspects(3, state("a"), nil)
	c.run(0, 1, 2, 3, 4)
	c.wantStanding(0, 2, 0, false)
	c.swap(3, 1, 0, 1, 2, 4)
	c.run(0, 1, 2, 3, 4)
	c.wantEpoch(1, 0, 1, 2, 3, 4)
	c.inspects(4, state("a"), nil)
	c.run(0, 1, 2, 3, 4)
	c.wantStanding(0, 2, 0, false)
	c.inspects(1, state("a"), nil)
	c.run(0, 1, 2, 3, 4)
	c.wantStanding(0, 2, 0, false)
	c.inspects(0, state("a"), nil) // once more: it speaks in the new epoch now
	c.run(0, 1, 2, 3, 4)
	c.wantStanding(4, 3, 0, true)
	if h := c.inspects(2, state("a"), nil); h.folds != 1 {
		t.Error("a witness that has said nothing of it leaves it unchecked")
	}
}
