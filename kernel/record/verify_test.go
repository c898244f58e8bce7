package record_test

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Where keys and signatures are honest, or honest and then damaged, all rules agree.
func TestVerifyAgreesWithOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		m := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "message")
		sig := ed25519.Sign(k, m)
		want := true
		switch rapid.SampledFrom([]string{"", "signature", "message", "length"}).Draw(t, "damage") {
		case "signature":
			sig[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			want = false
		case "message":
			m = append(m, 0)
			want = false
		case "length":
			sig = sig[:rapid.IntRange(0, 63).Draw(t, "length")]
			want = false
		}
		got := record.Verify(public(k), m, sig)
		std := ed25519.Verify(k.Public().(ed25519.PublicKey), m, sig)
		if ref := reference(public(k), m, sig); got != want || std != want || ref != want {
			t.Fatalf("Verify %t, crypto/ed25519 %t, ZIP-215 in full %t; want %t", got, std, ref, want)
		}
	})
}

// The cases that tell ZIP-215 from other rules: every pair of a key and an R of small order, in every encoding, with S = 0.
func TestVerifyIsZIP215(t *testing.T) {
	canonical, others := smallOrder()
	all := slices.Concat(canonical, others)
	if len(all) != 14 {
		t.Fatalf("%d encodings, want 14", len(all))
	}
	m := []byte("Zcash")
	std := 0
	for _, a := range all {
		for _, r := range all {
			sig := append(slices.Clone(r), make([]byte, 32)...)
			if !record.Verify(api.Key(a), m, sig) || !reference(api.Key(a), m, sig) {
				t.Errorf("key %x, R %x: refused", a, r)
			}
			if ed25519.Verify(a, m, sig) {
				std++
			}
		}
	}
	if std == 196 {
		t.Error("crypto/ed25519 takes them all: the test no longer tells the rules apart")
	}
}

// Keys of mixed order split the network where rules are mixed: Verify takes all their signatures, the standard library some. So the key itself is
// refused, by CheckKey and wherever a key enters.
func TestMixedOrderKeysAreRefusedAsKeys(t *testing.T) {
	std := 0
	for i := range 64 {
		m := []byte(fmt.Sprint("message ", i))
		k, sig := crooked(ann.device, 1+i%7, false, m)
		if !record.Verify(k, m, sig) || !reference(k, m, sig) {
			t.Fatal("not what ZIP-215 says")
		}
		if ed25519.Verify(k[:], m, sig) {
			std++
		}
		if record.CheckKey(k) == nil {
			t.Fatalf("key %s of mixed order passes", k)
		}
	}
	if std == 0 || std == 64 {
		t.Errorf("crypto/ed25519 takes %d of 64: the test no longer tells the rules apart", std)
	}
}

// An R of mixed order under an honest key verifies by ZIP-215 and never by the standard library: whoever mixes them has two verdicts.
func TestMixedOrderR(t *testing.T) {
	m := []byte("m")
	k, sig := crooked(ann.device, 0, true, m)
	if err := record.CheckKey(k); err != nil || k != ann.Device() {
		t.Fatalf("not the honest key: %v", err)
	}
	if !record.Verify(k, m, sig) || !reference(k, m, sig) || ed25519.Verify(k[:], m, sig) {
		t.Error("want yes by ZIP-215, no by the standard library")
	}
}

func TestSAboveTheOrderIsRefused(t *testing.T) {
	m := []byte("m")
	sig := ed25519.Sign(ann.device, m)
	if bad := malleable(sig); record.Verify(ann.Device(), m, bad) || reference(ann.Device(), m, bad) {
		t.Error("a second spelling of a signature is taken")
	}
}

// batch makes n envelopes of the given people; those in bad carry a signature of another message.
func batch(t fataler, people []*person, n int, bad map[int]bool) []*record.Envelope {
	t.Helper()
	es := make([]*record.Envelope, n)
	for i := range es {
		r := later()
		r.Seq += uint64(i)
		p := people[i%len(people)]
		e, err := record.Sign(r, p)
		if err != nil {
			t.Fatal(err)
		}
		if bad[i] {
			e.Signature = ed25519.Sign(p.device, []byte("another message"))
		}
		es[i] = e
	}
	return es
}

func people(n int) []*person {
	ps := make([]*person, n)
	for i := range ps {
		ps[i] = newPerson(fmt.Sprint("person ", i))
	}
	return ps
}

func TestVerifierFindsTheBadOnes(t *testing.T) {
	ps := people(5)
	rapid.Check(t, func(t *rapid.T) {
		v := record.NewVerifier(3) // fewer than there are keys
		n := rapid.SampledFrom([]int{0, 1, 2, 7, 129}).Draw(t, "n")
		bad := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 200), 0, 3).Draw(t, "bad") {
			bad[i] = true
		}
		for i, ok := range v.Verify(batch(t, ps, n, bad)) {
			if ok == bad[i] {
				t.Fatalf("envelope %d of %d: %t, bad are %v", i, n, ok, bad)
			}
		}
	})
}

// A device key that is no point of the curve must cost its own record only.
func TestVerifierSurvivesKeysThatAreNone(t *testing.T) {
	es := batch(t, people(2), 4, nil)
	es[2].Device = api.Key{2}
	v := record.NewVerifier(8)
	for range 2 {
		if got := v.Verify(es); !slices.Equal(got, []bool{true, true, false, true}) {
			t.Errorf("%v", got)
		}
		if got := v.Verify(es[2:3]); got[0] {
			t.Error("alone it passes")
		}
	}
}

// A batch must not cancel errors against each other, nor take by ZIP-215 what single verification refuses.
func TestVerifierAgreesWithSingles(t *testing.T) {
	es := batch(t, people(3), 12, nil)
	es[1].Signature = malleable(es[1].Signature)
	es[3].Signature, es[4].Signature = es[4].Signature, es[3].Signature
	_, es[5].Signature = crooked(newPersonKey(es[5]), 0, true, es[5].Signed)
	es[7].Device, es[7].Signature = crooked(newPersonKey(es[7]), 3, false, es[7].Signed)
	v := record.NewVerifier(8)
	for i, ok := range v.Verify(es) {
		if single := record.Verify(es[i].Device, es[i].Signed, es[i].Signature); ok != single {
			t.Errorf("envelope %d: %t in the batch, %t alone", i, ok, single)
		}
		if want := i != 1 && i != 3 && i != 4; ok != want {
			t.Errorf("envelope %d: %t, want %t", i, ok, want)
		}
	}
}

// newPersonKey returns the device key of the envelope's signer, one of people(3).
func newPersonKey(e *record.Envelope) ed25519.PrivateKey {
	for _, p := range people(3) {
		if p.Device() == e.Device {
			return p.device
		}
	}
	panic("nobody's")
}

func BenchmarkVerify64(b *testing.B) {
	es := batch(b, people(16), 64, nil)
	b.Run("batch", func(b *testing.B) {
		v := record.NewVerifier(64)
		for b.Loop() {
			if slices.Contains(v.Verify(es), false) {
				b.Fatal("refused")
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
	})
	b.Run("singles", func(b *testing.B) {
		for b.Loop() {
			for _, e := range es {
				if !record.Verify(e.Device, e.Signed, e.Signature) {
					b.Fatal("refused")
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
	})
	b.Run("standard library", func(b *testing.B) {
		for b.Loop() {
			for _, e := range es {
				if !ed25519.Verify(e.Device[:], e.Signed, e.Signature) {
					b.Fatal("refused")
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
	})
}
