package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
	"sort"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// space is one followed space: its heads, who shares it, and what is wanted in it.
type space struct {
	id       api.Hash
	heads    heads
	links    []*link // ascending by node
	wants    wants
	founded  bool      // the node can know who may have it
	asks     int       // unsettled asks of all peers
	fetched  bool      // something came in by asking: peers may lack it too
	spreadAt time.Time // not before
	progress time.Time // last commit of something fetched
}

func newSpace(id api.Hash) *space {
	return &space{id: id, wants: wants{table: map[wantKey]*want{}}}
}

// eager counts the eager links.
func (sp *space) eager() int {
	n := 0
	for _, l := range sp.links {
		if !l.lazy {
			n++
		}
	}
	return n
}

func compareHash(a, b *api.Hash) int { return bytes.Compare(a[:], b[:]) }

// head is a Head with its mark: the hash of what two nodes that know the same of the feed agree on. That a feed is forked, and from where on, is
// part of it, and how far it is final; which two records prove it is not, else whoever signs three for one place would keep everybody reconciling for ever.
type head struct {
	feed, id, mark api.Hash
	seq, final     uint64
	fork           *fork
}

type fork struct {
	seq uint64
	alt []api.Hash
}

func newHead(h *Head) head {
	x := head{feed: h.Feed, id: h.ID, seq: h.Seq, final: h.Final}
	if h.Fork != 0 {
		x.fork = &fork{seq: h.Fork, alt: slices.Clone(h.Alt)}
	}
	x.remark()
	return x
}

// remark computes the mark.
func (h *head) remark() {
	b := make([]byte, 0, 101)
	b = append(b, "icn-head"...)
	b = append(b, h.feed[:]...)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	b = append(b, h.id[:]...)
	if h.fork != nil {
		b = binary.BigEndian.AppendUint64(b, h.fork.seq)
	}
	if h.final != 0 {
		b = binary.BigEndian.AppendUint64(append(b, "final"...), h.final)
	}
	h.mark = sha256.Sum256(b)
}

// wire returns the form that is sent, with the id if it is of use. It shares nothing with the table.
func (h head) wire(id bool) wire.Head {
	w := wire.Head{Feed: h.feed[:], Seq: h.seq}
	if id || h.fork != nil {
		w.ID = h.id[:]
	}
	if h.fork != nil {
		w.Fork = h.fork.seq
		for _, a := range h.fork.alt {
			w.Alt = append(w.Alt, a[:])
		}
	}
	return w
}

// sum adds marks modulo 2^128, so that it does not depend on their order and follows a change at once.
type sum struct{ hi, lo uint64 }

func (s *sum) add(mark *api.Hash) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, binary.BigEndian.Uint64(mark[8:]), 0)
	s.hi, _ = bits.Add64(s.hi, binary.BigEndian.Uint64(mark[:]), carry)
}

func (s *sum) sub(mark *api.Hash) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, binary.BigEndian.Uint64(mark[8:]), 0)
	s.hi, _ = bits.Sub64(s.hi, binary.BigEndian.Uint64(mark[:]), borrow)
}

func (s sum) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.hi), s.lo)
}

// heads is the table of a space: 256 sorted slices by the first byte of the feed, so that a prefix is a run and an insertion moves little.
type heads struct {
	shard [256][]head
	n     int
	sum   sum
}

// load fills an empty table.
func (t *heads) load(hs []Head) {
	for i := range hs {
		if h := &hs[i]; h.Seq != 0 || h.Fork != 0 {
			t.shard[h.Feed[0]] = append(t.shard[h.Feed[0]], newHead(h))
		}
	}
	for i, s := range t.shard {
		slices.SortFunc(s, func(a, b head) int { return compareHash(&a.feed, &b.feed) })
		t.shard[i] = slices.CompactFunc(s, func(a, b head) bool { return a.feed == b.feed })
		t.n += len(t.shard[i])
		for j := range t.shard[i] {
			t.sum.add(&t.shard[i][j].mark)
		}
	}
}

func (t *heads) find(feed *api.Hash) (int, bool) {
	s := t.shard[feed[0]]
	i := sort.Search(len(s), func(i int) bool { return compareHash(&s[i].feed, feed) >= 0 })
	return i, i < len(s) && s[i].feed == *feed
}

// get returns the head of a feed, valid until the next set, or nil.
func (t *heads) get(feed api.Hash) *head {
	if i, ok := t.find(&feed); ok {
		return &t.shard[feed[0]][i]
	}
	return nil
}

// at returns the applied seq of a feed, 0 when there is none, and whether the feed is forked.
func (t *heads) at(feed api.Hash) (seq uint64, forked bool) {
	if h := t.get(feed); h != nil {
		return h.seq, h.fork != nil
	}
	return 0, false
}

func (t *heads) seq(feed api.Hash) uint64 {
	seq, _ := t.at(feed)
	return seq
}

// set records a feed's new head. A head at nothing is no head.
func (t *heads) set(h *Head) {
	if h.Seq == 0 && h.Fork == 0 {
		return
	}
	x := newHead(h)
	i, ok := t.find(&x.feed)
	s := &t.shard[x.feed[0]]
	if !ok {
		*s = slices.Insert(*s, i, x)
		t.n++
	} else {
		t.sum.sub(&(*s)[i].mark)
		(*s)[i] = x
	}
	t.sum.add(&x.mark)
}

// close records how far a feed is final; of a forked one so much stands. A feed without a head has nothing final.
func (t *heads) close(p api.Position) {
	h := t.get(p.Feed)
	if h == nil || h.final == p.Seq {
		return
	}
	t.sum.sub(&h.mark)
	if h.final = p.Seq; h.fork != nil && p.Seq >= h.fork.seq {
		h.seq, h.id = p.Seq, p.ID
	}
	h.remark()
	t.sum.add(&h.mark)
}

// under iterates over the heads of the feeds that start with prefix, ascending.
func (t *heads) under(prefix []byte) iter.Seq[*head] {
	return func(yield func(*head) bool) {
		if len(prefix) == 0 {
			for i := range t.shard {
				for j := range t.shard[i] {
					if !yield(&t.shard[i][j]) {
						return
					}
				}
			}
			return
		}
		s := t.shard[prefix[0]]
		for i := sort.Search(len(s), func(i int) bool { return bytes.Compare(s[i].feed[:len(prefix)], prefix) >= 0 }); i < len(s); i++ {
			if !bytes.HasPrefix(s[i].feed[:], prefix) || !yield(&s[i]) {
				return
			}
		}
	}
}

// salted hashes a mark with a salt. Whoever chose the records did not know the salt.
func salted(salt []byte, mark *api.Hash) api.Hash {
	var b [48]byte
	n := copy(b[:], salt)
	n += copy(b[n:], mark[:])
	return sha256.Sum256(b[:n])
}

// digest returns the sum of a space's heads; an empty salt is for the standing sum.
func (t *heads) digest(salt []byte) sum {
	if len(salt) == 0 {
		return t.sum
	}
	var s sum
	for h := range t.under(nil) {
		m := salted(salt, &h.mark)
		s.add(&m)
	}
	return s
}

// buckets returns the salted sums under prefix by the next byte, and how many heads each has.
func (t *heads) buckets(salt, prefix []byte) (sums [256]uint32, count [256]int) {
	for h := range t.under(prefix) {
		m := salted(salt, &h.mark)
		b := h.feed[len(prefix)]
		sums[b] += binary.BigEndian.Uint32(m[:])
		count[b]++
	}
	return sums, count
}

// print is a salted, shortened mark.
type print [wire.PrintSize]byte

// printed is a print and the feed it stands for.
type printed struct {
	print print
	feed  api.Hash
}

// prints returns the prints under prefix, ascending.
func (t *heads) prints(salt, prefix []byte) []printed {
	var ps []printed
	for h := range t.under(prefix) {
		m := salted(salt, &h.mark)
		ps = append(ps, printed{print(m[:wire.PrintSize]), h.feed})
	}
	slices.SortFunc(ps, func(a, b printed) int { return bytes.Compare(a.print[:], b.print[:]) })
	return ps
}
