package kernel

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// Bounds of the hub.
const (
	ringEvents   = 4096    // newest events in memory, for all listeners together; who is further behind reads from the store
	ringBytes    = 8 << 20 // of their data
	maxListeners = 20_000
	maxReplays   = 4 // pages read from the store at a time
	takeEvents   = 256
)

// hub makes events once for all who listen. Its pump follows the commits and keeps the newest events in a ring; a listener holds a place and nothing else,
// so that one who is slow costs no memory and holds nobody up: he reads on from the store. What the ring holds is on disk.
type hub struct {
	k      *Kernel
	table  *eventTable
	replay chan struct{} // a token for each page that is being read from the store
	kick   chan struct{} // the pump has something to do

	mu      sync.Mutex
	closed  bool   // the state is being rebuilt
	journal string // name of the journal; empty until somebody asks
	first   place  // no cursor is older: what came before is not in the journal
	ring    []*happened
	base    uint64 // how many events have left the ring
	bytes   int
	pulled  bool  // an app reads events by Host.Events
	since   place // the ring has all events from here
	upto    place // up to here
	subs    map[*listener]struct{}
	spaces  map[api.Hash]map[*listener]struct{} // those of one space; of all spaces under the zero one
}

// listener is one stream.
type listener struct {
	space api.Hash
	wake  chan struct{}
	idle  bool // it has seen all there is: the next event that may concern it wakes it
	at    place
	index uint64 // of the ring, counted with those that have left it; valid while ringed
	ring  bool
}

func newHub(k *Kernel, apps []api.App) (*hub, error) {
	t, err := newEventTable(apps)
	return &hub{
		k: k, table: t, replay: make(chan struct{}, maxReplays), kick: make(chan struct{}, 1),
		subs: map[*listener]struct{}{}, spaces: map[api.Hash]map[*listener]struct{}{},
	}, err
}

func (h *hub) String() string { return "events" }

// Serve implements suture.Service: the pump.
func (h *hub) Serve(ctx context.Context) error {
	commits, cancel := h.k.watchers.subscribe()
	defer cancel()
	for {
		if err := h.follow(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-commits:
		case <-h.kick:
		}
	}
}

// follow brings the ring up to the newest commit.
func (h *hub) follow() error {
	for {
		if more, err := h.advance(); err != nil || !more {
			return err
		}
	}
}

// open finds the journal's name, or gives it one: a name that no other journal has, so that a cursor of a store that was restored, or of a state that was
// rebuilt, is known as one. The caller holds mu.
func (h *hub) open() error {
	if h.closed {
		return api.Errorf("event.stream", api.Unavailable, "the state is being rebuilt: ask again when that is done")
	}
	if h.journal != "" {
		return nil
	}
	end := h.k.recent.end()
	b, ok, err := fold.Meta(h.k.st, fold.MetaJournal)
	if err != nil {
		return api.Wrap("event.stream", err)
	}
	if !ok || len(b) != 16 {
		b = make([]byte, 8, 16)
		if in := h.k.opt.Inline; in != nil { // a simulation has no chance but its seed
			sum := sha256.Sum256(binary.BigEndian.AppendUint64(api.Seq8(in.Seed), uint64(h.k.opt.Now().UnixNano())))
			copy(b, sum[:])
		} else {
			_, _ = rand.Read(b) // never fails
		}
		whole, err := fold.JournalWhole(h.k.st)
		if err != nil {
			return api.Wrap("event.stream", err)
		}
		first := end + 1
		if whole {
			first = 1
		}
		b = append(b, api.Seq8(first)...)
		if err := h.k.setMeta(fold.MetaJournal, b, true); err != nil {
			return api.Wrap("event.stream", err)
		}
	}
	h.journal, h.first = hex.EncodeToString(b[:8]), place{number: binary.BigEndian.Uint64(b[8:])}
	h.since, h.upto = afterRecord(end), afterRecord(end)
	return nil
}

// from resolves the input after: the empty text is now.
func (h *hub) from(after string) (place, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.open(); err != nil {
		return place{}, "", err
	}
	switch after {
	case "":
		return afterRecord(h.k.recent.end()), h.journal, nil
	case begin:
		return h.first, h.journal, nil
	}
	journal, p, err := parseCursor(after)
	switch {
	case err != nil:
		return p, "", err
	case journal != h.journal:
		return p, "", reset("this cursor is of another node's events, or of this node's before it was restored or its state rebuilt", "cursor", journal, "here", h.journal)
	case p.compare(h.first) < 0:
		return p, "", reset("this cursor is older than what this node keeps of events", "cursor", after, "oldest", cursor(h.journal, h.first))
	case p.number > h.k.recent.end()+1:
		return p, "", reset("this cursor is ahead of this node: its store has been put back to an earlier state", "cursor", after, "newest", cursor(h.journal, afterRecord(h.k.recent.end())))
	}
	return p, h.journal, nil
}

// rebuilding stops the events while the state is made anew, and ends all streams; done, they begin anew in another journal.
func (h *hub) rebuilding(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.journal = on, ""
	h.drop()
	for l := range h.subs {
		l.stir()
	}
}

// drop empties the ring. The caller holds mu.
func (h *hub) drop() {
	h.base += uint64(len(h.ring))
	h.ring, h.bytes, h.since = nil, 0, h.upto
}

// unheard reports whether nobody listens. The caller holds mu.
func (h *hub) unheard() bool { return len(h.subs) == 0 && !h.pulled }

func (l *listener) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// advance brings the ring a page further and reports whether there may be more. It does nothing while nobody listens: then the ring begins anew.
func (h *hub) advance() (more bool, err error) {
	end := h.k.recent.end()
	h.mu.Lock()
	if h.unheard() && h.journal != "" {
		h.upto = afterRecord(end)
		h.drop()
	}
	journal, from := h.journal, h.upto
	h.mu.Unlock()
	if journal == "" || from.number > end {
		return false, nil
	}
	evs, next := h.read(journal, from, end)
	h.mu.Lock()
	defer h.mu.Unlock()
	if journal != h.journal || from != h.upto {
		return true, nil
	}
	if next == from {
		return false, api.Errorf("events", api.Internal, "the log ends at %d and nothing of it is read from %d on", end, from.number)
	}
	h.upto = next
	h.add(evs)
	return true, nil
}

// read makes a page of events.
func (h *hub) read(journal string, from place, end uint64) ([]*happened, place) {
	r := h.k.reader("", h.k.log).Advised(h.k.apps)
	defer r.Close()
	pg := pager{eventTable: h.table, journal: journal, log: h.k.log}
	return pg.page(r, from, end)
}

// add puts events into the ring and wakes whom they may concern. The caller holds mu.
func (h *hub) add(evs []*happened) {
	for _, e := range evs {
		h.ring = append(h.ring, e)
		h.bytes += len(e.Data)
		index := h.base + uint64(len(h.ring)) - 1
		h.rouse(h.spaces[e.Space], e, index)
		if !e.Space.IsZero() {
			h.rouse(h.spaces[api.Hash{}], e, index)
		}
	}
	n := 0
	for len(h.ring)-n > ringEvents || h.bytes > ringBytes && n < len(h.ring) {
		h.bytes -= len(h.ring[n].Data)
		n++
	}
	if n > 0 {
		last := h.ring[n-1]
		if h.since = last.at; !last.fleet {
			h.since.index++
		}
		h.base += uint64(n)
		clear(h.ring[:n]) // a listener's slice of it is a copy
		h.ring = h.ring[n:]
	}
}

func (h *hub) rouse(ls map[*listener]struct{}, e *happened, index uint64) {
	for l := range ls {
		if l.idle {
			l.idle, l.at, l.index = false, e.at, index
			l.stir()
		}
	}
}

// tell puts something that is not in the journal into the ring; it is lost to whoever does not listen.
func (h *hub) tell(name string, space api.Hash, about api.DID, data any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unheard() || h.journal == "" || h.table.byName[name] == nil {
		return
	}
	raw, err := json.Marshal(data)
	if err != nil {
		h.k.log.Error("an event cannot be told", "type", name, "err", err)
		return
	}
	h.add([]*happened{{
		typ: h.table.byName[name], at: h.upto, fleet: true,
		Event: api.Event{Cursor: cursor(h.journal, h.upto), Type: name, Space: space, Author: about, Time: h.k.opt.Now().UTC(), Data: raw},
	}})
}

// join adds a listener that goes on from a place.
func (h *hub) join(space api.Hash, at place) (*listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) >= maxListeners {
		return nil, api.Errorf("event.stream", api.Unavailable, "%d streams of events are open, which is the limit: close one, or ask another node", maxListeners)
	}
	if h.unheard() { // the pump has not followed
		h.upto = afterRecord(h.k.recent.end())
		h.drop()
	}
	l := &listener{space: space, wake: make(chan struct{}, 1), at: at}
	h.subs[l] = struct{}{}
	if h.spaces[space] == nil {
		h.spaces[space] = map[*listener]struct{}{}
	}
	h.spaces[space][l] = struct{}{}
	return l, nil
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, l)
	if delete(h.spaces[l.space], l); len(h.spaces[l.space]) == 0 {
		delete(h.spaces, l.space)
	}
	if h.unheard() {
		select { // the pump forgets what nobody wants
		case h.kick <- struct{}{}:
		default:
		}
	}
}

// next returns the next events of a listener, of all spaces and types, and the place after them. From the ring it copies pointers; a listener that is
// further behind reads a page from the store, when it is its turn. When there is nothing new, live is set and the listener is woken when there is.
func (h *hub) next(ctx context.Context, l *listener, journal string) (evs []*happened, at place, live bool, err error) {
	h.mu.Lock()
	if h.journal != journal {
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return nil, at, false, api.Errorf("event.stream", api.Unavailable, "the state is being rebuilt: ask again when that is done")
		}
		return nil, at, false, reset("this node's state was rebuilt: its events are numbered anew", "cursor", journal)
	}
	l.idle, l.ring = false, l.ring && l.index >= h.base
	if !l.ring && l.at.compare(h.since) >= 0 && l.at.compare(h.upto) <= 0 {
		i := sort.Search(len(h.ring), func(i int) bool { return h.ring[i].at.compare(l.at) >= 0 })
		for i < len(h.ring) && h.ring[i].fleet { // was told before
			i++
		}
		l.ring, l.index = true, h.base+uint64(i)
	}
	if l.ring {
		defer h.mu.Unlock()
		evs = slices.Clone(h.ring[l.index-h.base:])
		if len(evs) > takeEvents {
			evs = evs[:takeEvents]
			last := evs[takeEvents-1]
			if l.at = last.at; !last.fleet {
				l.at.index++
			}
		} else {
			l.at = h.upto
		}
		l.index += uint64(len(evs))
		l.idle = len(evs) == 0
		return evs, l.at, l.idle, nil
	}
	h.mu.Unlock()
	select {
	case h.replay <- struct{}{}:
	case <-ctx.Done():
		return nil, at, false, context.Cause(ctx)
	}
	defer func() { <-h.replay }()
	evs, next := h.read(journal, l.at, h.k.recent.end())
	if !h.is(journal) { // what was read may be of a state that is being rebuilt
		return nil, l.at, false, nil
	}
	if next == l.at { // the pump is behind
		return nil, l.at, false, h.catchUp(ctx, l)
	}
	l.at = next
	return evs, next, false, nil
}

func (h *hub) is(journal string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.journal == journal
}

// catchUp waits for the pump to come to where a listener is.
func (h *hub) catchUp(ctx context.Context, l *listener) error {
	select {
	case h.kick <- struct{}{}:
	default:
	}
	pause := time.NewTimer(time.Millisecond)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.wake:
	case <-pause.C:
	}
	return nil
}
