package finality

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// chat is an app with records to be made final, and a genesis that names the witness.
type chat struct{}

func (chat) Info() api.AppInfo {
	return api.AppInfo{Name: "chat", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}, {Name: "chat"}}}
}

func (chat) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case "genesis":
		var c charter
		if err := json.Unmarshal(rec.Body, &c); err != nil {
			panic(err)
		}
		fact.PutGenesis(tx, fact.Genesis{Name: "x", Witnesses: c.Witnesses, Threshold: c.Need, Faulty: uint16(max(0, len(c.Witnesses)-1) / 3)})
		for _, w := range c.Witnesses {
			fact.PutWitness(tx, w, fact.Witness{})
		}
		fact.PutOffice(tx, fact.Registrar, fact.Office{DID: c.Registrar, Device: c.Device, Number: 1})
	case "no":
		return api.Voided("chat", "no", "no")
	case "say":
		tx.Add([]byte("said"), 1)
		n, _ := tx.Own([]byte("n"))
		tx.Put([]byte("n"), append(n, 'x'))
	}
	return api.Accepted
}

// charter is the body of chat's genesis.
type charter struct {
	Witnesses []api.Key
	Need      uint16
	Registrar api.DID
	Device    api.Key
}

type world struct {
	t     *testing.T
	m     *kerneltest.Model
	app   *App
	space api.Hash
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, app: New(nil)}
	w.m = kerneltest.NewModel(chat{}, w.app)
	witness := w.m.Signer("witness")
	body, err := json.Marshal(charter{[]api.Key{witness.Device()}, 1, witness.DID(), witness.Device()})
	if err != nil {
		t.Fatal(err)
	}
	rc, err := w.m.Append(w.m.Signer("founder"), api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	w.space = rc.Topic.Space
	w.m.SetSelf(witness)
	return w
}

func (w *world) say(who string) api.Position {
	w.t.Helper()
	rc, err := w.m.Append(w.m.Signer(who), api.Draft{Topic: api.Topic{Space: w.space, Name: "chat"}, Kind: "say"})
	if err != nil {
		w.t.Fatal(err)
	}
	return rc.Position
}

func (w *world) react() {
	w.t.Helper()
	if err := w.m.React(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) verdict(p api.Position) api.Verdict {
	r := w.m.Read("chat")
	defer r.Close()
	_, v, _ := r.Record(p)
	return v
}

// statements lists how many items each statement has.
func (w *world) statements() (items []int) {
	for _, rec := range w.m.Records() {
		if rec.Topic.Name == fact.FinalityTopic {
			s, err := decode(rec.Body)
			if err != nil {
				w.t.Fatal(err)
			}
			items = append(items, len(s.Final)+len(s.Locks))
		}
	}
	return items
}

func TestStates(t *testing.T) {
	w := newWorld(t)
	a1, a2, b1 := w.say("a"), w.say("a"), w.say("b")
	w.react()
	if got := fmt.Sprint(w.statements()); got != "[3]" { // a, b and the founder
		t.Errorf("statements %s, want one of 3 items", got)
	}
	for _, p := range []api.Position{a1, a2, b1, {Feed: w.founding().Feed, Seq: 1, ID: w.space}} {
		if v := w.verdict(p); !v.Final {
			t.Errorf("%v is not final", p)
		}
	}
	w.react()
	a3 := w.say("a")
	if w.verdict(a3).Final {
		t.Error("final before it is stated")
	}
	w.react()
	if got := fmt.Sprint(w.statements()); got != "[3 1]" || !w.verdict(a3).Final {
		t.Errorf("statements %s, want what is new only", got)
	}
	r := w.m.Read("finality")
	defer r.Close()
	s, ok := fact.Open(r, w.space)
	if !ok {
		t.Fatal("no space")
	}
	if f, _, ok := s.Final(a3.Feed); !ok || f.Position(a3.Feed) != a3 || !f.Accepted {
		t.Errorf("fact %+v, want %v", f, a3)
	}
}

func (w *world) founding() *api.Record { return w.m.Records()[0] }

func TestManyFeeds(t *testing.T) {
	w := newWorld(t)
	for i := range maxItems + 10 {
		w.say(fmt.Sprint("p", i))
	}
	w.react()
	if got := fmt.Sprint(w.statements()); got != fmt.Sprintf("[%d 11]", maxItems) {
		t.Errorf("statements %s, want %d items and the rest", got, maxItems)
	}
}

// A void record becomes final like any other, with its verdict.
func TestStatesVoid(t *testing.T) {
	w := newWorld(t)
	rec, err := w.m.Make(w.m.Signer("a"), api.Draft{Topic: api.Topic{Space: w.space, Name: "chat"}, Kind: "no"}, api.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.Deliver(rec); err != nil {
		t.Fatal(err)
	}
	w.react()
	r := w.m.Read("finality")
	defer r.Close()
	s, _ := fact.Open(r, w.space)
	if f, _, ok := s.Final(rec.Feed); !ok || f.Accepted || !w.verdict(rec.Position()).Final {
		t.Errorf("a void head: %+v %v", f, ok)
	}
}

// What waits for a fork to be resolved is not stated; what lies before it is.
func TestNeverStatesHeld(t *testing.T) {
	w := newWorld(t)
	w.say("a")
	two := w.say("a")
	three := w.say("a")
	other, err := w.m.Make(w.m.Signer("a"), api.Draft{Topic: api.Topic{Space: w.space, Name: "chat"}, Kind: "say", Body: []byte("other")}, two)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.Deliver(other); err != nil {
		t.Fatal(err)
	}
	w.react()
	if !w.verdict(two).Final || w.verdict(three).Final || w.verdict(other.Position()).Final {
		t.Errorf("finals %v %v %v: want up to the fork only", w.verdict(two).Final, w.verdict(three).Final, w.verdict(other.Position()).Final)
	}
	n := len(w.statements())
	w.react()
	if len(w.statements()) != n {
		t.Error("it states the same again")
	}
}

func TestOthersDoNotState(t *testing.T) {
	w := newWorld(t)
	w.m.SetSelf(w.m.Signer("founder"))
	p := w.say("a")
	w.react()
	if w.verdict(p).Final || len(w.statements()) != 0 {
		t.Error("a node states that is no witness")
	}
	good := item{Feed: p.Feed, Seq: p.Seq, ID: p.ID, Accepted: true}
	genesis := w.founding().Position()
	finality := w.m.Host("finality").Feed(api.Topic{Space: w.space, Name: fact.FinalityTopic}, w.m.Signer("witness").Device())
	for name, tc := range map[string]struct {
		who  string
		deps []api.Position
		body statement
		rule string
	}{
		"by another":      {"a", []api.Position{genesis}, statement{Final: []item{good}}, "not-a-witness"},
		"without genesis": {"witness", nil, statement{Final: []item{good}}, "not-a-witness"},
		"of nothing":      {"witness", []api.Position{genesis}, statement{}, "malformed"},
		"twice":           {"witness", []api.Position{genesis}, statement{Final: []item{good, good}}, "malformed"},
		"of seq 0":        {"witness", []api.Position{genesis}, statement{Final: []item{{Feed: p.Feed, ID: p.ID}}}, "malformed"},
		"of itself":       {"witness", []api.Position{genesis}, statement{Final: []item{{Feed: finality, Seq: 1, ID: p.ID}}}, "own-feed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.m.Append(w.m.Signer(tc.who), api.Draft{Topic: api.Topic{Space: w.space, Name: fact.FinalityTopic}, Deps: tc.deps, Kind: kindStatement, Body: codec.MustMarshal(&tc.body)})
			if why := api.ReasonOf(err); why == nil || why.Rule != tc.rule {
				t.Errorf("got %v, want refused by %s", err, tc.rule)
			}
		})
	}
}

func TestGoesAhead(t *testing.T) {
	w := newWorld(t)
	p := w.say("a")
	w.react()
	body := codec.MustMarshal(&statement{Final: []item{{Feed: p.Feed, Seq: p.Seq, ID: api.Hash{1}}}})
	_, err := w.m.Append(w.m.Signer("witness"), api.Draft{Topic: api.Topic{Space: w.space, Name: fact.FinalityTopic}, Kind: kindStatement, Body: body})
	if why := api.ReasonOf(err); why == nil || why.Rule != "not-ahead" {
		t.Errorf("another final at the same seq: %v, want refused", err)
	}
}

// anew is a host after a restart: its services are empty.
type anew struct {
	api.Host
	services api.Services
}

func (a *anew) Services() *api.Services { return &a.services }

// What a crash left unstated is stated after the next start.
func TestCatchesUp(t *testing.T) {
	w := newWorld(t)
	p := w.say("a")
	again := New(nil)
	host := &anew{Host: w.m.Host("finality")}
	if err := host.Follow(w.space); err != nil {
		t.Fatal(err)
	}
	if err := again.Start(context.Background(), host); err != nil {
		t.Fatal(err)
	}
	if err := again.React(context.Background(), host, nil); err != nil {
		t.Fatal(err)
	}
	if !w.verdict(p).Final {
		t.Error("not final after the restart")
	}
}

// Served, it states at once when idle, and under load it rests between rounds.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		host := w.m.Host("finality")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.app.Serve(ctx, host) }()
		synctest.Wait()
		time.Sleep(time.Second)
		step := func() (p api.Position) {
			for i := range 32 {
				p = w.say(fmt.Sprint("a", i))
			}
			w.react()
			synctest.Wait()
			return p
		}
		if p := step(); !w.verdict(p).Final {
			t.Error("idle: not stated at once")
		}
		n := len(w.statements())
		var last api.Position
		for range 10 {
			last = step()
			time.Sleep(time.Millisecond)
		}
		if got := len(w.statements()) - n; got > 1 {
			t.Errorf("%d statements within 10 ms", got)
		}
		time.Sleep(rest(32))
		synctest.Wait()
		if !w.verdict(last).Final || len(w.statements()) != n+1 {
			t.Errorf("after a rest: final %v, %d statements", w.verdict(last).Final, len(w.statements())-n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve ends with %v", err)
		}
	})
}

func FuzzStatement(f *testing.F) {
	f.Add(codec.MustMarshal(&statement{Final: []item{{Feed: api.Hash{1}, Seq: 2, ID: api.Hash{3}, Accepted: true}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decode(b); err == nil && (len(s.Final)+len(s.Locks) == 0 || len(s.Final)+len(s.Locks) > maxItems || !bytes.Equal(codec.MustMarshal(s), b)) {
			t.Errorf("%+v from %x", s, b)
		}
	})
}
