package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
)

func hashOf(parts ...byte) api.Hash { return sha256.Sum256(parts) }

// However the heads came to be what they are, the table is that of loading them: sums, buckets, prints, order.
func TestHeadsAreAFunctionOfTheSet(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var grown heads
		set := map[api.Hash]Head{}
		for range rapid.IntRange(0, 60).Draw(r, "changes") {
			h := Head{Feed: hashOf(rapid.ByteRange(0, 30).Draw(r, "feed")), Seq: rapid.Uint64Range(0, 3).Draw(r, "seq")}
			h.Feed[0] &= 3 // crowd the shards
			h.ID = hashOf(byte(h.Seq))
			if rapid.Bool().Draw(r, "forked") {
				h.Fork, h.Alt = h.Seq+1, []api.Hash{hashOf(rapid.Byte().Draw(r, "alt")), hashOf(1)}
			}
			grown.set(&h)
			if h.Seq != 0 || h.Fork != 0 {
				set[h.Feed] = h
			}
		}
		var list []Head
		for _, h := range set {
			if h.Fork != 0 {
				h.Alt = []api.Hash{hashOf(99)} // which records prove a fork is not part of it
			}
			list = append(list, h)
		}
		var loaded heads
		loaded.load(list)
		if grown.n != len(set) || loaded.n != grown.n {
			r.Fatalf("%d and %d heads, want %d", grown.n, loaded.n, len(set))
		}
		for _, salt := range [][]byte{nil, []byte("01234567")} {
			if grown.digest(salt) != loaded.digest(salt) {
				r.Fatalf("salt %q: different digests of the same heads", salt)
			}
		}
		for h := range loaded.under(nil) {
			if g := grown.get(h.feed); g == nil || g.mark != h.mark {
				r.Fatalf("feed %s is missing or different", h.feed.Short())
			}
		}
		prefix := []byte{1}
		sums, count := grown.buckets([]byte("salt"), prefix)
		again, _ := loaded.buckets([]byte("salt"), prefix)
		if sums != again {
			r.Fatal("different buckets of the same heads")
		}
		for b, n := range count {
			if got := len(slices.Collect(grown.under(append(slices.Clone(prefix), byte(b))))); got != n {
				r.Fatalf("bucket %d: %d heads under its prefix, %d counted", b, got, n)
			}
		}
	})
}

// A change of anything that nodes must agree on changes the mark.
func TestMarkCoversTheHead(t *testing.T) {
	base := Head{Feed: hashOf(1), Seq: 2, ID: hashOf(3)}
	marks := map[api.Hash]string{newHead(&base).mark: "base"}
	for name, change := range map[string]func(*Head){
		"feed":  func(h *Head) { h.Feed[31]++ },
		"seq":   func(h *Head) { h.Seq++ },
		"id":    func(h *Head) { h.ID[31]++ },
		"final": func(h *Head) { h.Final++ },
		"fork":  func(h *Head) { h.Fork = 3; h.Alt = []api.Hash{{1}, {2}} },
		"place of the fork": func(h *Head) {
			h.Fork = 4
			h.Alt = []api.Hash{{1}, {2}}
		},
	} {
		h := base
		change(&h)
		if same, ok := marks[newHead(&h).mark]; ok {
			t.Errorf("%s and %s have the same mark", name, same)
		}
		marks[newHead(&h).mark] = name
	}
}

// Sums add and subtract modulo 2^128 as big integers do.
func TestSumCarries(t *testing.T) {
	var s sum
	ones := api.Hash{}
	for i := range ones {
		ones[i] = 0xff
	}
	s.add(&ones)
	s.add(&ones)
	if got := s.bytes(); binary.BigEndian.Uint64(got) != 1<<64-1 || binary.BigEndian.Uint64(got[8:]) != 1<<64-2 {
		t.Errorf("sum is %x, want ff..fe", got)
	}
	s.sub(&ones)
	s.sub(&ones)
	if s != (sum{}) {
		t.Errorf("after taking away what was added: %x", s.bytes())
	}
}

// What was seen stays known for at least one generation, by the whole envelope.
func TestSeenGenerations(t *testing.T) {
	s := newSeen()
	first := []byte("first")
	s.get(first)
	for i := range seenGeneration - 1 {
		s.get(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	if _, had := s.get(first); !had {
		t.Error("forgotten within one generation")
	}
	if _, had := s.get([]byte("First")); had {
		t.Error("another envelope is taken for it")
	}
	for i := range 3 * seenGeneration {
		s.get(binary.BigEndian.AppendUint32([]byte("x"), uint32(i)))
	}
	if _, had := s.get(first); had {
		t.Error("still known after three generations: nothing is ever forgotten")
	}
	if len(s.now)+len(s.before) > 2*seenGeneration {
		t.Errorf("%d entries", len(s.now)+len(s.before))
	}
}
