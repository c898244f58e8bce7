package app

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// node runs the standard apps for one member.
type node struct {
	t    *testing.T
	m    *kerneltest.Model
	apps []api.App
	self api.Signer
}

func newNode(t *testing.T, self string) *node {
	n := &node{t: t, apps: Standard(Options{}), self: kerneltest.Signer(self)}
	n.m = kerneltest.NewModel(n.apps...)
	n.m.SetSelf(n.self)
	return n
}

func (n *node) operations() map[string]api.Operation {
	ops := map[string]api.Operation{}
	for _, a := range n.apps {
		if p, ok := a.(api.OperationProvider); ok {
			for _, op := range p.Operations() {
				ops[op.Name] = op
			}
		}
	}
	return ops
}

func do[Out any](n *node, name string, in any) *Out {
	n.t.Helper()
	op, ok := n.operations()[name]
	if !ok {
		n.t.Fatalf("no operation %q", name)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		n.t.Fatal(err)
	}
	v, err := op.Decode(raw)
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := op.Do(context.Background(), &api.Call{Actor: n.self.DID(), Signer: n.self, Scopes: []string{"*"}}, v, nil)
	if err != nil {
		n.t.Fatalf("%s: %v", name, err)
	}
	if err := n.m.React(); err != nil {
		n.t.Fatal(err)
	}
	return out.(*Out)
}

// exchange brings all records of each node to each other until nothing is new.
func exchange(t *testing.T, nodes ...*node) {
	t.Helper()
	for moved := true; moved; {
		moved = false
		for _, from := range nodes {
			for _, to := range nodes {
				before := len(to.m.Records())
				for _, rec := range from.m.Records() {
					if _, err := to.m.Deliver(rec); err != nil {
						t.Fatal(err)
					}
				}
				if err := to.m.React(); err != nil {
					t.Fatal(err)
				}
				moved = moved || len(to.m.Records()) != before
			}
		}
	}
}

// Three nodes found a co-op, join it, pay, and agree: the story of `make demo`, without a network.
func TestStory(t *testing.T) { synctest.Test(t, story) }

func story(t *testing.T) {
	ann, bob, carol := newNode(t, "ann"), newNode(t, "bob"), newNode(t, "carol")
	nodes := []*node{ann, bob, carol}
	do[membership.CreateOut](ann, "space.create", membership.CreateIn{Name: "Bakers"})
	invitation := do[membership.InviteOut](ann, "space.invite", membership.InviteIn{Uses: 2}).Invitation
	for _, n := range nodes[1:] {
		done := make(chan error, 1)
		go func() {
			_, err := n.operations()["space.join"].Do(t.Context(), &api.Call{Actor: n.self.DID(), Signer: n.self}, &membership.JoinIn{Invitation: invitation}, nil)
			done <- err
		}()
		for range 3 { // the genesis comes, the join goes, the admission comes; it waits in between
			synctest.Wait()
			exchange(t, nodes...)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	show := do[membership.ShowOut](bob, "space.show", membership.ShowIn{})
	if show.Members != 3 || show.Name != "Bakers" {
		t.Fatalf("bob sees %+v", show)
	}
	pay := func(from, to *node, amount int64) *ledger.TransferOut {
		t.Helper()
		out := do[ledger.TransferOut](from, "ledger.transfer", ledger.TransferIn{To: to.self.DID(), Currency: "hours", Amount: amount})
		exchange(t, nodes...)
		return out
	}
	pay(ann, bob, 10000)
	pay(bob, carol, 20000) // his line and what ann paid, which is final by now
	if out := pay(carol, ann, 5000); out.Balance != 15000 || out.Available != 25000 {
		t.Errorf("carol: %+v", out)
	}
	for _, n := range nodes {
		for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{}).Entries {
			if !e.Final {
				t.Errorf("a transfer of %d is not final", e.Amount)
			}
		}
		if v := do[ledger.VerifyOut](n, "ledger.verify", ledger.VerifyIn{}); !v.OK || v.Currencies[0].Accounts != 3 {
			t.Errorf("the books: %+v", v)
		}
		for _, a := range n.apps {
			if name := a.Info().Name; n.m.Digest(name) != ann.m.Digest(name) {
				t.Errorf("%s: two nodes, two states", name)
			}
		}
	}
}

// The table of operations is complete and without clashes: all edges are made from it. Only logins and the keys of members elsewhere, which are for programs
// elsewhere, have no words on the command line; and only what leads to a login, or asks for the root key's signature itself, is for everybody.
func TestOperations(t *testing.T) {
	ops := newNode(t, "ann").operations()
	for _, name := range strings.Fields("space.create space.list space.show space.invite space.join member.list member.add " +
		"ledger.transfer ledger.balance ledger.history ledger.void ledger.grant ledger.verify") {
		if _, ok := ops[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	places := map[string]string{}
	public := map[string]bool{"auth.challenge": true, "auth.verify": true, "auth.refresh": true, "auth.pair": true, "auth.claim": true, "key.own": true}
	for name, op := range ops {
		if (op.Scope == api.ScopePublic) != public[name] {
			t.Errorf("%s has the scope %s", name, op.Scope)
		}
		elsewhere := strings.HasPrefix(name, "auth.") || name == "key.own" || name == "key.publish"
		if op.Do == nil || op.In == nil || op.Out == nil || op.Summary == "" || op.Scope == "" || op.Method == "" || !strings.HasPrefix(op.Path, "/") || (op.CLI == "") != elsewhere {
			t.Errorf("%s is incomplete", name)
		}
		for _, place := range []string{op.Method + " " + op.Path, "cli " + cmp.Or(op.CLI, name)} {
			if other, dup := places[place]; dup {
				t.Errorf("%s and %s are both at %s", name, other, place)
			}
			places[place] = name
		}
	}
}
