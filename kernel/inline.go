package kernel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/snapshot"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// Inline are the surroundings of a node that is driven step by step from one goroutine: the same road, gossip, reactors and operations as in a
// node that Run drives, with neither goroutines nor a clock nor chance of its own, so that one seed gives one trace. kerneltest.Cluster drives
// such nodes.
type Inline struct {
	Store store.Store // the node's disk; Close closes it
	Seed  uint64      // of gossip's choices, and of the nonces of messages
	// Sealer seals messages between nodes, by chance of its own that one seed gives; nil: the node neither seals nor opens.
	Sealer Sealer
	// Join gives the node its place among its peers; nil for none. The transport must call the handler from within Step's goroutine only.
	Join func(transport.Options, transport.Handler) (transport.Transport, error)
	// Committed is told of commits once they are on disk, in order, and of the positions that became final by them; nil for nobody.
	Committed func(commits []api.Commit, finals []api.Position)
	// Unsynced leaves what a Step has written to be synced by the next one, as behind a disk that is slower than the node.
	Unsynced bool
}

// Bounds of one Step.
const (
	stepTurns  = 64 // turns of gossip, and of the reactors
	stepRounds = 64 // rounds of all parts while they find something to do
)

// inline drives a kernel's parts.
type inline struct {
	k         *Kernel
	road      *ingest.Inline
	reactions []*reaction
	tickers   []api.Ticker
}

func newInline(k *Kernel) *inline { return &inline{k: k, road: ingest.NewInline(k.engine)} }

// Begin takes an inline kernel through its phases; then Call is served, and Step goes on.
func (k *Kernel) Begin(ctx context.Context) error {
	if k.inline == nil || k.Ready() {
		return api.Errorf("kernel.begin", api.Invalid, "only an inline kernel is begun, and once")
	}
	if err := k.start(ctx); err != nil {
		return err
	}
	for _, app := range k.opt.Apps {
		if r, ok := app.(api.Reactor); ok {
			x := newReaction(k, k.hosts[app.Info().Name], r)
			if err := x.begin(); err != nil {
				return err
			}
			k.inline.reactions = append(k.inline.reactions, x)
		}
		if t, ok := app.(api.Ticker); ok {
			k.inline.tickers = append(k.inline.tickers, t)
		}
	}
	if k.net != nil {
		k.net.begin(k.opt.Now(), k.opt.Inline.Seed)
		if err := k.net.letters.begin(k.opt.Now()); err != nil {
			return err
		}
	}
	k.ready.Store(true)
	return nil
}

// Step does what there is to do: sync what was written, take in what peers have sent, react, tick, talk to peers, report incidents, until nothing more comes of
// it or a bound is reached; the rest is for the next Step. An error is the store's: the node has to stop. What an app's reactor or ticker
// failed with is logged and counted as a restart, and tried again by the next Step.
func (k *Kernel) Step(ctx context.Context) error {
	if !k.Ready() || k.inline == nil {
		return api.Errorf("kernel.step", api.Invalid, "the kernel is not an inline one that has begun")
	}
	return k.inline.step(ctx)
}

func (d *inline) step(ctx context.Context) error {
	k, now := d.k, d.k.opt.Now()
	if err := d.road.Sync(); err != nil {
		return api.Wrap("kernel.step", err)
	}
	for round := range stepRounds {
		if err := d.road.Step(!k.opt.Inline.Unsynced); err != nil {
			return api.Wrap("kernel.step", err)
		}
		if err := k.events.follow(); err != nil {
			return api.Wrap("kernel.step", err)
		}
		more := d.react(ctx)
		if round == 0 {
			k.wrongs.flush(now)
			d.tick(ctx, now)
		}
		for turn := 0; k.net != nil && turn < stepTurns && k.net.step(now); turn++ {
		}
		if err := d.letters(ctx, now); err != nil {
			return api.Wrap("kernel.step", err)
		}
		if !more && d.road.Offered() == 0 {
			break
		}
	}
	k.wrongs.flush(now)
	return nil
}

// letters takes in what nodes ask each other.
func (d *inline) letters(ctx context.Context, now time.Time) error {
	for range stepTurns {
		if d.k.net == nil {
			return nil
		}
		if more, err := d.k.net.letters.step(ctx, now); err != nil || !more {
			return err
		}
	}
	return nil
}

// react hands commits to the reactors, in the order of the apps, and reports whether one had something to do.
func (d *inline) react(ctx context.Context) (more bool) {
	for _, x := range d.reactions {
		for range stepTurns {
			again, err := x.turn(ctx)
			more = more || again
			if err != nil {
				d.failed(x.String(), err)
			}
			if !again {
				break
			}
		}
	}
	return more
}

func (d *inline) tick(ctx context.Context, now time.Time) {
	for _, t := range d.tickers {
		name := t.Info().Name
		if err := t.Tick(ctx, d.k.hosts[name], now); err != nil {
			d.failed("run "+name, err)
		}
	}
}

// failed is what the supervisor does with a part that failed, without the pause.
func (d *inline) failed(part string, err error) {
	d.k.metrics.restarts.Inc()
	d.k.log.Warn("a part of the node failed and is tried again", "part", part, "err", err)
}

// Load is how much an inline kernel holds in memory for later; the numbers are bounded, which a simulation checks.
type Load struct {
	RoomRecords, RoomBytes int            // records that wait for others
	Offered                int            // units of records that wait for Step
	Inbox                  int            // frames and commits that wait for gossip, and messages of nodes
	Missing                []api.Position // what records in the room wait for and nobody has brought
}

// Load returns the load of an inline kernel.
func (k *Kernel) Load() (l Load, err error) {
	if k.inline == nil {
		return l, errors.New("kernel: not inline")
	}
	err = k.road.Do(context.Background(), func(e *ingest.Engine) error {
		l.RoomRecords, l.RoomBytes = e.Room()
		l.Missing = e.Missing(math.MaxInt)
		slices.SortFunc(l.Missing, comparePositions)
		return nil
	})
	l.Offered = k.inline.road.Offered()
	if k.net != nil {
		l.Inbox = len(k.net.todo) + len(k.net.letters.todo)
	}
	return l, err
}

// Archive writes, not encrypted, what a snapshot of an inline kernel holds, after bringing it to the disk.
func (k *Kernel) Archive(w io.Writer) error {
	snap := k.st.Snapshot()
	defer snap.Close()
	barrier := k.st.NewBatch()
	defer barrier.Close()
	if err := k.st.Commit(barrier, true); err != nil {
		return err
	}
	h, err := k.snapshotHeader(snap)
	if err != nil {
		return err
	}
	_, err = k.writeSnapshot(snap, w, h, func(uint64) error { return nil })
	return api.Wrap("kernel.archive", err)
}

// RestoreInto is RestoreSnapshot into an empty store that the caller has, for an inline kernel.
func RestoreInto(ctx context.Context, st store.Store, plain io.Reader, apps []api.App) (*Restored, error) {
	const op = "kernel.restore"
	known, err := fold.NewApps(apps)
	if err != nil {
		return nil, err
	}
	r, err := snapshot.NewReader(plain)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	out, err := restoreInto(ctx, st, known, r, RestoreOptions{Apps: apps, Logger: slog.New(slog.DiscardHandler)})
	return out, api.Wrap(op, err)
}
