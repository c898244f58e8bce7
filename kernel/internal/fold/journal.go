package fold

import (
	"bytes"
	"encoding/binary"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// The journal says what commits changed beside adding records: what became final, what lost its effect and what has it again. Together with the log,
// which says what was added, it is all that happened on this node, in order, and it lies in the same batch as what it tells of. Whoever has read
// as far as a place finds the rest after any crash.

// ChangeKind says what changed.
type ChangeKind byte

// The kinds of changes. Their bytes are stored.
const (
	Final    ChangeKind = 'f' // of the branch that ends At, all from From on is final
	Undone   ChangeKind = 'u' // the record At has no effect any more
	Done     ChangeKind = 'd' // the record At has effect, which it had not when it came, or had lost
	Forked   ChangeKind = 'k' // At is the second record of its place: the feed is forked there
	Rivalled ChangeKind = 'r' // At is as final as another branch of its feed
	Cut      ChangeKind = 'c' // a cut that ends the feed At counts for everybody
)

// Change is one entry of the journal. It stands after the record with the local number Number, as the Index-th, from 1.
type Change struct {
	Number uint64
	Index  uint32
	Kind   ChangeKind
	At     api.Position
	From   uint64 // of Final only
}

// MetaJournal is the name of the value that names this node's journal; see kernel. A rebuild makes another journal.
const MetaJournal = "journal"

const (
	changeSize = 1 + 8 + positionSize
	journalRow = 512 // changes in a row
)

// arrived notes how the accepted record at p came when its feed is forked or cut: what move has noted of it since the change first is no news
// when that is only that it has effect.
func (s *State) arrived(p api.Position, local uint64, first int) {
	if news := s.changes[first:]; len(news) > 0 && news[0].Kind == Done && news[0].At == p {
		s.changes = append(s.changes[:first], news[1:]...)
		return
	}
	s.late = append(s.late, local)
}

func journalKey(number uint64, index uint32) []byte {
	return binary.BigEndian.AppendUint32(key(nsJournal, be(number)), index)
}

// putJournal writes what changed since the last commit, under the last record of that time.
func (s *State) putJournal() {
	last := s.next - 1
	if s.replayed != 0 {
		last = s.replayed
	}
	for _, n := range s.late {
		s.batch.Set(journalKey(n, 0), nil)
	}
	for i := 0; i < len(s.changes); i += journalRow {
		row := s.changes[i:min(i+journalRow, len(s.changes))]
		val := make([]byte, 0, len(row)*changeSize)
		for _, c := range row {
			val = binary.BigEndian.AppendUint64(append(val, byte(c.Kind)), c.From)
			val = appendPos(val, c.At)
		}
		s.batch.Set(journalKey(last, uint32(i+1)), val)
	}
	if s.began {
		s.batch.Set(journalKey(0, 0), nil)
	}
	s.changes, s.late, s.began = s.changes[:0], s.late[:0], false
}

// JournalWhole reports whether the journal goes back to the first record: in a store that an earlier version has begun it does not.
func JournalWhole(r store.Reader) (bool, error) {
	if _, ok, err := r.Get(journalKey(0, 0)); err != nil || ok {
		return ok, err
	}
	n, err := LastLocal(r)
	return n == 0, err
}

// Changes returns up to most changes, from the index-th of a local number on and up to those of the local number to, in order, and the local
// numbers in between of records that had no effect when they came.
func (r *Reader) Changes(number uint64, index uint32, to uint64, most int) (changes []Change, late map[uint64]bool, more bool) {
	late = map[uint64]bool{}
	it, err := r.r.Iter(journalKey(number, 0), journalKey(to+1, 0))
	if !r.note(err) {
		return nil, late, false
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != 13 || len(v)%changeSize != 0 {
			r.note(api.Errorf("fold.journal", api.Internal, "journal entry %x is damaged", k))
			return changes, late, false
		}
		n, first := binary.BigEndian.Uint64(k[1:]), binary.BigEndian.Uint32(k[9:])
		if first == 0 {
			late[n] = true
			continue
		}
		for i := range uint32(len(v) / changeSize) {
			if n == number && first+i < index {
				continue
			}
			if len(changes) == most {
				return changes, late, true
			}
			e := v[i*changeSize:][:changeSize]
			at, _ := parsePos(bytes.Clone(e[9:]))
			changes = append(changes, Change{Number: n, Index: first + i, Kind: ChangeKind(e[0]), From: binary.BigEndian.Uint64(e[1:]), At: at})
		}
	}
	r.note(it.Err())
	return changes, late, false
}

// Told returns a stored record as it was folded when it came: accepted, or void with a reason. Whether it has effect now is Record's to say.
func (r *Reader) Told(p api.Position) (rec *api.Record, accepts bool, why *api.Reason, ok bool) {
	st, err := r.stored(p)
	if !r.note(err) || st == nil {
		return nil, false, nil, false
	}
	f, err := r.feed(p.Feed)
	if !r.note(err) || f == nil {
		return nil, false, nil, false
	}
	st.Author = f.Author
	if why = st.reason; why != nil && r.apps != nil {
		why = r.apps.Advise(why)
	}
	return st.Record, st.outcome == accepted, why, true
}

// As is the same snapshot for another app; Close closes both.
func (r *Reader) As(app string) *Reader {
	o := *r
	o.app = app
	return &o
}

// At returns the newest row of the app that a position's feed had Put under key at it, as Apply of a record that cites it reads it.
func (r *Reader) At(p api.Position, k []byte) ([]byte, bool) {
	f, err := r.feed(p.Feed)
	if !r.note(err) || f == nil || p.Seq == 0 {
		return nil, false
	}
	v, _, ok, err := r.lookup(f, rowName(nil, classPut, "", k), Mark{p.Seq, p.ID})
	return v, r.note(err) && ok
}
