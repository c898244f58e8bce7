package fold

import (
	"context"
	"log/slog"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// maxOpen bounds the positions that a section names as not final here.
const maxOpen = 16

// Section folds a section of a space (api.SectionHost) by itself in an empty store, which scratch opens and it closes, and proves rows of what it comes
// to. Two passes over the log of all records: backwards, to see what the section stands on, and forwards, to fold it.
func Section(
	ctx context.Context, r store.Reader, scratch func() (store.Store, error), apps *Apps, log *slog.Logger, space api.Hash, by []api.Position, rows []api.StateRow,
	first func(value []byte) bool,
) (*api.Section, []api.RowProof, error) {
	s := &section{view: view{r: r}, log: log, parts: map[api.Hash]*part{}, by: map[api.Hash]limit{}}
	for _, p := range by {
		if err := s.hear(p); err != nil {
			return nil, nil, err
		}
	}
	open, err := s.marks(ctx, space)
	if err != nil || len(open) > 0 {
		return &api.Section{Open: open}, nil, err
	}
	if err := s.close(ctx); err != nil {
		return nil, nil, err
	}
	st, err := scratch()
	if err != nil {
		return nil, nil, err
	}
	defer st.Close()
	return s.fold(ctx, st, apps, rows, first)
}

// section is a set of records that holds with each what it stands on.
type section struct {
	view
	log   *slog.Logger
	parts map[api.Hash]*part
	by    map[api.Hash]limit // whose statements count, and up to where
}

// part is what a section has of one feed: all up to a place, and above a fork single records.
type part struct {
	fork uint64 // lowest seq with two records, 0 for none
	top  uint64
	ids  map[api.Hash]bool
}

// limit is up to where a feed's statements count. Of a forked feed ids are those of the branch, by seq.
type limit struct {
	Mark
	fork uint64
	ids  map[uint64]api.Hash
}

// hear lets the statements of a feed up to p count.
func (s *section) hear(p api.Position) error {
	has, err := s.has(p)
	if err == nil && !has {
		err = api.Errorf("section.fold", api.NotFound, "record %v is not on this node (yet)", p)
	}
	if err != nil {
		return err
	}
	f, err := s.feed(p.Feed)
	if err != nil {
		return err
	}
	l := limit{Mark: Mark{p.Seq, p.ID}, fork: f.Fork}
	if f.Fork != 0 && p.Seq >= f.Fork {
		l.ids = map[uint64]api.Hash{}
		for m := l.Mark; m.Seq >= f.Fork; {
			l.ids[m.Seq] = m.ID
			if m, err = s.ancestor(p.Feed, m, m.Seq-1); err != nil {
				return err
			}
		}
	}
	s.by[p.Feed] = l
	return s.want(p)
}

// counts reports whether a statement was made by one that is heard.
func (s *section) counts(st *stated) bool {
	l, ok := s.by[st.from]
	if !ok || st.seq > l.Seq {
		return false
	}
	if l.fork == 0 || st.seq < l.fork {
		return true
	}
	id := l.ids[st.seq]
	return [8]byte(id[:8]) == st.id
}

// marks finds what is final of each feed of the space by those who are heard, and wants it. A seal that others have made since plays no part: it
// would make the section depend on more than is named. What is not final here as well is open.
func (s *section) marks(ctx context.Context, space api.Hash) (open []api.Position, err error) {
	it, err := s.r.Iter([]byte{nsFinal}, []byte{nsFinal + 1})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok && len(open) < maxOpen; ok = it.SeekGE(upper(it.Key()[:33])) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := api.Hash(it.Key()[1:33])
		f, err := s.feed(id)
		if err != nil {
			return nil, err
		}
		if f != nil && f.Topic.Space != space {
			continue
		}
		m, final, err := s.mark(id, f)
		if err != nil {
			return nil, err
		}
		p := api.Position{Feed: id, Seq: m.Seq, ID: m.ID}
		switch {
		case m.Seq == 0:
		case !final:
			open = append(open, p)
		default:
			if err := s.want(p); err != nil {
				return nil, err
			}
		}
	}
	return open, it.Err()
}

// mark is what those who are heard make final of a feed, nil when nothing of it is stored, and whether it is so here. Statements about what is not
// stored are on other branches than those that are, or further on: where they are enough by themselves, something is missing here.
func (s *section) mark(id api.Hash, f *Feed) (m Mark, final bool, err error) {
	it, err := s.r.Iter(key(nsFinal, id[:]), upper(key(nsFinal, id[:])))
	if err != nil {
		return m, false, err
	}
	defer it.Close()
	known, missing := newTally(), newTally()
	var said []stated // of a forked feed: a branch is looked for among all
	for ok := it.Last(); ok; ok = it.Prev() {
		st, err := decodeStated(it.Key(), it.Value())
		if err != nil {
			return m, false, err
		}
		if st.Seal || !s.counts(&st) {
			continue
		}
		has, err := s.has(api.Position{Feed: id, Seq: st.Seq, ID: st.ID})
		switch {
		case err != nil:
			return m, false, err
		case !has:
			if missing.enough(&st) {
				return st.Mark, false, nil
			}
		case f.Fork != 0:
			said = append(said, st)
		case known.enough(&st):
			final, err := s.isFinal(api.Position{Feed: id, Seq: st.Seq, ID: st.ID})
			return st.Mark, final, err
		}
	}
	if err := it.Err(); err != nil || len(said) == 0 {
		return m, false, err
	}
	slices.Reverse(said)
	if m, _, err = s.supportedBranch(f, said); err == nil && m.Seq > 0 {
		final, err = s.isFinal(api.Position{Feed: id, Seq: m.Seq, ID: m.ID})
	}
	return m, final, err
}

// want adds a record to the section.
func (s *section) want(p api.Position) error {
	pt := s.parts[p.Feed]
	if pt == nil {
		f, err := s.feed(p.Feed)
		if err != nil {
			return err
		}
		if f == nil {
			return api.Errorf("section.fold", api.Internal, "record %v is cited and not in the store", p)
		}
		pt = &part{fork: f.Fork}
		s.parts[p.Feed] = pt
	}
	if pt.fork == 0 || p.Seq < pt.fork {
		pt.top = max(pt.top, p.Seq)
		return nil
	}
	if pt.ids == nil {
		pt.ids = map[api.Hash]bool{}
	}
	pt.ids[p.ID] = true
	return nil
}

func (s *section) wants(p api.Position) bool {
	pt := s.parts[p.Feed]
	return pt != nil && (p.Seq <= pt.top || pt.ids[p.ID])
}

// read returns a record of the section.
func (s *section) read(p api.Position) (*Stored, error) {
	st, err := s.stored(p)
	if err == nil && (st == nil || st.Position() != p) {
		err = api.Errorf("section.fold", api.Internal, "record %v is in the log and not in the store", p)
	}
	return st, err
}

// close adds all that the section stands on. Newest first, whoever cites a record comes before it.
func (s *section) close(ctx context.Context) (err error) {
	e := eachLoggedBack(s.r, func(p api.Position) bool {
		if err = ctx.Err(); err != nil || !s.wants(p) {
			return err == nil
		}
		var st *Stored
		if st, err = s.read(p); err != nil {
			return false
		}
		if p.Seq > 1 {
			err = s.want(api.Position{Feed: p.Feed, Seq: p.Seq - 1, ID: st.Prev})
		}
		for i := 0; err == nil && i < len(st.Deps); i++ {
			err = s.want(st.Deps[i])
		}
		return err == nil
	})
	if err == nil {
		err = e
	}
	return err
}

func (s *section) fold(ctx context.Context, scratch store.Store, apps *Apps, rows []api.StateRow, first func([]byte) bool) (*api.Section, []api.RowProof, error) {
	state, err := Open(scratch, apps, slog.New(slog.DiscardHandler)) // forks have been told of
	if err != nil {
		return nil, nil, err
	}
	out := &api.Section{}
	err = replay(s.r, func(p api.Position, _ uint64) error {
		if err := ctx.Err(); err != nil || !s.wants(p) {
			return err
		}
		st, err := s.read(p)
		if err != nil {
			return err
		}
		if err := state.Put(st.Envelope); err != nil {
			return err
		}
		if again := state.recs[p]; again.outcome != st.outcome {
			return api.Errorf("section.fold", api.Internal, "record %v: stored verdict %d, computed %d; run `icnctl state verify`", p, st.outcome, again.outcome)
		}
		if out.Records++; out.Records%512 == 0 {
			_, _, err = state.Commit(false)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if _, _, err := state.Commit(false); err != nil {
		return nil, nil, err
	}
	all, digests, proofs, err := prove(scratch, apps, rows, first)
	if err != nil {
		return nil, nil, err
	}
	out.Digest = all
	for _, d := range digests {
		out.Apps = append(out.Apps, api.StateDigest{App: d.App, Digest: d.Digest})
	}
	return out, proofs, nil
}
