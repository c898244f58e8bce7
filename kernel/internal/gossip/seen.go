package gossip

import (
	"crypto/sha256"
	"time"
)

// seenGeneration is how many envelopes one generation remembers; there are two, of about 60 bytes each entry. Enough for every answer in
// flight from several peers.
const seenGeneration = 16384

// seenKey is the hash of a whole envelope, not the id of the record: a copy with a bad signature must not stand in the way of the good one.
type seenKey [16]byte

// seenAs is what is known of one envelope.
type seenAs struct {
	peers  uint64    // slots of the peers known to have it
	ask    *ask      // the answer it came in, nil when pushed or our own
	pushed time.Time // when it first came by push; zero for what did not
	done   bool      // committed
}

// seen remembers the envelopes of late, in two generations.
type seen struct {
	now, before map[seenKey]*seenAs
}

func newSeen() seen { return seen{now: map[seenKey]*seenAs{}} }

func keyOf(envelope []byte) seenKey {
	h := sha256.Sum256(envelope)
	return seenKey(h[:])
}

// get returns the entry of an envelope, made when there is none, and whether there was one.
func (s *seen) get(envelope []byte) (*seenAs, bool) {
	k := keyOf(envelope)
	if e := s.now[k]; e != nil {
		return e, true
	}
	e, had := s.before[k]
	if !had {
		e = &seenAs{}
	}
	if len(s.now) >= seenGeneration {
		s.now, s.before = make(map[seenKey]*seenAs, seenGeneration), s.now
	}
	s.now[k] = e
	return e, had
}

// mark notes that p has the envelope.
func (e *seenAs) mark(p *peer) {
	if p.slot >= 0 {
		e.peers |= 1 << p.slot
	}
}

// news reports whether an envelope is to be pushed on: it came by push, and lately. What ingest held for long its peers have by now.
func (e *seenAs) news(now time.Time) bool { return !e.pushed.IsZero() && now.Sub(e.pushed) < newsFor }

func (e *seenAs) marked(p *peer) bool { return p.slot >= 0 && e.peers&(1<<p.slot) != 0 }
