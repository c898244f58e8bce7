package ledger

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// society stands in for the apps whose facts the ledger reads: what its records say is so.
type society struct{}

type founding struct {
	Currencies map[string]fact.Currency
	Clerk      fact.Office
	Witness    api.Key
}

type admission struct {
	DID    api.DID
	Device api.Key
}

func (society) Info() api.AppInfo {
	return api.AppInfo{Name: "society", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}, {Name: fact.FinalityTopic}}}
}

func (society) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case "genesis":
		b := read[founding](rec)
		fact.PutGenesis(tx, fact.Genesis{
			Name: "Testers", Currencies: slices.Sorted(maps.Keys(b.Currencies)), Witnesses: []api.Key{b.Witness},
			Founders: []fact.Founder{{DID: rec.Author, Device: rec.Device}},
		})
		for code, c := range b.Currencies {
			fact.PutCurrency(tx, code, c)
		}
		fact.PutOffice(tx, fact.Registrar, fact.Office{DID: rec.Author, Device: rec.Device})
		fact.PutOffice(tx, fact.Clerk, b.Clerk)
	case "admit":
		b := read[admission](rec)
		fact.PutMember(tx, b.DID, fact.Member{Device: b.Device})
	case "statement":
		for _, p := range read[[]api.Position](rec) {
			fact.PutFinal(tx, p.Feed, fact.Final{Seq: p.Seq, ID: p.ID, Accepted: true, Need: 1})
			tx.Final(p, api.Alone)
		}
	}
	return api.Accepted
}

func read[T any](rec *api.Record) (v T) {
	if err := json.Unmarshal(rec.Body, &v); err != nil {
		panic(err)
	}
	return v
}

// world is a space with members on one node.
type world struct {
	t     testing.TB
	m     *kerneltest.Model
	app   *App
	space api.Hash
	names map[api.DID]string
}

func (w *world) Default() (api.Hash, error) { return w.space, nil }

// newWorld founds a space. "clerk" is founder, registrar and clerk; "witness" is the witness.
func newWorld(t testing.TB, currencies map[string]fact.Currency, members ...string) *world {
	t.Helper()
	w := &world{t: t, names: map[api.DID]string{}}
	w.app = New(w)
	w.m = kerneltest.NewModel(society{}, w.app)
	clerk := w.signer("clerk")
	w.m.SetSelf(clerk)
	rc := w.append("clerk", api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis", Body: w.json(founding{
		Currencies: currencies, Clerk: fact.Office{DID: clerk.DID(), Device: clerk.Device()}, Witness: w.signer("witness").Device(),
	})})
	w.space = rc.Topic.Space
	for _, name := range append([]string{"clerk"}, members...) {
		w.admit(name)
	}
	return w
}

func hours(limit, p int64) map[string]fact.Currency {
	return map[string]fact.Currency{"hours": {Scale: 2, Limit: limit, P: p}}
}

func (w *world) json(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) signer(name string) api.Signer {
	s := w.m.Signer(name)
	w.names[s.DID()] = name
	return s
}

func (w *world) did(name string) api.DID { return w.signer(name).DID() }

func (w *world) topic(name string) api.Topic { return api.Topic{Space: w.space, Name: name} }

func (w *world) append(name string, d api.Draft) api.Receipt {
	w.t.Helper()
	rc, err := w.m.Append(w.signer(name), d)
	if err != nil {
		w.t.Fatalf("%s appends %s: %v", name, d.Kind, err)
	}
	return rc
}

func (w *world) admit(name string) api.Position {
	w.t.Helper()
	s := w.signer(name)
	return w.append("clerk", api.Draft{Topic: w.topic(fact.SpaceTopic), Kind: "admit", Body: w.json(admission{s.DID(), s.Device()})}).Position
}

func (w *world) feed(name string) api.Hash {
	return w.m.Host("ledger").Feed(w.topic(fact.LedgerTopic), w.signer(name).Device())
}

// head is the newest position with effect of a member's feed; zero when there is none.
func (w *world) head(name string) api.Position { return w.headOf(fact.LedgerTopic, name) }

// admission is where the clerk's space feed shows everybody as members; view is the newest statement.
func (w *world) admission() api.Position { return w.headOf(fact.SpaceTopic, "clerk") }
func (w *world) view() api.Position      { return w.headOf(fact.FinalityTopic, "witness") }

func (w *world) headOf(topic, name string) api.Position {
	r := w.m.Read("ledger")
	defer r.Close()
	p, ok := r.Head(w.m.Host("ledger").Feed(w.topic(topic), w.signer(name).Device()))
	if !ok {
		return api.Position{}
	}
	return p
}

// final makes the witness state the ledger feeds of the given members, or of all, and returns how many had grown.
func (w *world) final(names ...string) int {
	w.t.Helper()
	r := w.m.Read("ledger")
	defer r.Close()
	var ps []api.Position
	for _, h := range w.m.Host("ledger").Heads(w.topic(fact.LedgerTopic)) {
		if len(names) > 0 && !slices.Contains(names, w.names[h.Author]) {
			continue
		}
		head, ok := r.Head(h.Tip.Feed)
		if done, _ := r.Final(h.Tip.Feed); ok && head.Seq > done.Seq {
			ps = append(ps, head)
		}
	}
	if len(ps) > 0 {
		w.append("witness", api.Draft{Topic: w.topic(fact.FinalityTopic), Kind: "statement", Body: w.json(ps)})
	}
	return len(ps)
}

// call runs an operation as an edge would.
func (w *world) call(who, op string, in any) (any, error) {
	for _, o := range w.app.Operations() {
		if o.Name != op {
			continue
		}
		v, err := o.Decode(w.json(in))
		if err != nil {
			return nil, err
		}
		s := w.signer(who)
		return o.Do(context.Background(), &api.Call{Actor: s.DID(), Signer: s, Scopes: []string{"*"}}, v, nil)
	}
	w.t.Fatalf("no operation %q", op)
	return nil, nil
}

func (w *world) pay(from, to string, amount int64) (*TransferOut, error) {
	out, err := w.call(from, "ledger.transfer", TransferIn{To: w.did(to), Currency: "hours", Amount: amount})
	if err != nil {
		return nil, err
	}
	return out.(*TransferOut), nil
}

func (w *world) mustPay(from, to string, amount int64) *TransferOut {
	w.t.Helper()
	out, err := w.pay(from, to, amount)
	if err != nil {
		w.t.Fatalf("%s pays %s %d: %v", from, to, amount, err)
	}
	return out
}

// transferDraft pays without asking whether that is wise.
func (w *world) transferDraft(to string, amount int64, deps ...api.Position) api.Draft {
	return api.Draft{
		Topic: w.topic(fact.LedgerTopic), Kind: kindTransfer, Deps: fact.Deps(deps),
		Body: codec.MustMarshal(&transfer{To: w.did(to), Currency: "hours", Amount: amount}),
	}
}

// deliver makes a record of d after prev and applies it.
func (w *world) deliver(name string, d api.Draft, prev api.Position) (*api.Record, api.Outcome) {
	w.t.Helper()
	rec, err := w.m.Make(w.signer(name), d, prev)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := w.m.Deliver(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec, out
}

func (w *world) balance(name string) Balance {
	w.t.Helper()
	out, err := w.call(name, "ledger.balance", BalanceIn{})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.(*BalanceOut).Balances[0]
}

func (w *world) verify() {
	w.t.Helper()
	out, err := w.call("clerk", "ledger.verify", VerifyIn{})
	if err != nil {
		w.t.Fatal(err)
	}
	if v := out.(*VerifyOut); !v.OK {
		w.t.Fatalf("the books do not balance: %q", v.Problems)
	}
}

// elsewhere is another node that got the same records in another causal order.
func (w *world) elsewhere(seed uint64) *world {
	w.t.Helper()
	o := *w
	o.app = New(w)
	m := kerneltest.NewModel(society{}, o.app)
	o.m = m
	rng := rand.New(rand.NewPCG(seed, 0))
	left := w.m.Records()
	for len(left) > 0 {
		i := rng.IntN(len(left))
		switch _, err := m.Deliver(left[i]); api.KindOf(err) {
		case api.Other:
			left = slices.Delete(left, i, i+1)
		case api.NotFound: // something it needs has not come yet
		default:
			w.t.Fatal(err)
		}
	}
	return &o
}

func (w *world) sameElsewhere(seed uint64) {
	w.t.Helper()
	if a, b := w.m.Digest("ledger"), w.elsewhere(seed).m.Digest("ledger"); a != b {
		w.t.Fatalf("the same records in another order give another state: %s, %s", a.Short(), b.Short())
	}
}
