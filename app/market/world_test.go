package market

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// hall owns the space topic, whose genesis names members and offices and whose record "gone" removes a member.
type hall struct{ ann, bob, carol api.Signer }

func (hall) Info() api.AppInfo {
	return api.AppInfo{Name: "hall", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}}}
}

func (h hall) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	if rec.Kind == "gone" {
		fact.PutMember(tx, api.DID(rec.Body), fact.Member{})
		return api.Accepted
	}
	fact.PutGenesis(tx, fact.Genesis{Name: "Mill Lane", Currencies: []string{"hours"}, Offices: []string{fact.Clerk, fact.Registrar}})
	fact.PutCurrency(tx, "hours", fact.Currency{Scale: 2})
	for i, s := range []api.Signer{h.ann, h.bob, h.carol} {
		fact.PutMember(tx, s.DID(), fact.Member{Device: s.Device(), Number: uint64(i) + 1, Founder: true})
	}
	fact.PutOffice(tx, fact.Registrar, fact.Office{DID: h.ann.DID(), Device: h.ann.Device(), Number: 1})
	fact.PutOffice(tx, fact.Clerk, fact.Office{DID: h.carol.DID(), Device: h.carol.Device(), Number: 1})
	return api.Accepted
}

// one is the answer to "which space".
type one struct{ space *api.Hash }

func (o one) Default() (api.Hash, error) { return *o.space, nil }

// world is one node of a space: ann is its registrar, carol its clerk, bob a member, dan nobody.
type world struct {
	t                    testing.TB
	m                    *kerneltest.Model
	app                  *App
	space                api.Hash
	ann, bob, carol, dan api.Signer
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, ann: kerneltest.Signer("ann"), bob: kerneltest.Signer("bob"), carol: kerneltest.Signer("carol"), dan: kerneltest.Signer("dan")}
	w.app = New(one{&w.space})
	w.m = kerneltest.NewModel(hall{w.ann, w.bob, w.carol}, w.app)
	rc, err := w.m.Append(w.ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis"})
	if err != nil {
		t.Fatal(err)
	}
	w.space = rc.Topic.Space
	return w
}

func (w *world) call(s api.Signer, op string, in any) (any, error) {
	w.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range w.app.Operations() {
		if o.Name == op {
			v, err := o.Decode(raw)
			if err != nil {
				return nil, err
			}
			return o.Do(context.Background(), &api.Call{Actor: s.DID(), Signer: s}, v, nil)
		}
	}
	w.t.Fatalf("no operation %q", op)
	return nil, nil
}

func do[Out any](w *world, s api.Signer, op string, in any) *Out {
	w.t.Helper()
	out, err := w.call(s, op, in)
	if err != nil {
		w.t.Fatalf("%s: %v", op, err)
	}
	return out.(*Out)
}

// refused checks that an operation is refused by a rule.
func (w *world) refused(rule string, s api.Signer, op string, in any) {
	w.t.Helper()
	_, err := w.call(s, op, in)
	if why := api.ReasonOf(err); why == nil || why.Rule != rule {
		w.t.Errorf("%s: %v, want the rule %s", op, err, rule)
	}
}

// bread is an offer that is right.
func bread() PostIn {
	return PostIn{Side: offer, Title: "Fresh bread", Category: "food", Text: "Sourdough,\nevery Friday.", Area: "Mill Lane", At: "53.4801,-2.2401"}
}

func (w *world) post(s api.Signer, in PostIn) api.Hash {
	w.t.Helper()
	return do[AdOut](w, s, "market.post", in).Ad
}

func (w *world) ids(s api.Signer, in ListIn) (ids []api.Hash) {
	w.t.Helper()
	for _, x := range do[ListOut](w, s, "market.list", in).Ads {
		ids = append(ids, x.ID)
	}
	return ids
}

// write appends a record as it is; the model refuses what would be void, as the kernel does.
func (w *world) write(s api.Signer, kind string, body any, cites ...api.Position) (api.Receipt, error) {
	w.t.Helper()
	return w.m.Append(s, api.Draft{Topic: api.Topic{Space: w.space, Name: Topic}, Deps: fact.Deps(cites), Kind: kind, Body: codec.MustMarshal(body)})
}

// founded is the record that founded the space.
func (w *world) founded() api.Position {
	r := w.m.Read("market")
	defer r.Close()
	s, ok := fact.Open(r, w.space)
	if !ok {
		w.t.Fatal("no space")
	}
	return s.Founded
}

func (w *world) head(s api.Signer) api.Position {
	r := w.m.Read("market")
	defer r.Close()
	p, _ := r.Head(record.FeedID(api.Topic{Space: w.space, Name: Topic}, s.Device()))
	return p
}

// afresh is a node that reads the same records anew, as after a start.
func (w *world) afresh() *world {
	w.t.Helper()
	c := *w
	c.app = New(one{&w.space})
	if err := c.app.Start(context.Background(), w.m.Host("market")); err != nil {
		w.t.Fatal(err)
	}
	return &c
}
