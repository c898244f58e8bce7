package fold

import (
	"encoding/binary"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// Mark is a position within a known feed.
type Mark struct {
	Seq uint64
	ID  api.Hash
}

// Feed is what this node knows of one chain. The engine owns it; nobody else may hold on to one.
type Feed struct {
	ID     api.Hash
	Topic  api.Topic
	Device api.Key
	Author api.DID

	Tip     Mark        // newest stored record of the branch this node met first
	Final   Mark        // highest final position, zero for none
	Rival   Mark        // a position that is as final by what is stated and does not continue Final, zero for none; see State.setRival
	Seal    Mark        // highest sealed position: what this feed states on other branches does not count; zero for none
	Fork    uint64      // lowest seq with two records, 0 for none
	Alt     [2]api.Hash // two records at Fork: the evidence
	Pending bool        // positions are stated final that are not stored yet
	Waits   bool        // the tip is unfolded: it waits for an upgrade
	Cutter  bool        // some record of it cuts other feeds

	cuts    []cut    // of this feed, in order of who cuts
	rebases []rebase // where this feed cites cuts
}

// Active returns the last position that has effect: the tip, or in a forked feed the last one below the fork, or a final one beyond it.
// With a fork at seq 1 and nothing final it is zero.
func (f *Feed) active() Mark {
	switch {
	case f.Fork == 0:
		return f.Tip
	case f.Final.Seq >= f.Fork:
		return f.Final
	}
	return Mark{Seq: f.Fork - 1} // the id is that of every branch; see State.mark
}

type static struct {
	_      struct{} `cbor:",toarray"`
	Space  []byte
	Name   string
	Device []byte
	Author string
}

func (f *Feed) static() []byte {
	return codec.MustMarshal(&static{Space: f.Topic.Space[:], Name: f.Topic.Name, Device: f.Device[:], Author: string(f.Author)})
}

func (f *Feed) appendHead(b []byte) []byte {
	flags := byte(0)
	if f.Fork != 0 {
		flags |= 1
	}
	if f.Pending {
		flags |= 2
	}
	if f.Waits {
		flags |= 4
	}
	if f.Cutter {
		flags |= 8
	}
	if len(f.cuts)+len(f.rebases) > 0 {
		flags |= 16
	}
	if f.Seal.Seq != 0 {
		flags |= 32
	}
	if f.Rival.Seq != 0 {
		flags |= 64
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, f.Tip.Seq)
	b = append(b, f.Tip.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, f.Final.Seq)
	b = append(b, f.Final.ID[:]...)
	if f.Fork != 0 {
		b = binary.BigEndian.AppendUint64(b, f.Fork)
		b = append(b, f.Alt[0][:]...)
		b = append(b, f.Alt[1][:]...)
	}
	if f.Seal.Seq != 0 {
		b = encodeMark(b, f.Seal)
	}
	if f.Rival.Seq != 0 {
		b = encodeMark(b, f.Rival)
	}
	return b
}

// origin is whose a feed is, which is written once.
type origin struct {
	topic  api.Topic
	device api.Key
	author api.DID
}

func loadOrigin(r store.Reader, id api.Hash) (o origin, err error) {
	v, ok, err := r.Get(key(nsStatic, id[:]))
	if err != nil {
		return o, err
	}
	var s static
	if !ok || codec.Unmarshal(v, &s) != nil || len(s.Space) != 32 || len(s.Device) != 32 {
		return o, errDamagedFeed(id)
	}
	return origin{api.Topic{Space: api.Hash(s.Space), Name: s.Name}, api.Key(s.Device), api.DID(s.Author)}, nil
}

func errDamagedFeed(id api.Hash) error {
	return api.Errorf("fold.feed", api.Internal, "feed %s: stored header is damaged; run `icnctl state verify`", id.Short())
}

// loadFeed reads a feed's head, nil when there is none, and whose it is, unless mem knows.
func loadFeed(r store.Reader, id api.Hash, mem *Memory) (*Feed, error) {
	hv, ok, err := r.Get(key(nsHead, id[:]))
	if err != nil || !ok {
		return nil, err
	}
	o, ok := mem.origin(id)
	if !ok {
		if o, err = loadOrigin(r, id); err != nil {
			return nil, err
		}
		mem.setOrigin(id, o)
	}
	if len(hv) < 81 {
		return nil, errDamagedFeed(id)
	}
	f := &Feed{
		ID: id, Topic: o.topic, Device: o.device, Author: o.author,
		Tip:   Mark{binary.BigEndian.Uint64(hv[1:]), api.Hash(hv[9:41])},
		Final: Mark{binary.BigEndian.Uint64(hv[41:]), api.Hash(hv[49:81])},
	}
	f.Pending, f.Waits, f.Cutter = hv[0]&2 != 0, hv[0]&4 != 0, hv[0]&8 != 0
	if hv[0]&16 != 0 {
		if err := loadCuts(r, f); err != nil {
			return nil, err
		}
	}
	rest := hv[81:]
	if hv[0]&1 != 0 && len(rest) >= 72 {
		f.Fork = binary.BigEndian.Uint64(rest)
		f.Alt = [2]api.Hash{api.Hash(rest[8:40]), api.Hash(rest[40:72])}
		rest = rest[72:]
	}
	if hv[0]&32 != 0 && len(rest) >= 40 {
		f.Seal = parseMark(rest)
		rest = rest[40:]
	}
	if hv[0]&64 != 0 && len(rest) >= 40 {
		f.Rival = parseMark(rest)
	}
	return f, nil
}

// Outcome of a stored record.
type outcome byte

const (
	accepted outcome = iota
	void
	unfolded // an unknown version, topic or kind, here or in what it stands on: waits for an upgrade
)

// Stored is a record as it lies in the store.
type Stored struct {
	*record.Envelope
	outcome outcome
	local   uint64 // this node's number for it, in commit order
	reason  *api.Reason
}

// copy returns a Stored whose record's header can be changed alone; nil of nil.
func (s *Stored) copy() *Stored {
	if s == nil {
		return nil
	}
	c, e, r := *s, *s.Envelope, *s.Record
	e.Record, c.Envelope = &r, &e
	return &c
}

type reasonRow struct {
	_      struct{} `cbor:",toarray"`
	Domain string
	Rule   string
	Text   string
	Inputs map[string]string
	Remedy string
}

func appendStored(b []byte, s *Stored) []byte {
	var reason []byte
	if s.reason != nil {
		reason = codec.MustMarshal(&reasonRow{Domain: string(s.reason.Domain), Rule: s.reason.Rule, Text: s.reason.Text, Inputs: s.reason.Inputs, Remedy: s.reason.Remedy})
	}
	b = append(b, byte(s.outcome))
	b = binary.BigEndian.AppendUint64(b, s.local)
	b = binary.AppendUvarint(b, uint64(len(reason)))
	b = append(b, reason...)
	return append(b, s.Raw...)
}

// splitStored takes a stored value apart without decoding the envelope.
func splitStored(v []byte) (out outcome, local uint64, reason, raw []byte, ok bool) {
	if len(v) < 10 {
		return 0, 0, nil, nil, false
	}
	n, w := binary.Uvarint(v[9:])
	if w <= 0 || uint64(len(v)-9-w) < n {
		return 0, 0, nil, nil, false
	}
	rest := v[9+w:]
	return outcome(v[0]), binary.BigEndian.Uint64(v[1:9]), rest[:n], rest[n:], true
}

var errDamaged = api.Errorf("fold.record", api.Internal, "a stored record is damaged; run `icnctl state verify`")

func decodeStored(v []byte) (*Stored, error) {
	out, local, reason, raw, ok := splitStored(v)
	if !ok {
		return nil, errDamaged
	}
	e, err := record.DecodeVerified(raw)
	if err != nil {
		return nil, api.Errorf("fold.record", api.Internal, "a stored record is damaged: %w", err)
	}
	s := &Stored{Envelope: e, outcome: out, local: local}
	if len(reason) > 0 {
		var r reasonRow
		if err := codec.Unmarshal(reason, &r); err != nil {
			return nil, api.Errorf("fold.record", api.Internal, "a stored verdict is damaged: %w", err)
		}
		s.reason = &api.Reason{Domain: api.Domain(r.Domain), Rule: r.Rule, Text: r.Text, Inputs: r.Inputs, Remedy: r.Remedy}
	}
	return s, nil
}
