package store

import (
	"bytes"
	"context"
	"slices"
	"sync"
)

// getAt returns the value of a key as of version v, which is the caller's, or nil.
func (p *postgres) getAt(v int64, key []byte) (value []byte, err error) {
	name := valueName(key)
	if e := p.cache.look(name, v); e != nil {
		return bytes.Clone(e.value), nil
	}
	err = p.retry("store.get", func(ctx context.Context) error {
		var epoch, commits int64
		if err := p.pool.QueryRow(ctx, getSQL, key).Scan(&epoch, &commits, &value); err != nil {
			return err
		}
		if err := p.current(epoch, commits, v); err != nil {
			return err
		}
		pasts, err := p.history.since(v)
		if err != nil {
			return err
		}
		for _, e := range pasts {
			if k, ok := slices.BinarySearchFunc(e.rows, key, byKey); ok {
				value = bytes.Clone(e.rows[k].value)
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.cache.keep(name, v, &cached{value: bytes.Clone(value)})
	return value, nil
}

// pgSnapshot is a held version.
type pgSnapshot struct {
	p    *postgres
	v    int64
	once sync.Once
}

func (s *pgSnapshot) Get(key []byte) ([]byte, bool, error) {
	if err := s.p.enter("store.get"); err != nil {
		return nil, false, err
	}
	defer s.p.leave()
	if len(key) == 0 || key[0] == reserved {
		return nil, false, nil
	}
	v, err := s.p.getAt(s.v, key)
	return v, v != nil, err
}

func (s *pgSnapshot) Iter(lower, upper []byte) (Iter, error) {
	if err := s.p.enter("store.iter"); err != nil {
		return nil, err
	}
	defer s.p.leave()
	s.p.history.again(s.v)
	return newPagedIter(s.p, s.v, lower, upper), nil
}

func (s *pgSnapshot) Close() error {
	s.once.Do(func() { s.p.letGo(s.v) })
	return nil
}

// Pages grow from the first to the last size while an iterator goes on in one direction. Longer values than inPage are read one by one,
// so that a page has at most 4 MiB.
const (
	firstPage, lastPage = 16, 256
	inPage              = 16 << 10
)

// pagedIter walks the rows of a version in pages. The page holds every row from lo up to but without hi.
type pagedIter struct {
	p            *postgres
	v            int64 // held until the end
	lower, upper []byte

	page         []change // a nil value is a long one, not yet read; without any, the cache may hold the page, too
	at           int      // -1 and len(page) are off the ends of the page
	lo, hi       []byte
	first, final bool // the page begins at lower; it ends at upper
	size         int
	err          error
	closed       bool
}

func newPagedIter(p *postgres, v int64, lower, upper []byte) *pagedIter {
	lower, upper = bytes.Clone(lower), bytes.Clone(upper)
	if len(upper) == 0 {
		upper = nil
	} else if bytes.Compare(upper, lower) < 0 {
		upper = lower
	}
	return &pagedIter{p: p, v: v, lower: lower, upper: upper, lo: lower, hi: lower, first: true, at: -1, size: firstPage}
}

// load reads the rows from lo up to hi, or the last of them if back is set, and makes them the page. A nil hi is the end. The page is empty only
// if there are none.
func (i *pagedIter) load(lo, hi []byte, back bool) bool {
	if i.err != nil || i.closed {
		return false
	}
	if lo == nil {
		lo = []byte{}
	}
	for {
		edge, whole := i.fill(lo, hi, back)
		if i.err != nil {
			i.page, i.at = nil, -1
			return false
		}
		i.size = min(2*i.size, lastPage)
		if back {
			i.lo, i.hi, i.first, i.final = i.lower, hi, whole, bytes.Equal(hi, i.upper) && (hi == nil) == (i.upper == nil)
			if !whole {
				i.lo = edge
			}
			hi = i.lo
		} else {
			i.lo, i.hi, i.first, i.final = lo, i.upper, bytes.Compare(lo, i.lower) <= 0, whole
			if !whole {
				i.hi = append(bytes.Clone(edge), 0)
			}
			lo = i.hi
		}
		if len(i.page) > 0 || whole {
			return true
		}
		// All the rows the server has here are newer than our version.
	}
}

// fill reads one page. Whole says that it has all rows of the range; else edge is the last row, in the direction of reading, that it covers.
func (i *pagedIter) fill(lo, hi []byte, back bool) (edge []byte, whole bool) {
	name := pageName(lo, hi, back, i.size)
	if e := i.p.cache.look(name, i.v); e != nil {
		i.page = e.page
		return i.edge(back), len(i.page) < i.size
	}
	sql, args := pageSQL(lo, hi, back, i.size)
	changed := false
	i.err = i.p.retry("store.iter", func(ctx context.Context) error {
		var epoch, commits int64
		i.page, changed = nil, false
		rows, err := i.p.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row change
			if err := rows.Scan(&epoch, &commits, &row.key, &row.value); err != nil {
				return err
			}
			if row.key != nil { // there is one row without a key if there are none
				i.page = append(i.page, row)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if err := i.p.current(epoch, commits, i.v); err != nil {
			return err
		}
		if back {
			slices.Reverse(i.page)
		}
		edge, whole = i.edge(back), len(i.page) < i.size
		pasts, err := i.p.history.since(i.v)
		if err != nil {
			return err
		}
		if !whole { // what was overwritten beyond the page is not its business
			if back {
				lo = edge
			} else {
				hi = append(bytes.Clone(edge), 0)
			}
		}
		i.page, changed = restore(i.page, pasts, lo, hi)
		return nil
	})
	if i.err == nil && !changed && small(i.page) {
		i.p.cache.keep(name, i.v, &cached{page: i.page, ranged: true, lo: lo, hi: hi})
	}
	return edge, whole
}

// edge is the last row of the page in the direction of reading, or nil.
func (i *pagedIter) edge(back bool) []byte {
	switch {
	case len(i.page) == 0:
		return nil
	case back:
		return i.page[0].key
	}
	return i.page[len(i.page)-1].key
}

// pageSQL is the statement that reads a page.
func pageSQL(lo, hi []byte, back bool, size int) (sql string, args []any) {
	sql, args = "SELECT s.epoch, s.commits, r.key, r.value FROM icn_store s LEFT JOIN LATERAL"+
		" (SELECT key, CASE WHEN octet_length(value) <= $2 THEN value END AS value FROM icn_rows WHERE key >= $1", []any{lo, inPage, size}
	if hi != nil {
		sql += " AND key < $4"
		args = append(args, hi)
	}
	sql += " ORDER BY key"
	if back {
		sql += " DESC"
	}
	return sql + " LIMIT $3) r ON true", args
}

// restore puts back what was overwritten from lo up to hi. It reports whether that was anything.
func restore(page []change, pasts []*past, lo, hi []byte) ([]change, bool) {
	var old map[string][]byte // as of the first commit that changed it
	for _, e := range pasts {
		k, _ := slices.BinarySearchFunc(e.rows, lo, byKey)
		for ; k < len(e.rows) && (hi == nil || bytes.Compare(e.rows[k].key, hi) < 0); k++ {
			if old == nil {
				old = map[string][]byte{}
			}
			if _, ok := old[string(e.rows[k].key)]; !ok {
				old[string(e.rows[k].key)] = e.rows[k].value
			}
		}
	}
	if old == nil {
		return page, false
	}
	out := slices.DeleteFunc(page, func(c change) bool { _, ok := old[string(c.key)]; return ok })
	for k, v := range old {
		if v != nil {
			out = append(out, change{[]byte(k), v})
		}
	}
	slices.SortFunc(out, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	return out, true
}

// arrive reports whether there is a row where the iterator is, and reads its value if that is a long one.
func (i *pagedIter) arrive() bool {
	if !i.Valid() {
		return false
	}
	if row := &i.page[i.at]; row.value == nil {
		if row.value, i.err = i.p.getAt(i.v, row.key); i.err != nil {
			return false
		}
	}
	return true
}

func (i *pagedIter) First() bool { return i.SeekGE(i.lower) }

func (i *pagedIter) Last() bool {
	i.size = firstPage
	return i.backFrom(i.upper)
}

func (i *pagedIter) SeekGE(key []byte) bool {
	i.size = firstPage
	if bytes.Compare(key, i.lower) < 0 {
		key = i.lower
	}
	if i.upper != nil && bytes.Compare(key, i.upper) > 0 {
		key = i.upper
	}
	return i.forwardFrom(bytes.Clone(key))
}

func (i *pagedIter) SeekLT(key []byte) bool {
	i.size = firstPage
	if i.upper != nil && bytes.Compare(key, i.upper) > 0 {
		key = i.upper
	}
	if bytes.Compare(key, i.lower) < 0 {
		key = i.lower
	}
	hi := bytes.Clone(key)
	if hi == nil {
		hi = []byte{}
	}
	return i.backFrom(hi)
}

func (i *pagedIter) forwardFrom(key []byte) bool {
	if !i.load(key, i.upper, false) {
		return false
	}
	i.at = 0
	return i.arrive()
}

func (i *pagedIter) backFrom(key []byte) bool {
	if !i.load(i.lower, key, true) {
		return false
	}
	i.at = len(i.page) - 1
	return i.arrive()
}

func (i *pagedIter) Next() bool {
	switch {
	case i.at < len(i.page)-1:
		i.at++
		return i.arrive()
	case i.final:
		i.at = len(i.page)
		return false
	}
	return i.forwardFrom(i.hi)
}

func (i *pagedIter) Prev() bool {
	switch {
	case i.at > 0:
		i.at--
		return i.arrive()
	case i.first:
		i.at = -1
		return false
	}
	return i.backFrom(i.lo)
}

func (i *pagedIter) Valid() bool   { return i.err == nil && i.at >= 0 && i.at < len(i.page) }
func (i *pagedIter) Key() []byte   { return i.page[i.at].key }
func (i *pagedIter) Value() []byte { return i.page[i.at].value }

func (i *pagedIter) Err() error {
	if i.closed {
		return nil
	}
	return i.err
}

func (i *pagedIter) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	i.p.letGo(i.v)
	i.page, i.at = nil, -1
	return i.err
}
