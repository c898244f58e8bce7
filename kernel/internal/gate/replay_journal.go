package gate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Row is a named value to keep on disk; a nil Value takes the row away.
type Row struct {
	Name  string // 16 hexadecimal digits
	Value []byte
}

// Journal is a Replay that is written down as it grows, so that a crash makes it forget nothing either. Write the Rows, durably, before acting on
// the messages that Check let pass; hand them to Load after a restart. It belongs to one goroutine.
//
// Rows are short: each holds what passed since the last call, and goes when all in it has expired. A store that was set back to an older
// state lacks rows; tell the Journal to RefuseUntil then.
type Journal struct {
	*Replay
	passed []entry      // since the last Rows
	rows   []journalRow // on disk, by number
	next   uint64
}

type journalRow struct {
	number uint64
	newest int64 // the latest date in it
}

// maxRow bounds the messages in one row, 32 bytes and more each.
const maxRow = 1024

// NewJournal returns an empty Journal.
func NewJournal(o ReplayOptions) *Journal { return &Journal{Replay: NewReplay(o)} }

// Check is Replay's, and marks what passes for the next Rows.
func (j *Journal) Check(domain api.Domain, now time.Time, sender api.DID, nonce Nonce, sentMillis int64) *api.Reason {
	why := j.Replay.Check(domain, now, sender, nonce, sentMillis)
	if why == nil {
		j.passed = append(j.passed, entry{nonceKey{sender, nonce}, sentMillis})
	}
	return why
}

// Rows returns what to write and what to take away since the last call, in one atomic batch; nil when nothing passed.
func (j *Journal) Rows() []Row {
	if len(j.passed) == 0 {
		return nil
	}
	floor := j.Floor()
	// What passed and is under the floor by now is refused without being remembered.
	es := slices.DeleteFunc(j.passed, func(e entry) bool { return e.at <= floor })
	j.passed = nil
	var out []Row
	for first := true; first || len(es) > 0; first = false { // once without any, for the floor
		n := min(len(es), maxRow)
		part := es[:n]
		es = es[n:]
		r := journalRow{number: j.next, newest: floor}
		for _, e := range part {
			r.newest = max(r.newest, e.at)
		}
		j.next++
		out = append(out, Row{Name: r.name(), Value: encodeState(floor, part)})
		j.rows = append(j.rows, r)
	}
	last := j.rows[len(j.rows)-1].number // it carries the floor, whatever else it has
	j.rows = slices.DeleteFunc(j.rows, func(r journalRow) bool {
		if r.newest > floor || r.number == last {
			return false
		}
		out = append(out, Row{Name: r.name()})
		return true
	})
	return out
}

func (r journalRow) name() string { return fmt.Sprintf("%016x", r.number) }

// Load takes up what Rows wrote before a restart, in any order; the Journal must be new. A row that cannot be read is an error, api.Invalid or
// api.Unsupported: what the Journal then lacks it cannot know, so it must RefuseUntil the present plus MaxAhead.
func (j *Journal) Load(rows []Row) error {
	for _, row := range rows {
		number, err := strconv.ParseUint(row.Name, 16, 63)
		if err != nil || (journalRow{number: number}).name() != row.Name {
			return api.Errorf("replay.load", api.Invalid, "row %q: want 16 hexadecimal digits", clip(row.Name))
		}
		in := NewReplay(j.opt)
		if err := in.Import(row.Value); err != nil {
			return api.Wrap("replay.load", err)
		}
		newest := in.floor
		for _, e := range in.oldest {
			newest = max(newest, e.at)
		}
		j.merge(in)
		j.rows = append(j.rows, journalRow{number, newest})
		j.next = max(j.next, number+1)
	}
	slices.SortFunc(j.rows, func(a, b journalRow) int { return cmp.Compare(a.number, b.number) })
	return nil
}

// merge adds what another Replay remembers.
func (r *Replay) merge(in *Replay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raise(max(r.floor, in.floor))
	for _, e := range in.oldest {
		if _, dup := r.seen[e.key]; !dup && e.at > r.floor {
			r.add(e.key, e.at)
		}
	}
	r.shrink()
}
