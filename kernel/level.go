package kernel

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// canReach refuses a level that is none, or that this node can never find reached, before anything is written.
func (k *Kernel) canReach(wait api.Wait) error {
	if err := wait.Validate(); err != nil {
		return err
	}
	if wait.Copies() > 0 && k.net == nil {
		return api.Errorf("wait", api.Unavailable, "wait %q: this node runs without peers, so nobody else can hold the record: set network.bind_addr", wait)
	}
	return nil
}

// reach waits until a record that is committed here has reached a level, and completes its receipt. What was written stands whatever comes of the wait:
// an error carries the receipt and says what is missing.
func (k *Kernel) reach(ctx context.Context, receipt *api.Receipt, space api.Hash, author api.DID, wait api.Wait) error {
	p := receipt.Position
	var err error
	switch copies := wait.Copies(); {
	case copies > 0:
		err = k.net.letters.copies.wait(ctx, p, space, author, copies)
	case wait == api.WaitFinal && !receipt.Final:
		err = k.awaitFinal(ctx, p)
		receipt.Final = err == nil
	case k.net != nil && k.inline == nil:
		k.net.letters.copies.note(p, space, author)
	}
	if err == nil && wait.Copies() == 0 && !receipt.Repeated {
		receipt.Level = api.LevelOf(receipt.Final, 0) // just written: nobody has been asked
		return nil
	}
	receipt.Level, receipt.Holders = k.level(p)
	receipt.Final = receipt.Level == api.WaitFinal
	if err != nil {
		kind := api.Timeout // also when the caller has stopped waiting
		if ctx.Err() == nil {
			kind = api.KindOf(err)
		}
		return notReached(receipt, wait, kind)
	}
	return nil
}

// notReached explains why a wait ended before its level was reached.
func notReached(receipt *api.Receipt, wait api.Wait, kind api.Kind) error {
	missing, remedy := "the space's witnesses have not stated it", "look at the peers and the witnesses: icnctl peer list, icnctl space show"
	if k := wait.Copies(); k > 0 {
		missing = fmt.Sprintf("%d more members' nodes that hold it", k-len(receipt.Holders))
		remedy = "see which peers are connected, icnctl peer list, and whom they serve: the author's own nodes do not count"
	}
	in := map[string]string{"record": receipt.Position.ID.String(), "wanted": string(wait), "reached": string(receipt.Level), "missing": missing}
	if len(receipt.Holders) > 0 {
		in["holders"] = joined(receipt.Holders)
	}
	r := &api.Reason{
		Domain: "kernel", Rule: "level-not-reached", Inputs: in,
		Text:   "the record is committed here and not " + string(wait) + " yet; nothing is lost, and nothing is to be repeated",
		Remedy: remedy + "; icnctl explain shows how far the record has got",
	}
	done := *receipt
	return &api.Error{Op: "wait", Kind: kind, Reason: r, Err: r, Receipt: &done}
}

func joined(dids []api.DID) string {
	const shown = 8
	var b strings.Builder
	for i, d := range dids {
		if i == shown {
			b.WriteString(" and " + strconv.Itoa(len(dids)-shown) + " more")
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(d))
	}
	return b.String()
}

// awaitFinal waits until a committed position is final.
func (k *Kernel) awaitFinal(ctx context.Context, p api.Position) error {
	w, cancel := k.watchers.waitFinal(p)
	defer cancel()
	// It may have become final before we began to watch.
	r := k.reader("", k.log)
	_, v, _ := r.Record(p)
	r.Close()
	if v.Final {
		return nil
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// level returns the highest level that a stored record is known to have reached, and who else is known to hold it.
func (k *Kernel) level(p api.Position) (api.Wait, []api.DID) {
	r := k.reader("", k.log)
	rec, v, ok := r.Record(p)
	r.Close()
	if !ok {
		return "", nil
	}
	var holders []api.DID
	if k.net != nil {
		holders = k.net.letters.copies.holders(p, rec.Author)
	}
	return api.LevelOf(v.Final, len(holders)), holders
}

var _ api.LevelHost = (*host)(nil)

// AwaitFinal implements api.LevelHost.
func (h *host) AwaitFinal(ctx context.Context, p api.Position) {
	if h.k.inline == nil {
		_ = h.k.awaitFinal(ctx, p) // whoever asked looks again
	}
}

// Level implements api.LevelHost.
func (h *host) Level(p api.Position) (api.Wait, []api.DID) { return h.k.level(p) }
