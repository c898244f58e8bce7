package ingest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// stating is an app whose records state positions final, or seal feeds that do.
type stating struct{}

func (stating) Info() api.AppInfo {
	return api.AppInfo{Name: "stating", Topics: []api.TopicSpec{{Name: "space", Kinds: []string{"found"}, Founding: "found"}, {Name: "talk", Kinds: []string{"talk"}}, {Name: "say", Kinds: []string{"say"}}}}
}

type saying struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
	Need uint16
	Seal bool
}

func (stating) Apply(tx api.Tx, r *api.Record) api.Outcome {
	var items []saying
	if r.Kind == "say" && codec.Unmarshal(r.Body, &items) != nil {
		return api.Voided("stating", "body", "bad body")
	}
	for _, it := range items {
		tx.Final(api.Position{Feed: api.Hash(it.Feed), Seq: it.Seq, ID: api.Hash(it.ID)}, api.Support{Need: it.Need, Seal: it.Seal})
	}
	tx.Add([]byte("records"), 1)
	return api.Accepted
}

// sealings makes a random history of feeds that fork: some talk, some state those final, some seal those that state.
func sealings(t *testing.T, rng *rand.Rand) (es []*record.Envelope) {
	g := mustSign(t, &api.Record{Topic: api.Topic{Name: "space"}, Seq: 1, Kind: "found", Time: api.MakeTimestamp(1, 0)}, newSigner("founder"))
	es = append(es, g)
	groups := []struct {
		name, about string
		n           int
		fork        int // one in so many
		need        uint16
	}{{"talker", "", 2, 5, 0}, {"stater", "talker", 3, 5, 2}, {"sealer", "stater", 3, 9, 2}}
	made := map[string][]*record.Envelope{}
	for range 40 + rng.IntN(40) {
		gr := groups[rng.IntN(3)]
		s := newSigner(fmt.Sprint(gr.name, rng.IntN(gr.n)))
		r := &api.Record{Topic: api.Topic{Space: g.Topic.Space, Name: "talk"}, Seq: 1, Kind: "talk", Body: []byte{byte(len(es))}, Deps: []api.Position{g.Position()}}
		var own []*record.Envelope
		for _, e := range made[gr.name] {
			if e.Device == s.Device() {
				own = append(own, e)
			}
		}
		if len(own) > 0 {
			from := own[len(own)-1]
			if rng.IntN(gr.fork) == 0 {
				from = own[rng.IntN(len(own))]
			}
			r.Seq, r.Prev = from.Seq+1, from.ID
		}
		if gr.about != "" {
			var items []saying
			for range 1 + rng.IntN(3) {
				if about := made[gr.about]; len(about) > 0 {
					p := about[rng.IntN(len(about))]
					items = append(items, saying{Feed: p.Feed[:], Seq: p.Seq, ID: p.ID[:], Need: gr.need, Seal: gr.name == "sealer"})
				}
			}
			r.Topic.Name, r.Kind, r.Body = "say", "say", codec.MustMarshal(items)
			if len(items) == 0 {
				continue
			}
		}
		e := mustSign(t, r, s)
		if slices.ContainsFunc(es, func(o *record.Envelope) bool { return o.ID == e.ID }) {
			continue
		}
		made[gr.name], es = append(made[gr.name], e), append(es, e)
	}
	return es
}

// What is final is a function of the set of records when feeds that state are sealed, in whatever order they come, and as the model has it.
func TestSealsInAnyOrder(t *testing.T) {
	sealed, moved, rivaled := 0, 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		es := sealings(t, rng)
		m := kerneltest.NewModel(stating{})
		for _, e := range es {
			r := *e.Record
			if _, err := m.Deliver(&r); err != nil {
				t.Fatal(err)
			}
		}
		want := m.Read("stating")
		rivals := map[api.Hash]api.Position{}
		for _, h := range m.Host("stating").Heads(api.Topic{Space: es[0].Topic.Space}) {
			rivals[h.Tip.Feed] = h.Rival
		}
		for order := range 4 {
			n := newNode(t)
			n.openWith(t, stating{})
			mixed := slices.Clone(es)
			if order > 0 {
				rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			}
			for len(mixed) > 0 {
				k := min(len(mixed), 1+rng.IntN(9))
				n.ingest(t, mixed[:k]...)
				mixed = mixed[k:]
				if w, _ := n.e.Room(); w == 0 && rng.IntN(6) == 0 {
					n.openWith(t, stating{})
				}
			}
			for {
				before, _ := n.e.Room()
				n.ingest(t, es...)
				if after, _ := n.e.Room(); after == before {
					break
				}
			}
			if order == 3 {
				if _, err := n.state.Rebuild(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range es {
				f, err := n.state.Feed(e.Feed)
				if err != nil {
					t.Fatal(err)
				}
				fin, _ := want.Final(e.Feed)
				if f.Final.Seq != fin.Seq || f.Final.ID != fin.ID {
					t.Fatalf("seed %d, order %d: feed %s of %s is final up to %d %s, in the model up to %d %s", seed, order, e.Feed.Short(), e.Kind, f.Final.Seq, f.Final.ID.Short(), fin.Seq, fin.ID.Short())
				}
				if rival := rivals[e.Feed]; f.Rival.Seq != rival.Seq || f.Rival.ID != rival.ID {
					t.Fatalf("seed %d, order %d: record %d %s rivals what is final of feed %s, in the model %v", seed, order, f.Rival.Seq, f.Rival.ID.Short(), e.Feed.Short(), rival)
				}
				if f.Rival.Seq > 0 {
					rivaled++
				}
				if f.Seal.Seq > 0 && f.Fork != 0 {
					sealed++
				}
				if f.Topic.Name == "talk" && f.Final.Seq > 0 {
					moved++
				}
			}
			n.st.Close()
		}
		want.Close()
	}
	if sealed < 200 || moved < 200 || rivaled < 200 {
		t.Errorf("%d looks at sealed forked feeds, %d at final ones, %d at ones with two final branches: the test no longer tests", sealed, moved, rivaled)
	}
}

// Scenario 8: that two branches are final like each other is told once, whatever comes later and however often the node starts; what is final of them
// does not depend on which it knew first.
func TestScenario8_RivalFinalsAreToldOnce(t *testing.T) {
	g := genesis(t)
	grow := func(prev *record.Envelope, topic, kind, who string, body []byte) *record.Envelope {
		r := &api.Record{Topic: api.Topic{Space: g.Topic.Space, Name: topic}, Seq: 1, Kind: kind, Body: body}
		if prev != nil {
			r.Seq, r.Prev = prev.Seq+1, prev.ID
		}
		return mustSign(t, r, newSigner(who))
	}
	states := func(who string, p *record.Envelope) *record.Envelope {
		return grow(nil, "say", "final", who, codec.MustMarshal([]final{{Feed: p.Feed[:], Seq: p.Seq, ID: p.ID[:]}}))
	}
	root := grow(nil, "toy", "add", "author", []byte{1})
	left, right := grow(root, "toy", "add", "author", []byte{2}), grow(root, "toy", "add", "author", []byte{3})
	var finals []api.Position
	for _, order := range [][2]*record.Envelope{{left, right}, {right, left}} {
		n := newNode(t)
		n.need = 2
		n.open(t)
		n.ingest(t, g, root, order[0], states("a", order[0]), states("b", order[0]))
		if p, _ := n.final(root.Feed); p != order[0].Position() || len(n.rival) > 0 {
			t.Fatalf("%v is final, rivals %v", p, n.rival)
		}
		n.ingest(t, order[1], states("c", order[1]))
		if len(n.rival) > 0 {
			t.Fatalf("one word for the other branch is no rival: %v", n.rival)
		}
		n.ingest(t, states("d", order[1]))
		p, _ := n.final(root.Feed)
		finals = append(finals, p)
		if len(n.rival) != 1 || n.rival[0].Final != p || n.rival[0].Rival.Seq != 2 || n.rival[0].Rival == p || n.rival[0].Author != newSigner("author").DID() {
			t.Fatalf("told: %+v", n.rival)
		}
		n.open(t)
		n.ingest(t, states("e", order[1]))
		if f, err := n.state.Feed(root.Feed); err != nil || f.Rival.Seq != 2 || len(n.rival) != 1 {
			t.Errorf("after another start: %+v, %v, told %+v", f, err, n.rival)
		}
	}
	if finals[0] != finals[1] {
		t.Errorf("final is %v or %v, as it came", finals[0], finals[1])
	}
}
