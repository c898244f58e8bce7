package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// Whatever operation a gateway calls for a member who has not signed, nothing is done.
func TestGatewayCannotWriteWithoutSigner(t *testing.T) {
	g := newGreeter(t)
	inputs := g.inputs()
	before := g.mark()
	for _, op := range g.Operations() {
		if !op.Write || strings.HasPrefix(op.Name, "peer.") || strings.HasPrefix(op.Name, "state.") {
			continue // the operator's, by their scopes
		}
		for _, scopes := range []string{"*", op.Scope, op.Scope + "@" + g.space.String()} {
			for _, who := range []api.Signer{g.self, g.ann, g.eve} { // the node's own member, too, when it comes from elsewhere
				_, err := g.ask(remote(who, scopes), op.Name, raw(inputs[op.Name]))
				k := api.KindOf(err)
				if op.Name == "blob.put" && who != g.eve { // no record and nothing signed: members bring blobs, within their room
					if err != nil {
						t.Errorf("%s as %s with %s: %v", op.Name, who.DID(), scopes, err)
					}
					continue
				}
				if k != api.Refused && k != api.Unsupported && (op.Name != "record.submit" || k != api.Invalid) {
					t.Errorf("%s as %s with %s: %v", op.Name, who.DID(), scopes, err)
				}
			}
		}
		if now := g.mark(); now != before {
			t.Fatalf("%s changed the node: %s", op.Name, now)
		}
	}
}

// Preparing an operation leaves nothing behind, whichever it is and whoever asks.
func TestPrepareChangesNothing(t *testing.T) {
	g := newGreeter(t)
	inputs := g.inputs()
	before := g.mark()
	prepared := 0
	for _, op := range g.Operations() {
		for _, who := range []api.Signer{g.self, g.ann, g.eve} {
			in := kernel.PrepareIn{Operation: op.Name, Input: raw(inputs[op.Name]), Auth: who.Auth(), Idempotency: "once"}
			out, err := g.ask(remote(who), "record.prepare", in)
			if err != nil {
				if why := api.ReasonOf(err); op.Signs == api.SignsNone && (why == nil || why.Rule != "nothing-to-sign" || why.Remedy == "") {
					t.Errorf("%s: %v", op.Name, err)
				}
				continue
			}
			if op.Signs == api.SignsNone {
				t.Errorf("%s was prepared", op.Name)
			}
			p := out.(*kernel.PrepareOut)
			if len(p.Bytes) == 0 {
				continue
			}
			prepared++
			if r, err := record.Parse(p.Bytes); err != nil || r.Device != who.Device() || *p.Position != r.Position() || !p.Description.Known || p.Description.Text == "" || strings.ContainsAny(p.Description.Text, "{}[]") {
				t.Errorf("%s: %v %+v", op.Name, err, p.Description)
			}
		}
		if now := g.mark(); now != before {
			t.Fatalf("%s changed the node: %s", op.Name, now)
		}
	}
	if prepared < 10 {
		t.Errorf("%d were prepared", prepared)
	}
}

// A member without a node pays: prepared here, signed elsewhere, submitted here.
func TestMemberWithTheirOwnKeyPays(t *testing.T) {
	g := newGreeter(t)
	in := g.pay(g.bob, 250)
	in.Idempotency = "bread"
	p := g.prepare(g.ann, in)
	if want := fmt.Sprintf(`Pay 250 minor units of hours to %s for "bread".`, g.bob.DID()); p.Description.Text != want || p.More || p.Receipt != nil {
		t.Errorf("%+v", p)
	}
	sealed := seal(t, g.ann, p.Bytes)
	first, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{sealed}, Idempotency: p.Idempotency})
	if err != nil || first.Outcome != "committed" || first.Receipt.Position != *p.Position || first.Level != api.WaitLocal {
		t.Fatalf("%+v %v", first, err)
	}
	if g.balance(g.ann) != -250 || g.balance(g.bob) != 250 {
		t.Errorf("ann %d, bob %d", g.balance(g.ann), g.balance(g.bob))
	}
	again, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{sealed}, Idempotency: p.Idempotency})
	if err != nil || again.Outcome != "duplicate" || again.Receipt.Position != first.Receipt.Position || again.Receipt.Time != first.Receipt.Time || !again.Receipt.Repeated {
		t.Errorf("the same envelope: %+v %v", again, err)
	}
	// The answer was lost: the same request finds the record and has nothing signed.
	p = g.prepare(g.ann, in)
	if len(p.Bytes) > 0 || p.Receipt == nil || p.Receipt.Position != first.Receipt.Position || fmt.Sprint(p.Output.(map[string]any)["balance"]) != "-250" {
		t.Errorf("the same request: %+v", p)
	}
	in.Input = json.RawMessage(strings.ReplaceAll(string(in.Input), "250", "251"))
	in.Auth = g.ann.Auth()
	if _, err := g.ask(remote(g.ann), "record.prepare", in); api.KindOf(err) != api.Conflict {
		t.Errorf("another request of that name: %v", err)
	}
	if _, err := g.ask(remote(g.ann), "record.prepare", withAuth(g.pay(g.bob, 1_000_000), g.ann)); api.KindOf(err) != api.Refused || api.ReasonOf(err).Rule != "over-limit" {
		t.Errorf("what the rules would void is prepared: %v", err)
	}
}

func withAuth(in kernel.PrepareIn, who api.Signer) kernel.PrepareIn {
	in.Auth = who.Auth()
	return in
}

// Two tabs prepare; the second finds its place taken, and is told what to sign instead.
func TestTakenPlaceIsAConflict(t *testing.T) {
	g := newGreeter(t)
	one, two := g.prepare(g.ann, g.pay(g.bob, 1)), g.prepare(g.ann, g.pay(g.bob, 2))
	g.submitted(g.ann, one)
	before := g.mark()
	sealed := seal(t, g.ann, two.Bytes)
	_, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{sealed}})
	if api.KindOf(err) != api.Conflict || api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "place-taken" || api.ReasonOf(err).Remedy == "" {
		t.Fatalf("%v", err)
	}
	if g.mark() != before {
		t.Error("a record whose place is taken left something behind")
	}
	res, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{sealed}, Operation: "ledger.transfer", Input: g.pay(g.bob, 2).Input})
	if err != nil || res.Code != "conflict" || res.Prepared == nil || res.Prepared.Position.Seq != 2 {
		t.Fatalf("%+v %v", res, err)
	}
	g.submitted(g.ann, res.Prepared)
	if b := g.balance(g.ann); b != -3 {
		t.Errorf("balance %d", b)
	}
}

// A record that comes before those before it is not one whose place is taken: who has signed it keeps it, and sends it again.
func TestRecordAheadOfItsFeedIsNoConflict(t *testing.T) {
	g := newGreeter(t)
	one := g.prepare(g.ann, g.pay(g.bob, 1))
	r, err := record.Parse(one.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	later := *r
	later.Seq, later.Prev, later.Auth = 2, r.ID, nil
	unsigned, err := record.Unsigned(&later)
	if err != nil {
		t.Fatal(err)
	}
	second := seal(t, g.ann, unsigned)
	ahead := func() error {
		_, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{second}})
		return err
	}
	if err := ahead(); api.KindOf(err) != api.Unavailable || api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "records-missing" {
		t.Fatalf("%v", err)
	}
	g.submitted(g.ann, one)
	if err := ahead(); err != nil {
		t.Fatal(err)
	}
	if b := g.balance(g.ann); b != -2 {
		t.Errorf("balance %d", b)
	}
}

// What a cut has made void before it came is kept: its place is used by the signature, and the member can sign what follows. Of nobody's member nothing is kept.
func TestRecordThatIsVoidUsesItsPlace(t *testing.T) {
	g := newGreeter(t)
	g.submitted(g.ann, g.prepare(g.ann, g.pay(g.bob, 1)))
	in := g.pay(g.bob, 2)
	in.Idempotency = "two"
	two := g.prepare(g.ann, in)
	sealed := seal(t, g.ann, two.Bytes)
	account := client.LedgerFreezeIn{To: g.ann.DID(), Currency: "hours"}
	here[client.LedgerGrantOut](g, "ledger.freeze", account)
	g.untilCut(g.ann)
	for _, again := range []bool{false, true} {
		res, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{sealed}, Idempotency: two.Idempotency})
		if err != nil || res.Outcome != "void" || res.Code != "refused" || res.Reason == nil || res.Reason.Rule != "cut" || res.Receipt == nil || res.Receipt.Position.Seq != 2 {
			t.Fatalf("again %t: %+v %v", again, res, err)
		}
	}
	account.Lift = true
	here[client.LedgerGrantOut](g, "ledger.freeze", account)
	in.Auth = g.ann.Auth()
	if _, err := g.ask(remote(g.ann), "record.prepare", in); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "cut" {
		t.Errorf("the same request: %v, want why it has no effect", err)
	}
	g.submitted(g.ann, g.prepare(g.ann, g.pay(g.bob, 4)))
	if b := g.balance(g.ann); b != -5 {
		t.Errorf("balance %d, want what was paid before and after", b)
	}

	three := g.prepare(g.ann, g.pay(g.bob, 8))
	here[client.MemberRemoveOut](g, "member.remove", client.MemberRemoveIn{DID: g.ann.DID(), Reason: "moved away"})
	if res, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{seal(t, g.ann, three.Bytes)}}); api.KindOf(err) != api.Refused {
		t.Errorf("of who was removed: %+v %v", res, err)
	}
	if _, err := g.ask(g.local(), "record.explain", kernel.ExplainIn{ID: three.Position.ID}); api.KindOf(err) != api.NotFound {
		t.Errorf("the record of who was removed is kept: %v", err)
	}
}

// A member who was made to sign what is void, by a node that says otherwise, can go on elsewhere: the record is kept, with its reason. Of who is let in only to
// ask for admission nothing that is void is kept.
func TestVoidRecordIsKeptOfMembersOnly(t *testing.T) {
	g := newGreeter(t)
	altered := func(who api.Signer, p *kernel.PrepareOut, change func(*api.Record)) (*kernel.SubmitResult, api.Hash, error) {
		t.Helper()
		r, err := record.Parse(p.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		unsigned, err := record.Unsigned(r)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := record.Parse(unsigned)
		if err != nil {
			t.Fatal(err)
		}
		res, err := g.submit(who, kernel.SubmitIn{Records: []string{seal(t, who, unsigned)}})
		return res, signed.ID, err
	}
	res, _, err := altered(g.ann, g.prepare(g.ann, g.pay(g.bob, 1)), func(r *api.Record) {
		r.Body = codec.MustMarshal([]any{g.bob.DID(), "hours", int64(1) << 40, "", "", []any{}})
	})
	if err != nil || res.Outcome != "void" || res.Reason == nil || res.Reason.Rule != "over-limit" {
		t.Fatalf("%+v %v", res, err)
	}
	g.submitted(g.ann, g.prepare(g.ann, g.pay(g.bob, 3)))
	if b := g.balance(g.ann); b != -3 {
		t.Errorf("balance %d", b)
	}

	inv := here[client.SpaceInviteOut](g, "space.invite", nil).Invitation
	join := g.prepare(g.eve, kernel.PrepareIn{Operation: "space.join", Input: json.RawMessage(fmt.Sprintf(`{"invitation":%q}`, inv))})
	res, id, err := altered(g.eve, join, func(r *api.Record) { r.Kind = "profile" })
	if api.KindOf(err) != api.Refused {
		t.Errorf("of who is no member: %+v %v", res, err)
	}
	if _, err := g.ask(g.local(), "record.explain", kernel.ExplainIn{ID: id}); api.KindOf(err) != api.NotFound {
		t.Errorf("it is kept: %v", err)
	}
	if res := g.submitted(g.eve, join); res.Outcome != "committed" {
		t.Errorf("its place is taken: %+v", res)
	}
}

// A gateway cannot act for a member who has not signed.
func TestGatewayCannotActForMember(t *testing.T) {
	g := newGreeter(t)
	p := g.prepare(g.ann, g.pay(g.bob, 7))
	good := seal(t, g.ann, p.Bytes)
	theirs := seal(t, g.bob, g.prepare(g.bob, g.pay(g.ann, 7)).Bytes)
	sig, err := g.ann.Sign(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	evil, err := g.eve.Sign(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	before := g.mark()
	for i := range p.Bytes {
		changed := slices.Clone(p.Bytes)
		changed[i] ^= 1
		if _, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{envelope(t, changed, sig)}}); err == nil {
			t.Fatalf("byte %d of %d may be changed after signing", i, len(p.Bytes))
		}
	}
	second := identity.DeriveDevice("remote", "ann", "second")
	for name, c := range map[string]struct {
		as  *api.Call
		raw string
	}{
		"no signature":          {remote(g.ann), envelope(t, p.Bytes, make([]byte, 64))},
		"another's signature":   {remote(g.ann), envelope(t, p.Bytes, evil)},
		"another's record":      {remote(g.ann), theirs},
		"another's token":       {remote(g.bob), good},
		"a stranger's token":    {remote(g.eve), good},
		"another device":        {&api.Call{Actor: g.ann.DID(), Device: second.Device(), Scopes: []string{"*"}}, good},
		"no device":             {&api.Call{Actor: g.ann.DID(), Scopes: []string{"*"}}, good},
		"another actor":         {&api.Call{Actor: g.bob.DID(), Device: g.ann.Device(), Scopes: []string{"*"}}, good},
		"nobody":                {&api.Call{Device: g.ann.Device(), Scopes: []string{"*"}}, good},
		"no scope":              {remote(g.ann, "record:read"), good},
		"a scope elsewhere":     {remote(g.ann, "record:write@"+api.Hash{1}.String()), good},
		"the node's own record": {&api.Call{Actor: g.ann.DID(), Device: g.self.Device(), Scopes: []string{"*"}}, good},
	} {
		if _, err := g.ask(c.as, "record.submit", kernel.SubmitIn{Records: []string{c.raw}}); err == nil {
			t.Errorf("%s: taken", name)
		} else if api.KindOf(err) == api.Refused && api.ReasonOf(err).Remedy == "" {
			t.Errorf("%s: no remedy: %v", name, err)
		}
		if g.mark() != before {
			t.Fatalf("%s left something behind", name)
		}
	}
	for name, in := range map[string]kernel.PrepareIn{
		"another device": {Operation: "ledger.transfer", Input: g.pay(g.bob, 1).Input, Device: second.Device(), Auth: second.Auth()},
		"another's auth": {Operation: "ledger.transfer", Input: g.pay(g.bob, 1).Input, Auth: g.bob.Auth()},
	} {
		if _, err := g.ask(remote(g.ann), "record.prepare", in); err == nil {
			t.Errorf("%s: prepared", name)
		}
	}
	if _, err := g.submit(g.ann, kernel.SubmitIn{Records: []string{good}}); err != nil {
		t.Errorf("what was signed is refused: %v", err)
	}
}

// Who is no member sees nothing of a space, a member nothing of another, and a scope that is bound to a space holds there only.
func TestRemoteCallersSeeTheirSpacesOnly(t *testing.T) {
	g := newGreeter(t)
	other := here[client.SpaceCreateOut](g, "space.create", client.SpaceCreateIn{Name: "Others"})
	in := map[string]any{"space": g.space}
	for _, op := range strings.Fields("space.show member.list ledger.history ledger.verify ledger.void feed.list trust.list trust.graph key.recoveries security.reports topic.list space.checkpoint.list") {
		if _, err := g.ask(remote(g.ann), op, in); err != nil {
			t.Errorf("%s: a member is refused: %v", op, err)
		}
		for name, c := range map[string]*api.Call{"a stranger": remote(g.eve), "nobody": {Scopes: []string{"*"}}, "a scope elsewhere": remote(g.ann, "*@"+other.Space.String())} {
			if _, err := g.ask(c, op, in); api.KindOf(err) != api.Refused && api.KindOf(err) != api.Unauthenticated || api.ReasonOf(err).Remedy == "" {
				t.Errorf("%s as %s: %v", op, name, err)
			}
		}
		if _, err := g.ask(remote(g.ann), op, map[string]any{"space": other.Space}); api.KindOf(err) != api.Refused {
			t.Errorf("%s of another space: %v", op, err)
		}
		if _, err := g.ask(remote(g.ann), op, map[string]any{"space": api.Hash{9}}); api.KindOf(err) != api.Refused {
			t.Errorf("%s of a space that is not here: %v", op, err)
		}
		if _, err := g.ask(remote(g.ann), op, nil); err == nil {
			t.Errorf("%s of no space, where there are two, is answered", op)
		}
	}
	if _, err := g.ask(remote(g.eve), "topic.tail", map[string]any{"topic": g.space.String() + "/ledger"}); api.KindOf(err) != api.Refused {
		t.Errorf("topic.tail: %v", err)
	}
	if _, err := g.ask(remote(g.ann, "ledger:read@"+g.space.String()), "ledger.verify", in); err != nil {
		t.Errorf("a scope bound to this space: %v", err)
	}
	for who, want := range map[api.Signer]int{g.ann: 1, g.eve: 0, g.self: 2} {
		if n := len(as[client.SpaceListOut](g, remote(who), "space.list", nil).Spaces); n != want {
			t.Errorf("%s sees %d spaces, want %d", who.DID(), n, want)
		}
	}
	if _, err := g.ask(remote(g.ann), "record.explain", map[string]any{"id": g.space}); err != nil {
		t.Errorf("record.explain: %v", err)
	}
	if _, err := g.ask(remote(g.ann), "record.explain", map[string]any{"id": other.Space}); api.KindOf(err) != api.NotFound {
		t.Errorf("record.explain of a record of another space: %v", err)
	}
	if _, err := g.ask(remote(g.ann, "security:read"), "security.list", nil); api.KindOf(err) != api.Refused {
		t.Errorf("security.list without an operator's scope: %v", err)
	}
	if _, err := g.ask(&api.Call{}, "record.kinds", nil); err != nil {
		t.Errorf("record.kinds is public: %v", err)
	}
}

// Somebody who has nothing but an invitation and a key joins; a node does not follow or dial anything for them.
func TestJoinFromElsewhere(t *testing.T) {
	g := newGreeter(t)
	inv := here[client.SpaceInviteOut](g, "space.invite", nil).Invitation
	in := kernel.PrepareIn{Operation: "space.join", Input: json.RawMessage(fmt.Sprintf(`{"invitation":%q}`, inv))}
	res := g.submitted(g.eve, g.prepare(g.eve, in))
	if res.Outcome != "committed" {
		t.Fatalf("%+v", res)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if len(as[client.SpaceListOut](g, remote(g.eve), "space.list", nil).Spaces) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the registrar's node admits nobody")
		}
	}
	if p := g.prepare(g.eve, in); len(p.Bytes) > 0 || p.Output.(map[string]any)["member"] != true {
		t.Errorf("%+v", p)
	}
	far := newGreeter(t)
	in.Input = json.RawMessage(fmt.Sprintf(`{"invitation":%q}`, here[client.SpaceInviteOut](far, "space.invite", nil).Invitation))
	before := g.mark()
	if _, err := g.ask(remote(g.eve), "record.prepare", withAuth(in, g.eve)); api.KindOf(err) != api.Refused || api.ReasonOf(err).Rule != "not-here" || g.mark() != before {
		t.Errorf("an invitation to a space that is not followed: %v", err)
	}
}

// Tabs of one device that prepare and submit at the same time never fork its feed, and each payment is made once.
func TestTabsOfOneDeviceNeverFork(t *testing.T) {
	g := newGreeter(t)
	const tabs, each = 4, 6
	var all sync.WaitGroup
	for tab := range tabs {
		all.Go(func() {
			for i := range each {
				in := withAuth(g.pay(g.bob, 1), g.ann)
				in.Idempotency = fmt.Sprintf("%d-%d", tab, i)
				out, err := g.ask(remote(g.ann), "record.prepare", in)
				if err != nil {
					t.Error(err)
					return
				}
				for p := out.(*kernel.PrepareOut); ; {
					res, err := g.submit(g.ann, kernel.SubmitIn{
						Records: []string{seal(t, g.ann, p.Bytes)}, Idempotency: p.Idempotency, Operation: in.Operation, Input: in.Input, Auth: in.Auth,
					})
					if err != nil {
						t.Error(err)
						return
					}
					if p = res.Prepared; p == nil {
						break
					}
				}
			}
		})
	}
	all.Wait()
	if b := g.balance(g.ann); b != -tabs*each {
		t.Errorf("balance %d, want %d", b, -tabs*each)
	}
	if odd, err := g.ask(g.local(), "feed.list", map[string]any{"odd": true}); err != nil || !strings.Contains(fmt.Sprintf("%+v", odd), "Feeds:[]") {
		t.Errorf("%+v %v", odd, err)
	}
}
