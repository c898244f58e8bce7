package record

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/crypto/hybrid"
	"github.com/intercooperative/icn/kernel/api"
)

// Limits of a key event log.
const (
	MaxAuth       = 48 << 10 // bytes of an Auth, hence of a log
	MaxEvents     = 64       // events of a log
	MaxDevices    = 32       // devices at a time
	MaxGuardians  = 16
	MaxHomes      = 8
	MaxDelay      = 365 * 24 // hours that a recovery waits
	MaxSignatures = 128      // signatures that one Auth may ask to verify, those of guardians included
)

// EventKind is what an event of a key event log does. Its number travels.
type EventKind uint8

// The kinds of events.
const (
	Inception    EventKind = iota // the first event: the root key names a device and commits to the next key
	DeviceChange                  // the key in charge adds and removes devices, and nothing else
	Rotation                      // the key that was committed to takes charge
	Recovery                      // the guardians put a key in charge
)

// String returns the lower-case name.
func (k EventKind) String() string {
	if names := [...]string{"inception", "devices", "rotation", "recovery"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Role is what a device is to its DID; what follows from it is not this package's matter. Its number travels.
type Role uint8

// The roles. A DID has at most one primary device at a time.
const (
	Primary   Role = 1
	Secondary Role = 2
)

// String returns the lower-case name.
func (r Role) String() string {
	switch r {
	case Primary:
		return "primary"
	case Secondary:
		return "secondary"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{Primary, Secondary} {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, api.Errorf("role.parse", api.Invalid, "role %q: want primary or secondary", clip(s))
}

// Device is a device key with its role.
type Device struct {
	Key  api.Key
	Role Role
}

// Guardians are those of whom Threshold together can put a new key in charge. They are named by GuardianCommitment, so that who they are shows
// only when they act. The zero value is none.
type Guardians struct {
	Threshold   uint8
	Delay       uint16     // hours between a recovery's becoming known and its effect; those who make it final watch it
	Commitments []api.Hash // strictly ascending
}

// Terms are what comes with a key in charge. Only events that the key in charge cannot make, and the inception, set them: a thief of that key must
// not name guardians of his own.
type Terms struct {
	Next      api.Hash // ControlPublic.Commitment of the next key; zero when there is none, and then no rotation
	Guardians Guardians
	Homes     []api.Hash // spaces whose witnesses make events final, strictly ascending
}

// Event is a decoded event of a log.
type Event struct {
	ID      api.Hash // SHA-256 of the event's bytes
	Version uint16   // 1 is an inception that commits to nothing
	DID     api.DID
	Seq     uint64   // from 0
	Prev    api.Hash // ID of the event before; zero at Seq 0
	Kind    EventKind
	Control ControlPublic // the key in charge from here on
	Terms                 // zero at a DeviceChange: those before hold
	Add     []Device      // ascending by key; a known key with another role changes role
	Remove  []api.Key     // ascending
}

// Log is the key event log of a DID, or a prefix of it: verified, with at least its inception. It is immutable and safe for concurrent use; what its
// methods return must not be modified.
//
// A log proves who controls the DID to whoever has it, with nothing else at hand. It does not prove that there is no longer one, nor another: see
// Compare.
type Log struct {
	signed []signedForm
	events []Event
	state
}

// state is what a log comes to.
type state struct {
	root    api.Key
	control ControlPublic
	hybrid  *hybrid.PublicKey // parsed, nil for none
	terms   Terms
	devices []Device  // ascending by key
	removed []api.Key // ascending
}

// DID returns whose log it is.
func (l *Log) DID() api.DID { return l.events[0].DID }

// Events returns the events, the inception first.
func (l *Log) Events() []Event { return l.events }

// Head returns the last event.
func (l *Log) Head() Event { return l.events[len(l.events)-1] }

// Control returns the key in charge.
func (l *Log) Control() ControlPublic { return l.control }

// Terms returns what the key in charge came with.
func (l *Log) Terms() Terms { return l.terms }

// Devices returns the devices that may sign now, ascending by key.
func (l *Log) Devices() []Device { return l.devices }

// Role returns the role of a device that may sign now.
func (l *Log) Role(device api.Key) (Role, bool) {
	i, found := findDevice(l.devices, device)
	if !found {
		return 0, false
	}
	return l.devices[i].Role, true
}

// Removed returns the devices that once could sign, ascending. They never come back.
func (l *Log) Removed() []api.Key { return l.removed }

// Prefix returns the log of the first n events, 1 to len(Events()).
func (l *Log) Prefix(n int) (*Log, error) {
	if n < 1 || n > len(l.events) {
		return nil, api.Errorf("keylog.prefix", api.Invalid, "%d events: want 1 to %d", n, len(l.events))
	}
	p := &Log{signed: l.signed[:n:n], events: l.events[:n:n]}
	for i := range p.events {
		if err := p.apply(&p.events[i]); err != nil { // verified before
			return nil, err
		}
	}
	return p, nil
}

// Settled returns the log up to its newest rotation or recovery, nil when it has none. All that comes after is a change of devices, which whoever has
// stolen the key in charge can write, too.
func (l *Log) Settled() *Log {
	for n := len(l.events); n > 0; n-- {
		if established(l.events[n-1 : n]) {
			p, err := l.Prefix(n)
			if err != nil { // verified before
				return nil
			}
			return p
		}
	}
	return nil
}

// Primary returns the primary device, zero when there is none.
func (l *Log) Primary() api.Key {
	for _, d := range l.devices {
		if d.Role == Primary {
			return d.Key
		}
	}
	return api.Key{}
}

// Relation is how two logs stand to each other.
type Relation uint8

// The relations of a log a to a log b.
const (
	Unrelated Relation = iota // of two DIDs
	Same                      // the same events
	Ahead                     // a extends b
	Behind                    // b extends a
	Forked                    // both go on, differently, from the same events: whoever has both can prove it
)

// String returns the lower-case name.
func (r Relation) String() string {
	return [...]string{"unrelated", "same", "ahead", "behind", "forked"}[min(r, Forked)]
}

// Compare returns how a stands to b, and how many events they have in common. Two logs that are Forked are the evidence that whoever controls the
// DID, or stole it, wrote two events for one place. Signatures are not compared: they have been verified.
func Compare(a, b *Log) (r Relation, common int) {
	if a.DID() != b.DID() {
		return Unrelated, 0
	}
	for common < min(len(a.events), len(b.events)) && a.events[common].ID == b.events[common].ID {
		common++
	}
	switch moreA, moreB := len(a.events) > common, len(b.events) > common; {
	case moreA && moreB:
		return Forked, common
	case moreA:
		return Ahead, common
	case moreB:
		return Behind, common
	}
	return Same, common
}

// Outranks reports whether a, which has forked from b, goes before it whatever came first: a rotates or is recovered beyond the fork and b is not, so
// b is no more than what a thief of the key in charge can write, and a is more. When neither outranks the other, those who make events final decide.
func Outranks(a, b *Log) bool {
	r, common := Compare(a, b)
	return r == Forked && common > 0 && established(a.events[common:]) && !established(b.events[common:])
}

func established(es []Event) bool {
	return slices.ContainsFunc(es, func(e Event) bool { return e.Kind == Rotation || e.Kind == Recovery })
}

func findDevice(ds []Device, k api.Key) (int, bool) {
	return slices.BinarySearchFunc(ds, k, func(d Device, k api.Key) int { return bytes.Compare(d.Key[:], k[:]) })
}

func compareKeys(a, b api.Key) int { return bytes.Compare(a[:], b[:]) }
