package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	repeatable   = 10 * time.Minute // after that the same call is another one: somebody pays the same again
	mostRecords  = 32               // that one call may have signed
	mostConflict = 8                // places that may be taken in a row
)

// Confirm is asked before a record is signed that says something which the caller did not ask for, such as what the node has filled in: unasked names the
// fields, "space" and "kind" among them. An error signs nothing, and is what the call returns.
type Confirm func(d *api.Description, unasked []string) error

// Request is a call of an operation that has its caller sign.
type Request struct {
	Operation   string
	Input       json.RawMessage // an object
	Idempotency string          // names the request: the same name again gets the first answer
	Wait        api.Wait
	Several     bool // the operation has several records signed, one after another
}

// Writer writes with a key that stays here: the node says what would be signed, the writer reads it, signs it, and sends it back. What it has signed is in
// the journal before anybody else has it, and only those very bytes are sent for that place, until the node says that they stand or that the place is taken.
type Writer struct {
	Node    func(ctx context.Context, operation string, in json.RawMessage, wait api.Wait) (json.RawMessage, error) // asks the node
	Signer  api.Signer
	Journal Journal
	Confirm Confirm // nil refuses
	Now     func() time.Time
}

// prepared is what record.prepare answers.
type prepared struct {
	Bytes       []byte          `json:"bytes"`
	Idempotency string          `json:"idempotency"`
	Receipt     json.RawMessage `json:"receipt"`
	Output      json.RawMessage `json:"output"`
}

// result is what record.submit answers for one record.
type result struct {
	Outcome  string          `json:"outcome"`
	Error    string          `json:"error"`
	Code     string          `json:"code"`
	Reason   *api.Reason     `json:"reason"`
	Refusal  string          `json:"refusal"`
	Receipt  json.RawMessage `json:"receipt"`
	Prepared *prepared       `json:"prepared"`
}

// newName is a name that nobody else has given.
func newName() string { return rand.Text() }

// Write does an operation and returns its answer.
func (w *Writer) Write(ctx context.Context, req Request) (json.RawMessage, error) {
	unlock, err := w.Journal.Lock(ctx)
	if err != nil {
		return nil, api.Wrap(req.Operation, err)
	}
	defer unlock()
	b, err := w.Journal.Load()
	if err != nil {
		return nil, api.Wrap(req.Operation, err)
	}
	if b.Device != w.Signer.Device() {
		return nil, api.Errorf(req.Operation, api.Invalid, "the journal is of the device %s, the key of %s", b.Device, w.Signer.Device())
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, req.Input); err != nil {
		return nil, api.Errorf(req.Operation, api.Invalid, "input: %w", err)
	}
	req.Input = compact.Bytes()
	x := &writing{Writer: w, req: &req, book: b, waiting: map[api.Hash]error{}}
	if err := x.settle(ctx); err != nil {
		return nil, err
	}
	return x.run(ctx)
}

// writing is one call.
type writing struct {
	*Writer
	req  *Request
	book *Book

	receipt json.RawMessage    // of the last record that stands
	stands  *Signed            // what the receipt is of
	feed    api.Hash           // where that is
	waiting map[api.Hash]error // by feed: why what was signed there before still has no answer
}

// settle sends what was signed before and not answered. The same call again is that call: its record goes out once more and nothing else is signed.
// What has no answer even now keeps its own feed from being written in, and no other.
func (x *writing) settle(ctx context.Context) error {
	for _, feed := range x.book.pending() {
		s := *x.book.Feeds[feed]
		repeats := s.Operation == x.req.Operation && bytes.Equal(s.Input, x.req.Input)
		if x.req.Idempotency != "" {
			repeats = repeats && s.Idempotency == x.req.Idempotency
		} else {
			repeats = repeats && x.Now().Sub(s.At) < repeatable
		}
		var wait api.Wait
		if repeats {
			wait = x.req.Wait
		}
		r, err := x.submit(ctx, feed, &s, wait, false)
		switch {
		case err == nil:
		case repeats || ctx.Err() != nil:
			return err
		case len(x.book.Feeds[feed].Envelope) > 0:
			x.waiting[feed] = err
			continue
		default: // it has its place, and no effect: whoever made it was told, or reads it among the void records
			continue
		}
		if repeats && r.Receipt != nil {
			x.req.Idempotency, x.receipt, x.stands, x.feed = s.Idempotency, r.Receipt, &s, feed
		}
	}
	if x.req.Idempotency == "" {
		x.req.Idempotency = newName()
	}
	return nil
}

func (x *writing) run(ctx context.Context) (json.RawMessage, error) {
	op := x.req.Operation
	conflicts, records := 0, 0
	if x.receipt != nil {
		records = 1
	}
	var p *prepared
	for {
		if p == nil {
			var err error
			p, err = x.prepare(ctx)
			switch {
			case err != nil && x.receipt != nil && !x.req.Several && api.KindOf(err) == api.Conflict:
				p = &prepared{} // the operation would write another record by now, as one that says when: the receipt is all that there is to answer
			case err != nil:
				return nil, x.unanswered(err)
			}
		}
		switch {
		case len(p.Bytes) == 0 && len(p.Output) > 0 && !bytes.Equal(p.Output, []byte("null")):
			return p.Output, nil
		case len(p.Bytes) == 0 || records > 0 && !x.req.Several: // the record that was asked for stands; a second was not asked for
			if x.receipt == nil {
				x.receipt = p.Receipt // of a request that another program has made by this name
			}
			return json.Marshal(struct {
				Receipt json.RawMessage `json:"receipt,omitempty"`
			}{x.receipt})
		case records >= mostRecords:
			return nil, api.Errorf(op, api.Internal, "over %d records to sign", mostRecords)
		}
		feed, s, err := x.sign(p)
		if err != nil {
			return nil, err
		}
		r, err := x.submit(ctx, feed, s, x.req.Wait, true)
		if err != nil {
			return nil, err
		}
		if r.Receipt == nil {
			if conflicts++; conflicts > mostConflict {
				return nil, api.Errorf(op, api.Conflict, "another program writes with the key of this device")
			}
			p = r.Prepared
			continue
		}
		x.receipt, x.stands, x.feed, p = r.Receipt, s, feed, nil
		records++
	}
}

func (x *writing) prepare(ctx context.Context) (*prepared, error) {
	in, err := json.Marshal(RecordPrepareIn{
		Operation: x.req.Operation, Input: x.req.Input, Device: x.Signer.Device(), Auth: x.Signer.Auth(), Idempotency: x.req.Idempotency,
	})
	if err != nil {
		return nil, err
	}
	raw, err := x.Node(ctx, "record.prepare", in, "")
	if err != nil {
		return nil, err
	}
	p := &prepared{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, api.Errorf(x.req.Operation, api.Unsupported, "what to sign does not fit: %w", err)
	}
	return p, nil
}

// unanswered is err of a call whose record stands while its answer is missing: the same call again shall not do it again, so the record is kept.
func (x *writing) unanswered(err error) error {
	if x.stands == nil {
		return err
	}
	x.book.Feeds[x.feed] = x.stands
	if serr := x.Journal.Save(x.book); serr != nil {
		return api.Wrap(x.req.Operation, serr)
	}
	return api.Errorf(x.req.Operation, api.KindOf(err), "the record stands, and the answer is missing: repeat the call for it: %w", err)
}

// sign reads what the node would have signed, signs it, and keeps it.
func (x *writing) sign(p *prepared) (api.Hash, *Signed, error) {
	op := x.req.Operation
	r, unasked, err := checkPlace(x.req, x.Signer, x.book, p.Bytes, x.Now())
	if r != nil && x.waiting[r.Feed] != nil {
		return api.Hash{}, nil, x.waiting[r.Feed]
	}
	if err != nil {
		return api.Hash{}, nil, err
	}
	kinds, err := knownKinds()
	if err != nil {
		return api.Hash{}, nil, err
	}
	d := record.NewKinds(kinds).Describe(r)
	more, err := checkFields(x.req, kinds, d)
	if err != nil {
		return api.Hash{}, nil, err
	}
	if unasked = append(unasked, more...); len(unasked) > 0 {
		if x.Confirm == nil {
			return api.Hash{}, nil, mismatch(op, "the node would have signed what was not asked for (%s): %s", strings.Join(unasked, ", "), d.Text)
		}
		if err := x.Confirm(d, unasked); err != nil {
			return api.Hash{}, nil, api.Wrap(op, err)
		}
	}
	signature, err := x.Signer.Sign(p.Bytes)
	if err != nil {
		return api.Hash{}, nil, api.Wrap(op, err)
	}
	env, err := record.Seal(r, p.Bytes, signature)
	if err != nil {
		return api.Hash{}, nil, api.Wrap(op, err)
	}
	s := &Signed{
		Space: r.Topic.Space, Seq: r.Seq, ID: r.ID, Envelope: env.Raw, Name: p.Idempotency, Operation: op, Input: x.req.Input,
		Idempotency: x.req.Idempotency, At: x.Now(),
	}
	x.book.Feeds[r.Feed] = s
	return r.Feed, s, api.Wrap(op, x.Journal.Save(x.book))
}

// submit sends a record. The result has a receipt when it stands, and none when its place is taken.
func (x *writing) submit(ctx context.Context, feed api.Hash, s *Signed, wait api.Wait, fresh bool) (*result, error) {
	in := RecordSubmitIn{Records: []string{base64.StdEncoding.EncodeToString(s.Envelope)}, Idempotency: s.Name}
	if fresh {
		in.Operation, in.Input, in.Auth = x.req.Operation, x.req.Input, x.Signer.Auth()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	raw, err := x.Node(ctx, "record.submit", body, wait)
	if err != nil {
		if api.KindOf(err) == api.Conflict {
			return &result{}, x.done(feed, s, false)
		}
		return nil, kept(s.Operation, err)
	}
	var out struct{ Results []result }
	if err := json.Unmarshal(raw, &out); err != nil || len(out.Results) != 1 {
		return nil, kept(s.Operation, api.Errorf(s.Operation, api.Unsupported, "the node's answer does not fit"))
	}
	r := &out.Results[0]
	switch {
	case r.Outcome == "committed" || r.Outcome == "duplicate":
		if err := x.done(feed, s, true); err != nil {
			return nil, err
		}
		if r.Receipt == nil {
			r.Receipt = json.RawMessage("{}")
		}
		if r.Error == "" {
			return r, nil
		}
		e := r.err(s.Operation, nil) // it stands, and the level that was waited for is not reached
		e.Receipt = &api.Receipt{}
		if json.Unmarshal(r.Receipt, e.Receipt) != nil {
			e.Receipt = nil
		}
		return nil, e
	case r.Outcome == "void":
		if err := x.done(feed, s, true); err != nil {
			return nil, err
		}
		return nil, r.err(s.Operation, ErrVoid)
	case r.Prepared != nil || r.Code == api.Conflict.Code():
		r.Receipt = nil
		return r, x.done(feed, s, false)
	}
	return nil, r.err(s.Operation, errKept)
}

// err is the error of a result; more, unless nil, is what becomes of the record.
func (r *result) err(op string, more error) *api.Error {
	kind := api.KindOfCode(r.Code)
	e := &api.Error{Op: op, Kind: kind, Reason: r.Reason, Refusal: r.Refusal}
	text := strings.TrimPrefix(r.Error, "record.submit: ")
	if e.Err = api.Errorf("record.submit", kind, "%s", text); more != nil {
		e.Err = api.Errorf("record.submit", kind, "%s (%w)", text, more)
	}
	return e
}

// ErrVoid is in the chain of a call's error whose record was signed, and lost its effect before it was taken.
var ErrVoid = errors.New("the record has its place, and no effect: to try again, make a new call, under another name if this one had a name")

var errKept = errors.New("it is signed, and kept: the same call again sends it again, as it is")

// kept is err of a record whose fate is not known.
func kept(op string, err error) error {
	return api.Errorf(op, api.KindOf(err), "%w (%w)", err, errKept)
}

// done notes that a record stands, or that another one stands in its place.
func (x *writing) done(feed api.Hash, s *Signed, stands bool) error {
	n := &Signed{Space: s.Space, Seq: s.Seq}
	if stands {
		n.ID = s.ID
	} else {
		n.Not = s.ID
	}
	x.book.Feeds[feed] = n
	return api.Wrap(s.Operation, x.Journal.Save(x.book))
}
