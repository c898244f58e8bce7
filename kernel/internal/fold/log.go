package fold

import (
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// The log is the order in which this node committed records: local numbers from 1 without gaps. A row holds the positions of up to logRow records of one
// commit, one after the other, under the number of the first: a row for each record would cost a busy node a tenth of what it writes.
const logRow = 64

// putLog writes the positions that got the numbers before s.next since the last commit.
func (s *State) putLog() {
	first := s.next - uint64(len(s.logged))
	for ps := range slices.Chunk(s.logged, logRow) {
		val := make([]byte, 0, len(ps)*positionSize)
		for _, p := range ps {
			val = appendPos(val, p)
		}
		s.batch.Set(key(nsLog, be(first)), val)
		first += uint64(len(ps))
	}
	s.logged = s.logged[:0]
}

// logged is a row of the log: the number of its first record, and the positions.
func logged(k, v []byte) (first uint64, ps []byte, err error) {
	if len(k) != 9 || len(v) == 0 || len(v)%positionSize != 0 {
		return 0, nil, api.Errorf("fold.log", api.Internal, "log entry %x is damaged", k)
	}
	return binary.BigEndian.Uint64(k[1:]), v, nil
}

func posAt(ps []byte, i uint64) api.Position {
	p, _ := parsePos(ps[i*positionSize : (i+1)*positionSize])
	return p
}

// LastLocal returns the number of the record that this node committed last: since the numbers have no gaps, the number of records.
func LastLocal(r store.Reader) (uint64, error) {
	it, err := r.Iter([]byte{nsLog}, []byte{nsLog + 1})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Err()
	}
	first, ps, err := logged(it.Key(), it.Value())
	return first + uint64(len(ps)/positionSize) - 1, err
}

// logAt returns the position of the record with a local number.
func logAt(r store.Reader, n uint64) (p api.Position, ok bool, err error) {
	it, err := r.Iter([]byte{nsLog}, key(nsLog, be(n+1)))
	if err != nil {
		return p, false, err
	}
	defer it.Close()
	if !it.Last() {
		return p, false, it.Err()
	}
	first, ps, err := logged(it.Key(), it.Value())
	if err != nil || n-first >= uint64(len(ps)/positionSize) {
		return p, false, err
	}
	return posAt(ps, n-first), true, nil
}

// eachLogged visits the records after local number from, oldest first, until fn has enough.
func eachLogged(r store.Reader, from uint64, fn func(p api.Position, local uint64) (bool, error)) error {
	it, err := r.Iter([]byte{nsLog}, []byte{nsLog + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	ok := it.SeekLT(key(nsLog, be(from+1)))
	if !ok {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		first, ps, err := logged(it.Key(), it.Value())
		if err != nil {
			return err
		}
		for i := range uint64(len(ps) / positionSize) {
			if first+i <= from {
				continue
			}
			if more, err := fn(posAt(ps, i), first+i); err != nil || !more {
				return err
			}
		}
	}
	return it.Err()
}

// replay visits all records, oldest first.
func replay(r store.Reader, fn func(p api.Position, local uint64) error) error {
	return eachLogged(r, 0, func(p api.Position, local uint64) (bool, error) { return true, fn(p, local) })
}

// eachLoggedBack visits all records, newest first, until fn has enough.
func eachLoggedBack(r store.Reader, fn func(p api.Position) (more bool)) error {
	it, err := r.Iter([]byte{nsLog}, []byte{nsLog + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		_, ps, err := logged(it.Key(), it.Value())
		if err != nil {
			return err
		}
		for i := len(ps) / positionSize; i > 0; i-- {
			if !fn(posAt(ps, uint64(i-1))) {
				return nil
			}
		}
	}
	return it.Err()
}

// Log returns up to n positions committed on this node after local number from, and the number of the last.
func (r *Reader) Log(from uint64, n int) (ps []api.Position, last uint64) {
	last = from
	r.note(eachLogged(r.r, from, func(p api.Position, local uint64) (bool, error) {
		if len(ps) < n {
			ps, last = append(ps, p), local
		}
		return len(ps) < n, nil
	}))
	return ps, last
}

// LogEnd returns the newest local number.
func (r *Reader) LogEnd() uint64 {
	n, err := LastLocal(r.r)
	r.note(err)
	return n
}

// LastOf returns the n records of a topic that this node committed last, oldest first.
func (r *Reader) LastOf(t api.Topic, n int) []api.Position {
	var ps []api.Position
	if n <= 0 {
		return nil
	}
	r.note(eachLoggedBack(r.r, func(p api.Position) bool {
		if ft, ok := r.Topic(p.Feed); ok && ft == t {
			ps = append(ps, p)
		}
		return len(ps) < n
	}))
	slices.Reverse(ps)
	return ps
}

// Number returns the local number of a stored record: those committed before it have lower ones.
func (r *Reader) Number(p api.Position) (uint64, bool) {
	b, ok, err := r.r.Get(key(nsID, p.ID[:]))
	if !r.note(err) || !ok || len(b) != 8 || !r.Stored(p) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
