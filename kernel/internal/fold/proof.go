package fold

import (
	"maps"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// maxProof bounds how many statements Proof looks at: those of sixteen feeds that have gone hundreds of records beyond the final mark.
const maxProof = 1 << 12

// Proof lists what makes the final mark of a feed final: records whose statements are enough, no more of them, and where they name records beyond the
// mark, those; none when nothing is final. Who stores them and all that they stand on knows the mark final, too. They may lie on branches that nobody
// advertises: a statement counts whatever becomes of the feed on which it stands, and of what is beyond the mark on the branch that it names.
func (r *Reader) Proof(feed api.Hash) []api.Position {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil || f.Final.Seq == 0 {
		return nil
	}
	it, err := r.r.Iter(key(nsFinal, feed[:], be(f.Final.Seq)), upper(key(nsFinal, feed[:])))
	if !r.note(err) {
		return nil
	}
	defer it.Close()
	voices := map[camp]map[api.Hash][2]api.Position{} // which record of a feed supports the mark, and by naming what
	looked := 0
	for ok := it.First(); ok && looked < maxProof; ok = it.Next() {
		looked++
		st, by, err := r.supports(f, it.Key(), it.Value())
		if !r.note(err) {
			return nil
		}
		if by.IsZero() {
			continue
		}
		c := camp{st.Epoch, st.Variant, st.Seal}
		if voices[c] == nil {
			if st.Mark != f.Final {
				continue // only what some statement names becomes the mark, and these come first
			}
			voices[c] = map[api.Hash][2]api.Position{}
		}
		if _, heard := voices[c][st.from]; !heard {
			voices[c][st.from] = [2]api.Position{by, {Feed: feed, Seq: st.Seq, ID: st.ID}}
		}
		if len(voices[c]) >= int(st.Need) {
			return proof(f, voices[c])
		}
	}
	r.note(it.Err())
	return nil
}

// proof lists what supports f's final mark, without doubles.
func proof(f *Feed, voices map[api.Hash][2]api.Position) (ps []api.Position) {
	for _, from := range slices.SortedFunc(maps.Keys(voices), api.Hash.Compare) {
		by, names := voices[from][0], voices[from][1]
		if ps = append(ps, by); names.Seq > f.Final.Seq && !slices.Contains(ps, names) {
			ps = append(ps, names)
		}
	}
	return ps
}

// supports decodes a stored statement about f and returns the record that makes it, zero if it does not name f's final mark or what follows it.
func (r *Reader) supports(f *Feed, k, v []byte) (st stated, by api.Position, err error) {
	if st, err = decodeStated(k, v); err != nil {
		return st, by, err
	}
	if has, err := r.has(api.Position{Feed: f.ID, Seq: st.Seq, ID: st.ID}); err != nil || !has {
		return st, by, err
	}
	if on, err := r.onBranch(f, f.Final.Seq, f.Final.ID, st.Mark); err != nil || !on {
		return st, by, err
	}
	if !st.Seal {
		if off, err := r.sealedOff(st.from, st.seq, st.id); err != nil || off {
			return st, by, err
		}
	}
	err = each(r.r, key(nsRecord, k[73:]), func(k, _ []byte) (bool, error) { // a statement is kept with the beginning of the record's id
		by, _ = parsePos(k[1:])
		return false, nil
	})
	return st, by, err
}
