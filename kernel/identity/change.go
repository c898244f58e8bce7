package identity

import (
	"crypto/ed25519"
	"io"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// AddDevice lets another device sign for the DID, or gives one another role, and returns the longer log, which that device and the spaces get. It takes
// the key in charge: api.Refused where another device holds it. Save keeps the result, here as in every change.
func (id *Identity) AddDevice(device api.Key, role record.Role) (*record.Log, error) {
	return id.change("identity.adddevice", []record.Device{{Key: device, Role: role}}, nil)
}

// RemoveDevice ends what a device may sign. It never comes back: a device that is found again starts with a new key. What it has signed stays; where its
// feeds end is said in each space.
func (id *Identity) RemoveDevice(device api.Key) (*record.Log, error) {
	if device == id.device {
		return nil, api.Errorf("identity.removedevice", api.Refused, "this is the device itself: remove it from another one")
	}
	return id.change("identity.removedevice", nil, []api.Key{device})
}

func (id *Identity) change(op string, add []record.Device, remove []api.Key) (*record.Log, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	k, err := id.controlKey(op)
	if err != nil {
		return nil, err
	}
	l, err := id.log.ChangeDevices(k, add, remove)
	if err == nil {
		err = id.take(l)
	}
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return l, nil
}

// Veto objects to a recovery, named by the id of its event. It takes the key in charge: api.Refused where another device holds it.
func (id *Identity) Veto(recovery api.Hash) ([]byte, error) {
	const op = "identity.veto"
	id.mu.RLock()
	defer id.mu.RUnlock()
	k, err := id.controlKey(op)
	if err != nil {
		return nil, err
	}
	veto, err := id.log.Veto(k, recovery)
	return veto, api.Wrap(op, err)
}

// controlKey returns the key in charge, which this device must hold. Callers hold mu.
func (id *Identity) controlKey(op string) (record.ControlKey, error) {
	if !id.inCharge() {
		return record.ControlKey{}, api.Errorf(op, api.Refused, "this device does not hold the key in charge: do it on the one that does, or rotate with the recovery phrase")
	}
	k, err := record.NewControlKey(id.seed.control, len(id.log.Control().Hybrid) > 0)
	return k, api.Wrap(op, err)
}

// GuardianPlan names those of whom Threshold together can put a new key in charge.
type GuardianPlan struct {
	Threshold  int
	DelayHours int // between a recovery's becoming known and its effect, in which the phrase can still object
	DIDs       []api.DID
}

// Rotation is what a rotation changes beside the key. The zero value changes nothing else.
type Rotation struct {
	Guardians *GuardianPlan // nil: as they are
	Homes     []api.Hash    // spaces whose witnesses make events final; nil: as they are
	Hybrid    bool          // the next key also has an ML-DSA half; once hybrid, always
	Add       []record.Device
	Remove    []api.Key
}

// Rotate puts the key that the log commits to in charge, found by the recovery phrase, and commits to the next one of the same phrase. The old key, which
// somebody may have stolen, is worth nothing after that. This device holds the new one.
func (id *Identity) Rotate(p *Phrase, r Rotation) (*record.Log, error) {
	const op = "identity.rotate"
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.seed == nil || id.log == nil {
		return nil, api.Errorf(op, api.Unavailable, "there is no log to rotate")
	}
	l, k, err := rotate(id.log, p, r)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	if err := id.take(l); err != nil {
		clear(k)
		return nil, api.Wrap(op, err)
	}
	clear(id.seed.control)
	id.seed.control = k
	return l, nil
}

// rotate returns the longer log and the key in charge of it.
func rotate(l *record.Log, p *Phrase, r Rotation) (*record.Log, ed25519.PrivateKey, error) {
	n, hybrid, err := p.next(l)
	if err != nil {
		return nil, nil, err
	}
	t, err := r.terms(p, l, n+1, hybrid || r.Hybrid)
	if err != nil {
		return nil, nil, err
	}
	k := p.control(n)
	c, err := record.NewControlKey(k, hybrid)
	if err == nil {
		l, err = l.Rotate(c, t, r.Add, r.Remove)
	}
	if err != nil {
		clear(k)
		return nil, nil, err
	}
	return l, k, nil
}

// terms returns what comes with a key, committing to key next of p.
func (r *Rotation) terms(p *Phrase, l *record.Log, next int, hybrid bool) (record.Terms, error) {
	t := l.Terms()
	k, err := p.public(next, hybrid)
	if err != nil {
		return t, err
	}
	t.Next = k.Commitment()
	if r.Homes != nil {
		t.Homes = r.Homes
	}
	g := r.Guardians
	if g == nil {
		return t, nil
	}
	if len(g.DIDs) > record.MaxGuardians || g.Threshold < 0 || g.Threshold > len(g.DIDs) || g.DelayHours < 0 || g.DelayHours > record.MaxDelay {
		return t, api.Errorf("guardians", api.Invalid, "%d of %d guardians, %d hours: want at most %d guardians, from 1 to all of them needed, and at most %d hours",
			g.Threshold, len(g.DIDs), g.DelayHours, record.MaxGuardians, record.MaxDelay)
	}
	t.Guardians = record.Guardians{Threshold: uint8(g.Threshold), Delay: uint16(g.DelayHours)}
	for _, d := range g.DIDs {
		if _, err := record.ParseDID(string(d)); err != nil {
			return t, err
		}
		if d == l.DID() {
			return t, api.Errorf("guardians", api.Invalid, "%s cannot guard itself", d)
		}
		t.Guardians.Commitments = append(t.Guardians.Commitments, record.GuardianCommitment(p.salt(l.DID(), d), d))
	}
	return t, nil
}

// Cards returns what each guardian that the log names keeps, by DID: the same again from the same phrase. A DID that is no guardian is api.NotFound.
func Cards(p *Phrase, l *record.Log, guardians []api.DID) (map[api.DID]*GuardianCard, error) {
	cards := make(map[api.DID]*GuardianCard, len(guardians))
	for _, d := range guardians {
		c := &GuardianCard{Salt: p.salt(l.DID(), d), Log: l}
		if !slices.Contains(l.Terms().Guardians.Commitments, record.GuardianCommitment(c.Salt, d)) {
			return nil, api.Errorf("identity.cards", api.NotFound, "%s is no guardian of %s by this phrase", d, l.DID())
		}
		cards[d] = c
	}
	return cards, nil
}

// NewDevice makes the keys of one more device of a DID. It waits, without DID, until Join has the log that another device made longer by it. rand gives
// 64 bytes.
func NewDevice(rand io.Reader) (*Identity, error) {
	b := make([]byte, 2*ed25519.SeedSize)
	defer clear(b)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, api.Errorf("identity.newdevice", api.Internal, "read randomness: %w", err)
	}
	if err := differ(nil, b[:32], b[32:]); err != nil {
		return nil, err
	}
	return newIdentity(nil, b[:32], b[32:]), nil
}

// Join takes a log from elsewhere: the first one of a new device, or a longer one. It must let this device sign (api.Refused), and go on from what the
// identity has or outrank it (api.Conflict): two branches otherwise are evidence of a theft or an error, which people have to look at.
func (id *Identity) Join(l *record.Log) error {
	const op = "identity.join"
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.seed == nil {
		return api.Errorf(op, api.Unavailable, "the identity is closed")
	}
	if _, found := l.Role(id.device); !found {
		return api.Errorf(op, api.Refused, "the log of %s does not let device %s sign", l.DID(), id.device)
	}
	if id.log != nil {
		switch r, common := record.Compare(l, id.log); {
		case r == record.Same, r == record.Ahead, record.Outranks(l, id.log):
		case r == record.Unrelated:
			return api.Errorf(op, api.Conflict, "the log is of %s, this device signs for %s", l.DID(), id.log.DID())
		case r == record.Behind:
			return api.Errorf(op, api.Conflict, "the log ends before the one that is here")
		default:
			return api.Errorf(op, api.Conflict, "the log parts from the one that is here at event %d: somebody has written two", common)
		}
	}
	if err := id.take(l); err != nil {
		return api.Wrap(op, err)
	}
	if id.seed.control != nil && !id.inCharge() {
		clear(id.seed.control)
		id.seed.control = nil
	}
	return nil
}

// Restore makes the keys of a new device and puts it in the place of lost ones, by the recovery phrase alone: it rotates the log. The devices in r.Remove
// lose the right to sign; a primary device that stays becomes secondary, for the new one is primary. rand gives 64 bytes. A log that is not up to date
// makes a fork of it: ask more than one peer for it.
func Restore(rand io.Reader, l *record.Log, p *Phrase, r Rotation) (*Identity, error) {
	const op = "identity.restore"
	id, err := NewDevice(rand)
	if err != nil {
		return nil, err
	}
	r.Add = replacing(l, id.device, r)
	l, k, err := rotate(l, p, r)
	if err == nil {
		id.seed.control = k
		err = id.take(l)
	}
	if err != nil {
		id.Close()
		return nil, api.Wrap(op, err)
	}
	return id, nil
}

// replacing adds device as the primary one.
func replacing(l *record.Log, device api.Key, r Rotation) []record.Device {
	add := append(slices.Clone(r.Add), record.Device{Key: device, Role: record.Primary})
	for _, d := range l.Devices() {
		if d.Role == record.Primary && !slices.Contains(r.Remove, d.Key) {
			add = append(add, record.Device{Key: d.Key, Role: record.Secondary})
		}
	}
	return add
}

// AskGuardians makes the keys of a new device and a new phrase, which TakePhrase returns, for whoever has lost both devices and phrase, and the request
// that puts them in charge. The identity waits until Join has the log that the request makes of the guardians' approvals. rand gives 96 bytes.
func AskGuardians(rand io.Reader, l *record.Log, r Rotation) (*Identity, *record.RecoveryRequest, error) {
	const op = "identity.askguardians"
	p, err := NewPhrase(rand)
	if err != nil {
		return nil, nil, err
	}
	id, err := NewDevice(rand)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*Identity, *record.RecoveryRequest, error) {
		id.Close()
		return nil, nil, api.Wrap(op, err)
	}
	id.phrase, id.seed.control, id.log = p, p.control(0), l
	hybrid := r.Hybrid || len(l.Control().Hybrid) > 0
	t, err := r.terms(p, l, 1, hybrid)
	if err != nil {
		return fail(err)
	}
	k, err := record.NewControlKey(id.seed.control, hybrid)
	if err != nil {
		return fail(err)
	}
	req, err := l.RequestRecovery(k, t, replacing(l, id.device, r), r.Remove)
	if err != nil {
		return fail(err)
	}
	return id, req, nil
}
