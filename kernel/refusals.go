package kernel

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Bounds of what is remembered of refusals. Callers of operations and peers have a share each, so that neither pushes the other's out; within
// one, whoever has been refused most often loses the oldest of theirs first.
const (
	maxRefusals     = 2048 // in each share
	maxRefusalsEach = 64   // of whoever was refused
	maxReasonInputs = 16
	maxReasonText   = 512 // bytes of a text, of an input's value too
)

// refusal is one no, or several alike. Its id is a name that nobody can guess from another's.
type refusal struct {
	id     string
	who    []api.DID // who was refused, and may ask why: the first bears it in the bounds
	action string    // the operation's name, or what a peer or a record wanted: connect, follow, ask, push, record
	kind   api.Kind
	reason api.Reason
	first  time.Time
	last   time.Time
	count  uint64
}

// refusals remembers what was refused to whom and why, in memory. It is safe for concurrent use.
type refusals struct {
	now    func() time.Time
	secret [32]byte

	mu     sync.Mutex
	named  uint64
	calls  share
	peers  share
	byName map[string]*refusal
}

// share is what is remembered for callers, or for peers.
type share struct {
	by    map[api.DID][]*refusal // oldest first
	total int
}

func newRefusals(now func() time.Time, in *Inline) *refusals {
	r := &refusals{now: now, byName: map[string]*refusal{}, calls: share{by: map[api.DID][]*refusal{}}, peers: share{by: map[api.DID][]*refusal{}}}
	if in != nil {
		r.secret = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("refusals"), in.Seed))
	} else {
		_, _ = rand.Read(r.secret[:]) // it never fails, says its documentation
	}
	return r
}

// refusalPrefix tells a refusal's id from a record's.
const refusalPrefix = "no-"

var refusalText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// name makes a new id of 50 bits that do not show how many came before.
func (r *refusals) name() string {
	r.named++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(r.secret[:], r.named))
	return refusalPrefix + refusalText.EncodeToString(sum[:])[:10]
}

// note remembers n refusals and returns their id: that of the last one when it was the same in all but the time. With nobody refused there is nothing to
// remember.
func (r *refusals) note(peers bool, who []api.DID, action string, kind api.Kind, reason *api.Reason, n int) string {
	if len(who) == 0 || who[0] == "" || n < 1 {
		return ""
	}
	why := bounded(reason)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.calls
	if peers {
		s = &r.peers
	}
	mine := s.by[who[0]]
	for i, x := range mine {
		if x.action == action && x.kind == kind && slices.Equal(x.who, who) && sameReason(&x.reason, &why) {
			x.count, x.last = x.count+uint64(n), now
			s.by[who[0]] = append(slices.Delete(mine, i, i+1), x)
			return x.id
		}
	}
	if len(mine) >= maxRefusalsEach {
		r.drop(s, who[0])
	} else if s.total >= maxRefusals {
		r.drop(s, s.fullest())
	}
	x := &refusal{id: r.name(), who: slices.Clone(who), action: action, kind: kind, reason: why, first: now, last: now, count: uint64(n)}
	s.by[who[0]] = append(s.by[who[0]], x)
	s.total++
	r.byName[x.id] = x
	return x.id
}

// fullest returns who has most, of those with as many the one whose oldest is oldest.
func (s *share) fullest() (who api.DID) {
	for d, xs := range s.by {
		have := s.by[who]
		if len(xs) > len(have) || len(xs) == len(have) && cmp.Or(xs[0].last.Compare(have[0].last), cmp.Compare(xs[0].id, have[0].id)) < 0 {
			who = d
		}
	}
	return who
}

// drop forgets the oldest of one.
func (r *refusals) drop(s *share, who api.DID) {
	xs := s.by[who]
	delete(r.byName, xs[0].id)
	s.total--
	if len(xs) == 1 {
		delete(s.by, who)
		return
	}
	s.by[who] = slices.Delete(xs, 0, 1)
}

// find returns a refusal that may sees.
func (r *refusals) find(id string, may func(who []api.DID) bool) (refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.byName[id]
	if x == nil || !may(x.who) {
		return refusal{}, false
	}
	return *x, true
}

// list returns up to n refusals that may sees, the newest first.
func (r *refusals) list(n int, may func(who []api.DID) bool) []refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var xs []refusal
	for _, id := range slices.Sorted(maps.Keys(r.byName)) {
		if x := r.byName[id]; may(x.who) {
			xs = append(xs, *x)
		}
	}
	slices.SortStableFunc(xs, func(a, b refusal) int { return b.last.Compare(a.last) })
	return xs[:min(len(xs), n)]
}

func sameReason(a, b *api.Reason) bool {
	return a.Domain == b.Domain && a.Rule == b.Rule && a.Text == b.Text && a.Remedy == b.Remedy && maps.Equal(a.Inputs, b.Inputs)
}

// bounded is a copy of a reason that does not outgrow its place: a reason may quote what others sent.
func bounded(r *api.Reason) api.Reason {
	clip := func(s string) string {
		if len(s) > maxReasonText {
			return strings.ToValidUTF8(s[:maxReasonText], "") + "..."
		}
		return s
	}
	out := api.Reason{Domain: api.Domain(clip(string(r.Domain))), Rule: clip(r.Rule), Text: clip(r.Text), Remedy: clip(r.Remedy)}
	for i, k := range slices.Sorted(maps.Keys(r.Inputs)) {
		if i == maxReasonInputs {
			break
		}
		if out.Inputs == nil {
			out.Inputs = map[string]string{}
		}
		out.Inputs[clip(k)] = clip(r.Inputs[k])
	}
	return out
}

// refused remembers an error that is a refusal, completes its reason, and names it. Other errors stay as they are.
func (k *Kernel) refused(who []api.DID, peer bool, action string, domain api.Domain, err error) error {
	kind, reason := api.KindOf(err), api.ReasonOf(err)
	if err == nil || api.RefusalOf(err) != "" || kind != api.Refused && kind != api.RateLimited {
		return err
	}
	full := k.explained(kind, reason, action, domain, err)
	out := &api.Error{Kind: kind, Reason: full, Refusal: k.refusals.note(peer, who, action, kind, full, 1)}
	if e, ok := errors.AsType[*api.Error](err); ok {
		out.Op = e.Op
	}
	// The same words, without the reason that was not complete.
	if text := strings.TrimPrefix(err.Error(), out.Op+": "); reason != nil && text == reason.Error() {
		out.Err = full
	} else {
		out.Err = errors.New(text)
	}
	return out
}

// explained is a reason of a refusal with nothing left out: who says so, by which rule, and what would change it.
func (k *Kernel) explained(kind api.Kind, reason *api.Reason, action string, domain api.Domain, err error) *api.Reason {
	r := api.Reason{Text: err.Error()}
	if reason != nil {
		r = *reason
	}
	if domain == "" {
		domain = "kernel"
	}
	r.Domain = cmp.Or(r.Domain, domain)
	r.Rule = cmp.Or(r.Rule, kind.Code())
	r.Text = cmp.Or(r.Text, action+" is refused by the rule "+string(r.Domain)+"/"+r.Rule)
	r = *k.apps.Advise(&r)
	if r.Remedy == "" {
		r.Remedy = "nothing was done: ask again when what the rule looks at has changed, or ask who runs this node"
		if kind == api.RateLimited {
			r.Remedy = "nothing was done: come back a little later"
		}
	}
	return &r
}
