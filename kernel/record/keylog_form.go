package record

import (
	"crypto/sha256"
	"math"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/crypto/hybrid"
	"github.com/intercooperative/icn/kernel/api"
)

// The version of the events of a log, but for an inception of version 1, and the tag of the log.
const (
	keyEventVersion = 2
	keyLogTag       = "icn-key-log"
	maxGuardianAuth = 8 << 10 // bytes of the Auth in an approval
	saltSize        = 16
)

// eventForm is the wire form of an event's bytes, which are hashed and signed.
type eventForm struct {
	_         struct{} `cbor:",toarray"`
	Tag       string
	Version   uint16
	Root      []byte
	Seq       uint64
	Prev      []byte // 32 bytes, empty at seq 0
	Kind      uint8
	Key       []byte
	Hybrid    []byte // an encoded hybrid key whose Ed25519 half is Key, or empty; empty in a change of devices
	Next      []byte // 32 bytes or empty
	Add       []deviceForm
	Remove    [][]byte
	Guardians guardiansForm
	Homes     [][]byte
}

type deviceForm struct {
	_    struct{} `cbor:",toarray"`
	Key  []byte
	Role uint8
}

type guardiansForm struct {
	_           struct{} `cbor:",toarray"`
	Threshold   uint8
	Delay       uint16
	Commitments [][]byte
}

// signedForm is an event with its proof: the signature of the key in charge from it on, and of a recovery the guardians' approvals.
type signedForm struct {
	_         struct{} `cbor:",toarray"`
	Event     []byte
	Signature []byte
	Approvals []approvalForm
}

type approvalForm struct {
	_         struct{} `cbor:",toarray"`
	Salt      []byte
	Auth      []byte
	Signature []byte
}

// logForm is the wire form of an Auth; Device is empty where a log stands for itself.
type logForm struct {
	_      struct{} `cbor:",toarray"`
	Tag    string
	Device []byte
	Events []signedForm
}

func (e *Event) form() *eventForm {
	root, _ := ParseDID(string(e.DID)) // made of a key
	f := &eventForm{
		Tag: keyEventTag, Version: keyEventVersion, Root: root[:], Seq: e.Seq, Kind: uint8(e.Kind), Key: e.Control.Key[:], Hybrid: e.Control.Hybrid,
		Guardians: guardiansForm{Threshold: e.Guardians.Threshold, Delay: e.Guardians.Delay, Commitments: slicesOf(e.Guardians.Commitments)},
		Homes:     slicesOf(e.Homes),
	}
	if e.Seq > 0 {
		f.Prev = e.Prev[:]
	}
	if !e.Next.IsZero() {
		f.Next = e.Next[:]
	}
	for i := range e.Add {
		f.Add = append(f.Add, deviceForm{Key: e.Add[i].Key[:], Role: uint8(e.Add[i].Role)})
	}
	for i := range e.Remove {
		f.Remove = append(f.Remove, e.Remove[i][:])
	}
	return f
}

func slicesOf(hs []api.Hash) [][]byte {
	out := make([][]byte, len(hs))
	for i := range hs {
		out[i] = hs[i][:]
	}
	return out
}

func badLog(format string, args ...any) error {
	return api.Errorf("keylog.parse", api.Invalid, format, args...)
}

// parseEvent reads an event's bytes: form, sizes and order. What it may do at its place is apply's question.
func parseEvent(b []byte) (Event, error) {
	var f eventForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return Event{}, badLog("%w", err)
	}
	switch {
	case f.Tag != keyEventTag:
		return Event{}, badLog("tag %q: want %q", clip(f.Tag), keyEventTag)
	case f.Version != keyEventVersion:
		return Event{}, badLog("version %d: want %d", f.Version, keyEventVersion)
	case len(f.Root) != 32 || len(f.Key) != 32:
		return Event{}, badLog("keys of %d and %d bytes: want 32", len(f.Root), len(f.Key))
	case f.Seq == 0 && len(f.Prev) != 0, f.Seq > 0 && len(f.Prev) != 32:
		return Event{}, badLog("prev of %d bytes at seq %d: want 32, and none at seq 0", len(f.Prev), f.Seq)
	case len(f.Next) != 0 && (len(f.Next) != 32 || api.Hash(f.Next).IsZero()):
		return Event{}, badLog("next of %d bytes: want 32, not all zero, or none", len(f.Next))
	case len(f.Hybrid) > hybrid.MaxPublicKeySize:
		return Event{}, badLog("hybrid key of %d bytes: at most %d", len(f.Hybrid), hybrid.MaxPublicKeySize)
	case f.Kind > uint8(Recovery):
		return Event{}, badLog("kind %d: want 0 to %d", f.Kind, Recovery)
	case len(f.Add) > MaxDevices || len(f.Remove) > MaxDevices:
		return Event{}, badLog("%d devices added and %d removed: at most %d", len(f.Add), len(f.Remove), MaxDevices)
	}
	e := Event{
		ID: sha256.Sum256(b), Version: f.Version, DID: DIDOf(api.Key(f.Root)), Seq: f.Seq, Kind: EventKind(f.Kind), Control: ControlPublic{Key: api.Key(f.Key)},
	}
	if len(f.Hybrid) > 0 {
		e.Control.Hybrid = f.Hybrid
	}
	if len(f.Prev) > 0 {
		e.Prev = api.Hash(f.Prev)
	}
	if len(f.Next) > 0 {
		e.Next = api.Hash(f.Next)
	}
	for i, d := range f.Add {
		if len(d.Key) != 32 || d.Role != uint8(Primary) && d.Role != uint8(Secondary) {
			return Event{}, badLog("device %d: want a key of 32 bytes and a role of 1 or 2", i)
		}
		e.Add = append(e.Add, Device{Key: api.Key(d.Key), Role: Role(d.Role)})
		if i > 0 && compareKeys(e.Add[i-1].Key, e.Add[i].Key) >= 0 {
			return Event{}, badLog("device %d: want strictly ascending order", i)
		}
	}
	for i, k := range f.Remove {
		if len(k) != 32 {
			return Event{}, badLog("removed device %d of %d bytes: want 32", i, len(k))
		}
		e.Remove = append(e.Remove, api.Key(k))
		if i > 0 && compareKeys(e.Remove[i-1], e.Remove[i]) >= 0 {
			return Event{}, badLog("removed device %d: want strictly ascending order", i)
		}
	}
	g := f.Guardians
	switch {
	case len(g.Commitments) > MaxGuardians:
		return Event{}, badLog("%d guardians: at most %d", len(g.Commitments), MaxGuardians)
	case len(g.Commitments) == 0 && (g.Threshold != 0 || g.Delay != 0), len(g.Commitments) > 0 && g.Threshold == 0, int(g.Threshold) > len(g.Commitments):
		return Event{}, badLog("%d of %d guardians: want from 1 to all", g.Threshold, len(g.Commitments))
	case g.Delay > MaxDelay:
		return Event{}, badLog("delay of %d hours: at most %d", g.Delay, MaxDelay)
	}
	e.Guardians = Guardians{Threshold: g.Threshold, Delay: g.Delay}
	var err error
	if e.Guardians.Commitments, err = hashesOf("guardian", g.Commitments, MaxGuardians); err != nil {
		return Event{}, err
	}
	e.Homes, err = hashesOf("home", f.Homes, MaxHomes)
	return e, err
}

func hashesOf(what string, bs [][]byte, limit int) ([]api.Hash, error) {
	if len(bs) > limit {
		return nil, badLog("%d of %s: at most %d", len(bs), what, limit)
	}
	var hs []api.Hash
	for i, b := range bs {
		if len(b) != 32 {
			return nil, badLog("%s %d of %d bytes: want 32", what, i, len(b))
		}
		hs = append(hs, api.Hash(b))
		if i > 0 && compareKeys(api.Key(hs[i-1]), api.Key(hs[i])) >= 0 {
			return nil, badLog("%s %d: want strictly ascending order", what, i)
		}
	}
	return hs, nil
}

// claimed returns whom an Auth names, from its form alone: for bytes that have been verified.
func claimed(auth []byte) (did api.DID, device api.Key, err error) {
	r := codec.NewReader(auth)
	var event, dev []byte
	single := len(auth) > 0 && auth[0] == 0x82
	if single {
		r.Array(2)
		event = r.Bytes()
	} else {
		r.Array(3)
		_ = r.Text()
		dev = r.Bytes()
		if r.ArrayLen(MaxEvents) > 0 {
			r.Array(3)
			event = r.Bytes()
		}
	}
	e := codec.NewReader(event)
	if n := e.ArrayLen(math.MaxInt8); n != 5 && n != 13 {
		return "", api.Key{}, badLog("an event of %d parts", n)
	}
	_ = e.Text()
	version := e.Uint(math.MaxUint16)
	root := e.Bytes()
	if single {
		_ = e.Uint(math.MaxUint64)
		dev = e.Bytes()
	}
	if r.Failed() || e.Failed() || version == 0 || len(root) != 32 || len(dev) != 32 {
		return "", api.Key{}, badLog("not an Auth")
	}
	return DIDOf(api.Key(root)), api.Key(dev), nil
}
