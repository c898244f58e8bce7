package kernel

import (
	"context"
	"crypto/ed25519"
	"runtime"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// None is the input or output of an operation that needs none.
type None struct{}

// Status is the answer of node.status.
type Status struct {
	Version   string      `json:"version"`
	Node      api.DID     `json:"node"`
	Member    api.DID     `json:"member"`
	Device    api.Key     `json:"device"`
	Phase     string      `json:"phase"`
	Started   time.Time   `json:"started"`
	Uptime    int64       `json:"uptime_seconds"`
	Spaces    []api.Hash  `json:"spaces"`
	Peers     int         `json:"peers"`
	Addresses []string    `json:"addresses"`
	Records   uint64      `json:"records"`
	Waiting   int         `json:"waiting"`
	Feeds     int         `json:"feeds"`
	Store     StoreStatus `json:"store"`
}

// StoreStatus describes the store.
type StoreStatus struct {
	Engine string `json:"engine"`
	Format int    `json:"format"`
	Bytes  uint64 `json:"bytes"`
}

// ConfigOut is the answer of node.config.
type ConfigOut struct {
	Values map[string]any `json:"values"`
}

// SpaceIn names a space; empty for the only one the node follows.
type SpaceIn struct {
	Space api.Hash `json:"space,omitzero" doc:"space id; default: the only one this node follows"`
}

// TopicList is the answer of topic.list.
type TopicList struct {
	Topics []TopicOut `json:"topics"`
}

// TopicOut is one topic.
type TopicOut struct {
	Topic   string `json:"topic"`
	Feeds   int    `json:"feeds"`
	Records uint64 `json:"records"`
}

// TailIn asks for the records of a topic.
type TailIn struct {
	Topic  string `json:"topic" doc:"<space>/<name>" example:"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/board"`
	Last   int    `json:"last,omitempty" doc:"how many of the newest to begin with, 0 to 10000"`
	Follow bool   `json:"follow,omitempty" doc:"go on with new ones"`
}

// Validate implements api.Validator.
func (in *TailIn) Validate() error {
	if in.Last < 0 || in.Last > 10000 {
		return api.Errorf("topic.tail", api.Invalid, "last %d: want 0 to 10000", in.Last)
	}
	_, err := api.ParseTopic(in.Topic)
	return err
}

// TailItem is one record.
type TailItem struct {
	Topic    string      `json:"topic"`
	Feed     api.Hash    `json:"feed"`
	Seq      uint64      `json:"seq"`
	ID       api.Hash    `json:"id"`
	Author   api.DID     `json:"author"`
	Kind     string      `json:"kind"`
	Time     time.Time   `json:"time"`
	Deps     int         `json:"deps"`
	Bytes    int         `json:"bytes"`
	Accepted bool        `json:"accepted"`
	Held     bool        `json:"held"`
	Final    bool        `json:"final"`
	Reason   *api.Reason `json:"reason,omitempty"`
}

// DigestOut is the answer of state.digest.
type DigestOut struct {
	Digest api.Hash    `json:"digest"`
	Apps   []AppDigest `json:"apps"`
}

// AppDigest is one app's part of it.
type AppDigest struct {
	App    string   `json:"app"`
	Digest api.Hash `json:"digest"`
	Rows   int      `json:"rows"`
}

// VerifyOut is the answer of state.verify and state.rebuild.
type VerifyOut struct {
	OK       bool     `json:"ok"`
	Records  int      `json:"records"`
	TookMS   int64    `json:"took_ms"`
	Digest   api.Hash `json:"digest"`
	Problems []string `json:"problems,omitempty"`
}

// operations is the kernel's own part of the table. All of it is the operator's: none speaks for a domain.
func (k *Kernel) operations() []api.Operation {
	ops := []api.Operation{
		api.Handle(api.Operation{
			Name: "node.status", Method: "GET", Path: "/node/status", CLI: "status", Scope: "node:read",
			Summary: "Show who and how this node is",
		}, k.opStatus),
		api.Handle(api.Operation{
			Name: "node.config", Method: "GET", Path: "/node/config", CLI: "config show", Scope: "node:read",
			Summary: "Show the configuration in force, without secrets",
		},
			func(context.Context, *api.Call, *None) (*ConfigOut, error) { return &ConfigOut{k.opt.Config}, nil }),
		api.Handle(api.Operation{
			Name: "id.show", Method: "GET", Path: "/id", CLI: "id show", Scope: "node:read",
			Summary: "Show this node's member, device and node key, and the key event log",
		}, func(context.Context, *api.Call, *None) (*IdentityOut, error) { return k.showIdentity() }),
		api.Handle(api.Operation{
			Name: "topic.list", Method: "GET", Path: "/topics", CLI: "topic list", Scope: "topic:read",
			Summary: "List the topics of a space",
		}, k.opTopics),
		api.HandleStream(api.Operation{
			Name: "topic.tail", Method: "GET", Path: "/topics/tail", CLI: "topic tail", Scope: "topic:read",
			Summary: "Show the records of a topic as they come",
		}, k.opTail),
		api.Handle(api.Operation{
			Name: "state.digest", Method: "GET", Path: "/state/digest", CLI: "state digest", Scope: "state:read",
			Summary: "Print one hash per app: equal on nodes that hold the same records",
		}, k.opDigest),
		api.Handle(api.Operation{
			Name: "state.verify", Method: "POST", Path: "/state/verify", CLI: "state verify", Scope: "state:read",
			Summary: "Fold all records again beside the state and compare",
		}, k.opVerify),
		api.Handle(api.Operation{
			Name: "state.rebuild", Method: "POST", Path: "/state/rebuild", CLI: "state rebuild", Scope: "state:write", Write: true,
			Summary: "Throw the state away and make it anew from the records",
		}, k.opRebuild),
	}
	return slices.Concat(ops, k.recordOperations(), k.refusalOperations(), k.peerOperations(), k.eventOperations(), k.blobOperations(), k.careOperations())
}

func (k *Kernel) selfDID() api.DID {
	return record.DIDOf(api.Key(k.opt.Identity.NodeKey().Public().(ed25519.PublicKey)))
}

func (k *Kernel) opStatus(context.Context, *api.Call, *None) (*Status, error) {
	s := k.opt.Identity.Signer()
	out := &Status{
		Version: k.opt.Version + " " + runtime.Version(), Node: k.selfDID(), Member: s.DID(), Device: s.Device(), Phase: k.oracles.Phase().String(),
		Started: k.started.UTC(), Uptime: int64(k.opt.Now().Sub(k.started).Seconds()), Spaces: k.follows.list(),
		Store: StoreStatus{Engine: k.st.Engine(), Format: k.st.Format(), Bytes: k.st.Bytes()},
	}
	if k.net != nil {
		out.Peers, out.Addresses = len(k.net.t.Peers()), k.net.t.Addresses()
	}
	r := k.reader("", k.log)
	defer r.Close()
	out.Records = r.LogEnd()
	for _, sp := range out.Spaces {
		out.Feeds += r.CountFeeds(sp)
	}
	err := k.road.Do(context.Background(), func(e *ingest.Engine) error {
		out.Waiting, _ = e.Room()
		return nil
	})
	return out, err
}

// space resolves an optional space id.
func (k *Kernel) space(h api.Hash) (api.Hash, error) {
	if !h.IsZero() {
		if !k.follows.has(h) {
			return h, api.Errorf("space", api.NotFound, "space %s: this node does not follow it", h)
		}
		return h, nil
	}
	switch fs := k.follows.list(); len(fs) {
	case 0:
		return h, api.Errorf("space", api.NotFound, "this node follows no space yet: create one or join one")
	case 1:
		return fs[0], nil
	default:
		return h, api.Errorf("space", api.Invalid, "space: this node follows %d spaces, name one", len(fs))
	}
}

func (k *Kernel) opTopics(_ context.Context, _ *api.Call, in *SpaceIn) (*TopicList, error) {
	sp, err := k.space(in.Space)
	if err != nil {
		return nil, err
	}
	r := k.reader("", k.log)
	defer r.Close()
	out := &TopicList{Topics: []TopicOut{}}
	for _, h := range r.Heads(api.Topic{Space: sp}) {
		t := h.Topic.String()
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != t {
			out.Topics = append(out.Topics, TopicOut{Topic: t})
		}
		last := &out.Topics[len(out.Topics)-1]
		last.Feeds++
		last.Records += h.Tip.Seq
	}
	return out, nil
}

func (k *Kernel) opTail(ctx context.Context, _ *api.Call, in *TailIn, emit func(*TailItem) error) error {
	topic, err := api.ParseTopic(in.Topic)
	if err != nil {
		return err
	}
	if !k.follows.has(topic.Space) {
		return api.Errorf("topic.tail", api.NotFound, "space %s: this node does not follow it", topic.Space)
	}
	kick, cancel := k.watchers.subscribe()
	defer cancel()
	send := func(r *fold.Reader, p api.Position) error {
		if t, ok := r.Topic(p.Feed); !ok || t != topic {
			return nil
		}
		rec, v, ok := r.Record(p)
		if !ok {
			return nil
		}
		return emit(&TailItem{
			Topic: in.Topic, Feed: rec.Feed, Seq: rec.Seq, ID: rec.ID, Author: rec.Author, Kind: rec.Kind, Time: rec.Time.Time(),
			Deps: len(rec.Deps), Bytes: len(rec.Body), Accepted: v.Accepted, Held: v.Held, Final: v.Final, Reason: v.Reason,
		})
	}
	r := k.reader("", k.log)
	cursor := r.LogEnd()
	for _, p := range r.LastOf(topic, in.Last) {
		if err := send(r, p); err != nil {
			r.Close()
			return err
		}
	}
	r.Close()
	for in.Follow {
		select {
		case <-kick:
		case <-ctx.Done():
			return nil
		}
		for {
			r := k.reader("", k.log)
			ps, last := r.Log(cursor, reactBatch)
			for _, p := range ps {
				if err := send(r, p); err != nil {
					r.Close()
					return err
				}
			}
			r.Close()
			if last == cursor {
				break
			}
			cursor = last
		}
	}
	return nil
}

func digestOut(d api.Hash, apps []fold.AppDigest) *DigestOut {
	out := &DigestOut{Digest: d, Apps: make([]AppDigest, len(apps))}
	for i, a := range apps {
		out.Apps[i] = AppDigest(a)
	}
	return out
}

func (k *Kernel) opDigest(context.Context, *api.Call, *None) (*DigestOut, error) {
	snap := k.st.Snapshot()
	defer snap.Close()
	d, apps, err := fold.Digest(snap, k.apps)
	if err != nil {
		return nil, err
	}
	return digestOut(d, apps), nil
}

func (k *Kernel) opVerify(ctx context.Context, _ *api.Call, _ *None) (*VerifyOut, error) {
	start := time.Now()
	snap := k.st.Snapshot()
	defer snap.Close()
	scratch, err := store.OpenVolatile()
	if err != nil {
		return nil, err
	}
	defer scratch.Close()
	n, d, problems, err := fold.Verify(ctx, snap, scratch, k.apps, k.log)
	if err != nil {
		return nil, err
	}
	return &VerifyOut{OK: len(problems) == 0, Records: n, TookMS: time.Since(start).Milliseconds(), Digest: d, Problems: problems}, nil
}

func (k *Kernel) opRebuild(ctx context.Context, _ *api.Call, _ *None) (*VerifyOut, error) {
	start := time.Now()
	out := &VerifyOut{}
	err := k.road.Do(ctx, func(e *ingest.Engine) error {
		if err := e.Flush(); err != nil {
			return err
		}
		k.events.rebuilding(true)
		defer k.events.rebuilding(false)
		k.memory.Store(nil)
		defer k.memory.Store(fold.NewMemory())
		defer k.foundings.forget()
		n, err := e.State.Rebuild(context.WithoutCancel(ctx)) // half a rebuild helps nobody
		out.Records = n
		return err
	})
	if err != nil {
		return nil, err
	}
	d, err := k.opDigest(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	out.OK, out.Digest, out.TookMS = true, d.Digest, time.Since(start).Milliseconds()
	return out, nil
}
