package identity

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// The bounds of a split.
const (
	MaxShares = 32
	maxHolder = 64 // bytes of a holder's name
)

const (
	shareTag     = "icn-backup-share"
	shareVersion = 1
)

// Share is one part of a recovery phrase that was split: any Threshold of the shares give the phrase, fewer give nothing. Each proves by itself that it
// belongs to the split (Feldman), so a bad one is found by its holder's name, and not by a phrase that opens nothing.
//
// What is split is a random number of the group Ristretto255; the phrase is masked with the HKDF-SHA-256 of it, and the mask's outcome is in every share.
// The check of a share rests on discrete logarithms: a quantum computer with one share could get all. Shares are secrets.
type Share struct {
	Holder    string
	Threshold int

	form shareForm
}

type shareForm struct {
	_           struct{} `cbor:",toarray"`
	Tag         string
	Version     uint16
	Holder      string
	Threshold   uint8
	Total       uint8
	Index       []byte // a scalar, 32 bytes
	Value       []byte // a scalar
	Commitments [][]byte
	Masked      []byte // the phrase's 32 bytes, xor the mask
}

// set is what all shares of one split have in common.
func (f *shareForm) set() [32]byte {
	c := *f
	c.Holder, c.Index, c.Value = "", nil, nil
	return sha256.Sum256(codec.MustMarshal(&c))
}

// Split makes a share for each holder, threshold of which, from 2 on, give the phrase again. rand must be cryptographically secure. Holders are distinct
// names of at most 64 bytes.
func Split(rand io.Reader, p *Phrase, threshold int, holders []string) ([]*Share, error) {
	const op = "backup.split"
	if threshold < 2 || threshold > len(holders) || len(holders) > MaxShares {
		return nil, api.Errorf(op, api.Invalid, "%d of %d shares: want 2 to all of at most %d", threshold, len(holders), MaxShares)
	}
	for i, h := range holders {
		if !goodHolder(h) || slices.Contains(holders[:i], h) {
			return nil, api.Errorf(op, api.Invalid, "holder %d: want distinct names of 1 to %d bytes in one line", i+1, maxHolder)
		}
	}
	g := group.Ristretto255
	secret := g.RandomNonZeroScalar(rand)
	mask, err := maskOf(secret)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	defer clear(mask)
	masked := make([]byte, len(p.seed))
	subtle.XORBytes(masked, p.seed[:], mask)
	ss := secretsharing.New(rand, uint(threshold-1), secret)
	var commitments [][]byte
	for _, c := range ss.CommitSecret() {
		b, err := c.MarshalBinaryCompress()
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		commitments = append(commitments, b)
	}
	out := make([]*Share, len(holders))
	for i, s := range ss.Share(uint(len(holders))) {
		index, err := s.ID.MarshalBinary()
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		value, err := s.Value.MarshalBinary()
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		out[i] = &Share{Holder: holders[i], Threshold: threshold, form: shareForm{
			Tag: shareTag, Version: shareVersion, Holder: holders[i], Threshold: uint8(threshold), Total: uint8(len(holders)),
			Index: index, Value: value, Commitments: commitments, Masked: masked,
		}}
	}
	return out, nil
}

func goodHolder(s string) bool {
	return s != "" && len(s) <= maxHolder && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func maskOf(secret group.Scalar) ([]byte, error) {
	b, err := secret.MarshalBinary()
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return hkdf.Key(sha256.New, b, nil, shareTag, 32)
}

// Text returns the share as a block of text, under the holder's name.
func (s *Share) Text() []byte {
	f := s.form
	return slices.Concat(fmt.Appendf(nil, "Share of %s; any %d of %d give the recovery phrase. Keep it secret.\n", s.Holder, f.Threshold, f.Total),
		EncodeText(ShareText, codec.MustMarshal(&f)))
}

// ParseShare reads a share. It checks the form; Combine checks whether the share is good.
func ParseShare(text []byte) (*Share, error) {
	const op = "backup.share"
	b, err := decodeAs(ShareText, text)
	if err != nil {
		return nil, err
	}
	var f shareForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	switch {
	case f.Tag != shareTag || f.Version != shareVersion:
		return nil, api.Errorf(op, api.Unsupported, "a share of another version: this build reads %d", shareVersion)
	case f.Threshold < 2 || f.Threshold > f.Total || f.Total > MaxShares || len(f.Commitments) != int(f.Threshold) || !goodHolder(f.Holder) ||
		len(f.Index) != 32 || len(f.Value) != 32 || len(f.Masked) != 32:
		return nil, api.Errorf(op, api.Invalid, "a damaged share")
	}
	return &Share{Holder: f.Holder, Threshold: int(f.Threshold), form: f}, nil
}

// check reports whether the share is one of the split that it says.
func (s *Share) check() (secretsharing.Share, bool) {
	g := group.Ristretto255
	share := secretsharing.Share{ID: g.NewScalar(), Value: g.NewScalar()}
	if share.ID.UnmarshalBinary(s.form.Index) != nil || share.Value.UnmarshalBinary(s.form.Value) != nil || share.ID.IsZero() {
		return share, false
	}
	var c secretsharing.SecretCommitment
	for _, b := range s.form.Commitments {
		e := g.NewElement()
		if e.UnmarshalBinary(b) != nil {
			return share, false
		}
		c = append(c, e)
	}
	return share, secretsharing.Verify(uint(s.form.Threshold-1), share, c)
}

// Combine gives the phrase again, and names the holders whose shares are bad or of another split, in the order given. Bad shares do no harm as long as
// enough good ones are there: the most numerous split counts. Too few are api.Refused; the names come with that error too.
func Combine(shares []*Share) (p *Phrase, bad []string, err error) {
	const op = "backup.combine"
	if len(shares) > MaxShares {
		return nil, nil, api.Errorf(op, api.Invalid, "%d shares: at most %d", len(shares), MaxShares)
	}
	type found struct {
		threshold int
		masked    []byte
		shares    map[string]secretsharing.Share // by index
	}
	sets := map[[32]byte]*found{}
	sound := make([]bool, len(shares))
	for i, s := range shares {
		share, ok := s.check()
		if sound[i] = ok; !ok {
			continue
		}
		f := sets[s.form.set()]
		if f == nil {
			f = &found{s.Threshold, s.form.Masked, map[string]secretsharing.Share{}}
			sets[s.form.set()] = f
		}
		f.shares[string(s.form.Index)] = share
	}
	var best *found
	for _, s := range shares { // in the order given, not the map's
		if f := sets[s.form.set()]; f != nil && (best == nil || len(f.shares) > len(best.shares)) {
			best = f
		}
	}
	for i, s := range shares {
		if !sound[i] || sets[s.form.set()] != best {
			bad = append(bad, s.Holder)
		}
	}
	if best == nil || len(best.shares) < best.threshold {
		have, want := 0, 2
		if best != nil {
			have, want = len(best.shares), best.threshold
		}
		return nil, bad, api.Errorf(op, api.Refused, "%d good shares: %d are needed%s", have, want, blame(bad))
	}
	secret, err := secretsharing.Recover(uint(best.threshold-1), slices.Collect(maps.Values(best.shares)))
	if err != nil {
		return nil, bad, api.Errorf(op, api.Invalid, "%w", err)
	}
	mask, err := maskOf(secret)
	if err != nil {
		return nil, bad, api.Wrap(op, err)
	}
	defer clear(mask)
	p = new(Phrase)
	subtle.XORBytes(p.seed[:], best.masked, mask)
	return p, bad, nil
}

func blame(bad []string) string {
	if len(bad) == 0 {
		return ""
	}
	return "; bad or of another split: " + strings.Join(bad, ", ")
}
