package kernel_test

import (
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// Noted is the data of notes.noted.
type Noted struct {
	Text  string   `json:"text" doc:"what was noted"`
	Cited int      `json:"cited,omitempty"`
	By    api.DID  `json:"by"`
	Tags  []string `json:"tags,omitempty"`
}

// Events implements api.EventSource: a note makes one event, a long one a second.
func (*notes) Events() []api.EventType {
	of := func(name, scope string) api.EventType {
		return api.EventType{Name: "notes." + name, Scope: scope, Summary: "Somebody has noted something", Topic: "notes", Kinds: []string{"note"}}
	}
	return []api.EventType{
		api.Tell(of("noted", "notes:read"), func(_ api.Past, r *api.Record) *Noted {
			return &Noted{Text: string(r.Body), Cited: len(r.Deps), By: r.Author}
		}),
		api.Tell(of("shouted", "notes:loud"), func(_ api.Past, r *api.Record) *Noted {
			if s := string(r.Body); strings.ToUpper(s) == s {
				return &Noted{Text: s, By: r.Author}
			}
			return nil
		}),
	}
}

// writer signs records of one device in one topic.
type writer struct {
	t     *testing.T
	s     api.Signer
	topic api.Topic
	seq   uint64
	prev  api.Hash
}

func newWriter(t *testing.T, space api.Hash, topic, who string) *writer {
	return &writer{t: t, s: identity.Derive("events", who), topic: api.Topic{Space: space, Name: topic}}
}

// make signs the next record, or with at a rival of the one at a place; it does not move on.
func (w *writer) sign(kind, body string, deps ...api.Position) *record.Envelope {
	w.t.Helper()
	rec := &api.Record{Version: 1, Topic: w.topic, Seq: w.seq + 1, Prev: w.prev, Kind: kind, Body: []byte(body), Deps: deps}
	if rec.Seq == 1 {
		rec.Auth = w.s.Auth()
	}
	e, err := record.Sign(rec, w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *writer) write(kind, body string, deps ...api.Position) *record.Envelope {
	w.t.Helper()
	e := w.sign(kind, body, deps...)
	w.seq, w.prev = e.Seq, e.ID
	return e
}

func (r *run) take(t *testing.T, e *record.Envelope) api.Position {
	t.Helper()
	if res := submit(t, r, base64.StdEncoding.EncodeToString(e.Raw)); res.Outcome != "stored" && res.Outcome != "committed" && res.Outcome != "accepted" && res.Outcome != "void" && res.Outcome != "held" {
		t.Fatalf("%+v", res)
	}
	return e.Position()
}

// listener collects the events of a stream.
type listener struct {
	mu   sync.Mutex
	evs  []api.Event
	stop func()
	done chan error
}

// listen opens a stream; pause is called in each emit.
func (r *run) listen(t *testing.T, in kernel.EventsIn, pause func(), change ...func(*api.Call)) *listener {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{stop: cancel, done: make(chan error, 1)}
	call := &api.Call{Actor: r.id.DID(), Signer: r.id.Signer(), Scopes: []string{"*"}}
	for _, f := range change {
		f(call)
	}
	go func() {
		_, err := r.Call(ctx, call, "event.stream", raw, func(item any) error {
			if pause != nil {
				pause()
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.evs = append(l.evs, *item.(*api.Event))
			return ctx.Err()
		})
		l.done <- err
	}()
	t.Cleanup(cancel)
	return l
}

// ended waits for the stream's end, which comes by itself.
func (l *listener) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the stream does not end")
		return nil
	}
}

func (l *listener) all() []api.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.evs)
}

// kept are the events that are told again, without marks and what is not kept.
func kept(evs []api.Event) []api.Event {
	return slices.DeleteFunc(slices.Clone(evs), func(e api.Event) bool {
		return e.Type == "event.mark" || strings.HasPrefix(e.Type, "peer.") || strings.HasPrefix(e.Type, "node.")
	})
}

func (l *listener) live(t *testing.T) *listener {
	t.Helper()
	eventually(t, "the stream to be live", func() bool {
		return slices.ContainsFunc(l.all(), func(e api.Event) bool { return e.Type == "event.mark" && string(e.Data) == `{"live":true}` })
	})
	return l
}

// lines puts events into words.
func lines(evs []api.Event) (out []string) {
	for _, e := range evs {
		out = append(out, e.Type+" "+string(e.Data))
	}
	return out
}

func (r *run) found(t *testing.T) api.Hash {
	t.Helper()
	return r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
}

// What happens is told live, in order, and told in the same words to who asks later: notes, what has no effect, what becomes final, a fork and the effect
// that is lost by it.
func TestEventsTellWhatHappens(t *testing.T) {
	r := start(t, nil)
	space := r.found(t)
	l := r.listen(t, kernel.EventsIn{}, nil).live(t)
	ann, wit := newWriter(t, space, "notes", "ann"), newWriter(t, space, "words", "wit")
	one := r.take(t, ann.write("note", "one"))
	fork := *ann
	r.take(t, ann.write("note", "TWO"))
	r.take(t, ann.write("note", "bad"))
	r.take(t, wit.write("word", "", one))
	r.take(t, fork.write("note", "other"))
	want := []string{
		`notes.noted {"text":"one"`, `notes.noted {"text":"TWO"`, `notes.shouted {"text":"TWO"`, `record.void {"topic":"notes","kind":"note","reason":{"domain":"notes","rule":"bad"`,
		`record.final {"topic":"notes","from":1}`, `feed.forked {"topic":"notes"}`, `record.undone {"topic":"notes","kind":"note"}`,
	}
	eventually(t, "all to be told", func() bool { return len(kept(l.all())) >= len(want) })
	l.stop()
	if err := <-l.done; err != nil {
		t.Error(err)
	}
	got := kept(l.all())
	for i, line := range lines(got) {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("%d: %s", i, line)
		}
	}
	if u := got[6]; *u.Record != *got[1].Record || u.Space != space || u.Author != ann.s.DID() {
		t.Errorf("undone: %+v; want the record of %+v", u, got[1])
	}
	later := r.listen(t, kernel.EventsIn{After: "begin", Types: []string{"notes.*", "record.*", "feed.*"}}, nil).live(t)
	if a, b := mustJSON(t, got), mustJSON(t, kept(later.all())); a != b {
		t.Errorf("told later:\n%s\nlive:\n%s", b, a)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// history has a few people write, fork and state at random.
func history(t *testing.T, r *run, space api.Hash, rnd *rand.Rand, steps int) {
	t.Helper()
	var at []api.Position
	people := []*writer{newWriter(t, space, "notes", "ann"), newWriter(t, space, "notes", "ben"), newWriter(t, space, "notes", "cas")}
	wit := newWriter(t, space, "words", "wit")
	forked := map[*writer]bool{}
	for i := range steps {
		w := people[rnd.IntN(len(people))]
		switch n := rnd.IntN(10); {
		case n < 6:
			at = append(at, r.take(t, w.write("note", []string{"hello", "LOUD", "bad"}[rnd.IntN(3)]+strings.Repeat("!", i))))
		case n < 9 && len(at) > 0:
			r.take(t, wit.write("word", fmt.Sprint(i), at[rnd.IntN(len(at))]))
		case w.seq > 0 && !forked[w]:
			forked[w] = true
			e := w.sign("note", "rival")
			at = append(at, r.take(t, w.write("note", "next")), r.take(t, e))
		}
	}
}

// The concatenation of interrupted streams is the uninterrupted one, wherever they are interrupted, over a restart of the node, too.
func TestEventsResumeAtEveryCursor(t *testing.T) {
	dir := t.TempDir()
	id := newID(t)
	onDisk := func(o *kernel.Options) { o.Store, o.DataDir, o.Identity = "pebble", dir, id }
	r := start(t, onDisk)
	r.id = id
	space := r.found(t)
	history(t, r, space, rand.New(rand.NewPCG(1, 2)), 60)
	whole := kept(r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t).all())
	if len(whole) < 50 {
		t.Fatalf("%d events", len(whole))
	}
	for i := range whole {
		rest := kept(r.listen(t, kernel.EventsIn{After: whole[i].Cursor}, nil).live(t).all())
		if a, b := mustJSON(t, whole[i+1:]), mustJSON(t, append([]api.Event{}, rest...)); a != b {
			t.Fatalf("after event %d:\n%s\nwant\n%s", i, b, a)
		}
	}
	mid := whole[len(whole)/2].Cursor
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, onDisk)
	r.id = id
	rest := kept(r.listen(t, kernel.EventsIn{After: mid}, nil).live(t).all())
	if a, b := mustJSON(t, whole[len(whole)/2+1:]), mustJSON(t, rest); a != b {
		t.Errorf("after a restart:\n%s\nwant\n%s", b, a)
	}
}

func newID(t *testing.T) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Readers that come and go while much happens miss nothing and see nothing twice, in order.
func TestEventsInterruptedWhileLive(t *testing.T) {
	r := start(t, nil)
	space := r.found(t)
	var wg sync.WaitGroup
	results := make([][]api.Event, 4)
	first := r.listen(t, kernel.EventsIn{Space: space}, nil).live(t)
	from := first.all()[0].Cursor
	stopped := make(chan struct{})
	for i := range results {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			after, last := from, false
			for !last {
				select {
				case <-stopped:
					last = true
				default:
				}
				l := r.listen(t, kernel.EventsIn{Space: space, After: after}, nil)
				if last {
					l.live(t)
				} else {
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
				}
				l.stop()
				<-l.done
				got := l.all()
				if len(got) > 0 {
					after = got[len(got)-1].Cursor
				}
				results[i] = append(results[i], kept(got)...)
			}
		})
	}
	history(t, r, space, rand.New(rand.NewPCG(4, 5)), 120)
	r.take(t, newWriter(t, space, "notes", "zoe").write("note", "the end"))
	close(stopped)
	wg.Wait()
	eventually(t, "the first to have all", func() bool {
		got := kept(first.all())
		return len(got) > 0 && strings.Contains(string(got[len(got)-1].Data), "the end")
	})
	want := mustJSON(t, kept(first.all()))
	for i, got := range results {
		if mustJSON(t, got) != want {
			t.Errorf("reader %d has %d events, want %d", i, len(got), len(kept(first.all())))
		}
	}
}

// A reader who does not read costs the others nothing, and has all in the end.
func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	r := start(t, nil)
	space := r.found(t)
	gate := make(chan struct{})
	slow := r.listen(t, kernel.EventsIn{}, func() { <-gate })
	fast := r.listen(t, kernel.EventsIn{}, nil).live(t)
	w := newWriter(t, space, "notes", "ann")
	const n = kernel.RingEvents + 500
	for from := 0; from < n; from += 250 {
		var raws []string
		for range min(250, n-from) {
			raws = append(raws, base64.StdEncoding.EncodeToString(w.write("note", "x").Raw))
		}
		r.must(t, "record.submit", mustJSON(t, kernel.SubmitIn{Records: raws}))
	}
	eventually(t, "the fast one to have all", func() bool { return len(kept(fast.all())) == n })
	if size := kernel.RingSize(r.Kernel); size > kernel.RingEvents {
		t.Errorf("%d events in memory for one who does not read", size)
	}
	close(gate)
	eventually(t, "the slow one to have all", func() bool { return len(kept(slow.all())) == n })
	if mustJSON(t, kept(slow.all())) != mustJSON(t, kept(fast.all())) {
		t.Error("they were told different things")
	}
}

// Who may see what: scopes, those of one space too, the access oracle at each event, and only the operator what is the node's own.
func TestEventsAreForWhoMaySeeThem(t *testing.T) {
	may := &fixedAccess{allow: true}
	r := start(t, func(o *kernel.Options) {
		o.Apps[1], o.DecisionTTL = oracleApp{"access", may}, 1
	})
	space := r.found(t)
	remote := func(scopes ...string) func(*api.Call) {
		return func(c *api.Call) { c.Signer, c.Actor, c.Scopes = nil, "did:icn:bob", append(scopes, "event:read") }
	}
	types := func(in kernel.EventsIn, change func(*api.Call)) []string {
		in.After = "begin"
		var got []string
		for _, e := range kept(r.listen(t, in, nil, change).live(t).all()) {
			got = append(got, e.Type)
		}
		return got
	}
	w := newWriter(t, space, "notes", "ann")
	r.take(t, w.write("note", "LOUD"))
	for _, c := range []struct {
		scopes string
		in     kernel.EventsIn
		want   string
	}{
		{"", kernel.EventsIn{}, "[]"},
		{"notes:read", kernel.EventsIn{}, "[notes.noted]"},
		{"notes:*", kernel.EventsIn{Space: space}, "[notes.noted notes.shouted]"},
		{"notes:*", kernel.EventsIn{Types: []string{"notes.shouted"}}, "[notes.shouted]"},
		{"notes:loud@" + space.String(), kernel.EventsIn{}, "[notes.shouted]"},
		{"notes:loud@" + api.Hash{9}.String(), kernel.EventsIn{}, "[]"},
	} {
		if got := fmt.Sprint(types(c.in, remote(strings.Fields(c.scopes)...))); got != c.want {
			t.Errorf("holding %q asking %+v: %s, want %s", c.scopes, c.in, got, c.want)
		}
	}
	bob := r.listen(t, kernel.EventsIn{Space: space}, nil, remote("*")).live(t)
	may.set(false)
	mark := r.listen(t, kernel.EventsIn{}, nil).live(t)
	time.Sleep(time.Millisecond)
	r.take(t, w.write("note", "secret"))
	eventually(t, "the member to see it", func() bool { return len(kept(mark.all())) == 1 })
	may.set(true)
	r.take(t, w.write("note", "open"))
	eventually(t, "bob to see what came when he might again", func() bool { return len(kept(bob.all())) > 0 })
	if got := lines(kept(bob.all())); len(got) != 1 || !strings.Contains(got[0], "open") {
		t.Errorf("bob was told %v while he might not follow the space", got)
	}
	may.set(false)
	_, err := r.call("event.stream", mustJSON(t, kernel.EventsIn{Space: space}), remote("*"))
	if api.KindOf(err) != api.Refused || api.ReasonOf(err) == nil {
		t.Errorf("a stream of a space that he may not follow: %v", err)
	}
}

// fixedAccess allows all or nothing; its answers are not kept, since they ask with proof.
type fixedAccess struct {
	mu    sync.Mutex
	allow bool
}

func (a *fixedAccess) Domain() api.Domain { return "access" }
func (a *fixedAccess) set(allow bool)     { a.mu.Lock(); defer a.mu.Unlock(); a.allow = allow }
func (a *fixedAccess) Evaluate(api.Request) api.Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.allow {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Denied(&api.Reason{Domain: "access", Rule: "no", Text: "not you"})
}

// A cursor that does not go on here says so: of another node, of before a rebuild or a restore, from the future, or none at all.
func TestEventsCursorThatDoesNotGoOn(t *testing.T) {
	r := start(t, nil)
	r.found(t)
	l := r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t)
	old := l.all()[len(l.all())-1].Cursor
	journal, _, _ := strings.Cut(old, ".")
	other := start(t, nil)
	other.found(t)
	for _, c := range []struct {
		r     *run
		after string
		kind  api.Kind
	}{
		{r, old, api.Other}, {other, old, api.Conflict}, {r, journal + ".99.0", api.Conflict}, {r, journal + ".0.0", api.Invalid}, {r, "x", api.Invalid}, {r, journal + ".01.0", api.Invalid},
	} {
		got := c.r.listen(t, kernel.EventsIn{After: c.after}, nil)
		if c.kind == api.Other {
			got.live(t).stop()
		}
		err := got.ended(t)
		if api.KindOf(err) != c.kind {
			t.Errorf("after %q: %v, want %s", c.after, err, c.kind.Code())
		}
		if why := api.ReasonOf(err); c.kind == api.Conflict && (why == nil || why.Rule != "reset" || why.Remedy == "") {
			t.Errorf("after %q: %+v", c.after, why)
		}
	}
	r.must(t, "state.rebuild", "")
	if err := l.ended(t); api.KindOf(err) != api.Conflict && api.KindOf(err) != api.Unavailable {
		t.Errorf("a stream over a rebuild ends with %v", err)
	}
	anew := r.listen(t, kernel.EventsIn{After: old}, nil)
	if err := anew.ended(t); api.KindOf(err) != api.Conflict {
		t.Errorf("a cursor of before a rebuild: %v", err)
	}
	r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t)
}

// A rebuild tells the same again, in a journal of another name.
func TestEventsOfARebuiltState(t *testing.T) {
	r := start(t, nil)
	space := r.found(t)
	history(t, r, space, rand.New(rand.NewPCG(7, 8)), 80)
	words := func() []string {
		return lines(kept(r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t).all()))
	}
	before := words()
	r.must(t, "state.rebuild", "")
	after := words()
	slices.Sort(before) // commits are larger, so what they changed comes later
	slices.Sort(after)
	if mustJSON(t, before) != mustJSON(t, after) {
		t.Errorf("%d events before, %d after", len(before), len(after))
	}
}

func TestEventTypes(t *testing.T) {
	r := start(t, nil)
	got := map[string]kernel.EventTypeOut{}
	for _, e := range r.must(t, "event.types", "").(*kernel.EventTypesOut).Types {
		got[e.Name] = e
	}
	n := got["notes.noted"]
	if want := `[{"name":"text","type":"string","doc":"what was noted"},{"name":"cited","type":"integer","optional":true},{"name":"by","type":"string","format":"did"},` +
		`{"name":"tags","type":"array","optional":true,"items":{"name":"","type":"string"}}]`; mustJSON(t, n.Data) != want || !n.Kept || n.Scope != "notes:read" {
		t.Errorf("%s", mustJSON(t, n))
	}
	if got["peer.up"].Kept || !got["record.final"].Kept || len(got) != 12 {
		t.Errorf("%d types: %v", len(got), got)
	}
	if _, err := r.call("event.stream", `{"types":["notes.whispered"]}`); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "notes.whispered") {
		t.Error(err)
	}
}

// A store of before there was a journal tells from then on.
func TestEventsOfAnOlderStore(t *testing.T) {
	dir, id := t.TempDir(), newID(t)
	onDisk := func(o *kernel.Options) { o.Store, o.DataDir, o.Identity = "pebble", dir, id }
	r := start(t, onDisk)
	r.id = id
	space := r.found(t)
	r.take(t, newWriter(t, space, "notes", "ann").write("note", "old"))
	kernel.WithoutJournal(t, r.Kernel)
	if got := kept(r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t).all()); len(got) != 0 {
		t.Errorf("told of what no journal knows: %v", lines(got))
	}
	r.take(t, newWriter(t, space, "notes", "ben").write("note", "new"))
	if got := kept(r.listen(t, kernel.EventsIn{After: "begin"}, nil).live(t).all()); len(got) != 1 {
		t.Errorf("%v", lines(got))
	}
}
