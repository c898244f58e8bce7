package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// spaceApp stands for membership: it founds spaces, admits whoever is named, and states positions final.
type spaceApp struct{}

func (spaceApp) Info() api.AppInfo {
	return api.AppInfo{Name: "space", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}, {Name: fact.FinalityTopic}}}
}

func (spaceApp) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case "genesis":
		fact.PutGenesis(tx, fact.Genesis{Name: "x", Test: string(rec.Body) == "test"})
		fact.PutMember(tx, rec.Author, fact.Member{Device: rec.Device, Number: 1, Founder: true})
		fact.PutOffice(tx, fact.Registrar, fact.Office{DID: rec.Author, Device: rec.Device})
	case "admit":
		did, device, _ := strings.Cut(string(rec.Body), " ")
		var k api.Key
		if err := k.UnmarshalText([]byte(device)); err != nil {
			return api.Voided("space", "form", err.Error())
		}
		fact.PutMember(tx, api.DID(did), fact.Member{Device: k, Number: rec.Seq})
	case "final":
		for _, d := range rec.Deps {
			tx.Final(d, api.Alone)
		}
	}
	return api.Accepted
}

// spaces is Spaces over the model, as membership implements it.
type spaces struct{ m *kerneltest.Model }

func (s spaces) see(id api.Hash, f func(*fact.Space)) {
	r := s.m.Read("space")
	defer r.Close()
	if sp, ok := fact.Open(r, id); ok {
		f(sp)
	}
}

func (s spaces) Default() (api.Hash, error) {
	if all := s.m.Host("space").Follows(); len(all) == 1 {
		return all[0], nil
	}
	return api.Hash{}, api.Errorf("space", api.Invalid, "space: name one")
}

func (s spaces) Test(id api.Hash) (test bool) {
	s.see(id, func(sp *fact.Space) { test = sp.Genesis.Test })
	return test
}

func (s spaces) Genesis(id api.Hash) (pos api.Position, ok bool) {
	s.see(id, func(sp *fact.Space) { pos, ok = sp.Founded, true })
	return pos, ok
}

func (s spaces) MemberDep(id api.Hash, did api.DID) (pos api.Position, ok bool) {
	s.see(id, func(sp *fact.Space) { _, pos, ok = sp.Member(did) })
	return pos, ok
}

// locked lets many goroutines append to the model; limit, when set, is asked first.
type locked struct {
	api.Host
	mu    *sync.Mutex
	limit func(api.Signer) error
}

func (h *locked) Append(ctx context.Context, s api.Signer, d api.Draft, w api.Wait) (api.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.limit != nil {
		if err := h.limit(s); err != nil {
			return api.Receipt{}, err
		}
	}
	return h.Host.Append(ctx, s, d, w)
}

func (h *locked) Read() api.Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Host.Read()
}

// fixture is one node with this app, two spaces at most, and people by name.
type fixture struct {
	t *testing.T
	m *kerneltest.Model
	*App
	host  *locked
	space api.Hash
}

// lockedApp gives the app a host that many goroutines can use.
type lockedApp struct {
	*App
	host *locked
}

func (a lockedApp) Start(ctx context.Context, h api.Host) error {
	a.host.Host = h
	return a.App.Start(ctx, a.host)
}

func start(t *testing.T, kind string, opt Options) *fixture {
	t.Helper()
	sp := &spaces{}
	f := &fixture{t: t, App: New(sp, opt), host: &locked{mu: &sync.Mutex{}}}
	f.m = kerneltest.NewModel(spaceApp{}, lockedApp{f.App, f.host})
	sp.m = f.m
	f.m.SetSelf(f.m.Signer("ann"))
	f.space = f.found("ann", kind)
	return f
}

func (f *fixture) must(rc api.Receipt, err error) api.Position {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	return rc.Position
}

func (f *fixture) found(who, kind string) api.Hash {
	f.t.Helper()
	return f.must(f.m.Append(f.m.Signer(who), api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis", Body: []byte(kind)})).ID
}

func (f *fixture) admit(who string) {
	f.t.Helper()
	s := f.m.Signer(who)
	body := fmt.Appendf(nil, "%s %s", s.DID(), s.Device())
	f.must(f.m.Append(f.m.Signer("ann"), api.Draft{Topic: api.Topic{Space: f.space, Name: fact.SpaceTopic}, Kind: "admit", Body: body}))
}

func (f *fixture) did(name string) api.DID { return f.m.Signer(name).DID() }

// call runs an operation as a caller would, JSON to JSON.
func (f *fixture) call(who, name string, in any, out any) error {
	f.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, op := range f.Operations() {
		if op.Name != name {
			continue
		}
		v, err := op.Decode(raw)
		if err != nil {
			return err
		}
		c := &api.Call{}
		if who != "" {
			c.Signer = f.m.Signer(who)
			c.Actor = c.Signer.DID()
		}
		got, err := op.Do(context.Background(), c, v, nil)
		if err != nil {
			return err
		}
		b, err := json.Marshal(got)
		if err != nil {
			f.t.Fatal(err)
		}
		return json.Unmarshal(b, out)
	}
	f.t.Fatalf("no operation %s", name)
	return nil
}

type args map[string]any

func (f *fixture) add(who, whom string, score float64, context string) {
	f.t.Helper()
	var out AddOut
	if err := f.call(who, "trust.add", args{"to": f.did(whom), "score": score, "context": context, "space": f.space}, &out); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) ask(from, to, context string) ScoreOut {
	f.t.Helper()
	var out ScoreOut
	if err := f.call("ann", "trust.score", args{"from": f.did(from), "to": f.did(to), "context": context, "space": f.space}, &out); err != nil {
		f.t.Fatal(err)
	}
	return out
}

// rebuilt returns the graph of a node that starts with what is stored.
func (f *fixture) rebuilt() *graph {
	s := newSpace(f.space)
	s.load(f.host)
	return s.graph
}

// same fails when what the app learned commit by commit is not what a fresh start reads.
func (f *fixture) same() {
	f.t.Helper()
	if err := f.m.React(); err != nil {
		f.t.Fatal(err)
	}
	if got, want := dump(f.App.space(f.space).graph), dump(f.rebuilt()); got != want {
		f.t.Fatalf("the running graph:\n%s\nrebuilt:\n%s", got, want)
	}
}

func dump(g *graph) string {
	var b strings.Builder
	for _, author := range g.authors("") {
		for _, a := range g.of(author) {
			fmt.Fprintf(&b, "%+v\n", a)
		}
		scores, _ := g.scores(author, "")
		printScores(&b, scores)
	}
	return b.String()
}
