package fact

import (
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// told is a Reader of one feed without forks, whose records are numbered in their ids, and of what witnesses have said about it.
type told struct {
	api.Reader
	head, final uint64
	facts       map[api.Hash]map[string]Final // by witness and name
}

var payments = api.Hash{0xf}

func placed(seq uint64) api.Position {
	return api.Position{Feed: payments, Seq: seq, ID: api.Hash{byte(seq)}}
}

func (r told) Fact(feed api.Hash, name string, _ []byte) ([]byte, api.Position, bool) {
	f, ok := r.facts[feed][name]
	return codec.MustMarshal(&f), api.Position{}, ok
}

func (r told) Has(p api.Position) bool                  { return p.Seq <= r.head && p == placed(p.Seq) }
func (r told) Before(a, b api.Position) bool            { return a.Seq <= b.Seq }
func (r told) Final(api.Hash) (p api.Position, ok bool) { return placed(r.final), r.final > 0 }

// TestFinalCitesWhatIsCertified: of four witnesses three are needed, and one may lie. What one alone says is never cited, however far it goes.
func TestFinalCitesWhatIsCertified(t *testing.T) {
	type words struct{ stated, locked uint64 }
	for _, tc := range []struct {
		name        string
		need        uint16
		said        []words
		final       uint64 // as the kernel has it
		want, cited uint64 // 0 for nothing
	}{
		{"all say the same", 3, []words{{5, 5}, {5, 5}, {5, 5}, {5, 5}}, 5, 5, 5},
		{"some are ahead, which takes their words to show", 3, []words{{5, 7}, {6, 7}, {7, 7}, {0, 5}}, 5, 5, 7},
		{"a liar is ahead of what is locked", 3, []words{{5, 5}, {5, 5}, {5, 5}, {9, 9}}, 5, 5, 5},
		{"a liar would make something final that is not locked", 3, []words{{5, 5}, {6, 6}, {0, 6}, {9, 9}}, 5, 0, 0},
		{"two say so, and a liar who says more", 3, []words{{5, 5}, {5, 5}, {0, 0}, {9, 9}}, 0, 0, 0},
		{"nobody says anything", 3, []words{{}, {}, {}, {}}, 0, 0, 0},
		{"a liar names what is not here", 3, []words{{5, 5}, {5, 5}, {5, 5}, {20, 20}}, 5, 5, 5},
		{"a lone witness locks nothing", 1, []words{{8, 0}}, 8, 8, 8},
		{"a lone witness, not yet heard by the kernel", 1, []words{{8, 0}}, 0, 8, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := told{head: 10, final: tc.final, facts: map[api.Hash]map[string]Final{}}
			s := &Space{r: r, epochs: make([]era, 1)}
			for i, w := range tc.said {
				feed := api.Hash{1, byte(i)}
				s.epochs[0].feeds = append(s.epochs[0].feeds, feed)
				r.facts[feed] = map[string]Final{}
				for name, seq := range map[string]uint64{nameFinal: w.stated, nameLock: w.locked} {
					if seq > 0 {
						r.facts[feed][name] = Final{Seq: seq, ID: placed(seq).ID, Accepted: true, Need: tc.need}
					}
				}
			}
			f, cite, ok := s.Final(payments)
			if ok != (tc.want > 0) || f.Seq != tc.want || cite.Seq != tc.cited {
				t.Errorf("final to %d, cited at %d, %t; want %d and %d", f.Seq, cite.Seq, ok, tc.want, tc.cited)
			}
		})
	}
}
