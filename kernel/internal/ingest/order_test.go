package ingest_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// toy is an app whose every effect shows in the digest: amounts add up per feed, what was cited is remembered, odd ones are void, and records
// of topic "say" state positions final, on the word of so many feeds, 0 for one.
type toy struct{ need uint16 }

func (toy) Info() api.AppInfo {
	return api.AppInfo{Name: "toy", Topics: []api.TopicSpec{
		{Name: "space", Kinds: []string{"found"}, Founding: "found"},
		{Name: "toy", Kinds: []string{"add"}},
		{Name: "say", Kinds: []string{"final"}},
	}}
}

func (t toy) Apply(tx api.Tx, r *api.Record) api.Outcome {
	switch r.Kind {
	case "found":
		tx.Publish("founder", []byte("did"), []byte(r.Author))
		return api.Accepted
	case "final":
		var items []final
		if codec.Unmarshal(r.Body, &items) != nil {
			return api.Voided("toy", "body", "bad body")
		}
		for _, it := range items {
			p := api.Position{Feed: api.Hash(it.Feed), Seq: it.Seq, ID: api.Hash(it.ID)}
			tx.Final(p, api.Support{Need: max(1, t.need)})
			tx.Publish("final", p.Feed[:], api.Seq8(p.Seq))
		}
		return api.Accepted
	}
	n := int64(r.Body[0])
	if n == 13 {
		return api.Voided("toy", "unlucky", "13 is void")
	}
	sum := n
	if b, ok := tx.Own([]byte("sum")); ok {
		sum += int64(binary.BigEndian.Uint64(b))
	}
	for _, d := range r.Deps {
		if b, ok := tx.At(d, []byte("sum")); ok {
			tx.Put(append([]byte("seen/"), d.Feed[:]...), b)
		}
		if b, ok := tx.Fact(d, "sum", nil); ok {
			sum += int64(b[7] & 1)
		}
		if _, accepted := tx.Dep(d); !accepted {
			sum += 1000
		}
	}
	tx.Put([]byte("sum"), api.Seq8(uint64(sum)))
	tx.Publish("sum", nil, api.Seq8(uint64(sum)))
	tx.Add([]byte("total"), n)
	tx.Add(append([]byte("by/"), r.Feed[:]...), n)
	tx.Index(append([]byte("entry/"), append(slices.Clone(r.Feed[:]), api.Seq8(r.Seq)...)...), r.Body)
	return api.Accepted
}

type final struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
}

type signer struct {
	did    api.DID
	device ed25519.PrivateKey
	auth   []byte
}

func newSigner(name string) signer {
	seed := func(s string) ed25519.PrivateKey {
		h := sha256.Sum256([]byte(s))
		return ed25519.NewKeyFromSeed(h[:])
	}
	root, device := seed("root "+name), seed("device "+name)
	auth, err := record.SignKeyEvent(root, api.Key(device.Public().(ed25519.PublicKey)))
	if err != nil {
		panic(err)
	}
	return signer{record.DIDOf(api.Key(root.Public().(ed25519.PublicKey))), device, auth}
}

func (s signer) DID() api.DID                  { return s.did }
func (s signer) Device() api.Key               { return api.Key(s.device.Public().(ed25519.PublicKey)) }
func (s signer) Auth() []byte                  { return s.auth }
func (s signer) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.device, m), nil }
func mustSign(t testing.TB, r *api.Record, s signer) *record.Envelope {
	t.Helper()
	r.Version = record.Version
	if r.Seq == 1 {
		r.Auth = s.auth
	}
	e, err := record.Sign(r, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// node is a road with nothing around it.
type node struct {
	st    store.Store
	apps  *fold.Apps
	state *fold.State
	e     *ingest.Engine
	now   time.Time
	why   map[ingest.Why]int
	need  uint16       // of toy
	rival []fold.Rival // as the engine has told
}

func newNode(t testing.TB) *node {
	n := &node{st: store.OpenMem(store.Faults{}), now: time.UnixMilli(1_800_000_000_000), why: map[ingest.Why]int{}}
	n.open(t)
	t.Cleanup(func() { n.st.Close() })
	return n
}

func (n *node) open(t testing.TB) { n.openWith(t, toy{n.need}) }

func (n *node) openWith(t testing.TB, app api.App) {
	t.Helper()
	var err error
	if n.apps, err = fold.NewApps([]api.App{app}); err != nil {
		t.Fatal(err)
	}
	if n.state, err = fold.Open(n.st, n.apps, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	wall := func() time.Time { return n.now }
	n.e = ingest.NewEngine(ingest.Options{
		Store: n.st, State: n.state, Clock: clock.New(wall, 30*time.Second), Now: wall,
		Log: slog.New(slog.DiscardHandler), Follows: func(api.Hash) bool { return true }, Count: func(w ingest.Why, c int) { n.why[w] += c },
		Conflicting: func(rs []fold.Rival) { n.rival = append(n.rival, rs...) },
	})
}

func (n *node) ingest(t testing.TB, es ...*record.Envelope) []ingest.Result {
	t.Helper()
	out := make([]ingest.Result, len(es))
	items := make([]ingest.Item, len(es))
	for i, e := range es {
		again, err := record.Decode(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		items[i] = ingest.Item{Envelope: again, Origin: ingest.Origin{Peer: "peer", Solicited: true}, Done: func(r ingest.Result) { out[i] = r }}
	}
	if err := n.e.Process(items); err != nil {
		t.Fatal(err)
	}
	return out
}

func (n *node) digest(t testing.TB) api.Hash {
	t.Helper()
	d, _, err := fold.Digest(n.st, n.apps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// history makes a random history of a few feeds that cite each other, fork, and are stated final along one branch each.
func history(t testing.TB, rng *rand.Rand) (es []*record.Envelope, forked bool) {
	founder := newSigner("founder")
	g := mustSign(t, &api.Record{Topic: api.Topic{Name: "space"}, Seq: 1, Kind: "found", Time: api.MakeTimestamp(1, 0), Body: []byte{1}}, founder)
	es = append(es, g)
	space := g.Topic.Space
	type tip struct {
		s signer
		r *record.Envelope
	}
	var tips []tip
	for i := range 2 + rng.IntN(4) {
		tips = append(tips, tip{s: newSigner(fmt.Sprint("member ", i))})
	}
	stated := map[api.Hash]*record.Envelope{}
	parent := map[api.Hash]*record.Envelope{}
	descends := func(e, of *record.Envelope) bool {
		for ; e != nil; e = parent[e.ID] {
			if e.ID == of.ID {
				return true
			}
		}
		return false
	}
	var say *record.Envelope
	for range 10 + rng.IntN(40) {
		i := rng.IntN(len(tips))
		if rng.IntN(8) == 0 { // the witness speaks of some tips
			var items []final
			for _, tp := range tips {
				if tp.r == nil || rng.IntN(2) == 0 || stated[tp.r.Feed] != nil && (!descends(tp.r, stated[tp.r.Feed]) || stated[tp.r.Feed].Seq >= tp.r.Seq) {
					continue
				}
				stated[tp.r.Feed] = tp.r
				items = append(items, final{Feed: tp.r.Feed[:], Seq: tp.r.Seq, ID: tp.r.ID[:]})
			}
			r := &api.Record{Topic: api.Topic{Space: space, Name: "say"}, Seq: 1, Kind: "final", Body: codec.MustMarshal(items)}
			if say != nil {
				r.Seq, r.Prev = say.Seq+1, say.ID
			}
			say = mustSign(t, r, founder)
			es = append(es, say)
			continue
		}
		tp := &tips[i]
		r := &api.Record{Topic: api.Topic{Space: space, Name: "toy"}, Seq: 1, Kind: "add", Body: []byte{byte(1 + rng.IntN(15)), byte(len(es)), byte(len(es) >> 8)}}
		from := tp.r
		if from != nil && rng.IntN(12) == 0 { // fork: go on from an older one
			for from != nil && rng.IntN(2) == 0 {
				from = parent[from.ID]
			}
			forked = true
		}
		if from != nil {
			r.Seq, r.Prev = from.Seq+1, from.ID
		}
		for _, j := range rng.Perm(len(es))[:min(len(es), rng.IntN(3))] {
			d := es[j]
			fd := record.FeedID(r.Topic, tp.s.Device())
			if d.Feed != fd && !slices.ContainsFunc(r.Deps, func(p api.Position) bool { return p.Feed == d.Feed }) {
				r.Deps = append(r.Deps, d.Position())
			}
		}
		slices.SortFunc(r.Deps, func(a, b api.Position) int { return slices.Compare(a.Feed[:], b.Feed[:]) })
		e := mustSign(t, r, tp.s)
		if slices.ContainsFunc(es, func(o *record.Envelope) bool { return o.ID == e.ID }) {
			continue
		}
		if from != nil {
			parent[e.ID] = from
		}
		if from == tp.r || rng.IntN(2) == 0 {
			tp.r = e
		}
		es = append(es, e)
	}
	return es, forked
}

// TestAnyOrderSameDigest: state is a function of the set of records (records.md, verdicts): any delivery order, in any batches, with restarts, with
// a rebuild, forks and finals included, gives one digest. docs/protocol.md section 4.
func TestAnyOrderSameDigest(t *testing.T) {
	forks, seeds := 0, uint64(150)
	if testing.Short() { // with the race detector, which finds nothing in a single goroutine
		seeds = 10
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		es, forked := history(t, rng)
		if forked {
			forks++
		}
		var want api.Hash
		for order := range 4 {
			n := newNode(t)
			mixed := slices.Clone(es)
			if order > 0 {
				rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			}
			for len(mixed) > 0 {
				k := min(len(mixed), 1+rng.IntN(9))
				n.ingest(t, mixed[:k]...)
				mixed = mixed[k:]
				if order == 2 && rng.IntN(6) == 0 {
					if w, _ := n.e.Room(); w == 0 {
						n.open(t)
					}
				}
			}
			for { // what the room or the branch limit dropped is asked for again
				before, _ := n.e.Room()
				n.ingest(t, es...)
				if after, _ := n.e.Room(); after == before {
					break
				}
			}
			if w, _ := n.e.Room(); w != 0 {
				t.Fatalf("seed %d order %d: %d records still wait", seed, order, w)
			}
			got := n.digest(t)
			if order == 0 {
				want = got
			} else if got != want {
				t.Fatalf("seed %d: order %d gives digest %s, first order %s", seed, order, got.Short(), want.Short())
			}
			if order == 3 {
				if _, err := n.state.Rebuild(t.Context()); err != nil {
					t.Fatal(err)
				}
				if again := n.digest(t); again != want {
					t.Fatalf("seed %d: rebuilt state has digest %s, was %s", seed, again.Short(), want.Short())
				}
				scratch := store.OpenMem(store.Faults{})
				_, _, problems, err := fold.Verify(t.Context(), n.st, scratch, n.apps, slog.New(slog.DiscardHandler))
				scratch.Close()
				if err != nil || len(problems) > 0 {
					t.Fatalf("seed %d: verify: %v %v", seed, err, problems)
				}
			}
			n.st.Close()
		}
	}
	if forks < int(seeds)/5 {
		t.Errorf("only %d of the histories forked: the test no longer tests", forks)
	}
}
