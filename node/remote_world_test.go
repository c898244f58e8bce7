package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/node/config"
)

// greeter is a running node of one co-op whose other members hold their keys elsewhere.
type greeter struct {
	*kernel.Kernel
	t        testing.TB
	self     api.Signer
	space    api.Hash
	ann, bob api.Signer // members
	eve      api.Signer // nobody's member
}

func newGreeter(t testing.TB) *greeter {
	t.Helper()
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Defaults()
	g := &greeter{t: t, self: id.Signer(), ann: identity.Derive("remote", "ann"), bob: identity.Derive("remote", "bob"), eve: identity.Derive("remote", "eve")}
	g.Kernel, err = kernel.New(kernel.Options{
		Store: "mem", Identity: id, Apps: apps(&c), AccessDomain: accessDomain, Logger: slog.New(slog.DiscardHandler), DecisionTTL: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); !g.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node does not start")
		}
	}
	g.space = here[client.SpaceCreateOut](g, "space.create", client.SpaceCreateIn{Name: "Bakers"}).Space
	for _, m := range []api.Signer{g.ann, g.bob} {
		here[client.MemberAddOut](g, "member.add", client.MemberAddIn{DID: m.DID(), Device: m.Device()})
	}
	return g
}

func (g *greeter) local() *api.Call {
	return &api.Call{Actor: g.self.DID(), Signer: g.self, Scopes: []string{"*"}}
}

func remote(who api.Signer, scopes ...string) *api.Call {
	if len(scopes) == 0 {
		scopes = []string{"*"}
	}
	return &api.Call{Actor: who.DID(), Device: who.Device(), Scopes: scopes}
}

func (g *greeter) ask(c *api.Call, op string, in any) (any, error) {
	b, err := json.Marshal(in)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.Call(context.Background(), c, op, b, func(any) error { return nil })
}

func here[Out any](g *greeter, op string, in any) *Out {
	g.t.Helper()
	return as[Out](g, g.local(), op, in)
}

func as[Out any](g *greeter, c *api.Call, op string, in any) *Out {
	g.t.Helper()
	out, err := g.ask(c, op, in)
	if err != nil {
		g.t.Fatalf("%s: %v", op, err)
	}
	b, err := json.Marshal(out)
	typed := new(Out)
	if err == nil {
		err = json.Unmarshal(b, typed)
	}
	if err != nil {
		g.t.Fatalf("%s: %v", op, err)
	}
	return typed
}

// mark is what must not change where nothing may be done: the state, and how many records there are.
func (g *greeter) mark() string {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); !g.quiet(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatal("the node's own witness does not come to an end")
		}
	}
	st := here[kernel.Status](g, "node.status", nil)
	return fmt.Sprint(here[kernel.DigestOut](g, "state.digest", nil).Digest, st.Records, st.Waiting, st.Spaces)
}

// quiet reports whether the node's own witness has said all that it has to say: everything but its own words is final.
func (g *greeter) quiet() bool {
	g.t.Helper()
	for _, f := range here[client.FeedListOut](g, "feed.list", client.FeedListIn{Space: g.space}).Feeds {
		if f.Topic != "finality" && f.Final != f.Seq {
			return false
		}
	}
	return true
}

// untilCut waits until the ledger feed of a member's device is cut.
func (g *greeter) untilCut(who api.Signer) {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		for _, f := range here[client.FeedListOut](g, "feed.list", client.FeedListIn{Space: g.space}).Feeds {
			if f.Device == who.Device() && f.Topic == "ledger" && len(f.Cuts) > 0 && f.Cuts[0].Final {
				return
			}
		}
		if time.Now().After(end) {
			g.t.Fatal("the feed is not cut")
		}
	}
}

func (g *greeter) pay(to api.Signer, amount int64) kernel.PrepareIn {
	return kernel.PrepareIn{
		Operation: "ledger.transfer", Input: json.RawMessage(fmt.Sprintf(`{"to":%q,"currency":"hours","amount":%d,"memo":"bread"}`, to.DID(), amount)),
	}
}

func (g *greeter) prepare(who api.Signer, in kernel.PrepareIn) *kernel.PrepareOut {
	g.t.Helper()
	in.Auth = who.Auth()
	return as[kernel.PrepareOut](g, remote(who), "record.prepare", in)
}

// seal signs what was prepared, as a member's browser does.
func seal(t testing.TB, who api.Signer, bytes []byte) string {
	t.Helper()
	sig, err := who.Sign(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return envelope(t, bytes, sig)
}

func envelope(t testing.TB, bytes, sig []byte) string {
	t.Helper()
	env, err := record.Seal(nil, bytes, sig)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(env.Raw)
}

func (g *greeter) submit(who api.Signer, in kernel.SubmitIn) (*kernel.SubmitResult, error) {
	out, err := g.ask(remote(who), "record.submit", in)
	if err != nil {
		return nil, err
	}
	return &out.(*kernel.SubmitOut).Results[0], nil
}

func (g *greeter) submitted(who api.Signer, p *kernel.PrepareOut) *kernel.SubmitResult {
	g.t.Helper()
	res, err := g.submit(who, kernel.SubmitIn{Records: []string{seal(g.t, who, p.Bytes)}, Idempotency: p.Idempotency})
	if err != nil {
		g.t.Fatal(err)
	}
	return res
}

func (g *greeter) balance(who api.Signer) int64 {
	g.t.Helper()
	for _, b := range here[client.LedgerBalanceOut](g, "ledger.balance", client.LedgerBalanceIn{DID: who.DID()}).Balances {
		return b.Balance
	}
	return 0
}
