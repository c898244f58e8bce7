package kernel_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// ticking is notes with a part that can be done in turns, and a reactor that fails as often as it is told to.
type ticking struct {
	notes
	ticks []time.Time
	fails int
}

func (a *ticking) Serve(context.Context, api.Host) error { panic("an inline kernel serves nothing") }

func (a *ticking) Tick(_ context.Context, _ api.Host, now time.Time) error {
	a.ticks = append(a.ticks, now)
	return nil
}

func (a *ticking) React(ctx context.Context, h api.Host, cs []api.Commit) error {
	if a.fails > 0 {
		a.fails--
		return errors.New("not today")
	}
	return a.notes.React(ctx, h, cs)
}

var _ api.Ticker = (*ticking)(nil)

// single is an inline kernel without peers.
type single struct {
	*kernel.Kernel
	app  *ticking
	id   *identity.Identity
	disk *store.Mem
	now  time.Time
	told int
}

func newSingle(t *testing.T) *single {
	t.Helper()
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &single{app: &ticking{notes: notes{ceiling: 100}}, id: id, disk: store.OpenMem(store.Faults{LoseUnsynced: true}), now: time.Unix(1_800_000_000, 0)}
	in := kernel.Inline{Store: s.disk, Committed: func(cs []api.Commit, _ []api.Position) { s.told += len(cs) }}
	s.Kernel, err = kernel.New(kernel.Options{
		Identity: id, Now: func() time.Time { return s.now }, Inline: &in, RateDomain: "rate",
		Apps: []api.App{s.app, oracleApp{"rate", kerneltest.AllowAllOracle("rate")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *single) call(name, in string) (any, error) {
	return s.Call(context.Background(), &api.Call{Actor: s.id.DID(), Signer: s.id.Signer(), Scopes: []string{"*"}}, name, json.RawMessage(in), nil)
}

func TestInlineKernel(t *testing.T) {
	s := newSingle(t)
	ctx := t.Context()
	if err := s.Step(ctx); api.KindOf(err) != api.Invalid {
		t.Errorf("a step before the beginning: %v", err)
	}
	if err := s.Run(ctx); api.KindOf(err) != api.Invalid {
		t.Errorf("run: %v", err)
	}
	if err := s.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(ctx); api.KindOf(err) != api.Invalid {
		t.Errorf("begun twice: %v", err)
	}
	out, err := s.call("notes.write", `{"text":"one"}`)
	if err != nil || s.told != 1 {
		t.Fatalf("%v, %d announced when the call returned", err, s.told)
	}
	space := out.(*api.Receipt).Topic.Space
	s.app.fails = 1
	if err := s.Step(ctx); err != nil || len(s.app.reacted) != 0 {
		t.Fatalf("%v, reacted to %v", err, s.app.reacted)
	}
	s.now = s.now.Add(time.Second)
	if err := s.Step(ctx); err != nil || len(s.app.reacted) != 1 || len(s.app.ticks) != 2 || !s.app.ticks[1].Equal(s.now) {
		t.Fatalf("%v, reacted to %v, ticks %v", err, s.app.reacted, s.app.ticks)
	}
	if err := s.Step(ctx); err != nil || len(s.app.reacted) != 1 {
		t.Errorf("a step without news: %v, %v", err, s.app.reacted)
	}
	if l, err := s.Load(); err != nil || l.RoomRecords+l.Offered+l.Inbox != 0 {
		t.Errorf("%+v, %v", l, err)
	}

	// A disk that fails ends it, and nothing is acknowledged that is not on disk.
	s.disk.Arm(store.Faults{FailSync: 1})
	if _, err := s.call("notes.write", `{"text":"two","space":"`+space.String()+`"}`); err == nil || s.told != 1 {
		t.Errorf("%v, %d announced", err, s.told)
	}
	if err := s.Step(ctx); err == nil {
		t.Error("a step on a broken disk")
	}
}
