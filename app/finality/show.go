package finality

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// maxLine bounds the records between a position and what witnesses have named.
const maxLine = 4096

// Show implements fact.Prover.
func (a *App) Show(ctx context.Context, space api.Hash, rows []api.StateRow, final api.Position) (*fact.Shown, error) {
	const op = "certificate.make"
	host, space, err := a.at(op, space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	rr, ok := r.(api.RecordReader)
	prover, folds := host.(api.SectionProver)
	if !ok || !folds {
		return nil, api.Errorf(op, api.Unsupported, "this host does not give records, or proves no state")
	}
	s, c, at, err := pick(op, r, space, 0)
	if err != nil {
		return nil, err
	}
	out := &certificate{}
	want, err := cites(op, r, s, c, at, out)
	if err != nil {
		return nil, err
	}
	marks, err := show(ctx, op, prover, s, c, rows, final)
	if err != nil {
		return nil, err
	}
	top := final
	if !final.IsZero() {
		if out.Marks, top, ok = enough(marks.marks, r, final); !ok {
			return nil, api.Errorf(op, api.Conflict, "checkpoint %d does not show the record to be final: it may be newer than the checkpoint; the registrar makes the next one with `icnctl space checkpoint create`", c.Number)
		}
	}
	if top.Seq-final.Seq > maxLine {
		return nil, api.Errorf(op, api.TooLarge, "%d records lie between the record and what the witnesses have named: at most %d", top.Seq-final.Seq, maxLine)
	}
	if err := out.collect(ctx, rr, s.ID, want, final, top); err != nil {
		return nil, api.Wrap(op, err)
	}
	return &fact.Shown{Certificate: codec.MustMarshal(out), Proofs: marks.rows}, nil
}

// wanted are the records of a certificate by id, and where each belongs.
type wanted map[api.Hash]*[]byte

// cites lists the records that show who the witnesses are and what they have found, and makes room for them.
func cites(op string, r api.Reader, s *fact.Space, c *checkpoint, at api.Position, out *certificate) (wanted, error) {
	want := wanted{at.ID: &out.Checkpoint}
	ws := words(r, s, at)
	slices.SortFunc(ws, func(a, b word) int { return bytes.Compare(a.device[:], b.device[:]) })
	epoch, found := uint64(0), false
	for e := range s.Epochs() {
		var same []word
		for _, w := range ws {
			if w.Epoch == e.Number && w.Digest == c.Digest {
				same = append(same, w)
			}
		}
		if len(same) < int(e.Threshold) {
			continue
		}
		epoch, found = e.Number, true
		out.Checks = make([][]byte, e.Threshold)
		for i := range out.Checks {
			want[same[i].at.ID] = &out.Checks[i]
		}
		break
	}
	if !found {
		return nil, api.Errorf(op, api.NotFound, "no checkpoint of %s stands yet: its registrar makes one with `icnctl space checkpoint create`, and its witnesses sign it", s.Genesis.Name)
	}
	var before fact.Epoch
	var feeds []api.Hash
	out.Turns = make([]passage, epoch)
	for e, fs := range s.Epochs() {
		if e.Number > epoch {
			break
		}
		if e.Number > 0 {
			_, named, _ := s.Named(e.Number)
			t := &out.Turns[e.Number-1]
			want[named.ID] = &t.Epoch
			t.Seals = make([][]byte, before.Threshold)
			n := 0
			for _, w := range feeds { // in the order of their devices
				seal, by, ok := s.Seal(w, e.Number)
				if ok && seal.Next.Position() == named && n < len(t.Seals) {
					want[by.ID] = &t.Seals[n]
					n++
				}
			}
		}
		before, feeds = e, fs
	}
	return want, nil
}

// collect reads the envelopes of the records that are wanted, and of those that lead from a position to another.
func (c *certificate) collect(ctx context.Context, r api.RecordReader, space api.Hash, want wanted, from, to api.Position) error {
	done := errors.New("all are found")
	line := map[api.Hash]*record.Envelope{}
	left := len(want)
	err := r.Envelopes(space, func(raw []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := record.DecodeVerified(raw)
		if err != nil {
			return err
		}
		if at := want[e.ID]; at != nil {
			*at = bytes.Clone(raw)
			left--
		}
		if e.Feed == to.Feed && e.Seq > from.Seq && e.Seq <= to.Seq {
			if e, err = record.DecodeVerified(bytes.Clone(raw)); err != nil {
				return err
			}
			line[e.ID] = e
		}
		if left == 0 && to.Seq == from.Seq { // of a line that has forked there is more than will be asked for
			return done
		}
		return nil
	})
	if err != nil && !errors.Is(err, done) {
		return err
	}
	for id := to.ID; id != from.ID; {
		e := line[id]
		if e == nil {
			return api.Errorf("certificate.make", api.Internal, "record %s is not among those of its feed", id)
		}
		c.Line = append(c.Line, e.Raw)
		id = e.Prev
	}
	slices.Reverse(c.Line)
	return nil
}

// seen is what a section has shown.
type seen struct {
	rows  []api.RowProof
	marks []marked
}

// show folds the checkpoint's view and proves rows of it, and what each witness has first held of the feed of a position at or after that.
func show(ctx context.Context, op string, prover api.SectionProver, s *fact.Space, c *checkpoint, rows []api.StateRow, final api.Position) (*seen, error) {
	all := slices.Clone(rows)
	epochs := map[string]uint64{}
	if !final.IsZero() {
		for e, feeds := range s.Epochs() {
			for _, w := range feeds {
				row := markRow(w, final.Feed, e.Number)
				all = append(all, row)
				epochs[string(row.Feed[:])+string(row.Key)] = e.Number
			}
		}
	}
	sec, proofs, err := prover.ProveSection(ctx, s.ID, c.by(), all, func(value []byte) bool {
		var m mark
		return codec.Unmarshal(value, &m) == nil && m.Seq >= final.Seq
	})
	switch {
	case err != nil:
		return nil, api.Wrap(op, err)
	case len(sec.Open) > 0:
		return nil, api.Errorf(op, api.Unavailable, "position %v is final for the witnesses and not on this node yet: try again when it has caught up", sec.Open[0])
	case sec.Digest != c.Digest:
		return nil, api.Errorf(op, api.Internal, "this node's records do not come to the state of checkpoint %d: see `icnctl space checkpoint verify`", c.Number)
	}
	out := &seen{}
	for _, p := range proofs {
		epoch, is := epochs[string(p.Feed[:])+string(p.Key)]
		if !is || p.App != "finality" {
			out.rows = append(out.rows, p)
			continue
		}
		out.marks = append(out.marks, marked{Witness: p.Feed, Epoch: epoch, Seq: p.Seq, Mark: p.Value, Place: p.Place, Rows: p.Rows, Path: p.Path})
	}
	return out, nil
}

// enough picks as many marks that agree as make a position final, and returns the last position that they name.
func enough(marks []marked, r api.Reader, final api.Position) ([]marked, api.Position, bool) {
	slices.SortFunc(marks, func(a, b marked) int { return a.Witness.Compare(b.Witness) })
	type camp struct {
		epoch, cut uint64
		need       uint16
	}
	camps := map[camp][]marked{}
	for _, m := range marks {
		said := get[mark](m.Mark, true)
		at := api.Position{Feed: final.Feed, Seq: said.Seq, ID: said.ID}
		if said.Need == 0 || !r.Before(final, at) {
			continue
		}
		k := camp{m.Epoch, said.Cut, said.Need}
		if camps[k] = append(camps[k], m); len(camps[k]) < int(said.Need) {
			continue
		}
		top := final
		for _, m := range camps[k] {
			if said := get[mark](m.Mark, true); said.Seq > top.Seq {
				top = api.Position{Feed: final.Feed, Seq: said.Seq, ID: said.ID}
			}
		}
		return camps[k], top, true
	}
	return nil, final, false
}
