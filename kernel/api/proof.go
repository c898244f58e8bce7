package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
)

// The digest of a state is a Merkle tree over its rows, so that one row can be shown to be in it without the others. The tree is that of RFC 9162, 2.1:
// leaves and nodes are hashed with different first bytes, and a tree of n leaves splits at the largest power of two below n.

// Row classes, as they stand in a leaf.
const (
	CounterRow byte = 'C' // a counter: the key, then the value, 8 bytes, big-endian
	IndexRow   byte = 'X' // an index row: the key, then the value
	FeedRow    byte = 'A' // a feed row or fact: feed, name, seq of the record that wrote it, then the value
)

// StateLeaf hashes a row: its class and its parts, each with its length in front.
func StateLeaf(class byte, parts ...[]byte) Hash {
	buf := make([]byte, 0, 256)
	buf = append(buf, 0, class)
	for _, p := range parts {
		buf = append(binary.BigEndian.AppendUint64(buf, uint64(len(p))), p...)
	}
	return sha256.Sum256(buf)
}

// StateNode hashes two subtrees of rows.
func StateNode(left, right Hash) Hash {
	var buf [1 + 2*len(left)]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[1+len(left):], right[:])
	return sha256.Sum256(buf[:])
}

// AppDigest is the digest of an app's state of so many rows with that root; of no rows the root is zero.
func AppDigest(rows uint64, root Hash) Hash {
	return sha256.Sum256(append(Seq8(rows), root[:]...))
}

// AllDigest is the digest of the state of all apps, in order of name.
func AllDigest(apps []StateDigest) Hash {
	h := sha256.New()
	for _, a := range apps {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(a.App))))
		h.Write([]byte(a.App))
		h.Write(a.Digest[:])
	}
	return Hash(h.Sum(nil))
}

// StateRow names a row of an app's state: a counter, an index row, or what a record of a feed has Put under a key.
type StateRow struct {
	App   string
	Class byte
	Feed  Hash // of a feed row
	Key   []byte
}

// RowProof shows that a row is in a state: Digest gives the digest of the app's state in which it is.
type RowProof struct {
	StateRow
	Seq   uint64 // of a feed row: of the record that wrote it
	Value []byte
	Place uint64 // of the leaf, from 0
	Rows  uint64 // of the app in all
	Path  []Hash // from the leaf upwards: the subtrees beside it
}

// Digest returns the digest of the app's state in which the row is, by what the proof says; false if it says nothing that can be.
func (p *RowProof) Digest() (Hash, bool) {
	parts := [][]byte{p.Key, p.Value}
	switch {
	case p.Class == FeedRow:
		parts = [][]byte{p.Feed[:], PutName(p.Key), Seq8(p.Seq), p.Value}
	case p.Class != CounterRow && p.Class != IndexRow || !p.Feed.IsZero() || p.Seq != 0:
		return Hash{}, false
	}
	if p.Place >= p.Rows {
		return Hash{}, false
	}
	// RFC 9162, 2.1.3.2.
	at, last, h := p.Place, p.Rows-1, StateLeaf(p.Class, parts...)
	for _, side := range p.Path {
		if last == 0 {
			return Hash{}, false
		}
		if at&1 == 1 || at == last {
			h = StateNode(side, h)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			h = StateNode(h, side)
		}
		at, last = at>>1, last>>1
	}
	return AppDigest(p.Rows, h), last == 0
}

// PutName is the name under which a feed row that was Put under key stands in its leaf: a class, the key with each 0x00 as 0x00 0xff, and 0x00 0x01.
func PutName(key []byte) []byte {
	name := append([]byte{'p'}, bytes.ReplaceAll(key, []byte{0}, []byte{0, 0xff})...)
	return append(name, 0, 1)
}

// SectionProver is a SectionHost that shows rows of what it folds. Every Host of the kernel is one; a test's may not be.
type SectionProver interface {
	SectionHost
	// ProveSection folds a section as FoldSection does, and proves the rows in its state: of a feed row the newest one, or where first is given the oldest of
	// whose value that is true. What is not in the state has no proof: compare what comes back.
	ProveSection(ctx context.Context, space Hash, by []Position, rows []StateRow, first func(value []byte) bool) (*Section, []RowProof, error)
}
