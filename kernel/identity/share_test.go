package identity_test

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// fataler is what helpers need of a test or a rapid check.
type fataler interface {
	Helper()
	Fatal(...any)
}

func split(t fataler, p *identity.Phrase, k int, holders ...string) []*identity.Share {
	t.Helper()
	ss, err := identity.Split(rand.Reader, p, k, holders)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range ss {
		if ss[i], err = identity.ParseShare(s.Text()); err != nil {
			t.Fatal(err)
		}
	}
	return ss
}

// spoil flips a bit of the share's encoding.
func spoil(t *testing.T, s *identity.Share, at int) *identity.Share {
	t.Helper()
	block, _ := pem.Decode(s.Text())
	block.Bytes[at] ^= 1
	bad, err := identity.ParseShare(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

// Any k shares give the phrase, whatever the order; k-1 do not.
func TestSharesAreKOfN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := must(identity.NewPhrase(bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))))
		n := rapid.IntRange(2, 7).Draw(t, "n")
		k := rapid.IntRange(2, n).Draw(t, "k")
		var holders []string
		for i := range n {
			holders = append(holders, fmt.Sprint("holder ", i))
		}
		ss := rapid.Permutation(split(t, p, k, holders...)).Draw(t, "order")
		got, bad, err := identity.Combine(ss[:k])
		if err != nil || len(bad) > 0 || !bytes.Equal(got.Words(), p.Words()) {
			t.Fatalf("%v, %v", bad, err)
		}
		if got, _, err := identity.Combine(ss[:k-1]); api.KindOf(err) != api.Refused || got != nil {
			t.Fatalf("%d of %d shares: %v", k-1, k, err)
		}
		if _, _, err := identity.Combine(slices.Repeat(ss[:1], k)); api.KindOf(err) != api.Refused {
			t.Fatalf("one share %d times: %v", k, err)
		}
	})
}

func TestBadSharesAreNamed(t *testing.T) {
	p := must(identity.NewPhrase(rand.Reader))
	ss := split(t, p, 2, "Gil", "Hal", "Ida", "Jon")
	block, _ := pem.Decode(ss[1].Text())
	value := len(block.Bytes) - (2 + 32) - 2*(2+32) - 10 // inside the value, before the commitments and the masked phrase
	other := split(t, must(identity.NewPhrase(rand.Reader)), 2, "Eve", "Fay")
	for name, tc := range map[string]struct {
		shares []*identity.Share
		bad    string
		good   bool
	}{
		"a changed value":                       {[]*identity.Share{ss[0], spoil(t, ss[1], value), ss[2]}, "Hal", true},
		"a changed mask":                        {[]*identity.Share{ss[0], spoil(t, ss[1], len(block.Bytes)-1), ss[2]}, "Hal", true},
		"of another split":                      {[]*identity.Share{other[0], ss[0], ss[3]}, "Eve", true},
		"two of another split, three of this":   {[]*identity.Share{other[0], ss[0], other[1], ss[3], ss[2]}, "Eve Fay", true},
		"a changed one, and too few good ones":  {[]*identity.Share{ss[0], spoil(t, ss[1], value)}, "Hal", false},
		"one of each of two splits: not enough": {[]*identity.Share{ss[0], other[1]}, "Fay", false},
	} {
		got, bad, err := identity.Combine(tc.shares)
		if strings.Join(bad, " ") != tc.bad {
			t.Errorf("%s: named %v, want %s", name, bad, tc.bad)
		}
		if (err == nil) != tc.good || tc.good && !bytes.Equal(got.Words(), p.Words()) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), tc.bad) {
			t.Errorf("%s: the error names nobody: %v", name, err)
		}
	}
	if _, _, err := identity.Combine(nil); api.KindOf(err) != api.Refused {
		t.Error(err)
	}
}

func TestSplitRefuses(t *testing.T) {
	p := must(identity.NewPhrase(rand.Reader))
	for name, tc := range map[string]struct {
		k       int
		holders []string
	}{
		"one is enough": {1, []string{"a", "b"}}, "more than all": {3, []string{"a", "b"}}, "nobody": {2, nil}, "a name twice": {2, []string{"a", "a"}},
		"no name": {2, []string{"a", ""}}, "two lines": {2, []string{"a", "b\nc"}}, "too many": {2, strings.Split(strings.Repeat("a,", 33), ",")},
		"long name": {2, []string{"a", strings.Repeat("b", 65)}},
	} {
		if _, err := identity.Split(rand.Reader, p, tc.k, tc.holders); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No text that others hand over makes ParseShare or Combine panic.
func FuzzShare(f *testing.F) {
	p := must(identity.NewPhrase(bytes.NewReader(make([]byte, 32))))
	ss, err := identity.Split(rand.Reader, p, 2, []string{"a", "b"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ss[0].Text())
	block, _ := pem.Decode(ss[1].Text())
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range [][]byte{b, identity.EncodeText(identity.ShareText, b)} {
			s, err := identity.ParseShare(text)
			if err != nil {
				if k := api.KindOf(err); k != api.Invalid && k != api.Unsupported {
					t.Fatal(err)
				}
				continue
			}
			if got, bad, err := identity.Combine([]*identity.Share{ss[0], s}); err == nil && (!bytes.Equal(got.Words(), p.Words()) || len(bad) > 0) {
				t.Fatal("a forged share made another phrase")
			}
		}
	})
}

func FuzzParsePhrase(f *testing.F) {
	p := must(identity.NewPhrase(bytes.NewReader(make([]byte, 32))))
	f.Add(p.Words())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := identity.ParsePhrase(b)
		if err != nil {
			return
		}
		if again, err := identity.ParsePhrase(p.Words()); err != nil || !bytes.Equal(again.Words(), p.Words()) {
			t.Fatal(err)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add(identity.EncodeText(identity.CardText, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = identity.ParseLogText(b)
		_, _ = identity.ParseCard(b)
		_, _ = identity.ParseRequest(b)
		_, _ = identity.ParseApproval(b)
	})
}
