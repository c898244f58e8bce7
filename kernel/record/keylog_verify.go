package record

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/crypto/hybrid"
	"github.com/intercooperative/icn/kernel/api"
)

// Contexts of what is signed or hashed beside the events themselves.
const (
	hybridContext   = "icn-key-event"
	approvalTag     = "icn-guardian-approval\x00"
	guardianTag     = "icn-guardian\x00"
	nextTag         = "icn-next-key\x00"
	maxApprovalNest = 2 // a guardian may have been recovered by guardians, who may not
)

// Auth is what the first record of a feed carries: who the device signs for, and the log that proves it.
type Auth struct {
	DID    api.DID
	Device api.Key
	Role   Role
	Log    *Log // up to the event that certifies Device, or longer
}

// ParseAuth reads and fully verifies an Auth: a log and the device, one of those in force at its end, that it is shown for; or a single event of
// version 1, which ParseKeyEvent reads. Nothing but b is looked at, and b is not kept.
func ParseAuth(b []byte) (Auth, error) { return parseAuth(b, &budget{}) }

// ParseLog reads and fully verifies a log as Log.Bytes writes it, or an Auth's.
func ParseLog(b []byte) (*Log, error) {
	l, _, err := parseLog(b, &budget{})
	return l, err
}

// budget bounds the work that an Auth can ask for.
type budget struct{ signatures, nest int }

func (b *budget) verify(k api.Key, message, signature []byte) (bool, error) {
	if b.signatures++; b.signatures > MaxSignatures {
		return false, badLog("over %d signatures", MaxSignatures)
	}
	return verify(k, message, signature), nil
}

func parseAuth(b []byte, left *budget) (Auth, error) {
	l, device, err := parseLog(b, left)
	if err != nil {
		return Auth{}, err
	}
	role, found := l.Role(device)
	if !found {
		return Auth{}, badLog("the log does not let device %s sign", device)
	}
	return Auth{DID: l.DID(), Device: device, Role: role, Log: l}, nil
}

// parseLog returns the log and the device that it names, zero for none.
func parseLog(b []byte, left *budget) (*Log, api.Key, error) {
	if len(b) > 0 && b[0] == 0x82 { // an array of two: a single event of version 1
		l := &Log{}
		if err := l.first(b, left); err != nil {
			return nil, api.Key{}, err
		}
		return l, l.devices[0].Key, nil
	}
	if len(b) > MaxAuth {
		return nil, api.Key{}, badLog("log of %d bytes: at most %d", len(b), MaxAuth)
	}
	var f logForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, api.Key{}, badLog("%w", err)
	}
	switch {
	case f.Tag != keyLogTag:
		return nil, api.Key{}, badLog("tag %q: want %q", clip(f.Tag), keyLogTag)
	case len(f.Device) != 0 && len(f.Device) != 32:
		return nil, api.Key{}, badLog("device of %d bytes: want 32", len(f.Device))
	case len(f.Events) == 0 || len(f.Events) > MaxEvents:
		return nil, api.Key{}, badLog("%d events: want 1 to %d", len(f.Events), MaxEvents)
	}
	l := &Log{}
	for i := range f.Events {
		if err := l.extend(&f.Events[i], left); err != nil {
			return nil, api.Key{}, api.Errorf("keylog.parse", api.KindOf(err), "event %d: %w", i, err)
		}
	}
	if len(f.Device) > 0 && len(l.events) == 1 && l.Head().Version == 1 {
		return nil, api.Key{}, badLog("a single event of version 1 stands alone") // one Auth, one encoding
	}
	var device api.Key
	copy(device[:], f.Device)
	return l, device, nil
}

// first makes l the log of a single event of version 1.
func (l *Log) first(b []byte, left *budget) error {
	left.signatures++
	ke, err := ParseKeyEvent(b)
	if err != nil {
		return err
	}
	var s signedKeyEvent
	if err := codec.Unmarshal(b, &s); err != nil { // cannot fail: ParseKeyEvent has read it
		return err
	}
	root, err := ParseDID(string(ke.DID))
	if err != nil {
		return err
	}
	e := Event{
		ID: sha256.Sum256(s.Event), Version: 1, DID: ke.DID, Kind: Inception, Control: ControlPublic{Key: root}, Add: []Device{{Key: ke.Device, Role: Primary}},
	}
	l.state = state{root: root, control: e.Control, devices: slices.Clone(e.Add)}
	l.events = []Event{e}
	l.signed = []signedForm{{Event: s.Event, Signature: s.Signature}}
	return nil
}

// extend verifies an event that follows l's, and takes it.
func (l *Log) extend(s *signedForm, left *budget) error {
	if len(l.events) == 0 && version1(s) {
		b, err := codec.Marshal(&signedKeyEvent{Event: s.Event, Signature: s.Signature})
		if err != nil {
			return badLog("%w", err)
		}
		return l.first(b, left)
	}
	e, err := parseEvent(s.Event)
	if err != nil {
		return err
	}
	before := l.terms.Guardians
	if err := l.next(&e); err != nil {
		return err
	}
	if err := l.signedBy(s, left); err != nil {
		return err
	}
	switch {
	case e.Kind == Recovery:
		if err := before.approved(e.DID, s, left); err != nil {
			return err
		}
	case len(s.Approvals) > 0:
		return badLog("approvals of a %s", e.Kind)
	}
	l.events, l.signed = append(l.events, e), append(l.signed, *s)
	return nil
}

// version1 reports whether the event has the form of version 1; ParseKeyEvent decides.
func version1(s *signedForm) bool {
	return len(s.Event) > 0 && s.Event[0] == 0x85 && len(s.Approvals) == 0
}

// next checks that e may follow, and applies it; its proof is not looked at. After an error l is of no use.
func (l *Log) next(e *Event) error {
	if len(l.events) == 0 {
		if e.Kind != Inception || e.Seq != 0 {
			return badLog("%s of seq %d: want an inception of seq 0", e.Kind, e.Seq)
		}
		if DIDOf(e.Control.Key) != e.DID {
			return badLog("the key of an inception is the root key")
		}
		return l.apply(e)
	}
	head := l.Head()
	switch {
	case e.DID != head.DID:
		return badLog("event of %s in a log of %s", e.DID, head.DID)
	case e.Seq != head.Seq+1:
		return badLog("seq %d: want %d", e.Seq, head.Seq+1)
	case e.Prev != head.ID:
		return badLog("prev is not the hash of the event before")
	case len(l.events) >= MaxEvents:
		return badLog("%d events: at most %d", len(l.events)+1, MaxEvents)
	}
	switch e.Kind {
	case DeviceChange:
		switch {
		case e.Control.Key != l.control.Key || len(e.Control.Hybrid) > 0:
			return badLog("a change of devices names the key in charge, and no hybrid key")
		case !e.Next.IsZero() || e.Guardians.Threshold > 0 || len(e.Homes) > 0:
			return badLog("a change of devices changes nothing else")
		case len(e.Add)+len(e.Remove) == 0:
			return badLog("a change of devices changes none")
		}
	case Rotation:
		switch {
		case l.terms.Next.IsZero():
			return badLog("the event before commits to no next key")
		case e.Control.Commitment() != l.terms.Next:
			return badLog("the key is not the one that the event before commits to")
		}
	case Recovery:
		if l.terms.Guardians.Threshold == 0 {
			return badLog("there are no guardians")
		}
	default:
		return badLog("%s of seq %d: only the first event is one", e.Kind, e.Seq)
	}
	return l.apply(e)
}

// apply brings the state from before e to after it.
func (st *state) apply(e *Event) error {
	switch e.Kind {
	case DeviceChange:
	default:
		if e.Kind != Inception && e.Control.Key == st.control.Key {
			return badLog("the key is in charge already")
		}
		if err := st.takeCharge(e); err != nil {
			return err
		}
	}
	devices := slices.Clone(st.devices)
	for _, k := range e.Remove {
		i, found := findDevice(devices, k)
		if !found {
			return badLog("device %s cannot be removed: it is not there", k)
		}
		devices = slices.Delete(devices, i, i+1)
		at, _ := slices.BinarySearchFunc(st.removed, k, compareKeys)
		st.removed = slices.Insert(slices.Clone(st.removed), at, k)
	}
	for _, d := range e.Add {
		i, found := findDevice(devices, d.Key)
		_, gone := slices.BinarySearchFunc(st.removed, d.Key, compareKeys)
		switch {
		case gone:
			return badLog("device %s was removed: it cannot come back", d.Key)
		case found && devices[i].Role == d.Role:
			return badLog("device %s is there already", d.Key)
		case found:
			devices[i].Role = d.Role
			continue
		}
		if err := CheckKey(d.Key); err != nil {
			return err
		}
		devices = slices.Insert(devices, i, d)
	}
	primaries := 0
	for _, d := range devices {
		if d.Role == Primary {
			primaries++
		}
		if e.Version > 1 && (d.Key == st.root || d.Key == st.control.Key) {
			return badLog("device %s is a key in charge: a key has one purpose", d.Key)
		}
	}
	switch {
	case primaries > 1:
		return badLog("%d primary devices: at most one", primaries)
	case len(devices) > MaxDevices:
		return badLog("%d devices: at most %d", len(devices), MaxDevices)
	case e.Kind == Inception && len(devices) == 0:
		return badLog("an inception certifies a device")
	}
	st.devices = devices
	return nil
}

func (st *state) takeCharge(e *Event) error {
	if err := CheckKey(e.Control.Key); err != nil {
		return err
	}
	if e.Kind == Inception {
		st.root = e.Control.Key
	}
	st.control, st.terms, st.hybrid = e.Control, e.Terms, nil
	if len(e.Control.Hybrid) == 0 {
		return nil
	}
	h, err := hybrid.ParsePublicKey(e.Control.Hybrid)
	if err != nil {
		return badLog("%w", err)
	}
	if h.Ed25519() != e.Control.Key {
		return badLog("the hybrid key is another key's")
	}
	st.hybrid = h
	return nil
}

// signedBy checks the signature of the key that is in charge after the event.
func (st *state) signedBy(s *signedForm, left *budget) error {
	var fits bool
	if st.hybrid != nil {
		if left.signatures++; left.signatures > MaxSignatures {
			return badLog("over %d signatures", MaxSignatures)
		}
		fits = st.hybrid.Verify(hybridContext, s.Event, s.Signature)
	} else {
		var err error
		if fits, err = left.verify(st.control.Key, s.Event, s.Signature); err != nil {
			return err
		}
	}
	if !fits {
		return badLog("the signature of the key in charge does not fit")
	}
	return nil
}

// approved checks that exactly as many guardians as needed have approved the event.
func (g *Guardians) approved(owner api.DID, s *signedForm, left *budget) error {
	if len(s.Approvals) != int(g.Threshold) {
		return badLog("%d approvals: want %d", len(s.Approvals), g.Threshold)
	}
	if left.nest++; left.nest > maxApprovalNest {
		return badLog("guardians of guardians of guardians")
	}
	defer func() { left.nest-- }()
	var last api.Hash
	var seen []api.DID
	for i := range s.Approvals {
		a := &s.Approvals[i]
		who, by, err := g.approval(owner, a, s.Event, left)
		switch {
		case err != nil:
			return api.Errorf("keylog.parse", api.KindOf(err), "approval %d: %w", i, err)
		case i > 0 && bytes.Compare(last[:], who[:]) >= 0:
			return badLog("approval %d: want strictly ascending order of commitments", i)
		case slices.Contains(seen, by):
			return badLog("approval %d: %s approves twice", i, by)
		}
		last, seen = who, append(seen, by)
	}
	return nil
}

// approval checks one approval and returns whose it is.
func (g *Guardians) approval(owner api.DID, a *approvalForm, event []byte, left *budget) (api.Hash, api.DID, error) {
	if len(a.Salt) != saltSize || len(a.Auth) > maxGuardianAuth {
		return api.Hash{}, "", badLog("salt of %d bytes and auth of %d: want %d and at most %d", len(a.Salt), len(a.Auth), saltSize, maxGuardianAuth)
	}
	auth, err := parseAuth(a.Auth, left)
	if err != nil {
		return api.Hash{}, "", err
	}
	who := GuardianCommitment(Salt(a.Salt), auth.DID)
	if !slices.Contains(g.Commitments, who) {
		return api.Hash{}, auth.DID, badLog("%s is no guardian by this salt", auth.DID)
	}
	if auth.DID == owner {
		return api.Hash{}, auth.DID, badLog("%s guards itself", owner)
	}
	fits, err := left.verify(auth.Device, approvalWords(event), a.Signature)
	if err == nil && !fits {
		err = badLog("the signature of %s does not fit", auth.DID)
	}
	return who, auth.DID, err
}

// approvalWords is what a guardian's device signs.
func approvalWords(event []byte) []byte { return append([]byte(approvalTag), event...) }
