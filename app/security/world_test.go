package security

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// chat owns the space topic, whose genesis names ann and bob as members and ann as clerk and registrar, and a topic to fork feeds in.
type chat struct{ founders []api.Signer }

func (chat) Info() api.AppInfo {
	return api.AppInfo{Name: "chat", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}, {Name: "chat"}}}
}

func (c chat) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	if rec.Kind == "genesis" {
		fact.PutGenesis(tx, fact.Genesis{Name: "Mill Lane", Offices: []string{fact.Clerk, fact.Registrar}})
		for i, s := range c.founders {
			fact.PutMember(tx, s.DID(), fact.Member{Device: s.Device(), Number: uint64(i) + 1, Founder: true})
		}
		for _, name := range []string{fact.Clerk, fact.Registrar} {
			fact.PutOffice(tx, name, fact.Office{DID: c.founders[0].DID(), Device: c.founders[0].Device(), Number: 1})
		}
	}
	return api.Accepted
}

// disk is an api.Local in memory.
type disk struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (d *disk) Put(key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows[key] = bytes.Clone(value)
	return nil
}

func (d *disk) Delete(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rows, key)
	return nil
}

func (d *disk) Each(prefix string, fn func(string, []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(d.rows)) {
		if strings.HasPrefix(k, prefix) && !fn(k, bytes.Clone(d.rows[k])) {
			return nil
		}
	}
	return nil
}

// withDisk is a Host that has a Local.
type withDisk struct {
	api.Host
	disk *disk
}

func (h withDisk) Local() api.Local { return h.disk }

// one is the answer to "which space".
type one struct{ space *api.Hash }

func (o one) Default() (api.Hash, error) { return *o.space, nil }

// world is one node of a space; its own member is carol unless said otherwise.
type world struct {
	t        *testing.T
	m        *kerneltest.Model
	app      *App
	disk     *disk
	space    api.Hash
	ann, bob api.Signer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, disk: &disk{rows: map[string][]byte{}}, ann: kerneltest.Signer("ann"), bob: kerneltest.Signer("bob")}
	w.app = New(one{&w.space}, Options{})
	w.m = kerneltest.NewModel(chat{[]api.Signer{w.ann, w.bob}}, w.app)
	w.m.SetSelf(kerneltest.Signer("carol"))
	w.boot()
	rc, err := w.m.Append(w.ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis"})
	if err != nil {
		t.Fatal(err)
	}
	w.space = rc.Topic.Space
	return w
}

func (w *world) host() api.Host { return withDisk{w.m.Host("security"), w.disk} }

func (w *world) boot() {
	w.t.Helper()
	if err := w.app.Start(context.Background(), w.host()); err != nil {
		w.t.Fatal(err)
	}
}

// tick lets the app do what its Serve would, and its reactor.
func (w *world) tick() {
	w.t.Helper()
	if err := w.m.React(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.app.Tick(context.Background(), w.host(), w.m.Clock); err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.React(); err != nil {
		w.t.Fatal(err)
	}
}

// restart is what a restart leaves: the disk.
func (w *world) restart() {
	w.t.Helper()
	w.tick()
	w.app.table = table{}
	w.boot()
}

func (w *world) level(who api.DID) Level { return w.app.table.level(w.m.Clock, who) }

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

func must[T any](w *world) func(out any, err error) T {
	return func(out any, err error) T {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		return *out.(*T)
	}
}

// signed makes a record of a chat feed and returns its envelope.
func (w *world) signed(s api.Signer, space api.Hash, seq uint64, prev api.Hash, body string) []byte {
	w.t.Helper()
	rec := &api.Record{Version: record.Version, Topic: api.Topic{Space: space, Name: "chat"}, Seq: seq, Prev: prev, Kind: "say", Body: []byte(body), Time: 1}
	if seq == 1 {
		rec.Auth = s.Auth()
	}
	e, err := record.Sign(rec, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Raw
}

// forkOf makes two records of s at one place.
func (w *world) forkOf(s api.Signer) *report {
	r := &report{Auth: s.Auth(), A: w.signed(s, w.space, 2, api.Hash{1}, "one"), B: w.signed(s, w.space, 2, api.Hash{1}, "two")}
	if _, err := r.prove(); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// write appends a record in the topic of this app, whatever it says; the model refuses what would be void, as the kernel does.
func (w *world) write(s api.Signer, kind string, body any) error {
	r := w.m.Read("security")
	sp, _ := fact.Open(r, w.space)
	deps := cites(r, sp, s, member)
	r.Close()
	_, err := w.m.Append(s, api.Draft{Topic: api.Topic{Space: w.space, Name: Topic}, Deps: deps, Kind: kind, Body: codec.MustMarshal(body)})
	return err
}

// deliver brings a record of another node, which may be void.
func (w *world) deliver(s api.Signer, kind string, body any) api.Outcome {
	w.t.Helper()
	feed := record.FeedID(api.Topic{Space: w.space, Name: Topic}, s.Device())
	r := w.m.Read("security")
	head, _ := r.Head(feed)
	sp, _ := fact.Open(r, w.space)
	deps := cites(r, sp, s, member)
	r.Close()
	rec, err := w.m.Make(s, api.Draft{Topic: api.Topic{Space: w.space, Name: Topic}, Deps: deps, Kind: kind, Body: codec.MustMarshal(body)}, head)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := w.m.Deliver(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func rule(err error) string {
	if why := api.ReasonOf(err); why != nil {
		return why.Rule
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
