package sim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// elsewhere is a member without a node: a key, and the journal of what it has signed, behind the Go client of production. It asks whichever node it
// comes across, and the way there loses what it likes.
type elsewhere struct {
	w      *World
	key    *keeper
	book   []byte // the journal, as it is on the member's disk
	wanted map[string]ledger.TransferIn
	done   map[string]bool   // what was wanted and answered, by memo
	open   string            // the payment whose answer was lost, which is asked for again
	last   error             // what came of the newest payment
	misled map[api.Hash]bool // what was signed and cites a record that does not exist, or is dated ahead and has to wait for its time
	stale  *api.Record       // what was prepared once and not signed
	bytes  []byte            // of it
	newest []byte            // the envelope that was sent last
}

// keeper signs, and knows what. Two signatures at one place are what the client has to prevent.
type keeper struct {
	api.Signer
	places map[api.Hash]map[uint64]api.Hash
	broken error
}

// Sign implements api.Signer.
func (k *keeper) Sign(b []byte) ([]byte, error) {
	r, err := record.Parse(b)
	if err != nil {
		k.broken = fmt.Errorf("the member elsewhere has signed what is no record: %w", err)
	} else if id, ok := k.places[r.Feed][r.Seq]; ok && id != r.ID {
		k.broken = fmt.Errorf("the member elsewhere has signed two records for place %d of feed %s", r.Seq, r.Feed.Short())
	} else {
		if k.places[r.Feed] == nil {
			k.places[r.Feed] = map[uint64]api.Hash{}
		}
		k.places[r.Feed][r.Seq] = r.ID
	}
	return k.Signer.Sign(b)
}

// Lock, Load and Save implement client.Journal.
func (e *elsewhere) Lock(context.Context) (func(), error) { return func() {}, nil }

func (e *elsewhere) Load() (*client.Book, error) {
	b := &client.Book{}
	return b, json.Unmarshal(e.book, b)
}

func (e *elsewhere) Save(b *client.Book) (err error) {
	e.book, err = json.Marshal(b)
	return err
}

// scopesElsewhere are what the member's token is good for: not what it takes to see who trusts whom.
func scopesElsewhere() []string {
	return []string{"record:write", "record:read", "ledger:write", "ledger:read", "event:read"}
}

// admitElsewhere lets the founder admit the member without a node.
func (w *World) admitElsewhere() error {
	k := &keeper{Signer: identity.Derive(fmt.Sprintf("elsewhere-%d", w.opt.Seed), "ivy"), places: map[api.Hash]map[uint64]api.Hash{}}
	w.ivy = &elsewhere{w: w, key: k, wanted: map[string]ledger.TransferIn{}, done: map[string]bool{}, misled: map[api.Hash]bool{}}
	if err := w.ivy.Save(&client.Book{Device: k.Device(), Feeds: map[api.Hash]*client.Signed{}}); err != nil {
		return err
	}
	_, err := call(w.members[0], "member.add", membership.AddIn{Space: w.Space, DID: k.DID(), Device: k.Device()})
	return err
}

// way is how a request of the member gets to a node and back.
type way uint8

const (
	wayGood   way = iota
	wayLost       // the record does not arrive
	wayMute       // it arrives, and the answer does not
	wayTwice      // it arrives twice
	wayOther      // it arrives at another node
	wayBent       // the node answers record.prepare with other bytes
	wayForged     // the node prepares another payment than it was asked for
	ways
)

// act lets the member do something by way of a node.
func (e *elsewhere) act(n *kerneltest.Node) error {
	switch e.w.Rand.IntN(9) {
	case 0:
		if e.stale == nil {
			e.prepareOnly(n)
			break
		}
		return e.submitStale(n)
	case 1, 2: // two programs with one key, of which one has no journal
		e.prepareOnly(n)
		e.pay(n, wayGood)
		return e.submitStale(n)
	case 3:
		return e.submitAltered(n)
	case 4:
		e.again(n)
	default:
		e.pay(n, way(max(0, e.w.Rand.IntN(2*int(ways))-int(ways)))) // every other one goes well
	}
	return e.key.broken
}

// pay makes the payment whose answer was lost, or another one.
func (e *elsewhere) pay(n *kerneltest.Node, by way) {
	w := e.w
	memo := e.open
	if memo == "" {
		memo = fmt.Sprintf("pay-%d", len(e.wanted))
		e.wanted[memo] = ledger.TransferIn{Space: w.Space, To: w.members[w.Rand.IntN(len(w.members))].Member().DID(), Currency: Currency, Amount: 1 + w.Rand.Int64N(800), Memo: memo}
	}
	in, err := json.Marshal(e.wanted[memo])
	if err != nil {
		panic(err) // an input of our own
	}
	writer := &client.Writer{Signer: e.key, Journal: e, Now: w.Now, Node: e.by(n, by)}
	_, err = writer.Write(context.Background(), client.Request{Operation: "ledger.transfer", Input: in, Idempotency: memo, Wait: api.WaitLocal})
	e.open, e.last = memo, err
	switch {
	case err == nil:
		e.open, e.done[memo] = "", true
		w.Count("elsewhere-paid", "%s at %s", memo, n.Name)
	case errors.Is(err, client.ErrVoid):
		w.Count("elsewhere-void", "%s at %s: %v", memo, n.Name, err)
	case by == wayBent || by == wayForged:
		if why := api.ReasonOf(err); why != nil && why.Rule == "mismatch" {
			w.Count("elsewhere-lied-to", "%s by %s: %v", memo, n.Name, err)
		}
	}
	w.Note("elsewhere: %s by way %d of %s: %v", memo, by, n.Name, err)
	if b, err := e.Load(); err == nil && !slices.ContainsFunc(slices.Collect(maps.Values(b.Feeds)), func(s *client.Signed) bool { return len(s.Envelope) > 0 }) && e.open != "" && w.Rand.IntN(2) == 0 {
		e.open = "" // nothing of it is signed: the member thinks better of it
	}
}

// by returns how the writer asks a node.
func (e *elsewhere) by(n *kerneltest.Node, by way) func(context.Context, string, json.RawMessage, api.Wait) (json.RawMessage, error) {
	lost := api.Errorf("elsewhere", api.Unavailable, "no answer")
	return func(_ context.Context, op string, in json.RawMessage, wait api.Wait) (json.RawMessage, error) {
		at := n
		if op == "record.prepare" && by == wayForged {
			in = e.forge(in)
		}
		if op == "record.submit" {
			e.noteSent(in)
			switch by {
			case wayLost:
				return nil, lost
			case wayOther:
				if o := e.w.PickUp(); o != nil {
					at = o
				}
			}
		}
		out, err := at.CallElsewhere(e.key, scopesElsewhere(), op, in, wait)
		switch {
		case op == "record.submit" && by == wayTwice:
			out, err = at.CallElsewhere(e.key, scopesElsewhere(), op, in, wait)
		case op == "record.submit" && by == wayMute:
			return nil, lost
		case op == "record.prepare" && by == wayBent && err == nil:
			return e.bend(out), nil
		}
		return out, err
	}
}

// noteSent remembers the record of a submission.
func (e *elsewhere) noteSent(in json.RawMessage) {
	var s kernel.SubmitIn
	if json.Unmarshal(in, &s) == nil && len(s.Records) == 1 {
		if raw, err := base64.StdEncoding.DecodeString(s.Records[0]); err == nil {
			e.newest = raw
		}
	}
}

// forge has the node prepare a payment of another amount, or to another member.
func (e *elsewhere) forge(in json.RawMessage) json.RawMessage {
	var p kernel.PrepareIn
	var t ledger.TransferIn
	if json.Unmarshal(in, &p) != nil || json.Unmarshal(p.Input, &t) != nil {
		return in
	}
	if e.w.Rand.IntN(2) == 0 {
		t.Amount++
	} else {
		t.Memo += " and more"
	}
	p.Input, _ = json.Marshal(t)
	out, _ := json.Marshal(p)
	return out
}

// bend changes one bit of what is to be signed, and has it described as it was. The member cannot tell a citation of what exists from one of what does not,
// nor could they if the node had made a record to cite and kept it to itself: then the place is lost, and the way on is another device.
func (e *elsewhere) bend(out json.RawMessage) json.RawMessage {
	var p map[string]json.RawMessage
	var b []byte
	if json.Unmarshal(out, &p) != nil || json.Unmarshal(p["bytes"], &b) != nil || len(b) == 0 {
		return out
	}
	before, _ := record.Parse(b)
	b[e.w.Rand.IntN(len(b))] ^= 1 << e.w.Rand.IntN(8)
	if after, err := record.Parse(b); err == nil && before != nil && (!slices.Equal(before.Deps, after.Deps) || after.Time > before.Time) {
		e.misled[after.ID] = true
	}
	p["bytes"], _ = json.Marshal(b)
	out, _ = json.Marshal(p)
	return out
}

// prepareOnly asks what to sign, and keeps it for a time at which it is old.
func (e *elsewhere) prepareOnly(n *kerneltest.Node) {
	t, err := json.Marshal(ledger.TransferIn{Space: e.w.Space, To: e.w.members[0].Member().DID(), Currency: Currency, Amount: 7, Memo: "stale"})
	if err != nil {
		return
	}
	in, err := json.Marshal(kernel.PrepareIn{Operation: "ledger.transfer", Input: t, Auth: e.key.Auth()})
	if err != nil {
		return
	}
	raw, err := n.CallElsewhere(e.key, scopesElsewhere(), "record.prepare", in, "")
	var p kernel.PrepareOut
	if err != nil || json.Unmarshal(raw, &p) != nil || len(p.Bytes) == 0 {
		return
	}
	if r, err := record.Parse(p.Bytes); err == nil {
		e.stale, e.bytes = r, p.Bytes
	}
}

// submitStale lets a second program with the same key, which has no journal, send what was prepared before another record of the device came to its place: the
// node has to refuse it, and nobody may ever see it.
func (e *elsewhere) submitStale(n *kerneltest.Node) error {
	if e.stale == nil || e.key.places[e.stale.Feed][e.stale.Seq] == e.stale.ID {
		return nil
	}
	heads := n.Heads(e.w.Topic())
	if !n.Up() || !slices.ContainsFunc(heads, func(h api.Head) bool { return h.Tip.Feed == e.stale.Feed && h.Tip.Seq >= e.stale.Seq }) {
		return nil // there its place is free, and a second record for it would be the member's own doing
	}
	sig, err := e.key.Signer.Sign(e.bytes)
	if err != nil {
		return err
	}
	env, err := record.Seal(e.stale, e.bytes, sig)
	if err != nil {
		return err
	}
	err = e.submit(n, env.Raw)
	if err == nil {
		return fmt.Errorf("%s has taken a record of the member elsewhere for place %d, which another one has", n.Name, e.stale.Seq)
	}
	e.stale = nil
	if api.KindOf(err) == api.Conflict {
		e.w.Count("elsewhere-stale", "at %s", n.Name)
	}
	return nil
}

// submitAltered sends the newest record with a bit changed: nobody may take it.
func (e *elsewhere) submitAltered(n *kerneltest.Node) error {
	if e.newest == nil || !n.Up() {
		return nil
	}
	raw := bytes.Clone(e.newest)
	raw[e.w.Rand.IntN(len(raw))] ^= 1 << e.w.Rand.IntN(8)
	if e.submit(n, raw) == nil {
		return fmt.Errorf("%s has taken a record of the member elsewhere that was changed on the way", n.Name)
	}
	e.w.Count("elsewhere-altered", "at %s", n.Name)
	return nil
}

// again sends the newest record once more, to whichever node. It may be there already, or not be the next there yet.
func (e *elsewhere) again(n *kerneltest.Node) {
	if e.newest != nil && e.submit(n, e.newest) == nil {
		e.w.Count("elsewhere-again", "at %s", n.Name)
	}
}

func (e *elsewhere) submit(n *kerneltest.Node, raw []byte) error {
	in, err := json.Marshal(kernel.SubmitIn{Records: []string{base64.StdEncoding.EncodeToString(raw)}})
	if err != nil {
		return err
	}
	answer, err := n.CallElsewhere(e.key, scopesElsewhere(), "record.submit", in, api.WaitLocal)
	if err != nil {
		return err
	}
	var out kernel.SubmitOut
	if err := json.Unmarshal(answer, &out); err != nil || len(out.Results) != 1 {
		return fmt.Errorf("an answer without a result: %w", err)
	}
	if r := out.Results[0]; r.Outcome == "refused" {
		return api.Errorf("record.submit", api.KindOfCode(r.Code), "%s", r.Error)
	}
	return nil
}

// settle lets the member come to an end with what was signed, once nothing goes wrong any more, and pay once more.
func (e *elsewhere) settle() error {
	for range 2 {
		n := e.w.members[0]
		e.pay(n, wayGood)
		if e.key.broken != nil {
			return e.key.broken
		}
		if err := e.w.Settle(); err != nil {
			return err
		}
	}
	b, err := e.Load()
	if err != nil {
		return err
	}
	for feed, s := range b.Feeds {
		switch {
		case len(s.Envelope) > 0 && e.misled[s.ID]:
			e.w.Count("elsewhere-misled", "place %d of %s", s.Seq, feed.Short())
		case len(s.Envelope) > 0:
			return fmt.Errorf("the member elsewhere has a record for place %d of feed %s that no node takes: %w", s.Seq, feed.Short(), e.last)
		}
	}
	return nil
}

// Step implements kerneltest.Checker: on no node the member has two records for one place.
func (e *elsewhere) Step(*kerneltest.Cluster) error { return e.key.broken }

// End implements kerneltest.Checker: what was answered is there, what counts does so once, and each is as it was asked for.
func (e *elsewhere) End(c *kerneltest.Cluster) error {
	for _, n := range c.Honest() {
		if n.Outsider || !n.Up() {
			continue
		}
		if err := e.endAt(n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func (e *elsewhere) endAt(n *kerneltest.Node) error {
	paid, counts, places := map[string]int{}, map[string]int{}, map[api.Position]api.Hash{}
	rd := n.Read("")
	defer rd.Close()
	for _, r := range n.Records() {
		if r.Device != e.key.Device() {
			continue
		}
		at := api.Position{Feed: r.Feed, Seq: r.Seq}
		if id, ok := places[at]; ok && id != r.ID {
			return fmt.Errorf("the member elsewhere has two records for place %d", r.Seq)
		}
		places[at] = r.ID
		if r.Topic.Name != fact.LedgerTopic || r.Kind != "transfer" {
			continue
		}
		var t payment
		if err := codec.Unmarshal(r.Body, &t); err != nil {
			return err
		}
		want, ok := e.wanted[t.Memo]
		if !ok || want.To != t.To || want.Amount != t.Amount || want.Currency != t.Currency {
			return fmt.Errorf("the member elsewhere has paid %+v, and wanted %+v", t, want)
		}
		paid[t.Memo]++
		if _, v, _ := rd.Record(r.Position()); !v.Void() {
			counts[t.Memo]++ // what was void when it came may have been asked for once more, at a node that does not know it
		}
	}
	for memo := range e.wanted {
		if n1 := counts[memo]; n1 > 1 || paid[memo] == 0 && e.done[memo] {
			return fmt.Errorf("payment %s of the member elsewhere was made %d times, and counts %d times, answered: %t", memo, paid[memo], n1, e.done[memo])
		}
	}
	return nil
}
