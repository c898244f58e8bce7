package fold

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"log/slog"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// Reader implements api.Reader over one snapshot for one app. Queries have no error to return: an error ends an iteration early and is logged. A read
// that fails ends the store, whose owner is told before the reader returns, so that nobody is answered with what was left out.
type Reader struct {
	view
	app  string
	snap store.Snapshot
	log  *slog.Logger
	apps *Apps // who completes reasons; nil: nobody
}

var _ api.Reader = (*Reader)(nil)

// NewReader opens a snapshot of the app's rows.
func NewReader(st store.Store, app string, log *slog.Logger) *Reader {
	snap := st.Snapshot()
	return &Reader{view: view{r: snap}, app: app, snap: snap, log: log}
}

// Recalling has the reader use what others have read, of the same store and the same making of its state, and returns it.
func (r *Reader) Recalling(m *Memory) *Reader {
	r.mem = m
	return r
}

// Close releases the snapshot.
func (r *Reader) Close() {
	if err := r.snap.Close(); err != nil {
		r.note(err)
	}
}

func (r *Reader) note(err error) bool {
	if err != nil {
		r.log.Error("reading state failed", "app", r.app, "err", err)
	}
	return err == nil
}

// Counter implements api.Reader.
func (r *Reader) Counter(k []byte) int64 {
	b, ok, err := r.r.Get(key(nsCounter, []byte(r.app), []byte{0}, k))
	if !r.note(err) || !ok || len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// Counters implements api.Reader.
func (r *Reader) Counters(prefix []byte) iter.Seq2[[]byte, int64] {
	return func(yield func([]byte, int64) bool) {
		head := len(r.app) + 2
		r.note(each(r.r, key(nsCounter, []byte(r.app), []byte{0}, prefix), func(k, v []byte) (bool, error) {
			return yield(bytes.Clone(k[head:]), int64(binary.BigEndian.Uint64(v))), nil
		}))
	}
}

// Index implements api.Reader.
func (r *Reader) Index(prefix, after []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		lo := key(nsIndex, []byte(r.app), []byte{0}, prefix)
		hi := upper(lo)
		head := len(r.app) + 2
		var from []byte
		if after != nil {
			from = append(bytes.Clone(lo), after...)
		}
		it, err := r.r.Iter(lo, hi)
		if !r.note(err) {
			return
		}
		defer it.Close()
		var ok bool
		step := it.Next
		switch {
		case reverse && from != nil:
			ok, step = it.SeekLT(from), it.Prev
		case reverse:
			ok, step = it.Last(), it.Prev
		case from != nil:
			if ok = it.SeekGE(from); ok && bytes.Equal(it.Key(), from) {
				ok = it.Next()
			}
		default:
			ok = it.First()
		}
		for ; ok; ok = step() {
			if !yield(bytes.Clone(it.Key()[head:]), bytes.Clone(it.Value())) {
				return
			}
		}
		r.note(it.Err())
	}
}

// at returns a feed and how it stands.
func (r *Reader) at(feed api.Hash) (*Feed, standing, bool) {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil {
		return nil, standing{}, false
	}
	st, err := r.stands(f)
	return f, st, r.note(err)
}

func (r *Reader) newest(feed api.Hash, name []byte) ([]byte, api.Position, bool) {
	f, st, ok := r.at(feed)
	if !ok {
		return nil, api.Position{}, false
	}
	v, by, ok, err := r.lookup(f, name, st.end)
	return v, by, r.note(err) && ok
}

// Own implements api.Reader.
func (r *Reader) Own(feed api.Hash, k []byte) ([]byte, api.Position, bool) {
	return r.newest(feed, rowName(nil, classPut, "", k))
}

// Fact implements api.Reader.
func (r *Reader) Fact(feed api.Hash, name string, k []byte) ([]byte, api.Position, bool) {
	return r.newest(feed, rowName(nil, classFact, name, k))
}

// Rows implements api.Reader.
func (r *Reader) Rows(feed api.Hash, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		f, st, ok := r.at(feed)
		if !ok {
			return
		}
		var name, val []byte
		flush := func() bool {
			if name == nil {
				return true
			}
			return yield(unescape(name[1:len(name)-2]), val)
		}
		stopped := false
		r.note(each(r.r, key(nsRow, feed[:], escape([]byte{classPut}, prefix)), func(k, v []byte) (bool, error) {
			_, n, seq, id := splitRow(k)
			on, err := r.hasEffect(f, st, Mark{seq, id})
			if err != nil || !on {
				return err == nil, err
			}
			if !bytes.Equal(n, name) {
				if !flush() {
					stopped = true
					return false, nil
				}
				name = bytes.Clone(n)
			}
			val = bytes.Clone(v)
			return true, nil
		}))
		if !stopped {
			flush()
		}
	}
}

// Head implements api.Reader.
func (r *Reader) Head(feed api.Hash) (api.Position, bool) {
	_, st, ok := r.at(feed)
	return api.Position{Feed: feed, Seq: st.end.Seq, ID: st.end.ID}, ok && st.end.Seq > 0
}

// Has implements api.Reader.
func (r *Reader) Has(p api.Position) bool {
	f, st, ok := r.at(p.Feed)
	if !ok || p.Seq == 0 || p.Seq > st.end.Seq {
		return false
	}
	if p.Seq == st.end.Seq {
		return p.ID == st.end.ID
	}
	has, err := r.has(p)
	if !r.note(err) || !has {
		return false
	}
	on, err := r.onBranch(f, p.Seq, p.ID, st.end)
	return r.note(err) && on
}

// Before implements api.Reader.
func (r *Reader) Before(a, b api.Position) bool {
	f, err := r.feed(a.Feed)
	if !r.note(err) || f == nil || a.Feed != b.Feed || a.Seq == 0 || a.Seq > b.Seq || !r.Stored(a) || !r.Stored(b) {
		return false
	}
	on, err := r.onBranch(f, a.Seq, a.ID, Mark{b.Seq, b.ID})
	return r.note(err) && on
}

// Cuts implements api.Reader.
func (r *Reader) Cuts(feed api.Hash) []api.CutState {
	f, err := r.feed(feed)
	if !r.note(err) {
		return nil
	}
	var cuts []cut
	var tip Mark
	if f == nil { // it may be cut before anything of it is here
		var none Feed
		none.ID = feed
		if !r.note(loadCuts(r.r, &none)) {
			return nil
		}
		cuts = none.cuts
	} else {
		cuts, tip = f.cuts, f.Tip
	}
	var out []api.CutState
	for _, c := range cuts {
		st := api.CutState{By: c.by, At: api.Position{Feed: feed, Seq: c.at.Seq, ID: c.at.ID}}
		if st.Final, err = r.isFinal(c.by); !r.note(err) {
			return out
		}
		if f != nil {
			if st.Cited, err = r.cited(f, c.by, tip); !r.note(err) {
				return out
			}
		}
		out = append(out, st)
	}
	return out
}

// Branches implements api.Reader.
func (r *Reader) Branches(feed api.Hash) []api.Position {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil || f.Fork == 0 {
		return nil
	}
	it, err := r.r.Iter(key(nsRecord, feed[:], be(f.Fork)), upper(key(nsRecord, feed[:])))
	if !r.note(err) {
		return nil
	}
	defer it.Close()
	ends := map[Mark]bool{}
	for ok := it.First(); ok; ok = it.Next() {
		st, err := decodeStored(it.Value())
		if !r.note(err) {
			return nil
		}
		// One that goes on takes the place of the end that it follows, so that only new branches fall under the bound.
		before := Mark{st.Seq - 1, st.Prev}
		if !ends[before] && len(ends) >= api.MaxBranches {
			continue
		}
		delete(ends, before)
		ends[Mark{st.Seq, st.ID}] = true
	}
	r.note(it.Err())
	ps := make([]api.Position, 0, len(ends))
	for m := range ends {
		ps = append(ps, api.Position{Feed: feed, Seq: m.Seq, ID: m.ID})
	}
	slices.SortFunc(ps, func(a, b api.Position) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.ID.Compare(b.ID)) })
	return ps
}

// Base implements api.Reader.
func (r *Reader) Base(feed api.Hash, by api.Position) (api.Position, bool) {
	f, err := r.feed(by.Feed)
	if !r.note(err) || f == nil || !r.Stored(by) {
		return api.Position{}, false
	}
	v, _, ok, err := r.lookup(f, nextName(feed), Mark{by.Seq, by.ID})
	if !r.note(err) || !ok {
		return api.Position{}, false
	}
	m := parseMark(v[32:])
	return api.Position{Feed: api.Hash(v), Seq: m.Seq, ID: m.ID}, true
}

// Final implements api.Reader.
func (r *Reader) Final(feed api.Hash) (api.Position, bool) {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil || f.Final.Seq == 0 {
		return api.Position{}, false
	}
	return api.Position{Feed: feed, Seq: f.Final.Seq, ID: f.Final.ID}, true
}

// Record implements api.Reader.
func (r *Reader) Record(p api.Position) (*api.Record, api.Verdict, bool) {
	st, err := r.stored(p)
	if !r.note(err) || st == nil {
		return nil, api.Verdict{}, false
	}
	f, stands, ok := r.at(p.Feed)
	if !ok {
		return nil, api.Verdict{}, false
	}
	return r.judged(st, f, stands)
}

// judged returns a stored record of f and its verdict.
func (r *Reader) judged(st *Stored, f *Feed, stands standing) (*api.Record, api.Verdict, bool) {
	p := st.Position()
	st.Author = f.Author
	on, err := r.hasEffect(f, stands, Mark{p.Seq, p.ID})
	if !r.note(err) {
		return nil, api.Verdict{}, false
	}
	fin, err := r.onBranch(f, p.Seq, p.ID, f.Final)
	if !r.note(err) {
		return nil, api.Verdict{}, false
	}
	if why, err := r.cutOff(f, stands, p); !r.note(err) {
		return nil, api.Verdict{}, false
	} else if why != nil {
		return st.Record, api.Verdict{Final: fin, Reason: why}, true
	}
	v := api.Verdict{Accepted: st.outcome == accepted, Held: !on, Final: fin, Reason: st.reason}
	switch {
	case st.outcome == unfolded:
		v.Reason = &api.Reason{Domain: "kernel", Rule: api.RuleUnknownKind, Text: "this build does not know this record's version, topic or kind, or one that it stands on", Remedy: "upgrade this node and run `icnctl state rebuild`"}
	case !on && v.Reason == nil:
		v.Reason = &api.Reason{
			Domain: "kernel", Rule: "forked-feed", Text: "the author signed two records for one position; what follows has no effect until that is resolved",
			Inputs: map[string]string{"fork": strconv.FormatUint(f.Fork, 10), "one": f.Alt[0].String(), "other": f.Alt[1].String()}, Remedy: "the office of the space can resolve it with a cut",
		}
	}
	if v.Reason != nil && r.apps != nil {
		v.Reason = r.apps.Advise(v.Reason)
	}
	return st.Record, v, true
}

// Lookup implements api.Reader.
func (r *Reader) Lookup(id api.Hash) (*api.Record, api.Verdict, bool) {
	if st := r.mem.founding(id); st != nil {
		// Of an unforked feed that has begun the first record is here: a founding one is no other.
		if f, stands, ok := r.at(st.Feed); ok && f.Fork == 0 {
			return r.judged(st, f, stands)
		}
	}
	local, ok, err := r.r.Get(key(nsID, id[:]))
	if !r.note(err) || !ok {
		return nil, api.Verdict{}, false
	}
	p, ok, err := logAt(r.r, binary.BigEndian.Uint64(local))
	if !r.note(err) || !ok {
		return nil, api.Verdict{}, false
	}
	st, err := r.stored(p)
	if !r.note(err) || st == nil {
		return nil, api.Verdict{}, false
	}
	f, stands, ok := r.at(p.Feed)
	if !ok {
		return nil, api.Verdict{}, false
	}
	if p.Seq == 1 && f.Fork == 0 && record.Founds(st.Record) {
		r.mem.setFounding(st)
	}
	return r.judged(st, f, stands)
}

// Voids implements api.Reader.
func (r *Reader) Voids(t api.Topic, after api.Position) iter.Seq2[*api.Record, *api.Reason] {
	return func(yield func(*api.Record, *api.Reason) bool) {
		prefix := topicPrefix(nsVoid, t)
		skip := append(bytes.Clone(prefix), posValue(after)...)
		r.note(each(r.r, prefix, func(k, _ []byte) (bool, error) {
			if !after.IsZero() && bytes.Compare(k, skip) <= 0 {
				return true, nil
			}
			p, _ := parsePos(k[len(prefix):])
			rec, v, ok := r.Record(p)
			return !ok || yield(rec, v.Reason), nil
		}))
	}
}

// Heads lists the feeds of a topic, or of all topics of a space when the name is empty, in order.
func (r *Reader) Heads(t api.Topic) []api.Head {
	var hs []api.Head
	prefix := key(nsTopic, t.Space[:])
	if t.Name != "" {
		prefix = topicPrefix(nsTopic, t)
	}
	r.note(each(r.r, prefix, func(k, _ []byte) (bool, error) {
		f, err := loadFeed(r.r, api.Hash(k[len(k)-32:]), r.mem)
		if err != nil {
			return false, err
		}
		if f != nil {
			h := api.Head{
				Topic: f.Topic, Device: f.Device, Author: f.Author, Fork: f.Fork,
				Tip: api.Position{Feed: f.ID, Seq: f.Tip.Seq, ID: f.Tip.ID},
			}
			if f.Rival.Seq > 0 {
				h.Rival = api.Position{Feed: f.ID, Seq: f.Rival.Seq, ID: f.Rival.ID}
			}
			hs = append(hs, h)
		}
		return true, nil
	}))
	return hs
}

// Advertised is a feed's head as peers need it: in a forked feed the last position with effect and the evidence.
type Advertised struct {
	Feed api.Hash
	Mark
	Fork  uint64
	Alt   [2]api.Hash
	Final uint64 // seq of the highest final position, 0 for none
}

func (v *view) advertise(f *Feed) (Advertised, error) {
	m, err := v.activeMark(f)
	return Advertised{Feed: f.ID, Mark: m, Fork: f.Fork, Alt: f.Alt, Final: f.Final.Seq}, err
}

// Advertise lists what to advertise of a space, feed by feed.
func (r *Reader) Advertise(space api.Hash) []Advertised {
	var as []Advertised
	r.note(each(r.r, key(nsTopic, space[:]), func(k, _ []byte) (bool, error) {
		f, err := r.feed(api.Hash(k[len(k)-32:]))
		if err != nil || f == nil {
			return err == nil, err
		}
		a, err := r.advertise(f)
		as = append(as, a)
		return err == nil, err
	}))
	return as
}

// Stored reports whether a record is stored, on whichever branch.
func (r *Reader) Stored(p api.Position) bool {
	ok, err := r.has(p)
	return r.note(err) && ok
}

// Range returns the stored envelopes from..at.Seq of the branch that ends in at.ID (a zero ID: the branch this node advertises), oldest first, at
// most so many records and bytes; more says that the range goes on.
func (r *Reader) Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) (raws [][]byte, more bool) {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil {
		return nil, false
	}
	m := Mark{at.Seq, at.ID}
	if m.ID.IsZero() {
		if m, err = r.activeMark(f); !r.note(err) {
			return nil, false
		}
		if f.Fork == 0 {
			m = f.Tip
		}
		m.Seq = min(m.Seq, at.Seq)
	}
	if !at.ID.IsZero() && m.Seq <= f.Tip.Seq && !r.Stored(at) {
		return nil, false // another branch, which is not here
	}
	if f.Fork == 0 || m.Seq < f.Fork {
		size := 0
		it, err := r.r.Iter(key(nsRecord, feed[:], be(from)), key(nsRecord, feed[:], be(m.Seq+1)))
		if !r.note(err) {
			return nil, false
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			_, _, _, raw, good := splitStored(it.Value())
			if !good {
				return raws, false
			}
			if len(raws) >= maxRecords || len(raws) > 0 && size+len(raw) > maxBytes {
				return raws, true
			}
			size += len(raw)
			raws = append(raws, bytes.Clone(raw))
		}
		return raws, false
	}
	// A forked feed: walk back along the branch. Forks are rare and branches past them short, but bound the walk all the same.
	var ids []Mark
	for m.Seq >= from && len(ids) < 1<<16 {
		st, err := r.stored(api.Position{Feed: feed, Seq: m.Seq, ID: m.ID})
		if !r.note(err) || st == nil {
			return nil, false
		}
		ids = append(ids, m)
		if m.Seq == 1 {
			break
		}
		m = Mark{m.Seq - 1, st.Prev}
	}
	size := 0
	for i := len(ids) - 1; i >= 0; i-- {
		b, ok, err := r.r.Get(recordKey(api.Position{Feed: feed, Seq: ids[i].Seq, ID: ids[i].ID}))
		if !r.note(err) || !ok {
			return raws, false
		}
		_, _, _, raw, _ := splitStored(b)
		if len(raws) >= maxRecords || len(raws) > 0 && size+len(raw) > maxBytes {
			return raws, true
		}
		size += len(raw)
		raws = append(raws, raw)
	}
	return raws, false
}

// Meta returns a small named value.
func Meta(r store.Reader, name string) ([]byte, bool, error) { return r.Get(key(nsMeta, []byte(name))) }

// Metas iterates the named values with a prefix.
func Metas(r store.Reader, prefix string, fn func(name string, val []byte) bool) error {
	return each(r, key(nsMeta, []byte(prefix)), func(k, v []byte) (bool, error) {
		return fn(string(k[1:]), bytes.Clone(v)), nil
	})
}

// PutMeta writes a small named value.
func PutMeta(b store.Batch, name string, val []byte) { b.Set(key(nsMeta, []byte(name)), val) }

// DeleteMeta removes it.
func DeleteMeta(b store.Batch, name string) { b.Delete(key(nsMeta, []byte(name))) }

// Topic returns the topic of a feed.
func (r *Reader) Topic(feed api.Hash) (api.Topic, bool) {
	f, err := r.feed(feed)
	if !r.note(err) || f == nil {
		return api.Topic{}, false
	}
	return f.Topic, true
}

// CountFeeds counts the feeds of a space.
func (r *Reader) CountFeeds(space api.Hash) (n int) {
	r.note(each(r.r, key(nsTopic, space[:]), func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	}))
	return n
}
