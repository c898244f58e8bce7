package kerneltest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/record"
)

// Node is one machine of a Cluster: its keys and its disk outlive its kernel.
type Node struct {
	Name     string
	Outsider bool // belongs to nobody: no check expects it to hold what the others hold

	c      *Cluster
	member api.Signer
	former []api.Signer // its devices before
	key    ed25519.PrivateKey
	skew   time.Duration
	ahead  bool // its clock was ahead in this life: it may date records so still
	lives  int
	boot   []string
	disk   *store.Mem
	k      *kernel.Kernel // nil while it is down
	net    *SimTransport
	apps   []api.App
	liar   *liar // nil for an honest node
	filter *filter
	backup []byte // what Restore boots on
	slow   bool   // its disk syncs a step late
	doom   *Crash // how it ends right after its next write, nil for not yet
	err    error
	heard  log                       // what it has on this disk
	turns  uint64                    // how often it has committed or begun
	looked looked                    // what the checks of a step have looked at
	kept   []api.Position            // what it has announced, in order: never to be lost
	marks  map[api.Hash]api.Position // the newest final position of each feed that it has announced: never to be left
}

// identities are the keys of a node.
type identities struct{ n *Node }

func (i identities) Signer() api.Signer          { return i.n.member }
func (i identities) NodeKey() ed25519.PrivateKey { return i.n.key }

var _ kernel.Identity = identities{}

// Add adds a node that knows the addresses of those before it, and starts it.
func (c *Cluster) Add(name string) (*Node, error) {
	n := &Node{Name: name, c: c, slow: c.opt.SlowDisks, marks: map[api.Hash]api.Position{}, member: c.device(name, 1), key: NodeKey(fmt.Sprintf("%d-%s", c.opt.Seed, name))}
	n.disk = store.OpenMem(store.Faults{LoseUnsynced: true})
	for _, o := range c.nodes {
		n.boot = append(n.boot, o.Address())
	}
	c.nodes = append(c.nodes, n)
	return n, n.Start()
}

// Start boots the node on what its disk holds.
func (n *Node) Start() error {
	if n.k != nil {
		return nil
	}
	n.lives++
	n.turns++
	n.ahead = n.skew > 0
	var s [32]byte
	copy(s[:], fmt.Sprintf("%d/%d/%s", n.c.opt.Seed, n.lives, n.Name))
	random := rand.NewChaCha8(s)
	n.apps = n.c.opt.Apps(n.Name, random)
	apps := n.apps
	if n.c.opt.Plant.RetryFlips == n.Name {
		apps = flipApps(n, apps)
	}
	n.filter = newFilter(n)
	if n.liar != nil {
		n.liar.begin()
	}
	if n.c.opt.Plant.ForgetsChange == n.Name && n.lives > 1 {
		if err := n.forget(); err != nil {
			return err
		}
	}
	var disk store.Store = n.disk
	if n.c.opt.Plant.AckBeforeSync {
		disk = hasty{n.disk}
	}
	k, err := kernel.New(kernel.Options{
		Identity: identities{n}, Apps: apps, AccessDomain: n.c.opt.AccessDomain, RateDomain: n.c.opt.RateDomain, Bootstrap: n.boot,
		Logger: n.c.opt.Logger.With("node", n.Name), Now: n.Now, Version: "sim",
		Inline: &kernel.Inline{
			Store: disk, Seed: random.Uint64(), Sealer: newSimSealer(n.key, s), Join: n.join, Unsynced: n.slow,
			Committed: func(cs []api.Commit, finals []api.Position) { n.c.committed(n, cs, finals) },
		},
	})
	if err != nil {
		return fmt.Errorf("start of %s: %w", n.Name, err)
	}
	n.k, n.err = k, nil
	if err := k.Begin(context.Background()); err != nil {
		return fmt.Errorf("start of %s: %w", n.Name, err)
	}
	return n.checkKept()
}

// join puts the node's filters between its kernel and the network.
func (n *Node) join(o transport.Options, h transport.Handler) (transport.Transport, error) {
	o.Announce = []string{n.host()}
	o.RetryMax = 8 * time.Second
	t, err := n.c.Net.Join(o, &tapHandler{h, n})
	if err != nil {
		return nil, err
	}
	n.net = t
	return &tapTransport{t, n}, nil
}

func (n *Node) host() string { return n.Name + ".sim:7100" }

// DID returns the node's own DID, Member that of whom it serves.
func (n *Node) DID() api.DID { return NodeDID(n.key) }

// Member returns the signer of the member whom the node serves.
func (n *Node) Member() api.Signer { return n.member }

// Address returns where the node's peers find it.
func (n *Node) Address() string {
	s, err := transport.FormatAddress(n.DID(), n.host())
	if err != nil {
		panic(err) // the name of a node is a host name
	}
	return s
}

// Now is the node's own clock.
func (n *Node) Now() time.Time { return n.c.Net.Now().Add(n.skew) }

// Up reports whether the node runs; if not, Err may say why.
func (n *Node) Up() bool { return n.k != nil }

// Err returns what the node stopped with, nil when it was told to or crashed.
func (n *Node) Err() error { return n.err }

// Liar reports whether the node does not keep to the rules.
func (n *Node) Liar() bool { return n.liar != nil }

// Kernel returns the running kernel, nil while the node is down.
func (n *Node) Kernel() *kernel.Kernel { return n.k }

// Apps returns the apps of the node's current life.
func (n *Node) Apps() []api.App { return n.apps }

// step gives the node its turn. A failed store stops it, as it stops a daemon.
func (n *Node) step() {
	if n.k == nil {
		return
	}
	had := uint64(0)
	if n.doom != nil {
		had = n.LogEnd()
	}
	if err := n.k.Step(context.Background()); err != nil {
		n.broke(err)
	} else if n.doom != nil && n.LogEnd() > had {
		n.Crash(*n.doom)
	}
}

// broke stops a node whose disk has failed.
func (n *Node) broke(err error) {
	kind := "disk-error"
	if errors.Is(err, syscall.ENOSPC) {
		kind = "disk-full"
	}
	n.c.fault(kind, "%s", n.Name)
	n.down(err)
}

func (n *Node) down(err error) {
	n.k, n.err, n.doom = nil, err, nil
	n.net.Crash()
}

// Call asks one operation on behalf of the node's member, with all scopes. An operation that waits for other nodes is given a ctx that is done:
// no time passes while it is asked.
func (n *Node) Call(ctx context.Context, name string, in any) (out any, err error) {
	return n.CallAs(ctx, n.member, name, in)
}

// CallAs is Call by another signer, whose key is on this node beside the member's.
func (n *Node) CallAs(ctx context.Context, by api.Signer, name string, in any) (out any, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	if n.k == nil {
		err = api.Errorf(name, api.Unavailable, "node %s is down", n.Name)
	} else {
		call := &api.Call{Actor: by.DID(), Signer: by, Scopes: []string{"*"}, Wait: api.WaitLocal}
		out, err = n.k.Call(ctx, call, name, raw, func(any) error { return nil })
	}
	answer, _ := json.Marshal(out)
	if err != nil {
		answer = []byte(api.KindOf(err).Code() + ": " + err.Error())
	}
	who := n.Name
	if by != n.member {
		who += " for " + by.Device().String()[:8]
	}
	n.c.Note("%s: %s %s -> %s", who, name, raw, answer)
	return out, err
}

// Ask is Call for checks: it leaves no trace, and fails when the node is down.
func (n *Node) Ask(name string, in any) (any, error) {
	if n.k == nil {
		return nil, api.Errorf(name, api.Unavailable, "node %s is down", n.Name)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return n.k.Call(context.Background(), &api.Call{Actor: n.member.DID(), Signer: n.member, Scopes: []string{"*"}}, name, raw, nil)
}

// Follow makes a node that is down follow a space, behind its apps' back.
func (n *Node) Follow(space api.Hash) error {
	b := n.disk.NewBatch()
	defer b.Close()
	fold.PutMeta(b, ingest.MetaFollow+space.String(), nil)
	return n.disk.Commit(b, true)
}

// Read opens a reader on the node's disk for the named app, running or not. Close it.
func (n *Node) Read(app string) api.Reader {
	return fold.NewReader(n.disk, app, slog.New(slog.DiscardHandler))
}

// Heads lists the feeds of a topic as the node holds them, of all topics for an empty name.
func (n *Node) Heads(t api.Topic) []api.Head {
	r := fold.NewReader(n.disk, "", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.Heads(t)
}

// Follows lists the spaces that the node follows, none while it is down.
func (n *Node) Follows() []api.Hash {
	if n.k == nil {
		return nil
	}
	out, err := n.k.Call(context.Background(), &api.Call{Scopes: []string{"*"}}, "node.status", nil, nil)
	if err != nil {
		return nil
	}
	return out.(*kernel.Status).Spaces
}

// LogEnd returns how many records the node has committed.
func (n *Node) LogEnd() uint64 {
	r := fold.NewReader(n.disk, "", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.LogEnd()
}

// Digest returns the digest of the node's state, and that of each app by name.
func (n *Node) Digest() (api.Hash, map[string]api.Hash) {
	apps, err := fold.NewApps(n.apps)
	if err != nil {
		panic(err) // the kernel has been made with them
	}
	d, each, err := fold.Digest(n.disk, apps)
	if err != nil {
		panic(err)
	}
	m := map[string]api.Hash{}
	for _, a := range each {
		m[a.App] = a.Digest
	}
	return d, m
}

// Recheck applies all records again to what their past has left, as a node does in the background, and returns what is wrong.
func (n *Node) Recheck() ([]string, error) {
	apps, err := fold.NewApps(n.apps)
	if err != nil {
		return nil, err
	}
	snap := n.disk.Snapshot()
	defer snap.Close()
	_, _, problems, err := fold.Recheck(context.Background(), n.disk, snap, apps, 0, math.MaxInt)
	return problems, err
}

// Turns counts the node's commits and starts: while it stays, there is nothing new to look at.
func (n *Node) Turns() uint64 { return n.turns }

// log is what has been read of a disk's records. What lies there under a number stays.
type log struct {
	disk *store.Mem
	last uint64
	recs []*api.Record
}

// Records returns all records that the node holds, in the order in which it committed them, which is a causal one. They must not be modified, and
// nothing may be put in their list. It grows while the node has the same disk, and what it holds stays the same, pointers included; after a crash or a
// restore the records are read anew, from another disk.
func (n *Node) Records() []*api.Record {
	if n.heard.disk != n.disk {
		n.heard = log{disk: n.disk}
	}
	r := fold.NewReader(n.disk, "", slog.New(slog.DiscardHandler))
	defer r.Close()
	for l := &n.heard; ; {
		ps, last := r.Log(l.last, 256)
		for _, p := range ps {
			if rec, _, ok := r.Record(p); ok {
				l.recs = append(l.recs, rec)
			}
		}
		if last == l.last {
			return slices.Clip(l.recs)
		}
		l.last = last
	}
}

// FoldAlone folds those of the records on the node's disk that are wanted, in its order, in an empty store, and returns the digest of the state.
func (n *Node) FoldAlone(wanted func(*api.Record) bool) (api.Hash, error) {
	apps, err := fold.NewApps(n.apps)
	if err != nil {
		return api.Hash{}, err
	}
	st, err := store.OpenVolatile()
	if err != nil {
		return api.Hash{}, err
	}
	defer st.Close()
	s, err := fold.Open(st, apps, slog.New(slog.DiscardHandler))
	if err != nil {
		return api.Hash{}, err
	}
	err = fold.Envelopes(n.disk, func(raw []byte) error {
		e, err := record.DecodeVerified(bytes.Clone(raw))
		if err != nil || !wanted(e.Record) {
			return err
		}
		return s.Put(e)
	})
	if err != nil {
		return api.Hash{}, err
	}
	if _, _, err := s.Commit(false); err != nil {
		return api.Hash{}, err
	}
	d, _, err := fold.Digest(st, apps)
	return d, err
}
