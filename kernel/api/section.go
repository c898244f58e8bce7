package api

import "context"

// Section is what the records of a part of a space come to when they are folded by themselves, whatever else this node holds.
type Section struct {
	Records uint64        // that were folded
	Digest  Hash          // of the state of all apps together
	Apps    []StateDigest // of each, in order of name
	// Open are positions that are final by what was named and not final here (yet), 16 at most. Then nothing was folded and the rest is zero.
	Open []Position
}

// RecordReader is a Reader that gives the records of a space as they were signed. Every Reader of the kernel is one; a test's may not be.
type RecordReader interface {
	Reader
	// Envelopes visits the signed envelopes of all records of a space that are stored here, each after its predecessor and what it cites, until fn fails.
	// The bytes are valid during fn only.
	Envelopes(space Hash, fn func(raw []byte) error) error
}

// StateDigest is the digest of one app's state: equal records give equal digests on nodes whose builds keep the same rows.
type StateDigest struct {
	App    string
	Digest Hash
}

// SectionHost is a Host that folds sections. Every Host of the kernel is one; a test's may not be.
type SectionHost interface {
	Host
	// FoldSection folds a section of a space beside the state: all that is final by what the feeds of by have stated up to there, these records
	// themselves, and everything that these and those stand on. Which records that are depends on by alone, and so does the digest. It takes seconds
	// for a large space and ends with ctx. NotFound: a position of by is not stored here. Unavailable: another one is being folded. Internal: a
	// record has another verdict here than it gets.
	FoldSection(ctx context.Context, space Hash, by []Position) (*Section, error)
}
