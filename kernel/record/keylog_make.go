package record

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/crypto/hybrid"
	"github.com/intercooperative/icn/kernel/api"
)

// ControlPublic is the public part of a key that can be in charge of a DID.
type ControlPublic struct {
	Key    api.Key
	Hybrid []byte // the encoded hybrid key (crypto/hybrid) whose Ed25519 half is Key, empty for none: with it, events need both halves
}

// Commitment is what an event says of the next key without showing it: SHA-256("icn-next-key" | 0 | key | hybrid key).
func (p ControlPublic) Commitment() api.Hash {
	return sha256.Sum256(slices.Concat([]byte(nextTag), p.Key[:], p.Hybrid))
}

// ControlKey is a private key that can be in charge of a DID.
type ControlKey struct {
	ed     ed25519.PrivateKey
	hybrid *hybrid.PrivateKey // nil for none
}

// NewControlKey returns the key of k, which it keeps, and with hybrid the ML-DSA-65 key beside it that belongs to k's seed.
func NewControlKey(k ed25519.PrivateKey, withHybrid bool) (ControlKey, error) {
	if len(k) != ed25519.PrivateKeySize {
		return ControlKey{}, api.Errorf("keylog.key", api.Invalid, "private key of %d bytes: want %d", len(k), ed25519.PrivateKeySize)
	}
	c := ControlKey{ed: k}
	if withHybrid {
		h, err := hybrid.Extend(hybrid.Level65, k)
		if err != nil {
			return ControlKey{}, api.Errorf("keylog.key", api.Invalid, "%w", err)
		}
		c.hybrid = h
	}
	return c, nil
}

// Public returns the public part.
func (k ControlKey) Public() ControlPublic {
	p := ControlPublic{Key: api.Key(k.ed.Public().(ed25519.PublicKey))}
	if k.hybrid != nil {
		p.Hybrid = k.hybrid.Public().Bytes()
	}
	return p
}

func (k ControlKey) sign(event []byte) ([]byte, error) {
	if k.hybrid != nil {
		return k.hybrid.Sign(hybridContext, event)
	}
	return ed25519.Sign(k.ed, event), nil
}

// Salt hides which DID a guardian's commitment stands for: 16 bytes, unlike for each guardian, known to the guardian.
type Salt [saltSize]byte

// GuardianCommitment is SHA-256("icn-guardian" | 0 | salt | DID).
func GuardianCommitment(s Salt, guardian api.DID) api.Hash {
	return sha256.Sum256(slices.Concat([]byte(guardianTag), s[:], []byte(guardian)))
}

// Incept starts the log of the DID whose root key is k.
func Incept(k ControlKey, t Terms, devices ...Device) (*Log, error) {
	p := k.Public()
	e := &Event{DID: DIDOf(p.Key), Kind: Inception, Control: p, Terms: t, Add: devices}
	return new(Log).write(e, k)
}

// ChangeDevices returns the log with devices added, changed in role, or removed by the key in charge.
func (l *Log) ChangeDevices(k ControlKey, add []Device, remove []api.Key) (*Log, error) {
	if got := k.Public().Key; got != l.control.Key {
		return nil, api.Errorf("keylog.devices", api.Refused, "the key %s is not in charge of %s", got, l.DID())
	}
	return l.write(&Event{Kind: DeviceChange, Control: ControlPublic{Key: l.control.Key}, Add: add, Remove: remove}, k)
}

// Rotate returns the log with k, the key that was committed to, in charge on new terms.
func (l *Log) Rotate(k ControlKey, t Terms, add []Device, remove []api.Key) (*Log, error) {
	return l.write(&Event{Kind: Rotation, Control: k.Public(), Terms: t, Add: add, Remove: remove}, k)
}

// write puts e, signed by k, at the end of a copy of l and verifies it as any reader does.
func (l *Log) write(e *Event, k ControlKey) (*Log, error) {
	s, err := l.draft(e, k)
	if err != nil {
		return nil, err
	}
	return l.with(s)
}

// with returns l and one event more.
func (l *Log) with(s *signedForm) (*Log, error) {
	out := l.clone()
	if err := out.extend(s, &budget{}); err != nil {
		return nil, err
	}
	if b, err := out.encode(make([]byte, 32)); err != nil || len(b) > MaxAuth {
		return nil, api.Errorf("keylog.write", api.TooLarge, "log of %d bytes: at most %d", len(b), MaxAuth)
	}
	return out, nil
}

func (l *Log) clone() *Log {
	return &Log{signed: slices.Clip(l.signed), events: slices.Clip(l.events), state: l.state}
}

// draft completes e for the place after l's head and signs it.
func (l *Log) draft(e *Event, k ControlKey) (*signedForm, error) {
	if len(l.events) > 0 {
		head := l.Head()
		e.DID, e.Seq, e.Prev = head.DID, head.Seq+1, head.ID
	}
	e.Add, e.Remove = slices.Clone(e.Add), slices.Clone(e.Remove)
	slices.SortFunc(e.Add, func(a, b Device) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(e.Remove, compareKeys)
	e.Guardians.Commitments, e.Homes = sorted(e.Guardians.Commitments), sorted(e.Homes)
	b, err := codec.Marshal(e.form())
	if err != nil {
		return nil, api.Wrap("keylog.write", err)
	}
	sig, err := k.sign(b)
	if err != nil {
		return nil, api.Wrap("keylog.write", err)
	}
	return &signedForm{Event: b, Signature: sig}, nil
}

func sorted(hs []api.Hash) []api.Hash {
	return slices.SortedFunc(slices.Values(hs), api.Hash.Compare)
}

func (l *Log) encode(device []byte) ([]byte, error) {
	return codec.Marshal(&logForm{Tag: keyLogTag, Device: device, Events: l.signed})
}

// Bytes returns the encoded log, which ParseLog reads.
func (l *Log) Bytes() []byte {
	b, err := l.encode(nil)
	if err != nil {
		panic(err) // fixed types: they always encode
	}
	return b
}

// Auth returns what the first record of device's feeds carries. A log of one event of version 1 keeps that event's bytes.
func (l *Log) Auth(device api.Key) ([]byte, error) {
	if _, found := l.Role(device); !found {
		return nil, api.Errorf("keylog.auth", api.NotFound, "the log of %s does not let device %s sign", l.DID(), device)
	}
	if len(l.events) == 1 && l.events[0].Version == 1 {
		return codec.Marshal(&signedKeyEvent{Event: l.signed[0].Event, Signature: l.signed[0].Signature})
	}
	return l.encode(device[:])
}
