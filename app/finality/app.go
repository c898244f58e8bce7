package finality

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// How long a witness rests after a round of statements: so much for each feed that had grown and for each pair of them, since what grows again meanwhile
// costs the next round nothing more. Few take little rest, many no longer than longest, which a payment then waits for finality at most.
const (
	perFeed = 250 * time.Microsecond
	perPair = 12 * time.Microsecond // with perFeed 65 ms for 64 feeds
	longest = 250 * time.Millisecond
)

// Spaces knows which space is meant when none is named.
type Spaces interface {
	Default() (api.Hash, error)
}

// App is the finality app. Make one with New.
type App struct {
	spaces  Spaces
	kick    chan struct{} // holds one token while something waits to be stated
	cutting sync.Mutex    // one draft at a time

	mu       sync.Mutex
	host     api.Host                       // nil until Start
	pending  map[api.Hash]map[api.Hash]bool // space -> feeds that have grown, or of which another witness has spoken
	cut      map[api.Hash]map[api.Hash]bool // space -> feeds with a cut that is new
	waits    map[api.Hash]map[api.Hash]bool // space -> feeds with a draft that waits for what other witnesses hold
	cutters  map[api.Hash]api.Hash          // space -> the registrar's feed of cuts
	idle     map[api.Hash]bool              // spaces in which this node has no say, as far as it has read
	inspects map[api.Hash]time.Time         // spaces with a checkpoint that may have to be checked, and when to look
	taken    map[api.Hash]bool              // spaces in which this node, as the registrar's, has looked for what one before left undone
	serving  bool                           // Serve runs and will state it

	stating sync.Mutex         // one round at a time; guards what follows
	desks   map[api.Hash]*desk // by space
}

var (
	_ api.Applier = (*App)(nil)
	_ api.Adviser = (*App)(nil)
	_ api.Reactor = (*App)(nil)
	_ api.Starter = (*App)(nil)
	_ api.Ticker  = (*App)(nil)
	_ fact.Cutter = (*App)(nil)
	_ fact.Prover = (*App)(nil)
)

// New returns the app.
func New(spaces Spaces) *App {
	return &App{spaces: spaces, kick: make(chan struct{}, 1), pending: map[api.Hash]map[api.Hash]bool{}, cut: map[api.Hash]map[api.Hash]bool{}, waits: map[api.Hash]map[api.Hash]bool{}, cutters: map[api.Hash]api.Hash{}, idle: map[api.Hash]bool{}, taken: map[api.Hash]bool{}, inspects: map[api.Hash]time.Time{}, desks: map[api.Hash]*desk{}}
}

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "finality", Topics: []api.TopicSpec{
		{Name: fact.FinalityTopic, Retention: api.Log, Kinds: []string{kindStatement, kindPromise, kindSeal, kindStart, kindVote, kindCheck}},
		{Name: fact.CutTopic, Retention: api.Log, Kinds: []string{kindDraft, kindCut, kindHand, kindEpoch, kindCheckpoint}},
		{Name: fact.OfficeTopic, Retention: api.Log, Kinds: []string{kindReplace}},
	}}
}

// Watch implements api.Reactor: everything may become final.
func (*App) Watch() []string { return []string{"*"} }

// Start implements api.Starter: it finds what was committed before a crash and not stated or answered.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	a.host = host
	a.mu.Unlock()
	api.Provide[fact.Cutter](host.Services(), a)
	api.Provide[fact.Prover](host.Services(), a)
	r := host.Read()
	defer r.Close()
	for _, id := range host.Follows() {
		if s, ok := fact.Open(r, id); ok {
			a.resume(host, r, s)
		}
	}
	return nil
}

// React implements api.Reactor: it notes which feeds have grown or are spoken of, and lets Serve state them, or does it here when Serve does
// not run.
func (a *App) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	for _, c := range commits {
		if a.idles(c.Record) {
			continue
		}
		if c.Record.Topic.Name != fact.FinalityTopic {
			a.note(c.Record.Topic.Space, c.Record.Feed)
			if c.Record.Topic.Name != fact.CutTopic && c.Record.Topic.Name != fact.OfficeTopic {
				continue
			}
		}
		if c.Active {
			a.hear(c.Record)
		}
	}
	a.mu.Lock()
	serving := a.serving
	a.mu.Unlock()
	if !serving {
		return a.state(ctx, host)
	}
	a.wake()
	return nil
}

// idles reports whether a record is of no concern to this node, which is neither witness nor registrar of its space: most nodes of most spaces. What may
// change that ends it: records of the space and its offices, and words of witnesses on who follows them.
func (a *App) idles(rec *api.Record) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch rec.Topic.Name {
	case fact.SpaceTopic, fact.CutTopic, fact.OfficeTopic:
		delete(a.idle, rec.Topic.Space)
	case fact.FinalityTopic:
		if rec.Kind == kindSeal || rec.Kind == kindStart {
			delete(a.idle, rec.Topic.Space)
		}
	}
	return a.idle[rec.Topic.Space]
}

// hear notes the feeds that a witness or the registrar speaks of.
func (a *App) hear(rec *api.Record) {
	space := rec.Topic.Space
	switch rec.Topic.Name + " " + rec.Kind {
	case fact.FinalityTopic + " " + kindStatement:
		s, err := decode(rec.Body)
		if err != nil {
			return
		}
		for i := range s.Locks {
			a.note(space, s.Locks[i].Feed)
		}
		a.mu.Lock()
		cutter, known := a.cutters[space]
		waits := a.waits[space] // not changed, but replaced
		a.mu.Unlock()
		for i := range s.Final {
			if !known || s.Final[i].Feed == cutter || waits[s.Final[i].Feed] || a.isOwn(rec.Topic.Space, s.Final[i].Feed) { // a cut may have become final, or a promise may be shown
				a.note(space, s.Final[i].Feed)
			}
		}
	case fact.FinalityTopic + " " + kindPromise:
		var p promise
		if read(rec.Body, &p) == nil {
			a.note(space, p.Feed)
		}
	case fact.FinalityTopic + " " + kindSeal, fact.FinalityTopic + " " + kindStart:
		a.mu.Lock()
		cutter := a.cutters[space]
		a.mu.Unlock()
		a.note(space, cutter) // one epoch may follow on another
		a.noteCheckpoint(space)
	case fact.CutTopic + " " + kindCheckpoint:
		a.noteCheckpoint(space)
	case fact.CutTopic + " " + kindDraft:
		var d draft
		if read(rec.Body, &d) == nil {
			a.note(space, d.Target.feed(space))
		}
	case fact.CutTopic + " " + kindHand:
		a.inherit(rec)
	case fact.CutTopic + " " + kindCut:
		var c cut
		if read(rec.Body, &c) == nil {
			a.noteCut(space, c.Target.feed(space))
		}
	case fact.OfficeTopic + " " + kindReplace:
		var b replace
		if read(rec.Body, &b) == nil {
			for _, feed := range b.feeds(space) {
				a.noteCut(space, feed)
			}
		}
	}
}

// Serve implements api.Runner: it states what is noted, and rests after that.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	a.setServing(true)
	defer a.setServing(false)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.inspecting(ctx, host)
	}()
	defer func() {
		cancel()
		<-done
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	look := time.NewTicker(dueEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		a.mu.Lock()
		feeds := 0
		for _, noted := range a.pending {
			feeds += len(noted)
		}
		a.mu.Unlock()
		if err := a.state(ctx, host); err != nil {
			return err
		}
		pause.Reset(rest(feeds))
		for waits := true; waits; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-a.kick:
				waits = false
			case <-look.C:
				waits = !a.noteDue(host.Now())
			}
		}
	}
}

// rest is how long a round that looked at so many feeds is followed by none.
func rest(feeds int) time.Duration {
	n := min(feeds, 1<<12)
	return min(time.Duration(n)*perFeed+time.Duration(n*n)*perPair, longest)
}

func (a *App) setServing(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serving = on
}

func (a *App) note(space, feed api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[space] == nil {
		a.pending[space] = map[api.Hash]bool{}
	}
	a.pending[space][feed] = true
}

// noteCut notes that a record cuts a feed.
func (a *App) noteCut(space, feed api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut[space] == nil {
		a.cut[space] = map[api.Hash]bool{}
	}
	a.cut[space][feed] = true
}

func (a *App) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// state states all that is noted. What it could not state it notes again.
func (a *App) state(ctx context.Context, host api.Host) error {
	a.stating.Lock()
	defer a.stating.Unlock()
	a.mu.Lock()
	pending := a.pending
	a.pending = map[api.Hash]map[api.Hash]bool{}
	a.mu.Unlock()
	for _, space := range slices.SortedFunc(maps.Keys(pending), api.Hash.Compare) {
		if err := a.stateSpace(ctx, host, space, slices.SortedFunc(maps.Keys(pending[space]), api.Hash.Compare)); err != nil {
			for space, feeds := range pending {
				for feed := range feeds {
					a.note(space, feed)
				}
			}
			a.wake()
			return err
		}
	}
	return nil
}

func (a *App) stateSpace(ctx context.Context, host api.Host, space api.Hash, feeds []api.Hash) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	a.mu.Lock()
	a.cutters[space] = s.Cutter()
	cuts := a.cut[space]
	delete(a.cut, space)
	a.mu.Unlock()
	witness, registrar := isWitness(s, host.Self()), s.Holds(host.Self(), fact.Registrar)
	a.mu.Lock()
	a.idle[space] = !witness && !registrar && !heir(r, s, host.Self())
	a.mu.Unlock()
	if witness {
		if err := a.witness(ctx, host, newView(host, r, s), feeds, cuts); err != nil {
			return err
		}
	}
	if registrar {
		more, err := a.takeOver(ctx, host, r, s)
		if err != nil {
			return err
		}
		return settleDrafts(ctx, host, space, append(feeds, more...))
	}
	return nil
}

// witness does what is due of a device that is or was a witness of the space: it follows the epochs, then states.
func (a *App) witness(ctx context.Context, host api.Host, v *view, feeds []api.Hash, cuts map[api.Hash]bool) error {
	if wrote, err := v.succeed(ctx, host); err != nil {
		return err
	} else if wrote {
		r := host.Read()
		defer r.Close()
		s, ok := fact.Open(r, v.ID)
		if !ok {
			return nil
		}
		v = newView(host, r, s)
	}
	if !v.speaks() {
		return nil
	}
	d := a.desks[v.ID]
	if d == nil || d.epoch != v.stand.Epoch {
		if d != nil || v.stand.Epoch > 0 {
			feeds = append(feeds, everything(host, v.Reader, v.Space)...)
		}
		d = newDesk(v.ID, v.stand.Epoch)
		a.desks[v.ID] = d
	}
	for feed := range cuts {
		d.cuts[feed] = true
	}
	err := d.round(ctx, host, v, feeds)
	a.mu.Lock()
	a.waits[v.ID] = maps.Clone(d.waits)
	a.mu.Unlock()
	return err
}

// isWitness reports whether self is or was a witness of the space.
func isWitness(s *fact.Space, self api.Signer) bool {
	return self != nil && s.States(s.Feed(fact.FinalityTopic, self.Device()))
}
