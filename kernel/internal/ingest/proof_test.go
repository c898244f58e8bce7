package ingest_test

import (
	"fmt"
	"log/slog"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/record"
)

// past returns a record's branch from the feed's beginning, the record included.
func past(by map[api.Hash]*record.Envelope, e *record.Envelope) (es []*record.Envelope) {
	if e.Seq > 1 {
		es = past(by, by[e.Prev])
	}
	return append(es, e)
}

// TestProofIsEnough: who has a feed's final position and the records that Proof names, each with its branch, knows it final, whatever is forked: the
// feed, and the feeds that state. No statement is named that is not needed.
func TestProofIsEnough(t *testing.T) {
	const need = 3
	open := func(t *testing.T) *node {
		n := newNode(t)
		n.need = need
		n.open(t)
		return n
	}
	g := genesis(t)
	proved := 0
	rapid.Check(t, func(r *rapid.T) {
		by := map[api.Hash]*record.Envelope{}
		grow := func(prev *record.Envelope, topic, kind, who string, body []byte) *record.Envelope {
			rec := &api.Record{Topic: api.Topic{Space: g.Topic.Space, Name: topic}, Seq: 1, Kind: kind, Time: api.Timestamp(len(by)), Body: body}
			if prev != nil {
				rec.Seq, rec.Prev = prev.Seq+1, prev.ID
			}
			e := mustSign(t, rec, newSigner(who))
			by[e.ID] = e
			return e
		}
		all := []*record.Envelope{g}
		var subject []*record.Envelope
		for i := range rapid.IntRange(1, 8).Draw(r, "records") {
			var prev *record.Envelope
			if i > 0 {
				prev = subject[max(0, i-1-rapid.IntRange(0, 2).Draw(r, "back"))]
			}
			subject = append(subject, grow(prev, "toy", "add", "subject", []byte{byte(i + 20)}))
		}
		all = append(all, subject...)
		for w := range 5 {
			var said []*record.Envelope
			for range rapid.IntRange(0, 4).Draw(r, "statements") {
				var prev *record.Envelope
				if n := len(said); n > 0 {
					prev = said[max(0, n-1-rapid.IntRange(0, 1).Draw(r, "forks"))]
				}
				p := subject[rapid.IntRange(0, len(subject)-1).Draw(r, "states")]
				said = append(said, grow(prev, "say", "final", fmt.Sprint("witness ", w), codec.MustMarshal([]final{{Feed: p.Feed[:], Seq: p.Seq, ID: p.ID[:]}})))
			}
			all = append(all, said...)
		}
		n := open(t)
		defer n.st.Close()
		n.ingest(t, all...)
		feed := subject[0].Feed
		want, ok := n.final(feed)
		proof := n.proof(feed)
		if !ok {
			if len(proof) > 0 {
				r.Fatalf("nothing is final, and %v proves it", proof)
			}
			return
		}
		proved++
		words := 0
		for _, p := range proof {
			if p.Feed != feed {
				words++
			}
		}
		if words != need {
			r.Fatalf("%d statements prove that %v is final, want %d", words, want, need)
		}
		m := open(t)
		defer m.st.Close()
		m.ingest(t, g)
		m.ingest(t, past(by, by[want.ID])...)
		for _, p := range proof {
			m.ingest(t, past(by, by[p.ID])...)
		}
		if got, _ := m.final(feed); got != want {
			r.Fatalf("with the proof %v is final, want %v", got, want)
		}
	})
	if proved == 0 {
		t.Error("no history made anything final: the test no longer tests")
	}
}

func (n *node) final(feed api.Hash) (api.Position, bool) {
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.Final(feed)
}

func (n *node) proof(feed api.Hash) []api.Position {
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.Proof(feed)
}
