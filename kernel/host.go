package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

func comparePositions(a, b api.Position) int {
	return cmp.Or(a.Feed.Compare(b.Feed), cmp.Compare(a.Seq, b.Seq), a.ID.Compare(b.ID))
}

func sortHashes(hs []api.Hash) { slices.SortFunc(hs, api.Hash.Compare) }

// host is the kernel as one app sees it.
type host struct {
	k   *Kernel
	app api.App
	log *slog.Logger

	local *local
}

var _ api.Host = (*host)(nil)

func (h *host) reader() *fold.Reader {
	return h.k.reader(h.app.Info().Name, h.log).Advised(h.k.apps)
}

// reader opens a snapshot of an app's rows, "" for nobody's.
func (k *Kernel) reader(app string, log *slog.Logger) *fold.Reader {
	mem := k.memory.Load()
	r := fold.NewReader(k.st, app, log)
	if mem != k.memory.Load() { // the snapshot may be of a state that is half made
		mem = nil
	}
	return r.Recalling(mem)
}

// Read implements api.Host.
func (h *host) Read() api.Reader { return h.reader() }

// Append implements api.Host.
func (h *host) Append(ctx context.Context, signer api.Signer, draft api.Draft, wait api.Wait) (api.Receipt, error) {
	return h.k.appendRecord(ctx, signer, draft, wait)
}

// Self implements api.Host.
func (h *host) Self() api.Signer { return h.k.opt.Identity.Signer() }

// Feed implements api.Host.
func (h *host) Feed(t api.Topic, device api.Key) api.Hash { return record.FeedID(t, device) }

// Heads implements api.Host.
func (h *host) Heads(t api.Topic) []api.Head {
	r := h.reader()
	defer r.Close()
	return r.Heads(t)
}

// Follow implements api.Host.
func (h *host) Follow(space api.Hash) error { return h.k.follow(space) }

// Follows implements api.Host.
func (h *host) Follows() []api.Hash { return h.k.follows.list() }

// Dial implements api.Host.
func (h *host) Dial(ctx context.Context, address string, proof []byte) error {
	if err := preparing(ctx, "connecting to a peer"); err != nil {
		return err
	}
	if h.k.net == nil {
		return errNoPeers
	}
	_, err := h.k.net.dial(ctx, address, proof)
	return err
}

// Addresses implements api.Host.
func (h *host) Addresses() []string {
	if h.k.net == nil {
		return nil
	}
	return h.k.net.t.Addresses()
}

// Oracles implements api.Host.
func (h *host) Oracles() api.OracleRegistry { return h.k.oracles }

// Services implements api.Host.
func (h *host) Services() *api.Services { return &h.k.services }

// Now implements api.Host.
func (h *host) Now() time.Time { return h.k.opt.Now() }

// Log implements api.Host.
func (h *host) Log() *slog.Logger { return h.log }

var errNoPeers = api.Errorf("peer.dial", api.Unavailable, "this node runs without peers: set network.bind_addr")

// follow makes the node replicate a space, durably.
func (k *Kernel) follow(space api.Hash) error {
	if space.IsZero() {
		return api.Errorf("space.follow", api.Invalid, "space: want an id of 64 hexadecimal digits that are not all zero")
	}
	if k.follows.has(space) {
		return nil
	}
	if err := k.setMeta(ingest.MetaFollow+space.String(), nil, true); err != nil {
		return api.Wrap("space.follow", err)
	}
	k.follows.add(space)
	if k.net != nil {
		k.net.follow(space)
	}
	return nil
}

// setMeta writes a small named value beside the committing goroutine: it touches no row of the state.
func (k *Kernel) setMeta(name string, val []byte, sync bool) error {
	b := k.st.NewBatch()
	defer b.Close()
	fold.PutMeta(b, name, val)
	return k.st.Commit(b, sync)
}

func (k *Kernel) appendRecord(ctx context.Context, signer api.Signer, draft api.Draft, wait api.Wait) (api.Receipt, error) {
	if signer == nil {
		return api.Receipt{}, api.Errorf("record.append", api.Unauthenticated, "nobody is here to sign: prepare the record and submit it signed")
	}
	if c, ok := signer.(*capture); ok {
		return c.append(ctx, k, draft)
	}
	if err := preparing(ctx, "writing with another key"); err != nil {
		return api.Receipt{}, err
	}
	if err := k.canReach(wait); err != nil {
		return api.Receipt{}, api.Wrap("record.append", err)
	}
	receipt, err := k.road.Append(ctx, signer, draft)
	if err != nil {
		return receipt, err
	}
	space := receipt.Topic.Space
	if space.IsZero() { // an earlier call of the same name is being committed this very moment
		space = draft.Topic.Space
	}
	err = k.reach(ctx, &receipt, space, signer.DID(), wait)
	return receipt, api.Wrap("record.append", err)
}

// reaction runs one app's reactor over the local commit log, at least once for each record.
type reaction struct {
	k     *Kernel
	h     *host
	r     api.Reactor
	every bool
	names map[string]bool

	cursor uint64 // local number of the newest commit seen
}

func newReaction(k *Kernel, h *host, r api.Reactor) *reaction {
	x := &reaction{k: k, h: h, r: r, names: map[string]bool{}}
	for _, t := range r.Info().Topics {
		x.names[t.Name] = true
	}
	for _, w := range r.Watch() {
		x.every = x.every || w == "*"
		x.names[w] = true
	}
	return x
}

func (x *reaction) String() string { return "react " + x.r.Info().Name }

// reactBatch bounds the records handed over at a time; a cursor is kept after each batch.
const reactBatch = 256

// Serve implements suture.Service.
func (x *reaction) Serve(ctx context.Context) error {
	kick, cancel := x.k.watchers.subscribe()
	defer cancel()
	if err := x.begin(); err != nil {
		return err
	}
	for {
		for {
			again, err := x.turn(ctx)
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if !again {
				break
			}
		}
		select {
		case <-kick:
		case <-ctx.Done():
			return nil
		}
	}
}

func (x *reaction) meta() string { return "react/" + x.r.Info().Name }

// begin finds out how far the reactor had come.
func (x *reaction) begin() (err error) {
	x.cursor, err = readCursor(x.k.st, x.meta())
	return err
}

// turn hands over the next batch and reports whether there was one. What fails is handed over again.
func (x *reaction) turn(ctx context.Context) (again bool, err error) {
	commits, last := x.take(x.cursor)
	if last == x.cursor {
		return false, nil
	}
	if len(commits) > 0 {
		if err := x.r.React(ctx, x.h, commits); err != nil {
			return false, api.Wrap("react "+x.r.Info().Name, err)
		}
	}
	x.cursor = last
	// Without a sync: after a crash some records come again, which a reactor must bear.
	return true, x.k.setMeta(x.meta(), api.Seq8(x.cursor), false)
}

// take returns what follows the cursor: from memory as a rule, from the store after a start or when the reactor has fallen far behind.
func (x *reaction) take(cursor uint64) ([]api.Commit, uint64) {
	if recent, last, ok := x.k.recent.after(cursor, reactBatch); ok {
		if x.every {
			return recent, last
		}
		commits := make([]api.Commit, 0, len(recent))
		for _, c := range recent {
			if x.names[c.Record.Topic.Name] {
				commits = append(commits, c)
			}
		}
		return commits, last
	}
	r := x.h.reader()
	defer r.Close()
	ps, last := r.Log(cursor, reactBatch)
	commits := make([]api.Commit, 0, len(ps))
	for _, p := range ps {
		if !x.every {
			if t, ok := r.Topic(p.Feed); !ok || !x.names[t.Name] {
				continue
			}
		}
		rec, v, ok := r.Record(p)
		if !ok {
			continue
		}
		commits = append(commits, api.Commit{Record: rec, Accepted: v.Accepted, Active: v.Accepted && !v.Held})
	}
	return commits, last
}

// recent is the end of the local commit log in memory.
type recent struct {
	mu      sync.Mutex
	last    uint64       // local number of the newest commit
	commits []api.Commit // those up to last
}

// recentCommits is how many commits are kept in memory for reactors.
const recentCommits = 4096

func (r *recent) add(events []ingest.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		r.commits = append(r.commits, events[i].Commit)
	}
	r.last += uint64(len(events))
	if n := len(r.commits); n > 2*recentCommits {
		r.commits = append(make([]api.Commit, 0, 3*recentCommits), r.commits[n-recentCommits:]...)
	}
}

// end returns the local number of the newest commit; it and all before it are on disk.
func (r *recent) end() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// after returns up to n commits after the cursor, and the number of the last; ok is false when they are not in memory.
func (r *recent) after(cursor uint64, n int) (commits []api.Commit, last uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.last - uint64(len(r.commits)) // the one before the oldest kept
	if cursor < first || cursor > r.last {
		return nil, cursor, false
	}
	commits = r.commits[cursor-first:]
	commits = commits[:min(len(commits), n)]
	return commits[:len(commits):len(commits)], cursor + uint64(len(commits)), true
}

func readCursor(r store.Reader, name string) (uint64, error) {
	b, ok, err := fold.Meta(r, name)
	if err != nil || !ok || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}
