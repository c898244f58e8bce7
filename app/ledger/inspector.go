package ledger

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// How much of its state a node goes over, and how often: in a second a part that takes some twenty milliseconds, and after all of it a rest. A million
// records take an hour and a half, at two hundredths of a processor.
const (
	inspectEvery   = time.Second
	inspectRecords = 200
	inspectRows    = 10_000
	inspectRest    = time.Hour      // after a pass, where records have come since
	inspectAnyway  = 24 * time.Hour // after a pass, where none have: disks forget, too
	maxFound       = 16
)

// inspector goes over the state again and again while a node runs, in small parts, and remembers in memory how far it is: first each record is applied
// again and compared with what is stored, then of each account the balance with the sum of its history, then that all balances of a currency sum to zero.
// docs/adr/0055 has the argument.
type inspector struct {
	mu      sync.Mutex
	last    time.Time // when a part was done
	rest    int       // turns to let pass, for what was done too much in one
	record  uint64    // local number that the pass has got to
	topped  uint64    // that of the pass before
	space   int       // index among those that are followed, from 0 when all records are done
	account api.DID   // that the pass has got to in the space
	doing   stage
	found   int       // in this pass
	before  int       // in the pass before
	some    []string  // of this pass and the one before, the newest last
	done    time.Time // the pass before; zero: none yet
	passes  uint64

	records, rows, wrong obs.Counter
}

type stage uint8

const (
	resting stage = iota
	recordsStage
	accountsStage
)

// Measured lets the app count what its inspector does.
func (a *App) Measured(r *obs.Registry) *App {
	i := &a.inspector
	i.records = r.Counter("icn_ledger_inspected_records_total", "Records that were applied again and compared with what is stored.")
	i.rows = r.Counter("icn_ledger_inspected_rows_total", "History rows and balances that were added up.")
	i.wrong = r.Counter("icn_ledger_mismatches_total", "What was found in the state that does not follow from the records. Anything above 0 is an alarm.")
	r.GaugeFunc("icn_ledger_inspected_timestamp_seconds", "When the last inspection of the whole state ended, Unix time; 0 before the first.", func() float64 {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.done.IsZero() {
			return 0
		}
		return float64(i.done.Unix())
	})
	return a
}

// Examine implements api.Examiner.
func (a *App) Examine() api.Finding {
	i := &a.inspector
	i.mu.Lock()
	defer i.mu.Unlock()
	f := api.Finding{Name: "books", Value: "the first inspection of all records and balances is under way"}
	if !i.done.IsZero() {
		f.Value = "all records and balances were inspected by " + i.done.UTC().Format(time.RFC3339) + ", nothing was wrong"
	}
	if n := i.found + i.before; n > 0 {
		f.Failed, f.Value = true, fmt.Sprintf("%d things in the state do not follow from the records, the newest: %s", n, i.some[len(i.some)-1])
		f.Next = "look at `icnctl state verify`; `icnctl state rebuild` makes the state anew from the records; look at the disk, and keep the log for whoever writes the software"
	}
	return f
}

// inspect does the next part. It looks at nothing while it rests.
func (a *App) inspect(ctx context.Context, host api.Host, now time.Time) error {
	i := &a.inspector
	i.mu.Lock()
	defer i.mu.Unlock()
	if since := now.Sub(i.last); since >= 0 && since < inspectEvery {
		return nil
	}
	i.last = now
	if i.rest > 0 {
		i.rest--
		return nil
	}
	switch i.doing {
	case recordsStage:
		return i.inspectRecords(ctx, host, now)
	case accountsStage:
		return i.inspectAccounts(ctx, host, now)
	}
	since := now.Sub(i.done)
	if !i.done.IsZero() && since >= 0 && (since < inspectRest || since < inspectAnyway && !i.grown(ctx, host)) {
		return nil
	}
	i.doing, i.record, i.space, i.account, i.before, i.found = recordsStage, 0, 0, "", i.found, 0
	return nil
}

// grown reports whether records have come since the last pass.
func (i *inspector) grown(ctx context.Context, host api.Host) bool {
	h, ok := host.(api.RecheckHost)
	if !ok {
		return false
	}
	out, err := h.Recheck(ctx, i.topped, 1)
	return err == nil && out.Records > 0
}

// inspectRecords applies some records again. Those of all apps are, since the ledger reads what others write.
func (i *inspector) inspectRecords(ctx context.Context, host api.Host, now time.Time) error {
	h, ok := host.(api.RecheckHost)
	if !ok {
		i.doing = accountsStage
		return nil
	}
	out, err := h.Recheck(ctx, i.record, inspectRecords)
	if err != nil {
		return err
	}
	i.record = out.Last
	count(i.records, out.Records)
	for _, p := range out.Problems {
		i.report(host, p)
	}
	if out.Records < inspectRecords {
		i.topped, i.doing = out.Last, accountsStage
	}
	return nil
}

// inspectAccounts adds up the histories of some accounts, and at the end of a space its balances.
func (i *inspector) inspectAccounts(ctx context.Context, host api.Host, now time.Time) error {
	spaces := host.Follows()
	if i.space >= len(spaces) {
		i.doing, i.done = resting, now
		i.passes++
		return nil
	}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, spaces[i.space])
	if !ok {
		i.space, i.account = i.space+1, ""
		return nil
	}
	done := 0
	defer func() {
		count(i.rows, done)
		i.rest = done / inspectRows
	}()
	for did := range accounts(r, s.ID, i.account) {
		if done >= inspectRows {
			return ctx.Err()
		}
		i.account = did
		n, problems := sumsOf(r, s, did)
		done += n
		for _, p := range problems {
			i.report(host, p)
		}
	}
	n, problems := zeroSums(r, s)
	done += n
	for _, p := range problems {
		i.report(host, p)
	}
	i.space, i.account = i.space+1, ""
	return ctx.Err()
}

func (i *inspector) report(host api.Host, problem string) {
	count(i.wrong, 1)
	i.found++
	if i.some = append(i.some, problem); len(i.some) > maxFound {
		i.some = append(i.some[:0], i.some[1:]...)
	}
	host.Log().Error("the state does not follow from the records: do not trust balances until people have looked at it (icnctl doctor)", "found", problem)
	if h, ok := host.(api.IncidentHost); ok {
		h.Report(api.Incident{Kind: api.Divergence, Detail: problem})
	}
}

func count(c obs.Counter, n int) {
	if c != nil {
		c.Add(float64(n))
	}
}

// sumsOf holds an account's balances against its history, and returns how many rows it has read.
func sumsOf(r api.Reader, s *fact.Space, did api.DID) (rows int, problems []string) {
	sums := map[string]int64{}
	for _, code := range s.Genesis.Currencies {
		sums[code] = 0
	}
	for _, v := range r.Index(didKey(nil, indexHistory, s.ID, did), nil, false) {
		e := get[entry](v, true)
		sums[e.Code] += e.Delta
		rows++
	}
	for _, code := range s.Genesis.Currencies {
		if n := r.Counter(balanceKey(nil, s.ID, code, did)); n != sums[code] {
			problems = append(problems, fmt.Sprintf("%s %s: the balance is %d, its history sums to %d", did, code, n, sums[code]))
		}
	}
	return rows, problems
}

// zeroSums adds up all balances, and looks for those of accounts without a history.
func zeroSums(r api.Reader, s *fact.Space) (rows int, problems []string) {
	sums := map[string]int64{}
	prefix := spaceKey(nil, counterBalance, s.ID)
	for k, n := range r.Counters(prefix) {
		rows++
		code, did, ok := bytes.Cut(k[len(prefix):], []byte{'/'})
		if _, known := s.Currency(string(code)); !ok || !known {
			problems = append(problems, fmt.Sprintf("a balance is of no currency of the space: %q", k[len(prefix):]))
			continue
		}
		sums[string(code)] += n
		moved := false
		for range r.Index(didKey(nil, indexHistory, s.ID, api.DID(did)), nil, false) {
			moved = true
			break
		}
		if !moved {
			problems = append(problems, fmt.Sprintf("%s %s: the balance is %d, and nothing has moved", did, code, n))
		}
		if len(problems) >= maxFound {
			return rows, problems
		}
	}
	for _, code := range s.Genesis.Currencies {
		if sums[code] != 0 {
			problems = append(problems, fmt.Sprintf("%s: the balances sum to %d, not 0", code, sums[code]))
		}
	}
	return rows, problems
}
