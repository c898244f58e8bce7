package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Bounds of the shell.
const (
	queueUnits  = 1024 // units (a submit, a frame) waiting for verification, and drafts waiting for the engine
	verifyBatch = 128  // signatures that an Inline verifies together at most
	verifyPart  = 64   // signatures verified together at least, before another processor helps
	commitBatch = 512  // records verified and committed together at most, but for the last unit
	knownBad    = 8192 // hashes of refused envelopes remembered
	keyCache    = 4096 // decoded public keys
	syncAhead   = 4    // commits written and not yet on disk
)

// Service runs an Engine: signatures in parallel, one committer, groups of whatever has come while the last group was written.
type Service struct {
	e        *Engine
	verifier *record.Verifier
	verify   chan []Item
	process  chan []Item
	drafts   chan Draft
	calls    chan func() error
	done     chan struct{}

	underway atomic.Int64  // records that verifyLoop has handed over and that are not answered yet
	eased    chan struct{} // tells verifyLoop that they have become fewer

	mu  sync.Mutex
	bad map[api.Hash]struct{} // envelopes with a bad signature, by the hash of the whole envelope: never by id, which an honest copy shares
	err error                 // why the service ended
}

// NewService returns a service around e; Serve runs it.
func NewService(e *Engine) *Service {
	return &Service{
		e: e, verifier: record.NewVerifier(keyCache),
		verify: make(chan []Item, queueUnits), process: make(chan []Item), drafts: make(chan Draft, queueUnits),
		calls: make(chan func() error), done: make(chan struct{}),
		eased: make(chan struct{}, 1), bad: map[api.Hash]struct{}{},
	}
}

// Serve runs until ctx ends or the store fails. What is queued when it ends is refused, not acknowledged.
func (s *Service) Serve(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.verifyLoop(inner) })
	// Folding goes on while the disk syncs: what is written waits here, and one sync serves all that wait.
	later := make(chan flushed, syncAhead)
	s.e.later = later
	failed := make(chan error, 1)
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		s.syncLoop(later, failed)
	}()
	err := s.commitLoop(ctx, failed)
	close(later)
	<-synced
	s.e.later = nil
	if err == nil {
		select {
		case err = <-failed: // the last sync failed
		default:
		}
	}
	cancel()
	wg.Wait()
	s.mu.Lock()
	s.err = err
	if err == nil {
		s.err = api.Errorf("record.submit", api.Unavailable, "the node is shutting down")
	}
	s.mu.Unlock()
	close(s.done)
	s.drain()
	if err == nil {
		return ctx.Err()
	}
	return err
}

// drain refuses what is still queued; whoever queues later sees done closed.
func (s *Service) drain() {
	for {
		select {
		case items := <-s.verify:
			s.refuse(items)
		case d := <-s.drafts:
			d.Done(api.Receipt{}, s.ended())
		default:
			return
		}
	}
}

func (s *Service) refuse(items []Item) {
	for _, it := range items {
		if it.Done != nil {
			it.Done(Result{ID: it.ID, Outcome: Refused, Err: s.ended()})
		}
	}
}

func (s *Service) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// verifyLoop checks signatures of what has come and hands it to the committer when that is ready. There is one such loop, without a queue behind it,
// because several or a queue would make many small groups, which cost more a record: signatures are cheaper together, and each commit is a
// write and, mostly, a sync.
//
// So that groups grow with the load a group waits until it is half as large as what is underway. Nobody waits on an idle node; on a busy one some
// three groups are on the road, one in each stage: verification, the fold, the disk.
func (s *Service) verifyLoop(ctx context.Context) {
	var items []Item
	for {
		items = items[:0]
		select {
		case <-ctx.Done():
			return
		case more := <-s.verify:
			items = append(items, more...)
		}
		for len(items) < commitBatch {
			select {
			case more := <-s.verify:
				items = append(items, more...)
				continue
			default:
			}
			if int64(2*len(items)) >= s.underway.Load() {
				break
			}
			select {
			case more := <-s.verify:
				items = append(items, more...)
			case <-s.eased:
			case <-ctx.Done():
				s.refuse(items)
				return
			}
		}
		good := s.inParallel(items)
		clear(items)
		if len(good) == 0 {
			continue
		}
		s.underway.Add(int64(len(good)))
		select {
		case s.process <- good:
		case <-ctx.Done():
			s.refuse(good)
			return
		}
	}
}

// inParallel is verified with the help of other processors.
func (s *Service) inParallel(items []Item) []Item {
	parts := max(1, min(runtime.GOMAXPROCS(0), len(items)/verifyPart))
	good := make([][]Item, parts)
	var wg sync.WaitGroup
	for i := range parts {
		part := items[i*len(items)/parts : (i+1)*len(items)/parts]
		if i == parts-1 {
			good[i] = s.verified(part)
		} else {
			wg.Go(func() { good[i] = s.verified(part) })
		}
	}
	wg.Wait()
	return slices.Concat(good...)
}

var errBadSignature = refusal("record.submit", api.Refused, "bad-signature", "the device key did not sign these bytes", "sign the record with the key of the device that it names", nil)

// IsBadSignature reports whether a result was refused because its signature does not fit: the sender, not the author, is at fault.
func IsBadSignature(err error) bool { return errors.Is(err, errBadSignature) }

func (s *Service) remember(raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bad) >= knownBad {
		clear(s.bad)
	}
	s.bad[sha256.Sum256(raw)] = struct{}{}
}

func (s *Service) knownBad(raw []byte) bool {
	s.mu.Lock()
	n := len(s.bad)
	s.mu.Unlock()
	if n == 0 {
		return false
	}
	h := api.Hash(sha256.Sum256(raw))
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.bad[h]
	return ok
}

// syncLoop brings written commits to disk and announces them in order. After a failure nothing more is acknowledged.
func (s *Service) syncLoop(later <-chan flushed, failed chan<- error) {
	barrier := s.e.Store.NewBatch()
	defer barrier.Close()
	var broken error
	for f := range later {
		group := []flushed{f}
	more:
		for {
			select {
			case f, ok := <-later:
				if !ok {
					break more
				}
				group = append(group, f)
			default:
				break more
			}
		}
		if broken == nil {
			// An empty synced commit waits until all before it are on disk.
			if broken = s.e.Store.Commit(barrier, true); broken != nil {
				failed <- broken
			}
			barrier.Reset()
		}
		for _, f := range group {
			if broken != nil {
				f.fail(broken)
			} else {
				s.e.finish(f)
			}
			s.underway.Add(int64(-f.taken))
		}
		select {
		case s.eased <- struct{}{}:
		default: // it has not looked since it was told before
		}
	}
}

func (s *Service) commitLoop(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var items []Item
	for {
		items = items[:0]
		var draft *Draft
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case items = <-s.process:
		case d := <-s.drafts:
			draft = &d
		case call := <-s.calls:
			if err := call(); err != nil {
				return err
			}
		case <-timer.C:
		}
		// Take what has gathered while the last group was being written, in one go.
		n := len(items)
		for n < commitBatch {
			if draft != nil {
				if err := s.e.Append(*draft); err != nil {
					return err
				}
				draft = nil
				n++
			}
			select {
			case more := <-s.process:
				items = append(items, more...)
				n += len(more)
				continue
			case d := <-s.drafts:
				draft = &d
				continue
			default:
			}
			break
		}
		if draft != nil {
			if err := s.e.Append(*draft); err != nil {
				return err
			}
		}
		if err := s.e.Process(items); err != nil {
			return err
		}
		wait := time.Hour
		if due := s.e.NextDue(); !due.IsZero() {
			wait = max(due.Sub(s.e.Now()), time.Millisecond)
		}
		timer.Reset(wait)
	}
}

// decode turns raw envelopes into items and answers those that are no records.
func (s *Service) decode(raws [][]byte, origin Origin, done func(i int, r Result)) []Item {
	items := make([]Item, 0, len(raws))
	for i, raw := range raws {
		if s.knownBad(raw) {
			s.e.Count(BadSignature, 1)
			done(i, Result{Outcome: Refused, Err: errBadSignature})
			continue
		}
		env, err := record.Decode(raw)
		if err != nil {
			why := Malformed
			if api.KindOf(err) == api.TooLarge {
				why = Oversized
			}
			s.e.Count(why, 1)
			done(i, Result{Outcome: Refused, Err: err})
			continue
		}
		items = append(items, Item{Envelope: env, Origin: origin, Done: func(r Result) { done(i, r) }})
	}
	return items
}

// Submit sends envelopes along the road and waits until each is settled: durable, or refused, or waiting in the room. A full queue refuses at once.
func (s *Service) Submit(ctx context.Context, raws [][]byte, origin Origin) []Result {
	results := make([]Result, len(raws))
	settled := make(chan struct{})
	var left atomic.Int64
	if left.Add(int64(len(raws))) == 0 {
		return results
	}
	s.Offer(raws, origin, func(i int, r Result) {
		results[i] = r
		if left.Add(-1) == 0 {
			close(settled)
		}
	})
	var err error
	select {
	case <-settled:
		return results
	case <-ctx.Done():
		err = api.Wrap("record.submit", ctx.Err())
	case <-s.done:
		select {
		case <-settled:
			return results
		default:
		}
		err = s.ended()
	}
	late := make([]Result, len(raws)) // results may still be written to
	for i := range late {
		late[i] = Result{Outcome: Refused, Err: err}
	}
	return late
}

// Offer is Submit without waiting: done is called once for each envelope, from any goroutine and possibly before Offer returns. It reports false
// when the queue is full; done has been called all the same.
func (s *Service) Offer(raws [][]byte, origin Origin, done func(i int, r Result)) bool {
	items := s.decode(raws, origin, done)
	if len(items) == 0 {
		return true
	}
	select {
	case <-s.done:
		s.refuse(items)
		return false
	default:
	}
	select {
	case s.verify <- items:
		return true
	default:
		s.e.Count(Busy, len(items))
		for _, it := range items {
			it.Done(Result{ID: it.ID, Outcome: Refused, Err: api.Errorf("record.submit", api.Unavailable, "the node is busy: %d submissions are waiting", queueUnits)})
		}
		return false
	}
}

// Append makes a draft durable on this node. It waits for the author's rate, and refuses at once what the rules would void.
func (s *Service) Append(ctx context.Context, signer api.Signer, draft api.Draft) (api.Receipt, error) {
	return s.append(ctx, Draft{Draft: draft, Signer: signer})
}

// Take is Append of a record that was signed elsewhere, by signer's device. With keep it is stored even if it is void, and the receipt comes with an
// error for which IsVoid holds. Its signature is checked among others', as a submitted record's is.
func (s *Service) Take(ctx context.Context, signer api.Signer, env *record.Envelope, idempotency string, keep bool) (api.Receipt, error) {
	if s.knownBad(env.Raw) {
		s.e.Count(BadSignature, 1)
		return api.Receipt{}, errBadSignature
	}
	return s.append(ctx, Draft{Draft: api.Draft{Idempotency: idempotency}, Signer: signer, Signed: env, Keep: keep})
}

func (s *Service) append(ctx context.Context, d Draft) (api.Receipt, error) {
	unchecked := d.Signed != nil
	for {
		type answer struct {
			r   api.Receipt
			err error
		}
		ch := make(chan answer, 1)
		d.Done = func(r api.Receipt, err error) { ch <- answer{r, err} }
		drafts, verify, item := s.drafts, chan []Item(nil), []Item(nil)
		if unchecked {
			drafts, verify, item = nil, s.verify, []Item{taken(d)}
		}
		select {
		case drafts <- d:
		case verify <- item:
		case <-s.done:
			return api.Receipt{}, s.ended()
		case <-ctx.Done():
			return api.Receipt{}, api.Wrap("record.append", ctx.Err())
		}
		var a answer
		select {
		case a = <-ch:
		case <-s.done:
			select {
			case a = <-ch:
			default:
				return api.Receipt{}, s.ended()
			}
		case <-ctx.Done():
			// The draft may be committed all the same; an idempotency key makes repeating it safe.
			return api.Receipt{}, api.Wrap("record.append", ctx.Err())
		}
		var slow errRate
		if !errors.As(a.err, &slow) {
			return a.r, a.err
		}
		s.e.Count(RateLimit, 1)
		unchecked = false // or it would not have come so far
		select {
		case <-time.After(slow.after):
		case <-s.done:
			return api.Receipt{}, s.ended()
		case <-ctx.Done():
			return api.Receipt{}, errSlow(d.Signer.DID(), slow.after)
		}
	}
}

// taken is the item of a signed draft, whose signature is yet to be checked.
func taken(d Draft) Item {
	return Item{Envelope: d.Signed, draft: &d, Done: func(r Result) { d.Done(api.Receipt{}, r.Err) }}
}

// Do runs fn on the committing goroutine, between two commits, with the engine to itself.
func (s *Service) Do(ctx context.Context, fn func(*Engine) error) error {
	ch := make(chan error, 1)
	call := func() error {
		ch <- fn(s.e)
		return nil
	}
	select {
	case s.calls <- call:
	case <-s.done:
		return s.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-ch
}
