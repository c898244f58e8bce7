package security

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/obs"
)

var rogue = kerneltest.NodeDID(kerneltest.NodeKey("rogue"))

func (w *world) sin(n int) {
	for range n {
		w.m.Clock = w.m.Clock.Add(time.Second)
		w.app.Observe(api.Incident{Kind: api.BadSignature, Node: rogue, Count: 50, At: w.m.Clock, Detail: "record.submit: bad"})
	}
}

// What the levels mean to the kernel, and that the reason says when it ends and what can be done.
func TestOracle(t *testing.T) {
	w := newWorld(t)
	ask := func(who api.DID, action string) api.Decision {
		return w.app.Oracle().Evaluate(api.Request{Domain: Domain, Actor: who, Action: action})
	}
	seen := map[Level]bool{}
	for range 10 {
		l := w.level(rogue)
		seen[l] = true
		connect, follow, push, app := ask(rogue, "connect"), ask(rogue, "follow"), ask(rogue, "push"), ask(rogue, "append")
		if got, want := connect.Effect == api.Allow, l < Ban; got != want {
			t.Errorf("%s: connect %s", l, connect.Effect)
		}
		if got, want := follow.Effect == api.Allow, l < Quarantine; got != want {
			t.Errorf("%s: follow %s", l, follow.Effect)
		}
		if push.Effect != api.Allow || push.Constraints.RateLimit.PerSecond != l.pushes().PerSecond || push.Constraints.RateLimit.Burst < 64 {
			t.Errorf("%s: push %+v", l, push)
		}
		if app.Effect != api.Allow || (app.Constraints.RateLimit != nil) != (l >= Throttle) {
			t.Errorf("%s: append %+v", l, app)
		}
		for _, d := range []api.Decision{connect, follow} {
			if d.Effect == api.Allow {
				continue
			}
			until := d.Reason.Inputs["until"]
			if end, err := time.Parse(time.RFC3339, until); err != nil || !end.After(w.m.Clock) || !strings.Contains(d.Reason.Text, until) || !strings.Contains(d.Reason.Remedy, "appeal") {
				t.Errorf("%s: %+v", l, d.Reason)
			}
		}
		if d := ask(w.bob.DID(), "connect"); d.Effect != api.Allow || len(d.Constraints.Custom) > 0 {
			t.Fatalf("somebody else: %+v", d)
		}
		if d := ask(rogue, "security.appeal"); d.Effect != api.Allow {
			t.Errorf("%s: the operation is %s", l, d.Effect)
		}
		w.sin(1)
	}
	if len(seen) != 5 {
		t.Errorf("levels seen: %v, want all", seen)
	}
}

// R2: levels outlive a restart of this node, and nobody is blamed by it; a row that cannot be read counts for nothing.
func TestR2_RestartKeepsLevels(t *testing.T) {
	w := newWorld(t)
	w.sin(8)
	if w.level(rogue) != Ban {
		t.Fatal(w.level(rogue))
	}
	w.app.Observe(api.Incident{Kind: api.BadFrame, Node: rogue, Count: 1, At: w.m.Clock, Detail: "\xff\xfe" + strings.Repeat("é", 150)}) // nobody washes himself so
	before, _ := w.app.table.get(rogue)
	w.disk.rows[rowSubject+"did:icn:x"] = []byte("junk")
	w.restart()
	after, _ := w.app.table.get(rogue)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("\n%+v\n%+v", before, after)
	}
	w.restart()
	if len(w.disk.rows) != 1 || len(w.app.table.subjects) != 1 {
		t.Errorf("rows %d, subjects %d, want one", len(w.disk.rows), len(w.app.table.subjects))
	}
	w.m.Clock = w.m.Clock.Add(90 * 24 * time.Hour)
	w.restart()
	if len(w.disk.rows) != 0 {
		t.Errorf("%d rows long after, want none", len(w.disk.rows))
	}
}

// R3: whatever is reported of this node or its own member, it does not blame itself.
func TestR3_NeverItself(t *testing.T) {
	w := newWorld(t)
	self := w.host().Self().DID()
	w.app.Observe(api.Incident{Kind: api.BadFrame, Node: self, Count: 99, At: w.m.Clock}) // the model's address names its member as the node
	w.app.Observe(api.Incident{Kind: api.ForkEvidence, Author: self, Feed: api.Hash{1}, Seq: 1, Count: 1, At: w.m.Clock, Proven: true})
	if err := w.write(w.bob, kindReport, w.forkOf(kerneltest.Signer("carol"))); err != nil {
		t.Fatal(err)
	}
	w.tick()
	if len(w.app.table.subjects) != 0 {
		t.Errorf("%+v", w.app.table.subjects)
	}
}

// A claim convicts nobody: no name in an incident but the session's peer, and the author only with proof.
func TestClaimsCountNothing(t *testing.T) {
	w := newWorld(t)
	w.app.Observe(api.Incident{Kind: api.ForkEvidence, Node: rogue, Author: w.bob.DID(), Feed: api.Hash{1}, Count: 1, At: w.m.Clock})
	w.app.Observe(api.Incident{Kind: api.BadSignature, Author: w.bob.DID(), Count: 9, At: w.m.Clock})
	w.app.Observe(api.Incident{Kind: api.Flood, Count: 1 << 40, At: w.m.Clock})
	if len(w.app.table.subjects) != 0 {
		t.Errorf("%+v", w.app.table.subjects)
	}
}

// R12: forged, mixed and repeated evidence harms nobody, its messenger included; true evidence convicts its author, once.
func TestR12_ForgedReportHarmsNobody(t *testing.T) {
	w := newWorld(t)
	dave, eve := kerneltest.Signer("dave"), kerneltest.Signer("eve")
	good := w.forkOf(dave)
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1
		return b
	}
	first := w.signed(dave, w.space, 1, api.Hash{}, "one")
	other := w.signed(eve, w.space, 2, api.Hash{1}, "one")
	rep := func(auth, a, b []byte) *report { return &report{Auth: auth, A: a, B: b} }
	for name, r := range map[string]*report{
		"the same record twice":      rep(dave.Auth(), good.A, good.A),
		"two places":                 rep(dave.Auth(), first, good.A),
		"two authors":                rep(dave.Auth(), good.A, other),
		"two authors, the other one": rep(eve.Auth(), good.A, other),
		"another's key event":        rep(eve.Auth(), good.A, good.B),
		"the wrong order":            rep(dave.Auth(), good.B, good.A),
		"a bad signature":            rep(dave.Auth(), good.A, flip(good.B)),
		"two bad signatures":         rep(dave.Auth(), flip(good.A), flip(good.B)),
		"no key event":               rep(nil, good.A, good.B),
		"a forged key event":         rep(flip(dave.Auth()), good.A, good.B),
		"no records":                 rep(dave.Auth(), nil, nil),
		"another space":              rep(dave.Auth(), w.signed(dave, api.Hash{9}, 2, api.Hash{1}, "one"), w.signed(dave, api.Hash{9}, 2, api.Hash{1}, "two")),
		"too long":                   rep(dave.Auth(), good.A, make([]byte, maxEvidence)),
	} {
		for _, r := range []*report{r, rep(r.Auth, r.B, r.A)} {
			if name == "the wrong order" && bytes.Equal(r.A, good.A) {
				continue // that is the good one
			}
			if out := w.deliver(w.bob, kindReport, r); out.Void == nil {
				t.Errorf("%s is accepted", name)
			}
		}
	}
	w.tick()
	if len(w.app.table.subjects) != 0 {
		t.Fatalf("somebody is blamed: %+v", w.app.table.subjects)
	}

	if out := w.deliver(kerneltest.Signer("nobody"), kindReport, good); out.Void == nil || out.Void.Rule != "not-a-member" {
		t.Errorf("who is no member reports: %+v", out.Void)
	}
	for _, s := range []api.Signer{w.bob, w.ann} { // the second tells nothing new
		if out := w.deliver(s, kindReport, good); out.Void != nil {
			t.Fatalf("the true report: %+v", out.Void)
		}
		w.tick()
		if s, _ := w.app.table.get(dave.DID()); s.level(w.m.Clock) != Throttle || len(s.Forks) != 1 || s.Points > 30*point {
			t.Fatalf("dave: %+v", s)
		}
	}
	if out := w.deliver(w.bob, kindReport, good); out.Void == nil || out.Void.Rule != "reported-before" {
		t.Errorf("again: %+v", out.Void)
	}
	for _, who := range []api.DID{w.bob.DID(), w.ann.DID(), eve.DID()} {
		if l := w.level(who); l != None {
			t.Errorf("%s stands at %s", who, l)
		}
	}
	// What a node learns years later from its neighbours' records weighs nothing any more.
	late := newWorld(t)
	late.space = w.space
	late.m.Clock = w.m.Clock.Add(1000 * time.Hour)
	for _, rec := range w.m.Records() {
		if _, err := late.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	late.tick()
	if s, ok := late.app.table.get(dave.DID()); !ok || len(s.Forks) != 1 || s.Points != 0 {
		t.Errorf("late: %+v", s)
	}
}

// The registrar's node, and no other, reports what its kernel has proven.
func TestRegistrarReports(t *testing.T) {
	dave := kerneltest.Signer("dave")
	for _, self := range []string{"carol", "bob", "ann"} {
		w := newWorld(t)
		w.m.SetSelf(kerneltest.Signer(self))
		f := w.forkOf(dave)
		for range 3 {
			w.app.Observe(api.Incident{Kind: api.ForkEvidence, Author: dave.DID(), Feed: api.Hash{7}, Seq: 2, Count: 1, At: w.m.Clock, Proven: true, Evidence: [][]byte{f.Auth, f.B, f.A}})
			w.tick()
		}
		out := must[ReportsOut](w)(w.call(w.ann, "security.reports", ReportsIn{}))
		if want := self == "ann"; (len(out.Cases) == 1) != want {
			t.Errorf("%s's node: %d reports", self, len(out.Cases))
		}
		if len(out.Cases) == 1 {
			if c := out.Cases[0]; c.Subject != dave.DID() || c.By != w.ann.DID() || c.Topic != "chat" || c.Seq != 2 || len(c.Records) != 2 {
				t.Errorf("%+v", c)
			}
		}
		if w.level(dave.DID()) < Throttle {
			t.Errorf("%s's node: dave stands at %s", self, w.level(dave.DID()))
		}
	}
}

// Due process: a member appeals, the clerk pardons, every node follows, and an appeal is answered once.
func TestAppealAndPardon(t *testing.T) {
	w := newWorld(t)
	w.sin(8)
	if _, err := w.call(w.bob, "security.pardon", PardonIn{Subject: rogue}); rule(err) != "not-an-officer" {
		t.Errorf("a member pardons: %v", err)
	}
	if out := w.deliver(w.bob, kindPardon, &pardon{Subject: rogue}); out.Void == nil || out.Void.Rule != "not-an-officer" {
		t.Errorf("a member's pardon: %+v", out.Void)
	}
	w.tick()
	if w.level(rogue) != Ban {
		t.Fatalf("%s after a pardon that nobody may write", w.level(rogue))
	}
	appeal := must[AppealOut](w)(w.call(w.bob, "security.appeal", AppealIn{Subject: rogue, Text: "our disk was broken, it is a new one now"}))
	out := must[PardonOut](w)(w.call(w.ann, "security.pardon", PardonIn{Subject: rogue, Text: "seen the disk"}))
	if out.Appeal != appeal.Receipt.Position.ID || out.Receipt == nil || out.Level != "none" {
		t.Errorf("%+v", out)
	}
	cases := must[ReportsOut](w)(w.call(w.bob, "security.reports", ReportsIn{Subject: rogue})).Cases
	if len(cases) != 2 || cases[0].Kind != kindPardon || cases[0].Appeal != cases[1].ID || cases[1].Text == "" || cases[1].By != w.bob.DID() {
		t.Errorf("%+v", cases)
	}

	// Another node of the space learns it from the records. It has its own opinion of rogue, and gives it up.
	far := newWorld(t)
	far.space, far.m.Clock = w.space, w.m.Clock.Add(-time.Minute)
	far.sin(8)
	far.m.Clock = w.m.Clock
	for _, rec := range w.m.Records() {
		if _, err := far.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	far.tick()
	if far.level(rogue) != None {
		t.Errorf("far: %s", far.level(rogue))
	}

	// Without an appeal the clerk may pardon too; the answered one is not cited again.
	w.m.Clock = w.m.Clock.Add(2 * time.Hour)
	w.sin(8)
	if out := must[PardonOut](w)(w.call(w.ann, "security.pardon", PardonIn{Subject: rogue})); !out.Appeal.IsZero() || out.Level != "none" {
		t.Errorf("%+v", out)
	}
	// On this node only: no office, no record.
	w.sin(8)
	before := len(w.m.Records())
	if out := must[PardonOut](w)(w.call(w.bob, "security.pardon", PardonIn{Subject: rogue, Local: true})); out.Level != "none" || out.Receipt != nil || len(w.m.Records()) != before {
		t.Errorf("%+v", out)
	}
	show := must[ShowOut](w)(w.call(w.bob, "security.show", ShowIn{Subject: rogue}))
	if s := show.Standing; !show.Connect || !show.Follow || s.Level != "none" || s.Bans != 3 || s.Pardoned.IsZero() || len(s.Incidents) != 1 || s.Incidents[0].Count != 24*50 {
		t.Errorf("%+v", show)
	}
	if l := must[ListOut](w)(w.call(w.bob, "security.list", ListIn{})); l.Known != 1 || len(l.Standings) != 1 || l.Standings[0].Subject != rogue {
		t.Errorf("%+v", l)
	}
}

func TestPardonMustCiteItsAppeal(t *testing.T) {
	w := newWorld(t)
	if err := w.write(w.bob, kindAppeal, &appeal{Subject: w.bob.DID(), Text: "me"}); err != nil {
		t.Fatal(err)
	}
	r := w.m.Read("security")
	defer r.Close()
	sp, _ := fact.Open(r, w.space)
	about := func(who api.DID, cite api.Position) error {
		_, err := w.m.Append(w.ann, api.Draft{
			Topic: api.Topic{Space: w.space, Name: Topic}, Deps: fact.Deps([]api.Position{sp.Founded, cite}), Kind: kindPardon, Body: codec.MustMarshal(&pardon{Subject: who}),
		})
		return err
	}
	head, _ := r.Head(record.FeedID(api.Topic{Space: w.space, Name: Topic}, w.bob.Device()))
	if err := about(rogue, head); rule(err) != "no-such-appeal" {
		t.Errorf("an appeal about somebody else: %v", err)
	}
	if err := about(w.bob.DID(), head); err != nil {
		t.Errorf("its own appeal: %v", err)
	}
}

// What one member can make all others keep is bounded.
func TestCasesAreBounded(t *testing.T) {
	w := newWorld(t)
	for range maxCases {
		if err := w.write(w.bob, kindAppeal, &appeal{Subject: w.bob.DID(), Text: "again"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.write(w.bob, kindAppeal, &appeal{Subject: w.bob.DID(), Text: "again"}); rule(err) != "too-many" {
		t.Errorf("one more: %v", err)
	}
	got, cursor := map[api.Hash]bool{}, ""
	for {
		out := must[ReportsOut](w)(w.call(w.bob, "security.reports", ReportsIn{Limit: 100, Cursor: cursor}))
		for _, c := range out.Cases {
			got[c.ID] = true
		}
		if cursor = out.Cursor; cursor == "" {
			break
		}
	}
	if len(got) != maxCases {
		t.Errorf("%d cases in pages, want %d", len(got), maxCases)
	}
}

// Of many subjects the least blamed is forgotten first: a swarm of new node keys does not wash a banned one out.
func TestTableIsBounded(t *testing.T) {
	w := newWorld(t)
	w.sin(8)
	for i := range maxSubjects + 10 {
		w.app.table.add(w.m.Clock, api.DID(fmt.Sprint("did:icn:", i)), &api.Incident{Kind: api.BadFrame, Count: 1, At: w.m.Clock})
	}
	if n := len(w.app.table.subjects); n != maxSubjects || w.level(rogue) != Ban {
		t.Errorf("%d subjects, rogue %s", n, w.level(rogue))
	}
}

func TestMetrics(t *testing.T) {
	reg := obs.NewRegistry()
	w := newWorld(t)
	a := New(w.app.spaces, Options{Metrics: reg})
	w.app = a
	w.boot()
	w.sin(8)
	a.Observe(api.Incident{Kind: "of-a-later-build", Node: rogue, Count: 2, At: w.m.Clock})
	for _, c := range []struct {
		name, label, value string
		want               float64
	}{
		{"icn_security_incidents_total", "kind", api.BadSignature, 400},
		{"icn_security_incidents_total", "kind", "other", 2},
		{"icn_security_raised_total", "level", "ban", 1},
		{"icn_security_ban_subjects", "", "", 1},
		{"icn_security_warn_subjects", "", "", 0},
	} {
		labels := []string{}
		if c.label != "" {
			labels = []string{c.label, c.value}
		}
		if v, ok := reg.Value(c.name, labels...); !ok || v != c.want {
			t.Errorf("%s %v: %v %v, want %v", c.name, labels, v, ok, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	dave := kerneltest.Signer("dave")
	f.Add(codec.MustMarshal(&report{Auth: dave.Auth(), A: []byte{1}, B: []byte{2}}))
	f.Add(codec.MustMarshal(&appeal{Subject: dave.DID(), Text: "x"}))
	f.Add(codec.MustMarshal(&pardon{Subject: dave.DID()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r report
		if decode(b, &r) == nil {
			again(t, b, &r)
			if p, err := r.verify(api.Hash{}); err == nil && p.Author == "" {
				t.Error("a proof against nobody")
			}
		}
		var a appeal
		if decode(b, &a) == nil {
			again(t, b, &a)
		}
		var p pardon
		if decode(b, &p) == nil {
			again(t, b, &p)
		}
	})
}

func again(t *testing.T, b []byte, v any) {
	if !bytes.Equal(codec.MustMarshal(v), b) {
		t.Errorf("%T: decoded from %x, encoded otherwise", v, b)
	}
}
