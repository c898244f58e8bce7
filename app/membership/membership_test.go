package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// node is one node with this app, serving one member.
type node struct {
	t    *testing.T
	m    *kerneltest.Model
	app  *App
	self api.Signer
}

func newNode(t *testing.T, self string) *node {
	app := New(rand.NewChaCha8([32]byte{byte(len(self))}))
	n := &node{t: t, app: app, m: kerneltest.NewModel(app), self: kerneltest.Signer(self)}
	n.m.SetSelf(n.self)
	return n
}

func (n *node) call(s api.Signer, op string, in any, idem string) (any, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, o := range n.app.Operations() {
		if o.Name == op {
			v, err := o.Decode(raw)
			if err != nil {
				return nil, err
			}
			return o.Do(context.Background(), &api.Call{Actor: s.DID(), Signer: s, Idempotency: idem}, v, nil)
		}
	}
	n.t.Fatalf("no operation %q", op)
	return nil, nil
}

func must[T any](t *testing.T) func(out any, err error) T {
	return func(out any, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return *out.(*T)
	}
}

func (n *node) found(name string) api.Hash {
	n.t.Helper()
	return must[CreateOut](n.t)(n.call(n.self, "space.create", CreateIn{Name: name}, "")).Space
}

func (n *node) invitation(uses uint32) string {
	n.t.Helper()
	return must[InviteOut](n.t)(n.call(n.self, "space.invite", InviteIn{Uses: uses, ExpiresHours: 1}, "")).Invitation
}

// sync brings what one has to the other, both ways, until both are quiet.
func exchange(t *testing.T, a, b *node) {
	t.Helper()
	for {
		before := len(a.m.Records()) + len(b.m.Records())
		for _, d := range [][2]*node{{a, b}, {b, a}} {
			for _, rec := range d[0].m.Records() {
				if _, err := d[1].m.Deliver(rec); err != nil {
					t.Fatal(err)
				}
			}
			if err := d[1].m.React(); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.m.Records())+len(b.m.Records()) == before {
			return
		}
	}
}

func (n *node) members() (names []api.DID) {
	n.t.Helper()
	in := MembersIn{Limit: 2}
	for {
		out := must[MembersOut](n.t)(n.call(n.self, "member.list", in, ""))
		for _, m := range out.Members {
			names = append(names, m.DID)
		}
		if in.Cursor = out.Cursor; in.Cursor == "" {
			return names
		}
	}
}

func rule(err error) string {
	if why := api.ReasonOf(err); why != nil {
		return why.Rule
	}
	return fmt.Sprint(err)
}

func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		coop, bob := newNode(t, "ann"), newNode(t, "bob")
		space := coop.found("Bakers")
		text := coop.invitation(1)
		var proof []byte
		bob.m.OnDial = func(_ string, p []byte) error { proof = p; return nil }

		type result struct {
			out any
			err error
		}
		done := make(chan result, 1)
		go func() {
			out, err := bob.call(bob.self, "space.join", JoinIn{Invitation: text}, "")
			done <- result{out, err}
		}()
		synctest.Wait()

		// Before the genesis is here: the invitation lets bob's node follow, and nobody else's.
		ask := func(who api.Signer, proof []byte) api.Decision {
			return coop.m.Evaluate(api.Request{Domain: Domain, Actor: who.DID(), Action: "follow", Topic: api.Topic{Space: space}, Proofs: proof})
		}
		eve := kerneltest.Signer("eve")
		if d := ask(bob.self, proof); d.Effect != api.Allow {
			t.Errorf("bob with the invitation: %+v", d)
		}
		if d := ask(bob.self, nil); d.Effect != api.Deny || d.Reason.Rule != "not-a-member" || d.Reason.Remedy == "" {
			t.Errorf("bob without it: %+v", d)
		}
		if d := ask(eve, proof); d.Effect != api.Deny || d.Reason.Rule != "bad-invitation" {
			t.Errorf("eve with bob's: %+v", d)
		}
		if d := bob.m.Evaluate(api.Request{Domain: Domain, Actor: eve.DID(), Action: "follow", Topic: api.Topic{Space: space}}); d.Effect != api.Allow {
			t.Errorf("a space that is not here: %+v", d)
		}

		exchange(t, coop, bob)
		synctest.Wait()
		exchange(t, coop, bob)
		got := <-done
		if out := must[JoinOut](t)(got.out, got.err); !out.Member || out.Space != space || out.Name != "Bakers" {
			t.Errorf("joined: %+v", out)
		}
		exchange(t, coop, bob)
		if a, b := fmt.Sprint(coop.members()), fmt.Sprint(bob.members()); a != b || len(coop.members()) != 2 {
			t.Errorf("members here %s, there %s", a, b)
		}
		if d := ask(bob.self, nil); d.Effect != api.Allow {
			t.Errorf("bob as a member: %+v", d)
		}
		if a, b := coop.m.Digest("membership"), bob.m.Digest("membership"); a != b {
			t.Error("two nodes, two states")
		}
		// Again is no harm, and used up is used up.
		if out := must[JoinOut](t)(bob.call(bob.self, "space.join", JoinIn{Invitation: text}, "")); !out.Member {
			t.Errorf("joined twice: %+v", out)
		}
		carol := newNode(t, "carol")
		carol.m.OnDial = func(string, []byte) error { exchange(t, coop, carol); return nil }
		_, err := carol.call(carol.self, "space.join", JoinIn{Invitation: text}, "")
		if api.KindOf(err) != api.Timeout || !strings.Contains(err.Error(), "registrar has not answered") {
			t.Errorf("carol with a used invitation: %v", err)
		}
		exchange(t, coop, carol)
		if n := len(coop.members()); n != 2 {
			t.Errorf("%d members, want 2", n)
		}
	})
}

func TestJoinTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		coop, bob := newNode(t, "ann"), newNode(t, "bob")
		coop.found("Bakers")
		text := coop.invitation(1)
		bob.m.OnDial = func(string, []byte) error { return errors.New("no route") }
		_, err := bob.call(bob.self, "space.join", JoinIn{Invitation: text}, "")
		if api.KindOf(err) != api.Timeout || !strings.Contains(err.Error(), "no route") || !strings.Contains(err.Error(), "Bakers") {
			t.Errorf("nobody answers: %v", err)
		}
		bob.m.Clock = bob.m.Clock.Add(2 * time.Hour)
		if _, err := bob.call(bob.self, "space.join", JoinIn{Invitation: text}, ""); rule(err) != "invitation-expired" {
			t.Errorf("after it has expired: %v", err)
		}
	})
}

// The registrar's node does not admit by an invitation that has expired by its own clock.
func TestExpiry(t *testing.T) {
	coop := newNode(t, "ann")
	space := coop.found("Bakers")
	inv, err := parseInvitation(coop.invitation(3))
	if err != nil {
		t.Fatal(err)
	}
	joining := func(name string) {
		s := kerneltest.Signer(name)
		if _, err := coop.m.Append(s, api.Draft{Topic: api.Topic{Space: space, Name: fact.JoinTopic}, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(inv, s)}); err != nil {
			t.Fatal(err)
		}
		if err := coop.m.React(); err != nil {
			t.Fatal(err)
		}
	}
	joining("bob")
	coop.m.Clock = coop.m.Clock.Add(time.Hour)
	joining("carol")
	if n := len(coop.members()); n != 2 {
		t.Errorf("%d members, want ann and bob", n)
	}
}

// The node's own member is registrar and witness when somebody else whom the node serves founds a space; then its feed cites the genesis.
func TestOtherRegistrar(t *testing.T) {
	n := newNode(t, "server")
	ann, bob := kerneltest.Signer("ann"), kerneltest.Signer("bob")
	space := must[CreateOut](t)(n.call(ann, "space.create", CreateIn{Name: "Bakers", Kind: "community", Currency: "eggs"}, "")).Space
	if _, err := n.call(ann, "member.add", AddIn{DID: bob.DID(), Device: bob.Device()}, ""); rule(err) != "not-registrar" {
		t.Errorf("the founder admits: %v", err)
	}
	// Nor does the founder's feed, which knows the genesis without citing it.
	_, err := n.m.Append(ann, api.Draft{
		Topic: api.Topic{Space: space, Name: fact.SpaceTopic}, Kind: kindAdmit,
		Body: codec.MustMarshal(&admit{DID: bob.DID(), Device: bob.Device(), Number: 2}),
	})
	if rule(err) != "not-registrar" {
		t.Errorf("the founder's record admits: %v", err)
	}
	for _, name := range []string{"bob", "carol"} {
		s := kerneltest.Signer(name)
		if out := must[AddOut](t)(n.call(n.self, "member.add", AddIn{DID: s.DID(), Device: s.Device()}, "")); out.Receipt.Repeated {
			t.Errorf("%s: %+v", name, out)
		}
	}
	if out := must[AddOut](t)(n.call(n.self, "member.add", AddIn{DID: bob.DID(), Device: bob.Device()}, "")); !out.Receipt.Repeated {
		t.Errorf("bob again: %+v, want the first receipt", out)
	}
	if _, err := n.call(n.self, "member.add", AddIn{DID: bob.DID(), Device: kerneltest.Signer("bob/phone").Device()}, ""); rule(err) != "member-exists" {
		t.Errorf("bob with a second device: %v", err)
	}
	show := must[ShowOut](t)(n.call(n.self, "space.show", ShowIn{}, ""))
	if show.Space != space || show.Members != 3 || show.Currencies[0] != (Currency{Code: "eggs", Scale: 2, DefaultLimit: 10000}) || show.Kind != "community" || len(show.Offices) != 3 {
		t.Errorf("show: %+v", show)
	}
	if w := show.Words; len(w) != 1 || w[0].Device != show.Witnesses[0] || !w[0].Time.IsZero() {
		t.Errorf("words of a witness that has said nothing: %+v", w)
	}
	for _, o := range show.Offices {
		if want := map[bool]api.DID{true: n.self.DID(), false: ann.DID()}[o.Name == fact.Registrar]; o.DID != want {
			t.Errorf("%s is %s, want %s", o.Name, o.DID, want)
		}
	}
	if list := must[ListOut](t)(n.call(ann, "space.list", struct{}{}, "")); len(list.Spaces) != 1 || list.Spaces[0].Members != 3 {
		t.Errorf("list: %+v", list)
	}
	if pos, ok := n.app.MemberDep(space, bob.DID()); !ok || pos.Seq != 1 {
		t.Errorf("bob's admission is at %v", pos)
	}
	if n.app.Test(space) {
		t.Error("a space that is not for tests says it is")
	}
}

func TestIdempotency(t *testing.T) {
	n := newNode(t, "ann")
	a := must[CreateOut](t)(n.call(n.self, "space.create", CreateIn{Name: "Bakers"}, "k"))
	if b := must[CreateOut](t)(n.call(n.self, "space.create", CreateIn{Name: "Bakers"}, "k")); a.Space != b.Space || !b.Receipt.Repeated {
		t.Errorf("founded twice: %v %v", a.Space, b.Space)
	}
	i := must[InviteOut](t)(n.call(n.self, "space.invite", InviteIn{Uses: 2}, "k"))
	n.m.Clock = n.m.Clock.Add(time.Minute)
	if j := must[InviteOut](t)(n.call(n.self, "space.invite", InviteIn{Uses: 2}, "k")); i != j {
		t.Error("the same request gives two invitations")
	}
	if j := must[InviteOut](t)(n.call(n.self, "space.invite", InviteIn{Uses: 3}, "")); i == j {
		t.Error("two requests give one invitation")
	}
	other := must[CreateOut](t)(n.call(n.self, "space.create", CreateIn{Name: "Bakers"}, ""))
	if other.Space == a.Space {
		t.Error("two spaces of one name are one")
	}
	if _, err := n.call(n.self, "space.show", ShowIn{}, ""); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "2 spaces") {
		t.Errorf("which of two spaces: %v", err)
	}
}

// What Apply refuses.
func TestVoid(t *testing.T) {
	n := newNode(t, "ann")
	space := n.found("Bakers")
	ann, bob, eve := n.self, kerneltest.Signer("bob"), kerneltest.Signer("eve")
	genesisPos, _ := n.app.Genesis(space)
	inv, err := parseInvitation(n.invitation(1))
	if err != nil {
		t.Fatal(err)
	}
	spaceTopic, joinTopic := api.Topic{Space: space, Name: fact.SpaceTopic}, api.Topic{Space: space, Name: fact.JoinTopic}
	good := genesis{
		Name: "x", Kind: "personal", Nonce: make([]byte, 16), Founders: []fact.Founder{{DID: ann.DID(), Device: ann.Device()}}, Witnesses: []api.Key{ann.Device()}, Threshold: 1,
		Offices:    []office{{Name: "clerk", DID: ann.DID(), Device: ann.Device()}, {Name: "registrar", DID: ann.DID(), Device: ann.Device()}, {Name: "treasury", DID: ann.DID(), Device: ann.Device()}},
		Currencies: []currency{{Code: "hours"}},
	}
	found := func(change func(*genesis)) []byte { g := good; change(&g); return codec.MustMarshal(&g) }
	for name, tc := range map[string]struct {
		by   api.Signer
		d    api.Draft
		rule string
	}{
		"genesis by another":      {eve, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(*genesis) {})}, "not-a-founder"},
		"genesis in a space":      {eve, api.Draft{Topic: spaceTopic, Kind: kindGenesis, Body: found(func(*genesis) {})}, "founding"},
		"no witness":              {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Witnesses = nil })}, "malformed"},
		"threshold of half":       {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Faulty = 1 })}, "malformed"},
		"threshold over n":        {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Threshold = 2 })}, "malformed"},
		"no registrar":            {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Offices = g.Offices[:1] })}, "malformed"},
		"no currency":             {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Currencies = nil })}, "malformed"},
		"capital currency":        {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Currencies = []currency{{Code: "EUR"}} })}, "malformed"},
		"negative limit":          {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Currencies = []currency{{Code: "eur", Limit: -1}} })}, "malformed"},
		"control characters":      {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Name = "a\x1bb" })}, "malformed"},
		"unknown kind of space":   {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Kind = "empire" })}, "malformed"},
		"founder twice":           {ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: found(func(g *genesis) { g.Founders = append(g.Founders, g.Founders[0]) })}, "malformed"},
		"invite by another":       {eve, api.Draft{Topic: spaceTopic, Deps: []api.Position{genesisPos}, Kind: kindInvite, Body: codec.MustMarshal(&invite{Key: eve.Device(), Uses: 1, Expires: 1})}, "not-registrar"},
		"invite without uses":     {ann, api.Draft{Topic: spaceTopic, Kind: kindInvite, Body: codec.MustMarshal(&invite{Key: eve.Device(), Expires: 1})}, "malformed"},
		"invite twice":            {ann, api.Draft{Topic: spaceTopic, Kind: kindInvite, Body: codec.MustMarshal(&invite{Key: api.Key(inv.key()[32:]), Uses: 1, Expires: 1})}, "invitation-exists"},
		"admit by another":        {eve, api.Draft{Topic: spaceTopic, Deps: []api.Position{genesisPos}, Kind: kindAdmit, Body: codec.MustMarshal(&admit{DID: eve.DID(), Device: eve.Device(), Number: 2})}, "not-registrar"},
		"admit out of order":      {ann, api.Draft{Topic: spaceTopic, Kind: kindAdmit, Body: codec.MustMarshal(&admit{DID: eve.DID(), Device: eve.Device(), Number: 3})}, "out-of-order"},
		"admit a founder":         {ann, api.Draft{Topic: spaceTopic, Kind: kindAdmit, Body: codec.MustMarshal(&admit{DID: ann.DID(), Device: eve.Device(), Number: 2})}, "member-exists"},
		"admit a bad DID":         {ann, api.Draft{Topic: spaceTopic, Kind: kindAdmit, Body: codec.MustMarshal(&admit{DID: "did:icn:x", Device: eve.Device(), Number: 2})}, "malformed"},
		"join uninvited":          {bob, api.Draft{Topic: joinTopic, Kind: kindJoin, Body: joinBody(inv, bob)}, "no-invitation"},
		"join with another's":     {eve, api.Draft{Topic: joinTopic, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(inv, bob)}, "not-own-join"},
		"join for another space":  {bob, api.Draft{Topic: joinTopic, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(&invitation{Space: api.Hash{1}, Seed: inv.Seed}, bob)}, "bad-invitation"},
		"join in the wrong place": {bob, api.Draft{Topic: spaceTopic, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(inv, bob)}, "unknown-kind"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := n.m.Append(tc.by, tc.d); rule(err) != tc.rule {
				t.Errorf("got %v, want refused by %s", err, tc.rule)
			}
		})
	}
	// A join that another's admission cites, and a second use of an invitation for one.
	join := func(s api.Signer) api.Position {
		rc, err := n.m.Append(s, api.Draft{Topic: joinTopic, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(inv, s)})
		if err != nil {
			t.Fatal(err)
		}
		return rc.Position
	}
	byBob, byEve := join(bob), join(eve)
	admitting := func(s api.Signer, number uint64, cite api.Position) error {
		_, err := n.m.Append(ann, api.Draft{Topic: spaceTopic, Deps: []api.Position{cite}, Kind: kindAdmit, Body: codec.MustMarshal(&admit{DID: s.DID(), Device: s.Device(), Number: number})})
		return err
	}
	if err := admitting(bob, 2, byEve); rule(err) != "join-mismatch" {
		t.Errorf("bob by eve's join: %v", err)
	}
	if err := admitting(bob, 2, byBob); err != nil {
		t.Error(err)
	}
	if err := admitting(eve, 3, byEve); rule(err) != "invitation-used-up" {
		t.Errorf("eve by the used invitation: %v", err)
	}
}

func TestWriteIsForMembers(t *testing.T) {
	n := newNode(t, "ann")
	space := n.found("Bakers")
	for _, tc := range []struct {
		who, topic string
		want       api.Effect
	}{{"ann", "ledger", api.Allow}, {"eve", "ledger", api.Deny}, {"eve", fact.JoinTopic, api.Allow}} {
		q := api.Request{Domain: Domain, Actor: kerneltest.Signer(tc.who).DID(), Action: "write", Topic: api.Topic{Space: space, Name: tc.topic}}
		if d := n.m.Evaluate(q); d.Effect != tc.want {
			t.Errorf("%s writes in %s: %v, want %v", tc.who, tc.topic, d.Effect, tc.want)
		}
	}
	for action, want := range map[string]api.Effect{"space.create": api.Allow, "member.add": api.Allow, "connect": api.Abstain, "ledger.transfer": api.Abstain} {
		if d := n.m.Evaluate(api.Request{Domain: Domain, Actor: n.self.DID(), Action: action}); d.Effect != want {
			t.Errorf("%s: %v, want %v", action, d.Effect, want)
		}
	}
}

func TestInputs(t *testing.T) {
	n := newNode(t, "ann")
	scale, limit := 7, int64(-1)
	for op, in := range map[string]any{
		"space.create": CreateIn{Name: "x", Scale: &scale},
		"space.invite": InviteIn{Uses: maxUses + 1},
		"space.join":   JoinIn{Invitation: "icn-invite:AAAA"},
		"member.add":   AddIn{DID: "bob"},
		"member.list":  MembersIn{Limit: 501},
	} {
		if _, err := n.call(n.self, op, in, ""); api.KindOf(err) != api.Invalid {
			t.Errorf("%s %+v: %v, want invalid", op, in, err)
		}
	}
	if _, err := n.call(n.self, "space.create", CreateIn{Name: "x", DefaultLimit: &limit}, ""); err == nil || !strings.Contains(err.Error(), "default_limit -1") {
		t.Errorf("a negative limit: %v, want the field and its value", err)
	}
	if _, err := n.call(n.self, "space.show", ShowIn{}, ""); err == nil || !strings.Contains(err.Error(), "space create") {
		t.Errorf("without a space: %v, want what to do", err)
	}
}
