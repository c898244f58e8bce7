package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// payment is the body of a transfer.
type payment struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64
	Memo     string
	Category string
	For      []struct{}
}

// counting counts what a key signs, by place: two signatures at one place are what must never be.
type counting struct {
	api.Signer
	places map[uint64]map[api.Hash]bool
	signed int
}

func (c *counting) Sign(b []byte) ([]byte, error) {
	c.signed++
	if r, err := record.Parse(b); err == nil {
		if c.places[r.Seq] == nil {
			c.places[r.Seq] = map[api.Hash]bool{}
		}
		c.places[r.Seq][r.ID] = true
	}
	return c.Signer.Sign(b)
}

// liar is a node with one feed, which it may misrepresent.
type liar struct {
	t       *testing.T
	key     *counting
	now     time.Time
	space   api.Hash
	records []*record.Envelope

	bend   func(r *api.Record, p *payment) // what is prepared is changed
	bytes  func([]byte) []byte             // and its bytes
	output string                          // the operation's answer, when its record stands
	submit func(n int) error               // the nth submission is not answered; n counts from 1
	lose   func(n int) bool                // and does not arrive
	void   bool                            // what is taken has no effect
	sent   [][]byte
}

func (l *liar) call(_ context.Context, op string, in json.RawMessage, _ api.Wait) (json.RawMessage, error) {
	switch op {
	case "record.prepare":
		var q RecordPrepareIn
		if err := json.Unmarshal(in, &q); err != nil {
			l.t.Fatal(err)
		}
		if len(l.records) > 0 && strings.HasPrefix(l.output, "{") {
			out := l.output
			l.output = ""
			return json.RawMessage(`{"output":` + out + `}`), nil
		}
		return l.prepared(q.Input), nil
	case "record.submit":
		var q RecordSubmitIn
		if err := json.Unmarshal(in, &q); err != nil {
			l.t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(q.Records[0])
		if err != nil {
			l.t.Fatal(err)
		}
		l.sent = append(l.sent, raw)
		env, err := record.Decode(raw)
		if err != nil || !record.Verify(env.Device, env.Signed, env.Signature) {
			l.t.Fatalf("a record that is none was sent: %v", err)
		}
		if l.lose == nil || !l.lose(len(l.sent)) {
			if n := len(l.records); n >= int(env.Seq) && l.records[env.Seq-1].ID != env.ID {
				return nil, api.Errorf("record.submit", api.Conflict, "the place is taken")
			} else if n < int(env.Seq) {
				l.records = append(l.records, env)
			}
		}
		if l.submit != nil {
			if err := l.submit(len(l.sent)); err != nil {
				return nil, err
			}
		}
		if l.void {
			return json.RawMessage(`{"results":[{"outcome":"void","error":"the feed was cut","code":"refused","reason":{"domain":"kernel","rule":"cut","text":"the feed was cut"},"receipt":{"level":"local"}}]}`), nil
		}
		return json.RawMessage(`{"results":[{"outcome":"committed","receipt":{"level":"local"}}]}`), nil
	}
	l.t.Fatalf("asked for %s", op)
	return nil, nil
}

func (l *liar) prepared(input json.RawMessage) json.RawMessage {
	var in LedgerTransferIn
	if err := json.Unmarshal(input, &in); err != nil {
		l.t.Fatal(err)
	}
	r := &api.Record{
		Version: 1, Topic: api.Topic{Space: l.space, Name: "ledger"}, Device: l.key.Device(), Seq: uint64(len(l.records)) + 1, Kind: "transfer",
		Time: api.Timestamp(l.now.UnixMilli() << 16),
	}
	if r.Seq == 1 {
		r.Auth = l.key.Auth()
	} else {
		r.Prev = l.records[r.Seq-2].ID
	}
	p := &payment{To: in.To, Currency: in.Currency, Amount: in.Amount, Memo: in.Memo}
	if l.bend != nil {
		l.bend(r, p)
	}
	if r.Body == nil {
		r.Body = codec.MustMarshal(p)
	}
	b, err := record.Unsigned(r)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.bytes != nil {
		b = l.bytes(b)
	}
	out, err := json.Marshal(map[string]any{"bytes": b, "idempotency": "n"})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func newLiar(t *testing.T) (*liar, *Writer) {
	l := &liar{
		t: t, key: &counting{Signer: identity.Derive("client", "ann"), places: map[uint64]map[api.Hash]bool{}}, space: api.Hash{1},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	j, err := CreateJournal(filepath.Join(t.TempDir(), "signed.json"), l.key.Device())
	if err != nil {
		t.Fatal(err)
	}
	return l, &Writer{Node: l.call, Signer: l.key, Journal: j, Now: func() time.Time { return l.now }}
}

func (l *liar) pay(memo string) Request {
	in, err := json.Marshal(LedgerTransferIn{Space: l.space, To: identity.Derive("client", "bob").DID(), Currency: "hours", Amount: 5, Memo: memo})
	if err != nil {
		l.t.Fatal(err)
	}
	return Request{Operation: "ledger.transfer", Input: in}
}

// A node that asks for a signature under anything but what was asked of it gets none.
func TestNothingElseIsSigned(t *testing.T) {
	mal := identity.Derive("client", "mal")
	other := api.Hash{2}
	for _, c := range []struct {
		name, want string
		bend       func(*api.Record, *payment)
		bytes      func([]byte) []byte
	}{
		{"another payee", "to is", func(_ *api.Record, p *payment) { p.To = mal.DID() }, nil},
		{"another amount", "amount is", func(_ *api.Record, p *payment) { p.Amount = 500 }, nil},
		{"another currency", "currency is", func(_ *api.Record, p *payment) { p.Currency = "euros" }, nil},
		{"a memo", "not asked for (memo)", func(_ *api.Record, p *payment) { p.Memo = "and my vote" }, nil},
		{"another space", "a record in the space", func(r *api.Record, _ *payment) { r.Topic.Space = other }, nil},
		{"a space of its own", "a record in the space", func(r *api.Record, _ *payment) { r.Topic.Space = api.Hash{} }, nil},
		{"another topic", "may know the kind", func(r *api.Record, _ *payment) { r.Topic.Name = "votes" }, nil},
		{"another kind", "amount is", func(r *api.Record, p *payment) {
			r.Kind, r.Body = "allot", codec.MustMarshal(&struct {
				_        struct{} `cbor:",toarray"`
				Device   api.Key
				Currency string
				Amount   int64
			}{Device: mal.Device(), Currency: p.Currency, Amount: p.Amount + 1})
		}, nil},
		{"another kind of the same fields", "not asked for (kind", func(r *api.Record, p *payment) {
			r.Kind, r.Body = "return", codec.MustMarshal(&struct {
				_        struct{} `cbor:",toarray"`
				Currency string
			}{Currency: p.Currency})
		}, nil},
		{"another device", "another device", func(r *api.Record, _ *payment) { r.Device, r.Auth = mal.Device(), mal.Auth() }, nil},
		{"another author", "no record", func(r *api.Record, _ *payment) { r.Auth = mal.Auth() }, nil},
		{"a later place", "in which this device has signed nothing", func(r *api.Record, _ *payment) { r.Seq, r.Prev, r.Auth = 7, api.Hash{9}, nil }, nil},
		{"another time", "that is not now", func(r *api.Record, _ *payment) {
			r.Time = api.Timestamp(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() << 16)
		}, nil},
		{"a time to come", "that is not now", func(r *api.Record, _ *payment) { r.Time += api.Timestamp((2 * time.Hour).Milliseconds() << 16) }, nil},
		{"a body of another form", "do not sign it", func(r *api.Record, _ *payment) { r.Body = []byte{0x80} }, nil},
		{"no record", "no record", nil, func([]byte) []byte { return []byte("ICN/1/login") }},
		{"more bytes", "no record", nil, func(b []byte) []byte { return append(b, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, w := newLiar(t)
			l.bend, l.bytes = c.bend, c.bytes
			_, err := w.Write(t.Context(), l.pay(""))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if l.key.signed != 0 || len(l.sent) != 0 {
				t.Errorf("%d signatures, %d records sent", l.key.signed, len(l.sent))
			}
			if b, err := w.Journal.Load(); err != nil || len(b.Feeds) != 0 {
				t.Errorf("the journal has %v, %v", b.Feeds, err)
			}
		})
	}
}

func TestWhatWasNotAskedForIsShown(t *testing.T) {
	l, w := newLiar(t)
	l.bend = func(_ *api.Record, p *payment) { p.Memo = "bread" }
	no := errors.New("no")
	w.Confirm = func(d *api.Description, unasked []string) error {
		if !strings.Contains(d.Text, "bread") || len(unasked) != 1 || unasked[0] != "memo" {
			t.Errorf("%q %v", d.Text, unasked)
		}
		return no
	}
	if _, err := w.Write(t.Context(), l.pay("")); !errors.Is(err, no) || l.key.signed != 0 {
		t.Errorf("%v, %d signatures", err, l.key.signed)
	}
	w.Confirm = func(*api.Description, []string) error { return nil }
	if _, err := w.Write(t.Context(), l.pay("")); err != nil || len(l.records) != 1 {
		t.Errorf("%v, %d records", err, len(l.records))
	}
	// The space may be left out once there is only one.
	l.bend, w.Confirm = nil, nil
	if _, err := w.Write(t.Context(), Request{Operation: "ledger.transfer", Input: json.RawMessage(strings.Replace(string(l.pay("x").Input), `"space":"`+l.space.String()+`",`, "", 1))}); err != nil {
		t.Error(err)
	}
	l.space = api.Hash{3}
	if _, err := w.Write(t.Context(), Request{Operation: "ledger.transfer", Input: json.RawMessage(`{"to":"` + string(identity.Derive("client", "bob").DID()) + `","currency":"hours","amount":5}`)}); err == nil ||
		!strings.Contains(err.Error(), "(space)") && !strings.Contains(err.Error(), "signed nothing") {
		t.Error(err)
	}
}

// Whatever is lost on the way, a call is one record, and no place has two signatures.
func TestLostAnswersPayOnce(t *testing.T) {
	down := api.Errorf("record.submit", api.Unavailable, "no answer")
	for _, arrives := range []bool{true, false} {
		l, w := newLiar(t)
		lost := true
		l.submit = func(int) error {
			if lost {
				return down
			}
			return nil
		}
		l.lose = func(int) bool { return lost && !arrives }
		if _, err := w.Write(t.Context(), l.pay("once")); api.KindOf(err) != api.Unavailable {
			t.Fatal(err)
		}
		// Another process goes on, by what is in the file.
		j, err := OpenJournal(w.Journal.(*FileJournal).path, l.key.Device())
		if err != nil {
			t.Fatal(err)
		}
		w.Journal = j
		if _, err := w.Write(t.Context(), l.pay("another")); api.KindOf(err) != api.Unavailable {
			t.Fatalf("another was signed before the first stands: %v", err)
		}
		lost = false
		l.output = `{"balance":-5}`
		if out, err := w.Write(t.Context(), l.pay("once")); err != nil || string(out) != `{"balance":-5}` {
			t.Fatalf("%s %v", out, err)
		}
		if len(l.records) != 1 || l.key.signed != 1 {
			t.Errorf("%d records, %d signatures", len(l.records), l.key.signed)
		}
		for _, raw := range l.sent {
			if string(raw) != string(l.sent[0]) {
				t.Error("other bytes were sent for the place")
			}
		}
		// The same call later is another one.
		if _, err := w.Write(t.Context(), l.pay("once")); err != nil || len(l.records) != 2 {
			t.Errorf("%v, %d records", err, len(l.records))
		}
	}
}

// What has lost its effect before it was taken has its place all the same: the call says so once, and the next record follows it.
func TestVoidRecordUsesItsPlace(t *testing.T) {
	for _, later := range []bool{false, true} {
		l, w := newLiar(t)
		if later { // the answer comes when another payment is made
			l.submit = func(int) error { return api.Errorf("record.submit", api.Unavailable, "no answer") }
			if _, err := w.Write(t.Context(), l.pay("1")); api.KindOf(err) != api.Unavailable {
				t.Fatal(err)
			}
			l.submit = func(n int) error { l.void = n == 2; return nil }
		} else {
			l.void = true
			if _, err := w.Write(t.Context(), l.pay("1")); api.KindOf(err) != api.Refused || !errors.Is(err, ErrVoid) || api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "cut" {
				t.Fatalf("%v, want the rule that makes it void", err)
			}
			l.void = false
		}
		if _, err := w.Write(t.Context(), l.pay("2")); err != nil {
			t.Fatal(err)
		}
		if n := len(l.records); n != 2 || l.records[1].Prev != l.records[0].ID || l.key.signed != 2 {
			t.Errorf("%d records, %d signatures", n, l.key.signed)
		}
		if b, err := w.Journal.Load(); err != nil || len(b.pending()) != 0 {
			t.Errorf("%v %v is left", b, err)
		}
	}
}

// A record that no node takes keeps its own feed from being written in, and no other.
func TestWhatIsNotTakenBlocksItsFeedOnly(t *testing.T) {
	l, w := newLiar(t)
	no := api.Refusal("record.submit", &api.Reason{Domain: "kernel", Rule: "not-a-member", Text: "not a member any more"})
	l.submit, l.lose = func(int) error { return no }, func(int) bool { return true }
	if _, err := w.Write(t.Context(), l.pay("1")); api.KindOf(err) != api.Refused {
		t.Fatal(err)
	}
	l.submit = func(n int) error {
		if n%2 == 0 { // the first one again; what comes after it goes well
			return no
		}
		return nil
	}
	l.lose = func(n int) bool { return n%2 == 0 }
	l.space = api.Hash{2}
	if _, err := w.Write(t.Context(), l.pay("2")); err != nil {
		t.Errorf("in another space: %v", err)
	}
	l.space, l.records, l.submit = api.Hash{1}, nil, func(int) error { return no }
	if _, err := w.Write(t.Context(), l.pay("3")); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "not-a-member" {
		t.Errorf("in the same one: %v, want why the record before it is not taken", err)
	}
	if l.key.signed != 2 {
		t.Errorf("%d signatures", l.key.signed)
	}
	if b, err := w.Journal.Load(); err != nil || len(b.pending()) != 1 {
		t.Errorf("%v %v is left", b, err)
	}
}

// A node that says that another record has the place, keeps what was signed for it, and wants the same signed again behind it, gets nothing.
func TestTakenPlaceIsNotTheRecordItself(t *testing.T) {
	l, w := newLiar(t)
	l.submit = func(int) error { return api.Errorf("record.submit", api.Conflict, "the place is taken") }
	if _, err := w.Write(t.Context(), l.pay("1")); err == nil || !strings.Contains(err.Error(), "another one has its place") {
		t.Errorf("%v", err)
	}
	if l.key.signed != 1 || len(l.records) != 1 {
		t.Errorf("%d signatures, %d records", l.key.signed, len(l.records))
	}
}

// A node that has not heard of the last record, or says that it never was, gets no second signature for its place.
func TestNoPlaceIsSignedTwice(t *testing.T) {
	l, w := newLiar(t)
	for _, memo := range []string{"1", "2"} {
		if _, err := w.Write(t.Context(), l.pay(memo)); err != nil {
			t.Fatal(err)
		}
	}
	all := l.records
	l.records = all[:1] // an old state
	if _, err := w.Write(t.Context(), l.pay("3")); api.KindOf(err) != api.Conflict {
		t.Error(err)
	}
	l.records = all
	l.bend = func(r *api.Record, _ *payment) { r.Prev = api.Hash{7} }
	if _, err := w.Write(t.Context(), l.pay("3")); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Error(err)
	}
	// Another program has the place: what was signed for it is not used any more, and the next place is.
	l.bend = nil
	taken := false
	l.submit = func(int) error {
		if !taken {
			taken = true
			return api.Errorf("record.submit", api.Conflict, "the place is taken")
		}
		return nil
	}
	l.lose = func(int) bool { return !taken }
	if _, err := w.Write(t.Context(), l.pay("3")); api.KindOf(err) != api.Conflict { // the node offers the same place again
		t.Error(err)
	}
	for seq, ids := range l.key.places {
		if len(ids) > 1 {
			t.Errorf("place %d was signed %d times", seq, len(ids))
		}
	}
}

func TestJournalFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signed.json")
	ann, bob := identity.Derive("client", "ann").Device(), identity.Derive("client", "bob").Device()
	if _, err := OpenJournal(path, ann); api.KindOf(err) != api.NotFound {
		t.Error(err)
	}
	j, err := CreateJournal(path, ann)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if _, err := CreateJournal(path, ann); api.KindOf(err) != api.Conflict {
		t.Error(err)
	}
	want := &Book{Device: ann, Feeds: map[api.Hash]*Signed{{1}: {Seq: 3, ID: api.Hash{4}, Envelope: []byte{5}, Input: []byte("{ \"a\": \"<\"}"), At: time.Unix(5, 0).UTC()}}}
	if err := j.Save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Load(); err != nil || string(got.Feeds[api.Hash{1}].Input) != string(want.Feeds[api.Hash{1}].Input) || got.Feeds[api.Hash{1}].Seq != 3 || len(got.pending()) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	unlock, err := j.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenJournal(path, ann)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := again.Lock(ctx); api.KindOf(err) != api.Unavailable {
		t.Errorf("two at once: %v", err)
	}
	unlock()
	if unlock, err = again.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, err := OpenJournal(path, bob); api.KindOf(err) != api.Invalid {
		t.Errorf("another's: %v", err)
	}
	for _, damaged := range []string{"", "{}", `{"device":"` + ann.String() + `","feeds":{"` + api.Hash{1}.String() + `":null}}`, "\x00"} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(path, ann); api.KindOf(err) != api.Invalid {
			t.Errorf("%q: %v", damaged, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, ann); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
}
