package ingest_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/record"
)

// R12: copies, records of other devices at the same place, and second records that the device has not signed fork nothing.
func TestR12_CopiesAndClaimsForkNothing(t *testing.T) {
	g := genesis(t)
	ann := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	one, two := ann.next(1), ann.next(2)
	other := (&chain{t: t, s: newSigner("bob"), space: g.Topic.Space}).next(4)
	rival := func() *record.Envelope { // at ann's second place, as if by her, sealed by another key
		fake := &chain{t: t, s: ann.s, space: ann.space, last: one}
		e := fake.next(8)
		sig, err := newSigner("eve").Sign(e.Signed)
		if err != nil {
			t.Fatal(err)
		}
		if e, err = record.Seal(e.Record, e.Signed, sig); err != nil {
			t.Fatal(err)
		}
		return e
	}()
	s, n, stop := serve(t, func(api.Hash) bool { return true })
	defer stop()
	for _, origin := range []ingest.Origin{{Peer: "relay"}, {Peer: "relay", Solicited: true}} {
		s.Submit(t.Context(), [][]byte{g.Raw, one.Raw, two.Raw, other.Raw, rival.Raw, two.Raw, bytes.Clone(one.Raw)}, origin)
	}
	err := s.Do(t.Context(), func(e *ingest.Engine) error {
		for _, env := range []*record.Envelope{one, other} {
			f, err := e.State.Feed(env.Feed)
			if err != nil {
				return err
			}
			if f == nil || f.Fork != 0 {
				t.Errorf("feed of %v: %+v, want it there and not forked", env.Author, f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.total("total"); got != 7 {
		t.Errorf("total %d, want 7", got)
	}
}

// R14: a record counts for who signed it, at every place of its feed, whoever brings it and whatever is claimed beside its bytes.
func TestR14_CountsForItsSigner(t *testing.T) {
	g := genesis(t)
	ann := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	n := newNode(t)
	var authors []api.DID
	n.e.Committed = func(events []ingest.Event, _ []api.Position) {
		for _, e := range events {
			authors = append(authors, e.Record.Author)
		}
	}
	relay := newSigner("relay").did
	var items []ingest.Item
	for i, e := range []*record.Envelope{g, ann.next(1), ann.next(2)} {
		again, err := record.Decode(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			again.Author = relay
		}
		items = append(items, ingest.Item{Envelope: again, Origin: ingest.Origin{Peer: relay}})
	}
	if err := n.e.Process(items); err != nil {
		t.Fatal(err)
	}
	if want := []api.DID{newSigner("founder").did, ann.s.did, ann.s.did}; !slices.Equal(authors, want) {
		t.Errorf("authors %v, want %v", authors, want)
	}
	r := fold.NewReader(n.st, "toy", n.e.Log)
	defer r.Close()
	if rec, _, ok := r.Record(ann.last.Position()); !ok || rec.Author != ann.s.did {
		t.Errorf("stored: %+v", rec)
	}
}
