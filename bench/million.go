package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/intercooperative/icn/client"
)

// million: an icnd opens a store of a million records, and an empty one that joins the space fetches them all. Both are processes as a co-op runs them;
// the records are transfers among a thousand members.
func million(ctx context.Context, b *bench) (rows []result, err error) {
	const members, each = 1000, 1000
	bin, err := icnd(ctx, b)
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(b)
	if err != nil {
		return nil, err
	}
	if err := importInto(ctx, dir, func(ctx context.Context, n *node) error { return transfers(ctx, n, members, each) }); err != nil {
		return nil, err
	}
	begin := time.Now()
	first, err := daemon(ctx, bin, dir)
	if err != nil {
		return nil, err
	}
	defer first.stop(&err)
	opened := time.Since(begin)
	st, err := first.NodeStatus(ctx)
	if err != nil || st.Records < members*each {
		return nil, errors.Join(err, fmt.Errorf("a store of %d records", st.Records))
	}
	rss, err := first.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	rows = append(rows, result{"reopen-1m", float64(opened.Milliseconds()), "ms", "", 0, 0, fmt.Sprintf("%d records, until it answers; %.0f MB resident then", st.Records, rss)})

	invitation, err := first.SpaceInvite(ctx, client.SpaceInviteIn{})
	if err != nil {
		return rows, err
	}
	empty, err := dataDir(b)
	if err != nil {
		return rows, err
	}
	late, err := daemon(ctx, bin, empty, "--bootstrap", st.Addresses[0])
	if err != nil {
		return rows, err
	}
	defer late.stop(&err)
	begin = time.Now()
	if _, err := late.SpaceJoin(ctx, client.SpaceJoinIn{Invitation: invitation.Invitation}); err != nil {
		return rows, err
	}
	for have := uint64(0); have < st.Records; {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return rows, fmt.Errorf("%d of %d records: %w", have, st.Records, err)
		}
		now, err := late.NodeStatus(ctx)
		if err != nil {
			return rows, err
		}
		have = now.Records
	}
	took := time.Since(begin)
	peak, err := late.memory("VmHWM")
	if err != nil {
		return rows, err
	}
	return append(rows,
		result{"catch-up-1m", float64(st.Records) / took.Seconds(), "records/s", "", 0, 0, fmt.Sprintf("%s in all", took.Round(time.Second))},
		result{"catch-up-1m-rss", peak, "MB", "", 0, 0, "the most the process ever had; target below 300"}), nil
}

// transfers founds a space on n in which each member pays another so many times.
func transfers(ctx context.Context, n *node, members, each int) error {
	batch := min(250, each)
	payers, err := found(ctx, n, members)
	if err != nil {
		return err
	}
	const writers = 8
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < members; i += writers {
				for range each / batch {
					texts := make([]string, batch)
					for j := range texts {
						raw, err := payers[i].pay(payers[(i+1)%members].DID())
						if err != nil {
							errs[w] = err
							return
						}
						texts[j] = text(raw)
					}
					if errs[w] = submit(ctx, n, texts...); errs[w] != nil {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
