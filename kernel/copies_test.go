package kernel_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// admits lets its list follow spaces; who shows a proof, too.
type admits []api.DID

func (admits) Domain() api.Domain { return "access" }
func (a admits) Evaluate(q api.Request) api.Decision {
	if slices.Contains(a, q.Actor) || len(q.Proofs) > 0 {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Denied(&api.Reason{Domain: "access", Rule: "stranger", Text: "who are you?"})
}

func served(node api.DID, space api.Hash, members ...api.DID) *transport.Peer {
	p := &transport.Peer{Node: node, Spaces: []api.Hash{space}}
	for _, m := range members {
		p.Members = append(p.Members, transport.Member{DID: m})
	}
	return p
}

// A copy counts as one member's, and never as the author's, whomever the node says it serves.
func TestCopiesCountMembers(t *testing.T) {
	a := newSpeaker(t, func(o *kernel.Options) {
		for i := range o.Apps {
			if o.Apps[i].Info().Name == "access" {
				o.Apps[i] = oracleApp{"access", admits{"ann", "ben", "cas"}}
			}
		}
	}).found(t)
	foreign := served("n", api.Hash{1}, "ben")
	invited := served("n", a.space, "eve")
	invited.Proof = []byte("invitation")
	for name, tc := range map[string]struct {
		peer *transport.Peer
		want api.DID
	}{
		"a member's":              {served("n", a.space, "ben"), "ben"},
		"the first of two":        {served("n", a.space, "cas", "ben"), "ben"},
		"a stranger's":            {served("n", a.space, "eve"), ""},
		"nobody's":                {served("n", a.space), ""},
		"a stranger's, and more":  {served("n", a.space, "eve", "cas"), "cas"},
		"the author's":            {served("n", a.space, "ann"), ""},
		"the author's, and more":  {served("n", a.space, "ben", "ann"), ""},
		"without the space":       {foreign, ""},
		"who is invited, no more": {invited, ""},
	} {
		if got, ok := kernel.Holder(a.Kernel, tc.peer, a.space, "ann"); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: counts as %q, want %q", name, got, tc.want)
		}
	}

	at := a.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"x"}`, a.space)).(*api.Receipt).Position
	next := a.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"y"}`, a.space)).(*api.Receipt).Position
	madeUp := api.Position{Feed: at.Feed, Seq: at.Seq, ID: api.Hash{7}}
	for _, tc := range []struct {
		name  string
		peers map[*transport.Peer][]api.Position
		want  []api.DID
	}{
		{"a record that is not there", map[*transport.Peer][]api.Position{served("n1", a.space, "ben"): {madeUp}}, nil},
		{"one member by two nodes", map[*transport.Peer][]api.Position{served("n1", a.space, "ben"): {at}, served("n2", a.space, "ben"): {at}}, []api.DID{"ben"}},
		{"the author's own second node", map[*transport.Peer][]api.Position{served("n3", a.space, "ann"): {at}}, []api.DID{"ben"}},
		{"a later record of the branch", map[*transport.Peer][]api.Position{served("n4", a.space, "cas"): {next}}, []api.DID{"ben", "cas"}},
	} {
		if got := kernel.Says(a.Kernel, at, a.space, "ann", tc.peers); !slices.Equal(got, tc.want) {
			t.Errorf("%s: held by %v, want %v", tc.name, got, tc.want)
		}
	}
	if got := kernel.Says(a.Kernel, next, a.space, "ann", nil); !slices.Equal(got, []api.DID{"cas"}) {
		t.Errorf("the later one is held by %v, want cas alone", got)
	}
}

// A node says what it has on disk, to those who may follow the space.
func TestHolds(t *testing.T) {
	a, b := pairOfSpeakers(t)
	eventually(t, "b to have the space", func() bool { return *b.must(t, "notes.count", "").(*int64) == 1 })
	rc, err := b.writeUntil(t, api.WaitReplicated(1), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	beyond := rc.Position
	beyond.Seq, beyond.ID = 9, api.Hash{9}
	asked := []api.Position{rc.Position, beyond, {Feed: api.Hash{5}, Seq: 1, ID: api.Hash{5}}}
	body, err := b.ask(t, a.node(t), kernel.KindHolds, string(kernel.EncodeHolds(asked)), false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := kernel.DecodeHeld([]byte(body), asked); err != nil || !slices.Equal(got, []api.Position{rc.Position, rc.Position}) {
		t.Errorf("%v, %v; want the record, and it again as the end of its feed", got, err)
	}
	for name, payload := range map[string]string{
		"nothing":   "",
		"too much":  string(kernel.EncodeHolds(make([]api.Position, kernel.HoldsAtOnce+1))),
		"no number": string(kernel.EncodeHolds([]api.Position{{Feed: api.Hash{1}, ID: api.Hash{1}}})),
	} {
		if _, err := b.ask(t, a.node(t), kernel.KindHolds, payload, false); api.KindOf(err) != api.Invalid && api.KindOf(err) != api.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who may not follow the space is told no more than who asks about nothing.
func TestHoldsOfStrangers(t *testing.T) {
	a := newSpeaker(t, func(o *kernel.Options) {
		for i := range o.Apps {
			if o.Apps[i].Info().Name == "access" {
				o.Apps[i] = oracleApp{"access", admits{"ann", "ben"}}
			}
		}
	}).found(t)
	at := a.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"x"}`, a.space)).(*api.Receipt).Position
	for name, tc := range map[string]struct {
		peer *transport.Peer
		want api.Position
	}{
		"a member's":            {served("n", a.space, "ben"), at},
		"a stranger's":          {served("n", a.space, "eve"), api.Position{}},
		"who has another space": {served("n", api.Hash{1}, "ben"), api.Position{}},
	} {
		ends, all := kernel.Held(a.Kernel, tc.peer, []api.Position{at})
		if ends[0] != tc.want || all != (tc.want == at) {
			t.Errorf("%s node is told %v, want %v", name, ends[0], tc.want)
		}
	}
}

func TestHeldForm(t *testing.T) {
	asked := []api.Position{{Feed: api.Hash{1}, Seq: 5, ID: api.Hash{5}}, {Feed: api.Hash{2}, Seq: 5, ID: api.Hash{6}}}
	for name, tc := range map[string]struct {
		ends []api.Position
		want int
		err  api.Kind
	}{
		"both":          {asked, 2, api.Other},
		"none":          {make([]api.Position, 2), 0, api.Other},
		"beyond":        {[]api.Position{{Seq: 6, ID: api.Hash{1}}, asked[1]}, 1, api.Other},
		"too few":       {asked[:1], 0, api.Invalid},
		"more than two": {append(asked[:2:2], asked[0]), 0, api.Invalid},
	} {
		got, err := kernel.DecodeHeld(kernel.EncodeHeld(tc.ends), asked)
		if api.KindOf(err) != tc.err || len(got) != tc.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzHolds(f *testing.F) {
	asked := []api.Position{{Feed: api.Hash{1}, Seq: 5, ID: api.Hash{5}}}
	f.Add(kernel.EncodeHolds(asked))
	f.Add(kernel.EncodeHeld(asked))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ps, err := kernel.DecodeHolds(b); err == nil && !bytes.Equal(kernel.EncodeHolds(ps), b) && len(ps) > 0 {
			t.Fatal("another encoding of one question")
		}
		if ps, err := kernel.DecodeHeld(b, asked); err == nil && len(ps) > 1 {
			t.Fatalf("%v", ps)
		}
	})
}
