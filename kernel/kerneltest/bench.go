package kerneltest

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// bareBatch is how many records of BareIngest share a commit at most: as many as on the kernel's road.
const bareBatch = 512

// BareIngest is the floor of what it costs to take records in: decode, verify in batches, put in one synced batch; nothing else is checked and
// nothing is folded. The store in dir has the kernel's default options. There is one submitter for each list of envelopes, and each has one in
// flight. It returns how long it took from the first submission to the last acknowledgement; the store is opened before and closed after that.
func BareIngest(dir string, lists [][][]byte) (took time.Duration, err error) {
	st, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	in := make(chan bareItem, 2*bareBatch)
	failed := make(chan error, 1)
	begin := time.Now()
	go func() { failed <- bareLoop(st, in) }()
	var submitters sync.WaitGroup
	for _, raws := range lists {
		submitters.Go(func() {
			done := make(chan struct{}, 1)
			for _, raw := range raws {
				in <- bareItem{raw, done}
				<-done
			}
		})
	}
	submitters.Wait()
	took = time.Since(begin)
	close(in)
	return took, <-failed
}

type bareItem struct {
	raw  []byte
	done chan struct{}
}

// bareLoop serves until in is closed. After an error it acknowledges everything, so that nobody waits forever.
func bareLoop(st store.Store, in <-chan bareItem) (err error) {
	v := record.NewVerifier(4096)
	b := st.NewBatch()
	defer b.Close()
	var items []bareItem
	var es []*record.Envelope
	for it := range in {
		items = append(items[:0], it)
	fill:
		for len(items) < bareBatch {
			select {
			case it, ok := <-in:
				if !ok {
					break fill
				}
				items = append(items, it)
			default:
				break fill
			}
		}
		if err == nil {
			es, err = bareCommit(st, b, v, es[:0], items)
		}
		for _, it := range items {
			it.done <- struct{}{}
		}
	}
	return err
}

func bareCommit(st store.Store, b store.Batch, v *record.Verifier, es []*record.Envelope, items []bareItem) ([]*record.Envelope, error) {
	for _, it := range items {
		e, err := record.Decode(it.raw)
		if err != nil {
			return es, err
		}
		es = append(es, e)
	}
	for i, ok := range v.Verify(es) {
		if !ok {
			return es, api.Errorf("bench.bare", api.Refused, "a signature does not fit")
		}
		b.Set(append(append([]byte{1}, es[i].Feed[:]...), api.Seq8(es[i].Seq)...), es[i].Raw)
	}
	err := st.Commit(b, true)
	b.Reset()
	return es, err
}
