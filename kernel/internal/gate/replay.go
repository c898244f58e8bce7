package gate

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Nonce is the random part of a message that makes it one of a kind.
type Nonce [16]byte

// ReplayOptions are the bounds of a Replay.
type ReplayOptions struct {
	MaxAge    time.Duration // older messages are refused; 0 means 5 minutes
	MaxAhead  time.Duration // messages dated further ahead are refused; 0 means 30 seconds
	Entries   int           // nonces remembered in all, at most 65,536; 0 means that
	PerSender int           // nonces remembered for one sender; 0 means a sixteenth of Entries
}

// The defaults and bounds of ReplayOptions.
const (
	defaultMaxAge   = 5 * time.Minute
	defaultMaxAhead = 30 * time.Second
	maxEntries      = codec.MaxArray
	maxSender       = 128      // bytes of a DID in an imported state; a DID has at most 72
	maxState        = 16 << 20 // bytes of an imported state; a full one has about 8 MiB
)

// EnsureDefaults replaces zero and impossible values.
func (o *ReplayOptions) EnsureDefaults() {
	if o.MaxAge <= 0 {
		o.MaxAge = defaultMaxAge
	}
	if o.MaxAhead <= 0 {
		o.MaxAhead = defaultMaxAhead
	}
	if o.Entries <= 0 || o.Entries > maxEntries {
		o.Entries = maxEntries
	}
	if o.PerSender <= 0 || o.PerSender > o.Entries {
		o.PerSender = max(o.Entries/16, 1)
	}
}

// Replay refuses messages that it has seen before. A message is a sender, a nonce and the sender's wall clock in Unix milliseconds.
//
// It is exact: no message passes twice, and none that is fresh and dated within the window is refused, but under overload. There it
// stays safe by forgetting openly: the oldest nonces go, and with them (Floor) the window in which messages are taken at all. One sender
// cannot cause that alone, since each may fill only its share.
//
// The state survives a restart by Export and Import, so that a node neither takes again what it took before nor refuses what it did
// not; a Journal survives a crash too. A node without its state refuses what was sent before it started (RefuseUntil). Replay is safe for
// concurrent use.
type Replay struct {
	opt ReplayOptions

	mu     sync.Mutex
	seen   map[nonceKey]int64 // the message's time
	count  map[api.DID]int    // nonces by sender
	oldest expiry             // the same as seen, by time
	floor  int64              // all that is dated up to here is refused
}

type nonceKey struct {
	sender api.DID
	nonce  Nonce
}

// NewReplay returns an empty Replay.
func NewReplay(o ReplayOptions) *Replay {
	o.EnsureDefaults()
	return &Replay{opt: o, seen: map[nonceKey]int64{}, count: map[api.DID]int{}, floor: math.MinInt64}
}

// Check objects to a message that was seen before, is too old or dated too far ahead, or is one too many of its sender. A message
// without an objection is remembered: it passed, once. The domain is named in the Reason.
func (r *Replay) Check(domain api.Domain, now time.Time, sender api.DID, nonce Nonce, sentMillis int64) *api.Reason {
	no := func(rule, text, remedy string, in ...string) *api.Reason {
		m := map[string]string{"sent_ms": itoa(sentMillis)}
		for i := 0; i < len(in); i += 2 {
			m[in[i]] = in[i+1]
		}
		return &api.Reason{Domain: domain, Rule: rule, Text: text, Inputs: m, Remedy: remedy}
	}
	at := now.UnixMilli()

	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(at)
	key := nonceKey{sender, nonce}
	_, seen := r.seen[key]
	switch {
	case seen:
		return no("replayed", "this message was received before", "nothing: it has been taken already")
	case sentMillis < at-r.opt.MaxAge.Milliseconds() || sentMillis <= r.floor:
		return no("too-old", "the message is too old", "send it anew, and check the sender's clock",
			"now_ms", itoa(at), "max_age_ms", itoa(r.opt.MaxAge.Milliseconds()))
	case sentMillis > at+r.opt.MaxAhead.Milliseconds():
		return no("too-far-ahead", "the message is dated in the future", "check the sender's clock",
			"now_ms", itoa(at), "max_ahead_ms", itoa(r.opt.MaxAhead.Milliseconds()))
	case r.count[sender] >= r.opt.PerSender:
		return no("too-many", "the sender sent too many messages in a short time", "try again later",
			"most", strconv.Itoa(r.opt.PerSender))
	}
	if len(r.seen) >= r.opt.Entries {
		oldest := r.oldest[0].at
		if sentMillis <= oldest {
			return no("too-old", "the message is too old for the present load", "send it anew", "now_ms", itoa(at), "oldest_ms", itoa(oldest))
		}
		r.raise(oldest)
	}
	r.add(key, sentMillis)
	return nil
}

// RefuseUntil refuses what was sent up to now: for a node that starts without the state of its last run.
func (r *Replay) RefuseUntil(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raise(now.UnixMilli())
}

// Floor returns the time, in Unix milliseconds, up to which messages are refused whatever their age: what was dated so has been
// forgotten.
func (r *Replay) Floor() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.floor
}

// Len returns the number of nonces remembered.
func (r *Replay) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// expire forgets what is refused for its age anyhow.
func (r *Replay) expire(at int64) {
	for limit := at - r.opt.MaxAge.Milliseconds(); len(r.oldest) > 0 && r.oldest[0].at < limit; {
		r.raise(r.oldest[0].at)
	}
}

// raise lifts the floor and forgets what is dated up to it. Whatever is forgotten is under the floor, so a clock that steps back does
// not open the window for it again.
func (r *Replay) raise(floor int64) {
	r.floor = max(r.floor, floor)
	for len(r.oldest) > 0 && r.oldest[0].at <= r.floor {
		e := heap.Pop(&r.oldest).(entry)
		delete(r.seen, e.key)
		if r.count[e.key.sender]--; r.count[e.key.sender] == 0 {
			delete(r.count, e.key.sender)
		}
	}
}

// shrink forgets the oldest of more than Entries.
func (r *Replay) shrink() {
	for len(r.seen) > r.opt.Entries {
		r.raise(r.oldest[0].at)
	}
}

func (r *Replay) add(k nonceKey, at int64) {
	r.seen[k] = at
	r.count[k.sender]++
	heap.Push(&r.oldest, entry{k, at})
}

// replayState is the exported form. Senders ascend; Seen is, for one sender, 24 bytes for each message: its nonce and 8 big-endian
// bytes of time, ascending.
type replayState struct {
	_       struct{} `cbor:",toarray"`
	Version uint16
	Floor   int64
	Senders []senderState
}

type senderState struct {
	_    struct{} `cbor:",toarray"`
	DID  string
	Seen []byte
}

const (
	replayVersion = 1
	seenSize      = len(Nonce{}) + 8
)

// Export returns the state in canonical form: equal states give equal bytes.
func (r *Replay) Export() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	es := make([]entry, 0, len(r.seen))
	for k, at := range r.seen {
		es = append(es, entry{k, at})
	}
	return encodeState(r.floor, es)
}

// encodeState returns the exported form of entries, which it sorts.
func encodeState(floor int64, es []entry) []byte {
	slices.SortFunc(es, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key.sender, b.key.sender), slices.Compare(a.key.nonce[:], b.key.nonce[:]))
	})
	st := replayState{Version: replayVersion, Floor: floor}
	for i, e := range es {
		if i == 0 || es[i-1].key.sender != e.key.sender {
			st.Senders = append(st.Senders, senderState{DID: string(e.key.sender)})
		}
		s := &st.Senders[len(st.Senders)-1]
		s.Seen = binary.BigEndian.AppendUint64(append(s.Seen, e.key.nonce[:]...), uint64(e.at))
	}
	return codec.MustMarshal(&st)
}

// Import replaces the state by an exported one; on an error, which is api.Invalid, or api.Unsupported for the form of another version, the
// state stays. More nonces than Entries are forgotten, the oldest first.
func (r *Replay) Import(b []byte) error {
	bad := func(format string, args ...any) error {
		return api.Errorf("replay.import", api.Invalid, format, args...)
	}
	if len(b) > maxState {
		return bad("state of %d bytes: at most %d", len(b), maxState)
	}
	var st replayState
	if err := codec.Unmarshal(b, &st); err != nil {
		return bad("%w", err)
	}
	if st.Version != replayVersion {
		return api.Errorf("replay.import", api.Unsupported, "state of version %d: this build reads %d", st.Version, replayVersion)
	}
	in := NewReplay(r.opt)
	in.floor = st.Floor
	for i, s := range st.Senders {
		switch {
		case s.DID == "" || len(s.DID) > maxSender:
			return bad("sender %d: name of %d bytes, want 1 to %d", i, len(s.DID), maxSender)
		case i > 0 && st.Senders[i-1].DID >= s.DID:
			return bad("sender %d: senders must be in ascending order", i)
		case len(s.Seen) == 0 || len(s.Seen)%seenSize != 0:
			return bad("sender %d: %d bytes of nonces, want a multiple of %d", i, len(s.Seen), seenSize)
		}
		var last []byte
		for one := range slices.Chunk(s.Seen, seenSize) {
			key := nonceKey{api.DID(s.DID), Nonce(one[:len(Nonce{})])}
			at := int64(binary.BigEndian.Uint64(one[len(Nonce{}):]))
			switch _, dup := in.seen[key]; {
			case dup || slices.Compare(last, one) >= 0:
				return bad("sender %d: nonces must be in ascending order, each once", i)
			case at <= st.Floor:
				return bad("sender %d: a nonce at %d, below the floor %d", i, at, st.Floor)
			}
			in.add(key, at)
			last = one
		}
	}
	in.shrink()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, r.count, r.oldest, r.floor = in.seen, in.count, in.oldest, in.floor
	return nil
}

// expiry is a heap of what is remembered, the oldest first; entries of one time in a fixed order, so that runs repeat exactly.
type expiry []entry

type entry struct {
	key nonceKey
	at  int64
}

func (h expiry) Len() int { return len(h) }

func (h expiry) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key.sender, b.key.sender), slices.Compare(a.key.nonce[:], b.key.nonce[:])) < 0
}

func (h expiry) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *expiry) Push(x any) { *h = append(*h, x.(entry)) }

func (h *expiry) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = entry{}
	*h = old[:len(old)-1]
	return e
}
