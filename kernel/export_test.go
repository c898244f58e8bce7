package kernel

import (
	"context"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// RawOf returns the envelope of a stored record.
func RawOf(k *Kernel, p api.Position) []byte {
	r := k.reader("", k.log)
	defer r.Close()
	raws, _ := r.Range(p.Feed, p.Seq, p, 1, 1<<20)
	return raws[0]
}

// GossipKind is gossipKind.
var GossipKind = gossipKind

// GossipReasons are the reasons that gossipKind knows.
var GossipReasons = []string{
	"frame in a space that is not shared", "records that were not asked for",
	"more questions at once than a node needs to ask", "more records than one answer may have",
}

// Holder says as whose a peer's copy of a record by author counts.
func Holder(k *Kernel, p *transport.Peer, space api.Hash, author api.DID) (api.DID, bool) {
	return k.net.letters.holder(p, space, author)
}

// Says has peers say that they hold feeds up to so far, of a record by author, and returns who is then known to hold it.
func Says(k *Kernel, at api.Position, space api.Hash, author api.DID, peers map[*transport.Peer][]api.Position) []api.DID {
	done := make(chan struct{})
	k.net.letters.post(context.Background(), func(now time.Time) {
		defer close(done)
		l := k.net.letters
		for p, ends := range peers {
			l.peers[p.Node] = &correspondent{Peer: p}
			l.copies.want(at, space, author)
			l.copies.learn(p.Node, ends)
			delete(l.peers, p.Node)
		}
	})
	<-done
	return k.net.letters.copies.holders(at, author)
}

// Held is Kernel.held.
func Held(k *Kernel, p *transport.Peer, asked []api.Position) ([]api.Position, bool) {
	return k.held(p, asked)
}

// The forms of kindHolds.
var (
	EncodeHolds = encodeHolds
	DecodeHolds = decodeHolds
	EncodeHeld  = encodeHeld
	DecodeHeld  = decodeHeld
)

// KindHolds and HoldsAtOnce are those of holds.go.
const (
	KindHolds   = kindHolds
	HoldsAtOnce = holdsAtOnce
)

// RingEvents is how many events are kept in memory.
const RingEvents = ringEvents

// RingSize is how many are.
func RingSize(k *Kernel) int {
	k.events.mu.Lock()
	defer k.events.mu.Unlock()
	return len(k.events.ring)
}

// WithoutJournal takes away what an earlier version has not written.
func WithoutJournal(t interface{ Fatal(...any) }, k *Kernel) {
	b := k.st.NewBatch()
	defer b.Close()
	it, err := k.st.Iter([]byte("J"), []byte("K"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		b.Delete(it.Key())
	}
	if err := k.st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
}

// The forms of cursors.
var ParseCursor = func(s string) (string, error) {
	journal, p, err := parseCursor(s)
	return cursor(journal, p), err
}
