package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// A position that the witnesses hold final may be final as void: it lies beyond a cut that they have taken into account. Its rows are there still, for it was
// accepted by what its own past said, and they are no money. Whether it stands follows from two numbers on which the witnesses who are needed agree: how many
// cuts of the feed they know, and how many the feed itself had taken into account there. What one of them says of the verdict would not do: it may lie.

// certain returns the newest position of d's feed, at or before d, that the cited words of witnesses show to be final and to stand: where they hold it final
// with no cut beyond those it stands on, or where a cited cut that is final has left it.
func (f *fold) certain(views, cuts []api.Position, d api.Position) (at api.Position, ok bool) {
	if last, final := fact.FinalWithin(f, views, d); final {
		p := last.Position(d.Feed)
		if last.Cut <= fact.Number(f.At(p, rowCut(d.Feed))) {
			at = p
		}
	}
	for _, k := range cuts {
		if c, final := f.cutAt(views, k, d.Feed); final && c.At.Seq > at.Seq && f.Within(c.At.Position(d.Feed)) {
			at = c.At.Position(d.Feed)
		}
	}
	return at, at.Seq > 0
}

// cutAt returns the newest cut of a feed that the registrar's feed shows at or before k, as far as the cited words of witnesses hold that final. A registrar's
// feed itself is cut only when another takes the place of a silent one; what is final of it with that in account may be void, and the new one's feed says it.
func (f *fold) cutAt(views []api.Position, k api.Position, feed api.Hash) (fact.Cut, bool) {
	last, final := fact.FinalWithin(f, views, k)
	if !final || last.Cut > 0 {
		return fact.Cut{}, false
	}
	return fact.CutAt(f, last.Position(k.Feed), feed)
}

// shown is how far a feed is final and stands, as a record can show it that cites both cite and the newest words of the witnesses.
type shown struct {
	at   api.Position
	cite []api.Position // of the feed, and the cut if it takes one to show it
}

// certain returns how far a feed is final and stands by what this node has.
func certain(r api.Reader, s *fact.Space, feed api.Hash) (sh shown, ok bool) {
	f, cite, ok := s.Final(feed)
	if !ok {
		return shown{}, false
	}
	sh = shown{at: f.Position(feed), cite: []api.Position{cite}}
	if b, by, known := r.Own(feed, rowCut(feed)); by.Seq <= f.Seq && f.Cut <= fact.Number(b, known) {
		return sh, true
	}
	c, by, ok := finalCut(s, feed)
	if sh.at = c.At.Position(feed); !ok || !r.Before(sh.at, cite) {
		return shown{}, false
	}
	sh.cite = append(sh.cite, by)
	return sh, true
}

// finalCut returns the newest cut of a feed once it is final, and where to cite it.
func finalCut(s *fact.Space, feed api.Hash) (c fact.Cut, cite api.Position, ok bool) {
	c, by, ok := s.Cut(feed)
	if !ok {
		return c, cite, false
	}
	f, cite, ok := s.Final(s.Cutter())
	return c, cite, ok && f.Cut == 0 && (by.Feed != cite.Feed || f.Seq >= by.Seq)
}
