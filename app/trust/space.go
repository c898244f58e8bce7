package trust

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// space is the graph of one space and the scores computed from it. A computation takes a few milliseconds for 6,000 people; it is done when somebody
// asks and the graph has changed, by the asker, and no more often than Options says. A look-up in between costs one map access and takes no lock.
type space struct {
	topic api.Topic
	graph *graph

	writing sync.Mutex             // one reader of rows at a time, so that an older snapshot never overwrites a newer one
	feeds   map[api.DID][]api.Hash // by author, guarded by writing
	held    map[api.Hash]held      // feeds with a fork and where their effect ended when last read, guarded by writing

	own       atomic.Pointer[view] // from this node's own member, all contexts: what the oracle and the ranker use
	computing sync.Mutex           // one computation of own at a time

	mu     sync.Mutex // guards recent
	recent []*view    // of other viewpoints and contexts, newest first, at most maxViews
}

type held struct {
	author api.DID
	end    api.Position
}

// view is every score above 0 from one viewpoint. It is immutable.
type view struct {
	from    api.DID
	context string
	version uint64 // of the graph
	at      time.Time
	scores  map[api.DID]Score
}

// maxViews bounds the viewpoints that are remembered for trust.score: about 0.5 MB each for 6,000 people.
const maxViews = 16

func newSpace(id api.Hash) *space {
	return &space{topic: api.Topic{Space: id, Name: Topic}, graph: newGraph(), feeds: map[api.DID][]api.Hash{}, held: map[api.Hash]held{}}
}

func (s *space) compute(from api.DID, context string, now time.Time) *view {
	scores, version := s.graph.scores(from, context)
	return &view{from: from, context: context, version: version, at: now, scores: scores}
}

// standing returns the view of this node's own member. It may be stale by what opt allows, and for as long as another goroutine computes.
func (s *space) standing(self func() api.DID, now func() time.Time, opt *Options) *view {
	v := s.own.Load()
	if v != nil {
		changes := s.graph.version.Load() - v.version
		if changes == 0 {
			return v
		}
		if changes < opt.RefreshChanges && now().Sub(v.at) < opt.RefreshEvery {
			return v
		}
		if !s.computing.TryLock() {
			return v
		}
	} else {
		s.computing.Lock()
	}
	defer s.computing.Unlock()
	v = s.compute(self(), "", now())
	s.own.Store(v)
	return v
}

// from returns an up-to-date view of any viewpoint.
func (s *space) from(did api.DID, context string, now time.Time) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.recent, func(v *view) bool { return v.from == did && v.context == context })
	var v *view
	switch {
	case i < 0:
		v = s.compute(did, context, now)
		if len(s.recent) == maxViews {
			s.recent = s.recent[:maxViews-1]
		}
	case s.recent[i].version != s.graph.version.Load():
		v = s.compute(did, context, now)
		s.recent = slices.Delete(s.recent, i, i+1)
	default:
		v = s.recent[i]
		s.recent = slices.Delete(s.recent, i, i+1)
	}
	s.recent = slices.Insert(s.recent, 0, v)
	return v
}

// load fills the graph from the feeds of the space.
func (s *space) load(host api.Host) {
	s.writing.Lock()
	defer s.writing.Unlock()
	r := host.Read()
	defer r.Close()
	for _, h := range host.Heads(s.topic) {
		s.know(h.Author, h.Tip.Feed)
		if h.Fork != 0 {
			s.hold(r, h.Author, h.Tip.Feed)
		}
	}
	for author := range s.feeds {
		s.reload(r, author)
	}
}

// commit follows committed records of the topic. It reads the rows again instead of trusting the record, so that it does not matter how often or
// in what order it is told.
func (s *space) commit(host api.Host, commits []*api.Commit) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	r := host.Read()
	defer r.Close()
	changed := false
	for _, c := range commits {
		s.know(c.Record.Author, c.Record.Feed)
		if _, v, ok := r.Record(c.Record.Position()); ok && v.Held { // what the feed said before may count no more
			s.hold(r, c.Record.Author, c.Record.Feed)
			changed = s.reload(r, c.Record.Author) || changed
		} else if b, err := decode(c.Record.Body); c.Accepted && err == nil {
			changed = s.refresh(r, c.Record.Author, b.To, b.Context) || changed
		}
	}
	return changed
}

// written follows one record that this node has just appended.
func (s *space) written(host api.Host, author api.DID, feed api.Hash, to api.DID, context string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	r := host.Read()
	defer r.Close()
	s.know(author, feed)
	s.refresh(r, author, to, context)
}

// settle looks whether what the space's witnesses stated gave a held feed another end.
func (s *space) settle(host api.Host) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(s.held) == 0 {
		return false
	}
	r := host.Read()
	defer r.Close()
	changed := false
	for feed, h := range s.held {
		if end, _ := r.Head(feed); end != h.end {
			s.hold(r, h.author, feed)
			changed = s.reload(r, h.author) || changed
		}
	}
	return changed
}

func (s *space) hold(r api.Reader, author api.DID, feed api.Hash) {
	end, _ := r.Head(feed)
	s.held[feed] = held{author, end}
}

func (s *space) know(author api.DID, feed api.Hash) {
	if feeds := s.feeds[author]; !slices.Contains(feeds, feed) {
		s.feeds[author] = append(feeds, feed)
	}
}

// reload reads again all that an author's feeds say.
func (s *space) reload(r api.Reader, author api.DID) bool {
	type edge struct {
		to      api.DID
		context string
	}
	latest := map[edge]*Attestation{}
	for _, feed := range s.feeds[author] {
		for key, value := range r.Rows(feed, []byte(edgePrefix)) {
			a, ok := readEdge(author, key, value)
			if !ok {
				continue
			}
			k := edge{a.To, a.Context}
			if old := latest[k]; old == nil || a.supersedes(old) {
				latest[k] = &a
			}
		}
	}
	all := make([]Attestation, 0, len(latest))
	for _, a := range latest {
		all = append(all, *a)
	}
	return s.graph.replace(author, all)
}

// refresh reads again what an author's feeds say of one person in one context.
func (s *space) refresh(r api.Reader, author, to api.DID, context string) bool {
	key := edgeKey(context, to)
	var latest *Attestation
	for _, feed := range s.feeds[author] {
		value, _, ok := r.Own(feed, key)
		if !ok {
			continue
		}
		if a, ok := readEdge(author, key, value); ok && (latest == nil || a.supersedes(latest)) {
			latest = &a
		}
	}
	if latest == nil {
		latest = &Attestation{From: author, To: to, Context: context}
	}
	return s.graph.set(latest)
}
