package fold

import (
	"context"
	"log/slog"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

const rebuilding = "rebuilding"

// Rebuild throws all derived state away and makes it anew from the records, in the order in which this node committed them, which is a causal
// order. A crash on the way leaves a mark, and Resume begins again.
func (s *State) Rebuild(ctx context.Context) (records int, err error) {
	if len(s.recs) > 0 {
		return 0, api.Errorf("fold.rebuild", api.Internal, "%d records are not committed yet", len(s.recs))
	}
	s.SetMeta(rebuilding, []byte{1})
	s.batch.Delete(key(nsMeta, []byte(MetaJournal))) // places in the journal of before mean nothing in the one to come
	if _, _, err := s.Commit(true); err != nil {
		return 0, err
	}
	for _, ns := range []byte{nsRow, nsCounter, nsIndex, nsFinal, nsVoid, nsHead, nsCut, nsCutter, nsRebase, nsJournal} {
		if err := s.wipe(ns); err != nil {
			return 0, err
		}
	}
	clear(s.feeds)
	clear(s.rows)
	clear(s.counters)
	defer func() { s.replayed = 0 }()
	err = replay(s.st, func(p api.Position, local uint64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.replayed = local
		st, err := s.stored(p)
		if err != nil {
			return err
		}
		if st == nil {
			return api.Errorf("fold.rebuild", api.Internal, "record %v is in the log and not in the store", p)
		}
		if err := s.Put(st.Envelope); err != nil {
			return err
		}
		if records++; records%512 == 0 {
			_, _, err = s.Commit(false)
		}
		return err
	})
	if err != nil {
		return records, err
	}
	s.batch.Delete(key(nsMeta, []byte(rebuilding)))
	_, _, err = s.Commit(true)
	return records, err
}

// Resume finishes a rebuild that a crash cut off.
func (s *State) Resume(ctx context.Context) error {
	if _, cut, err := Meta(s.st, rebuilding); err != nil || !cut {
		return err
	}
	s.log.Warn("a rebuild was cut off; starting it again")
	_, err := s.Rebuild(ctx)
	return err
}

func (s *State) wipe(ns byte) error {
	for {
		n := 0
		err := each(s.st, []byte{ns}, func(k, _ []byte) (bool, error) {
			s.batch.Delete(k)
			n++
			return n < 4096, nil
		})
		if err != nil || n == 0 {
			return err
		}
		if _, _, err := s.Commit(false); err != nil {
			return err
		}
	}
}

// Verify folds all records of a snapshot into an empty scratch store and compares: every verdict, and every app's digest. It also checks that
// each record's stored bytes still hash to its id.
func Verify(ctx context.Context, r store.Reader, scratch store.Store, apps *Apps, log *slog.Logger) (records int, digest api.Hash, problems []string, err error) {
	problem := func(format string, args ...any) {
		if len(problems) < 100 {
			problems = append(problems, api.Errorf("", api.Internal, format, args...).Error())
		}
	}
	s, err := Open(scratch, apps, log)
	if err != nil {
		return 0, digest, nil, err
	}
	v := view{r: r}
	err = replay(r, func(p api.Position, _ uint64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		st, err := v.stored(p)
		switch {
		case err != nil:
			problem("record %v: %v", p, err)
			return nil
		case st == nil:
			problem("record %v is in the log and not in the store", p)
			return nil
		case st.Position() != p:
			problem("record %v: its bytes are those of %v", p, st.Position())
			return nil
		}
		if err := s.Put(st.Envelope); err != nil {
			return err
		}
		if again := s.recs[p]; again.outcome != st.outcome {
			problem("record %v: stored verdict %d, computed %d", p, st.outcome, again.outcome)
		}
		if records++; records%512 == 0 {
			_, _, err = s.Commit(false)
		}
		return err
	})
	if err != nil {
		return records, digest, problems, err
	}
	if _, _, err = s.Commit(false); err != nil {
		return records, digest, problems, err
	}
	digest, have, err := Digest(r, apps)
	if err != nil {
		return records, digest, problems, err
	}
	_, want, err := Digest(scratch, apps)
	if err != nil {
		return records, digest, problems, err
	}
	for i := range have {
		if have[i].Digest != want[i].Digest {
			problem("app %s: state has digest %s, its records give %s", have[i].App, have[i].Digest.Short(), want[i].Digest.Short())
		}
	}
	return records, digest, problems, nil
}
