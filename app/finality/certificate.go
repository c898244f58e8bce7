package finality

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A certificate shows to what state a checkpoint has come, to somebody who has nothing but the record that founds the space: who the witnesses are, epoch by
// epoch, each time by the word of those before, and what enough of them have found. It may show as well that a position is final. docs/adr/0054 has the
// argument.

// maxTurns bounds the epochs that a certificate goes through.
const maxTurns = 1024

type certificate struct {
	_          struct{}  `cbor:",toarray"`
	Turns      []passage // from epoch 1 on
	Checkpoint []byte    // envelope
	Checks     [][]byte  // envelopes, as many as are needed, ascending by device
	Line       [][]byte  // envelopes of the feed that is final, those that follow on the position, up to the last one that a mark names
	Marks      []marked  // as many as are needed, ascending by witness; none where no position is shown to be final
}

// passage is how an epoch followed on the one before.
type passage struct {
	_     struct{} `cbor:",toarray"`
	Epoch []byte   // envelope of the record that names it
	Seals [][]byte // envelopes, as many as are needed, ascending by device
}

// marked is up to where a witness has held the feed final: a row of the state.
type marked struct {
	_       struct{} `cbor:",toarray"`
	Witness api.Hash // feed
	Epoch   uint64
	Seq     uint64 // of the record that says so
	Mark    []byte
	Place   uint64
	Rows    uint64
	Path    []api.Hash
}

// Attest implements fact.Prover.
func (*App) Attest(space api.Hash, g *fact.Genesis, certificate []byte, final api.Position) (*fact.Attested, error) {
	return VerifyCertificate(space, g, certificate, final)
}

// VerifyCertificate is a fact.Attest.
func VerifyCertificate(space api.Hash, g *fact.Genesis, raw []byte, final api.Position) (*fact.Attested, error) {
	const op = "certificate.verify"
	bad := func(format string, args ...any) error {
		return api.Errorf(op, api.Invalid, "%w", fmt.Errorf(format, args...))
	}
	var c certificate
	if err := codec.Unmarshal(raw, &c); err != nil {
		return nil, bad("certificate: %w", err)
	}
	if n := len(c.Turns); n > maxTurns {
		return nil, bad("%d epochs: at most %d", n, maxTurns)
	}
	in := &electorate{space: space, witnesses: g.Witnesses, need: max(1, g.Threshold)}
	for i, t := range c.Turns {
		if err := in.turn(uint64(i)+1, &t); err != nil {
			return nil, bad("epoch %d: %w", i+1, err)
		}
	}
	rec, err := genuine(c.Checkpoint, api.Topic{Space: space, Name: fact.CutTopic}, kindCheckpoint)
	if err != nil {
		return nil, bad("checkpoint: %w", err)
	}
	var cp checkpoint
	if err := read(rec.Body, &cp); err != nil {
		return nil, bad("checkpoint: %w", err)
	}
	out := &fact.Attested{Number: cp.Number, Time: rec.Time.Time(), Records: cp.Records, Digest: cp.Digest, Of: len(in.witnesses)}
	for _, a := range cp.Apps {
		out.Apps = append(out.Apps, api.StateDigest{App: a.App, Digest: a.Digest})
	}
	if api.AllDigest(out.Apps) != cp.Digest {
		return nil, bad("checkpoint: its digest is not that of the digests of the apps")
	}
	out.Signed, err = in.voices(c.Checks, kindCheck, rec.Position(), func(body []byte) error {
		var k check
		if err := read(body, &k); err != nil {
			return err
		}
		if k.Number != cp.Number || k.Digest != cp.Digest {
			return fmt.Errorf("it has found %s for checkpoint %d, which has %s", k.Digest, k.Number, cp.Digest)
		}
		return nil
	})
	if err != nil {
		return nil, bad("checks: %w", err)
	}
	if final.IsZero() {
		if len(c.Line)+len(c.Marks) > 0 {
			return nil, bad("marks: nothing is to be final")
		}
		return out, nil
	}
	if err := c.proves(final, out); err != nil {
		return nil, bad("marks: %w", err)
	}
	return out, nil
}

// electorate is the witnesses of an epoch as far as a certificate has shown them.
type electorate struct {
	space     api.Hash
	witnesses []api.Key
	need      uint16
}

// turn goes on to the next epoch, which enough of these witnesses have sealed for.
func (in *electorate) turn(number uint64, t *passage) error {
	rec, err := genuine(t.Epoch, api.Topic{Space: in.space, Name: fact.CutTopic}, kindEpoch)
	if err != nil {
		return err
	}
	var e epoch
	if err := read(rec.Body, &e); err != nil {
		return err
	}
	if e.Number != number {
		return fmt.Errorf("it names epoch %d", e.Number)
	}
	_, err = in.voices(t.Seals, kindSeal, rec.Position(), func(body []byte) error {
		var s turn
		if err := read(body, &s); err != nil {
			return err
		}
		if s.Number != number {
			return fmt.Errorf("it is for epoch %d", s.Number)
		}
		return nil
	})
	in.witnesses, in.need = e.Witnesses, e.Threshold
	return err
}

// voices checks that as many of the witnesses as are needed have written a record that cites another and says something.
func (in *electorate) voices(raws [][]byte, kind string, cited api.Position, says func(body []byte) error) (who []api.Key, err error) {
	if len(raws) != int(in.need) {
		return nil, fmt.Errorf("%d of kind %s: want %d", len(raws), kind, in.need)
	}
	for i, raw := range raws {
		rec, err := genuine(raw, api.Topic{Space: in.space, Name: fact.FinalityTopic}, kind)
		switch {
		case err != nil:
		case !slices.Contains(in.witnesses, rec.Device):
			err = fmt.Errorf("device %s is no witness of that epoch", rec.Device)
		case i > 0 && bytes.Compare(who[i-1][:], rec.Device[:]) >= 0:
			err = fmt.Errorf("want strictly ascending order of device")
		case !slices.Contains(rec.Deps, cited):
			err = fmt.Errorf("it does not cite record %s", cited.ID)
		default:
			err = says(rec.Body)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", kind, i, err)
		}
		who = append(who, rec.Device)
	}
	return who, nil
}

// genuine reads a signed record of a topic.
func genuine(raw []byte, topic api.Topic, kind string) (*api.Record, error) {
	e, err := record.Decode(raw)
	if err != nil {
		return nil, err
	}
	if !record.NewVerifier(1).Verify([]*record.Envelope{e})[0] {
		return nil, fmt.Errorf("record %s: the device %s did not sign it", e.ID, e.Device)
	}
	if e.Topic != topic || kind != "" && e.Kind != kind {
		return nil, fmt.Errorf("record %s is of kind %s in topic %s of %s: want %s in %s of %s", e.ID, e.Kind, e.Topic.Name, e.Topic.Space, kind, topic.Name, topic.Space)
	}
	return e.Record, nil
}

// proves reports what is wrong with the marks that make a position final: each names it, or one that follows on it in the line.
func (c *certificate) proves(final api.Position, in *fact.Attested) error {
	ids := map[uint64]api.Hash{final.Seq: final.ID}
	last := final
	for i, raw := range c.Line {
		e, err := record.Decode(raw)
		if err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
		if e.Feed != final.Feed || e.Seq != last.Seq+1 || e.Prev != last.ID {
			return fmt.Errorf("line %d: record %s does not follow on %s", i, e.ID, last.ID)
		}
		if !record.NewVerifier(1).Verify([]*record.Envelope{e})[0] {
			return fmt.Errorf("line %d: the device %s did not sign it", i, e.Device)
		}
		last = e.Position()
		ids[last.Seq] = last.ID
	}
	var first mark
	top := uint64(0)
	for i, m := range c.Marks {
		p := m.proof(final.Feed)
		if !in.Has(&p) {
			return fmt.Errorf("mark %d: it is not in the state of the checkpoint", i)
		}
		var said mark
		if err := codec.Unmarshal(m.Mark, &said); err != nil {
			return fmt.Errorf("mark %d: %w", i, err)
		}
		if i == 0 {
			first = said
		}
		id, on := ids[said.Seq]
		switch {
		case i > 0 && c.Marks[i-1].Witness.Compare(m.Witness) >= 0:
			return fmt.Errorf("mark %d: want strictly ascending order of witness", i)
		case m.Epoch != c.Marks[0].Epoch || said.Cut != first.Cut || said.Need != first.Need:
			return fmt.Errorf("mark %d: of another epoch or cut than the first", i)
		case !on || id != said.ID:
			return fmt.Errorf("mark %d: it names another record than those that follow on %s", i, final.ID)
		}
		top = max(top, said.Seq)
	}
	switch {
	case len(c.Marks) == 0 || len(c.Marks) != int(first.Need):
		return fmt.Errorf("%d: want %d", len(c.Marks), max(1, first.Need))
	case top != last.Seq:
		return fmt.Errorf("the line goes beyond what they name")
	}
	return nil
}

func (m *marked) proof(feed api.Hash) api.RowProof {
	return api.RowProof{StateRow: markRow(m.Witness, feed, m.Epoch), Seq: m.Seq, Value: m.Mark, Place: m.Place, Rows: m.Rows, Path: m.Path}
}

// markRow is the row in which a witness says up to where it holds a feed final.
func markRow(witness, feed api.Hash, epoch uint64) api.StateRow {
	return api.StateRow{App: "finality", Class: api.FeedRow, Feed: witness, Key: rowFinal(feed, epoch)}
}
