package trust

import (
	"strings"
	"sync"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	// Topic is the name of the topic that holds attestations, in every space.
	Topic = fact.TrustTopic
	// Kind is the one kind of record in it.
	Kind = "attest"

	// maxContext bounds a context's name, in bytes.
	maxContext = 32
	// maxScore is the greatest attestation, in basis points; the least is -maxScore.
	maxScore = int16(Full)
)

// body is the wire form of an attestation. Its author is the feed's.
type body struct {
	_       struct{} `cbor:",toarray"`
	To      api.DID
	Score   int16 `say:"basis-points"`
	Context string
	At      int64 `say:"seconds"`
}

// row is what a feed keeps under edgeKey.
type row struct {
	_     struct{} `cbor:",toarray"`
	Score int16
	At    int64
	Stamp uint64 // the record's own time, which orders what one person's devices say
}

// decode reads the body of a record and checks all but the DID in it.
func decode(raw []byte) (*body, error) {
	var b body
	if err := codec.Unmarshal(raw, &b); err != nil {
		return nil, api.Errorf("trust.decode", api.Invalid, "%w", err)
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return &b, nil
}

func (b *body) check() error {
	if b.Score > maxScore || b.Score < -maxScore {
		return api.Errorf("trust.check", api.Invalid, "score %d: want %d to %d basis points", b.Score, -maxScore, maxScore)
	}
	return checkContext(b.Context)
}

func checkContext(s string) error {
	bad := len(s) > maxContext
	for i := 0; i < len(s) && !bad; i++ {
		c := s[i]
		bad = (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	}
	if bad {
		return api.Errorf("trust.check", api.Invalid, "context %q: want at most %d of a-z 0-9 -", s[:min(len(s), maxContext)], maxContext)
	}
	return nil
}

// spelling checks DIDs and remembers the ones that passed. Checking one costs as much as verifying a signature, and the same people are attested
// again and again. It is a pure function with a bounded memory (two generations, about 1 MB each), so Apply may use it. The zero value is usable.
type spelling struct {
	mu         sync.Mutex
	young, old map[api.DID]struct{}
}

const maxSpelled = 8192

// check returns what record.ParseDID says of a DID.
func (s *spelling) check(did api.DID) error {
	s.mu.Lock()
	_, ok := s.young[did]
	if !ok {
		_, ok = s.old[did]
	}
	s.mu.Unlock()
	if ok {
		return nil
	}
	if _, err := record.ParseDID(string(did)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxSpelled {
		s.young, s.old = make(map[api.DID]struct{}, maxSpelled), s.young
	}
	s.young[did] = struct{}{}
	return nil
}

const edgePrefix = "edge/"

// edgeKey is the feed row that holds what the feed last said of somebody. A context holds no slash, so the key reads back.
func edgeKey(context string, to api.DID) []byte {
	return []byte(edgePrefix + context + "/" + string(to))
}

// readEdge reads an edge row of a feed by author; ok is false for what this build did not write.
func readEdge(author api.DID, key, value []byte) (a Attestation, ok bool) {
	context, to, ok := strings.Cut(strings.TrimPrefix(string(key), edgePrefix), "/")
	var r row
	if !ok || codec.Unmarshal(value, &r) != nil {
		return Attestation{}, false
	}
	return Attestation{From: author, To: api.DID(to), Score: r.Score, Context: context, At: r.At, stamp: api.Timestamp(r.Stamp)}, true
}
