package security

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// maxSubjects bounds whom a node remembers, about 300 bytes each. Node keys are free, so somebody may be forgotten: the least blamed first.
const maxSubjects = 4096

// rowSubject starts the keys of the local store: subject/<did>.
const rowSubject = "subject/"

// table is what this node holds against whom. It is safe for concurrent use.
type table struct {
	mu       sync.RWMutex
	subjects map[api.DID]*subject
	dirty    map[api.DID]bool // not as the local store has it
}

// load reads the local store. A row that this build cannot read is dropped: it counts for nothing.
func (t *table) load(l api.Local) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subjects, t.dirty = map[api.DID]*subject{}, map[api.DID]bool{}
	return l.Each(rowSubject, func(key string, value []byte) bool {
		who := api.DID(strings.TrimPrefix(key, rowSubject))
		var s subject
		if codec.Unmarshal(value, &s) != nil || s.Points < 0 || s.Points > most || s.Level > Ban || s.Bans < 0 {
			t.dirty[who] = true
			return true
		}
		t.subjects[who] = &s
		return len(t.subjects) < maxSubjects
	})
}

// save writes what has changed.
func (t *table) save(l api.Local, now time.Time) error {
	t.forget(now)
	t.mu.Lock()
	dirty := t.dirty
	t.dirty = map[api.DID]bool{}
	rows := make(map[api.DID][]byte, len(dirty))
	for who := range dirty {
		if s := t.subjects[who]; s != nil {
			rows[who] = codec.MustMarshal(s)
		}
	}
	t.mu.Unlock()
	for _, who := range slices.Sorted(maps.Keys(dirty)) {
		var err error
		if row := rows[who]; row != nil {
			err = l.Put(rowSubject+string(who), row)
		} else {
			err = l.Delete(rowSubject + string(who))
		}
		if err != nil {
			t.mu.Lock()
			for who := range dirty {
				t.dirty[who] = true
			}
			t.mu.Unlock()
			return err
		}
	}
	return nil
}

// forget drops subjects that say nothing any more.
func (t *table) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who, s := range t.subjects {
		if s.stale(now) {
			t.dropLocked(who)
		}
	}
}

func (t *table) dropLocked(who api.DID) {
	delete(t.subjects, who)
	t.dirty[who] = true
}

// subjectLocked returns the row of who, making it and room for it.
func (t *table) subjectLocked(now time.Time, who api.DID) *subject {
	if t.subjects == nil {
		t.subjects, t.dirty = map[api.DID]*subject{}, map[api.DID]bool{}
	}
	s := t.subjects[who]
	if s != nil {
		return s
	}
	if len(t.subjects) >= maxSubjects {
		var least api.DID
		for d, x := range t.subjects {
			if y := t.subjects[least]; y == nil || weightier(now, y, x) || !weightier(now, x, y) && d < least {
				least = d
			}
		}
		t.dropLocked(least)
	}
	s = &subject{}
	t.subjects[who] = s
	return s
}

// weightier reports whether a is blamed for more than b.
func weightier(now time.Time, a, b *subject) bool {
	if x, y := a.level(now), b.level(now); x != y {
		return x > y
	}
	return a.points(now) > b.points(now)
}

// add weighs an incident and returns the levels before and after.
func (t *table) add(now time.Time, who api.DID, i *api.Incident) (before, after Level, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.subjectLocked(now, who)
	before = s.level(now)
	changed = s.add(now, i)
	t.dirty[who] = t.dirty[who] || changed
	return before, s.level(now), changed
}

// pardon takes back what who is blamed for, on this node; false when there is nothing.
func (t *table) pardon(now time.Time, who api.DID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.subjects[who]
	if s == nil {
		return false
	}
	s.pardon(now)
	t.dirty[who] = true
	return true
}

// pardonAt follows a record's pardon.
func (t *table) pardonAt(now time.Time, who api.DID, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.subjects[who]
	if s == nil || !s.pardonAt(at, now) {
		return false
	}
	t.dirty[who] = true
	return true
}

// level returns what holds for who at now.
func (t *table) level(now time.Time, who api.DID) Level {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.subjects[who]; s != nil {
		return s.level(now)
	}
	return None
}

// get returns a copy of who's row.
func (t *table) get(who api.DID) (subject, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := t.subjects[who]
	if s == nil {
		return subject{}, false
	}
	c := *s
	c.Kinds, c.Forks = slices.Clone(s.Kinds), slices.Clone(s.Forks)
	return c, true
}

// names returns everybody the table knows, most blamed first.
func (t *table) names(now time.Time) []api.DID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ds := slices.Sorted(maps.Keys(t.subjects))
	slices.SortStableFunc(ds, func(a, b api.DID) int {
		switch x, y := t.subjects[a], t.subjects[b]; {
		case weightier(now, x, y):
			return -1
		case weightier(now, y, x):
			return 1
		}
		return 0
	})
	return ds
}

// at counts the subjects that stand at a level.
func (t *table) at(now time.Time, l Level) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := 0
	for _, s := range t.subjects {
		if s.level(now) == l {
			n++
		}
	}
	return n
}
