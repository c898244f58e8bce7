package market

import (
	"slices"
	"sync"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// shelf is what this node has of one space's market in memory: what it takes to find ads, not their texts. It is read from the rows of the feeds and read
// again when a feed changes, so it does not matter how often or in what order it is told.
type shelf struct {
	topic api.Topic

	mu    sync.Mutex
	feeds map[api.Hash]*feed
	ads   map[api.Hash]*entry
	slots []*entry // by slot of the index; nil: free
	free  []uint32
	words index
}

// feed is what one feed says.
type feed struct {
	author  api.DID
	end     api.Position // where its effect ended when it was read
	ads     []api.Hash
	reports map[api.Hash]*said // by ad
	acts    map[api.Hash]*done // by id
}

// entry is an ad that stands.
type entry struct {
	id       api.Hash
	feed     api.Hash
	author   api.DID
	side     string
	category string
	place    place
	grid     uint64
	posted   int64 // Unix milliseconds
	changed  int64
	edits    uint64
	expires  int64 // Unix seconds
	images   []api.Hash
	slot     uint32
	words    map[string]uint8
}

func newShelf(space api.Hash) *shelf {
	return &shelf{topic: api.Topic{Space: space, Name: Topic}, feeds: map[api.Hash]*feed{}, ads: map[api.Hash]*entry{}}
}

// load reads all feeds of the space.
func (s *shelf) load(host api.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := host.Read()
	defer r.Close()
	for _, h := range host.Heads(s.topic) {
		s.read(r, h.Tip.Feed, h.Author)
	}
}

// follow reads again the feeds of records that have been committed.
func (s *shelf) follow(host api.Host, authors map[api.Hash]api.DID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := host.Read()
	defer r.Close()
	for id, author := range authors {
		s.read(r, id, author)
	}
}

// settle reads again the feeds whose effect ends elsewhere than before: a cut or the witnesses have said so.
func (s *shelf) settle(host api.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := host.Read()
	defer r.Close()
	for id, f := range s.feeds {
		if end, _ := r.Head(id); end != f.end {
			s.read(r, id, f.author)
		}
	}
}

// read takes in what a feed says now. The caller holds mu.
func (s *shelf) read(r api.Reader, id api.Hash, author api.DID) {
	before := s.feeds[id]
	f := &feed{author: author, reports: map[api.Hash]*said{}, acts: map[api.Hash]*done{}}
	f.end, _ = r.Head(id)
	for k, v := range r.Rows(id, rowsRep) {
		var x said
		if ad, ok := named(k, rowsRep); ok && codec.Unmarshal(v, &x) == nil {
			f.reports[ad] = &x
		}
	}
	for k, v := range r.Rows(id, rowsAct) {
		var x done
		if at, ok := named(k, rowsAct); ok && codec.Unmarshal(v, &x) == nil {
			f.acts[at] = &x
		}
	}
	for k, v := range r.Rows(id, rowsAd) {
		var x standing
		if ad, ok := named(k, rowsAd); ok && codec.Unmarshal(v, &x) == nil {
			f.ads = append(f.ads, ad)
			s.put(ad, id, author, &x)
		}
	}
	if before != nil {
		for _, ad := range before.ads {
			if e := s.ads[ad]; e != nil && e.feed == id && !slices.Contains(f.ads, ad) {
				s.drop(e)
			}
		}
	}
	s.feeds[id] = f
}

func named(key, prefix []byte) (h api.Hash, ok bool) {
	if len(key) != len(prefix)+len(h) {
		return h, false
	}
	return api.Hash(key[len(prefix):]), true
}

// put takes in an ad as a feed has it. Of two feeds of one author, by the device before and by the one that goes on from there, the newer word counts.
func (s *shelf) put(id, feed api.Hash, author api.DID, x *standing) {
	old := s.ads[id]
	if old != nil {
		if old.feed != feed && old.edits > x.Edits || old.feed == feed && old.edits == x.Edits && old.changed == x.Changed && !x.Gone {
			return
		}
		s.drop(old)
	}
	if x.Gone {
		return
	}
	e := &entry{
		id: id, feed: feed, author: author, side: x.Ad.Side, category: x.Ad.Category, place: place{x.Ad.Lat, x.Ad.Lon}, grid: x.Ad.Grid,
		posted: x.Posted, changed: x.Changed, edits: x.Edits, expires: x.Ad.Expires, images: x.Ad.Images, words: weigh(&x.Ad),
	}
	if n := len(s.free); n > 0 {
		e.slot, s.free = s.free[n-1], s.free[:n-1]
		s.slots[e.slot] = e
	} else {
		e.slot = uint32(len(s.slots))
		s.slots = append(s.slots, e)
	}
	s.ads[id] = e
	s.words.add(e.slot, e.words)
}

func (s *shelf) drop(e *entry) {
	s.words.remove(e.slot, e.words)
	s.slots[e.slot] = nil
	s.free = append(s.free, e.slot)
	delete(s.ads, e.id)
}

// matter is what has been said and done about an ad.
type matter struct {
	ad      api.Hash
	author  api.DID
	reports []complaint
	acts    map[api.Hash]*done
	by      map[api.Hash]api.DID // acts' authors
	chain   []api.Hash           // the acts that count, oldest first
}

// complaint is a report and its author.
type complaint struct {
	by api.DID
	*said
}

// hidden returns the act that hides the ad, if one does.
func (m *matter) hidden() (*done, api.Hash) {
	if n := len(m.chain); n > 0 && m.acts[m.chain[n-1]].Hide {
		return m.acts[m.chain[n-1]], m.chain[n-1]
	}
	return nil, api.Hash{}
}

// tip returns the act that the next one follows on.
func (m *matter) tip() api.Hash {
	if n := len(m.chain); n > 0 {
		return m.chain[n-1]
	}
	return api.Hash{}
}

// open reports whether somebody has reported the ad since a moderator last acted on it, by the clocks of who wrote.
func (m *matter) open() bool {
	var last int64
	if n := len(m.chain); n > 0 {
		last = m.acts[m.chain[n-1]].Time
	}
	return slices.ContainsFunc(m.reports, func(c complaint) bool { return c.Time > last })
}

// matters collects what has been said and done about ads, by ad. The caller holds mu.
func (s *shelf) matters() map[api.Hash]*matter {
	all := map[api.Hash]*matter{}
	of := func(ad api.Hash, author api.DID) *matter {
		m := all[ad]
		if m == nil {
			m = &matter{ad: ad, author: author, acts: map[api.Hash]*done{}, by: map[api.Hash]api.DID{}}
			all[ad] = m
		}
		return m
	}
	for _, f := range s.feeds {
		for ad, x := range f.reports {
			m := of(ad, x.Author)
			if !slices.ContainsFunc(m.reports, func(c complaint) bool { return c.ID == x.ID }) { // a feed that goes on from another has its rows, too
				m.reports = append(m.reports, complaint{f.author, x})
			}
		}
		for id, x := range f.acts {
			m := of(x.Ad, x.Author)
			m.acts[id], m.by[id] = x, f.author
		}
	}
	for _, m := range all {
		slices.SortFunc(m.reports, func(a, b complaint) int { return a.ID.Compare(b.ID) })
		m.chain = settled(m.acts)
	}
	return all
}
