package membership

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"unicode"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Record kinds.
const (
	kindGenesis = "genesis"
	kindInvite  = "invite"
	kindAdmit   = "admit"
	kindJoin    = "join"
	kindDevice  = "device"
	kindRemove  = "remove"
	kindOffice  = "office"
	kindProfile = "profile"
)

// Bounds of a genesis and of invitations. Lengths are bytes.
const (
	maxName       = 80
	nonceSize     = 16
	maxFounders   = 64
	maxCurrencies = 16
	maxOffices    = 16
	maxCode       = 16
	maxScale      = 6
	maxUses       = 10000
	maxReason     = 256
	maxOffice     = 32
	maxAlias      = 64
	maxAbout      = 1024
)

// Kinds are the kinds of spaces.
var kinds = [...]string{"cooperative", "community", "federation", "personal"}

// genesis is the body of the record that founds a space.
type genesis struct {
	_          struct{} `cbor:",toarray"`
	Name       string
	Kind       string
	Nonce      []byte // makes two spaces of one name two
	Test       bool
	Founders   []fact.Founder // ascending by DID
	Witnesses  []api.Key      // ascending
	Threshold  uint16
	Faulty     uint16
	Offices    []office   // ascending by name
	Currencies []currency // ascending by code
}

type office struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	DID    api.DID
	Device api.Key
}

type currency struct {
	_     struct{} `cbor:",toarray"`
	Code  string
	Scale uint8
	Limit int64 `say:"amount,code"` // default credit limit, minor units
	P     int64 `say:"amount,code"`
}

// invite announces an invitation: who signs with the key's private half may join.
type invite struct {
	_       struct{} `cbor:",toarray"`
	Key     api.Key
	Uses    uint32
	Expires int64 `say:"millis"` // Unix milliseconds
}

// join asks for admission.
type join struct {
	_         struct{} `cbor:",toarray"`
	Key       api.Key  // the invitation's
	DID       api.DID
	Device    api.Key
	Signature []byte // by Key over joinMessage
}

// admit admits a member.
type admit struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Device api.Key
	Number uint64 // founders have the first numbers
}

// device gives a member another device, which continues what the one before has written.
type device struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Device api.Key
}

// remove ends a membership.
type remove struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Reason string
}

// officeHand gives an office to its Number-th holder.
type officeHand struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	DID    api.DID
	Device api.Key
	Number uint64
}

// profile says how a member wants to be called. It names nobody: two members may have one name.
type profile struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	About string
	Area  string
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}

func (g *genesis) check() error {
	switch {
	case !text(g.Name, maxName):
		return fmt.Errorf("name: want 1 to %d bytes of printable text, not starting or ending in space", maxName)
	case !knownKind(g.Kind):
		return fmt.Errorf("kind %q: want one of %s", clip(g.Kind), strings.Join(kinds[:], ", "))
	case len(g.Nonce) != nonceSize:
		return fmt.Errorf("nonce of %d bytes: want %d", len(g.Nonce), nonceSize)
	case len(g.Founders) == 0 || len(g.Founders) > maxFounders:
		return fmt.Errorf("%d founders: want 1 to %d", len(g.Founders), maxFounders)
	}
	if err := fact.CheckQuorum(len(g.Witnesses), int(g.Threshold), int(g.Faulty)); err != nil {
		return err
	}
	switch {
	case len(g.Offices) > maxOffices:
		return fmt.Errorf("%d offices: at most %d", len(g.Offices), maxOffices)
	case len(g.Currencies) == 0 || len(g.Currencies) > maxCurrencies:
		return fmt.Errorf("%d currencies: want 1 to %d", len(g.Currencies), maxCurrencies)
	}
	for i, m := range g.Founders {
		if i > 0 && g.Founders[i-1].DID >= m.DID {
			return fmt.Errorf("founders: want strictly ascending order of DID")
		}
		if err := identity(m.DID, m.Device); err != nil {
			return fmt.Errorf("founder %d: %w", i, err)
		}
	}
	if err := fact.CheckWitnesses(g.Witnesses); err != nil {
		return err
	}
	held := map[string]bool{}
	for i, o := range g.Offices {
		if i > 0 && g.Offices[i-1].Name >= o.Name {
			return fmt.Errorf("offices: want strictly ascending order of name")
		}
		if !code(o.Name, maxOffice) {
			return fmt.Errorf("office %q: want 1 to %d of a-z 0-9 -", clip(o.Name), maxOffice)
		}
		if err := identity(o.DID, o.Device); err != nil {
			return fmt.Errorf("office %s: %w", o.Name, err)
		}
		held[o.Name] = true
	}
	for _, name := range [...]string{fact.Registrar, fact.Clerk, fact.Treasury} {
		if !held[name] {
			return fmt.Errorf("offices: %s is missing", name)
		}
	}
	for i, c := range g.Currencies {
		switch {
		case i > 0 && g.Currencies[i-1].Code >= c.Code:
			return fmt.Errorf("currencies: want strictly ascending order of code")
		case !code(c.Code, maxCode):
			return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(c.Code), maxCode)
		case c.Scale > maxScale:
			return fmt.Errorf("currency %s: scale %d: want 0 to %d", c.Code, c.Scale, maxScale)
		case c.Limit < 0 || c.P < 0:
			return fmt.Errorf("currency %s: limit %d, p %d: want 0 or more", c.Code, c.Limit, c.P)
		}
	}
	return nil
}

func (h *officeHand) check() error {
	switch {
	case !code(h.Name, maxOffice):
		return fmt.Errorf("office %q: want 1 to %d of a-z 0-9 -", clip(h.Name), maxOffice)
	case h.Number < 2:
		return fmt.Errorf("number %d: the genesis names the first holder, want 2 or more", h.Number)
	}
	return identity(h.DID, h.Device)
}

func (p *profile) check() error {
	switch {
	case !text(p.Name, maxAlias):
		return fmt.Errorf("name %q: want 1 to %d bytes of printable text, not starting or ending in space", clip(p.Name), maxAlias)
	case p.About != "" && !text(p.About, maxAbout):
		return fmt.Errorf("about: want at most %d bytes of printable text, not starting or ending in space", maxAbout)
	case p.Area != "" && !text(p.Area, maxAlias):
		return fmt.Errorf("area %q: want at most %d bytes of printable text, not starting or ending in space", clip(p.Area), maxAlias)
	}
	return nil
}

func (rm *remove) check() error {
	if !text(rm.Reason, maxReason) {
		return fmt.Errorf("reason: want 1 to %d bytes of printable text, not starting or ending in space", maxReason)
	}
	_, err := record.ParseDID(string(rm.DID))
	return err
}

func (i *invite) check() error {
	if i.Uses == 0 || i.Uses > maxUses {
		return fmt.Errorf("uses %d: want 1 to %d", i.Uses, maxUses)
	}
	if i.Expires <= 0 {
		return fmt.Errorf("expires %d: want Unix milliseconds", i.Expires)
	}
	return record.CheckKey(i.Key)
}

func (j *join) check() error {
	if len(j.Signature) != ed25519.SignatureSize {
		return fmt.Errorf("signature of %d bytes: want %d", len(j.Signature), ed25519.SignatureSize)
	}
	if err := record.CheckKey(j.Key); err != nil {
		return err
	}
	return identity(j.DID, j.Device)
}

// valid reports whether the invitation's key signed this join for space.
func (j *join) valid(space api.Hash) bool {
	return record.Verify(j.Key, joinMessage(space, j.DID, j.Device), j.Signature)
}

func (a *admit) check() error {
	if a.Number == 0 {
		return fmt.Errorf("number 0: numbers start at 1")
	}
	return identity(a.DID, a.Device)
}

func (d *device) check() error { return identity(d.DID, d.Device) }

// joinMessage is what an invitation's key signs. The tag keeps it apart from all else that is signed.
func joinMessage(space api.Hash, did api.DID, device api.Key) []byte {
	return codec.MustMarshal(&struct {
		_       struct{} `cbor:",toarray"`
		Tag     string
		Version uint16
		Space   api.Hash
		DID     api.DID
		Device  api.Key
	}{Tag: "icn-join", Version: 1, Space: space, DID: did, Device: device})
}

func identity(did api.DID, device api.Key) error {
	if _, err := record.ParseDID(string(did)); err != nil {
		return err
	}
	return record.CheckKey(device)
}

func knownKind(k string) bool {
	for _, known := range kinds {
		if k == known {
			return true
		}
	}
	return false
}

// code reports whether s is 1 to most of a-z 0-9 -.
func code(s string, most int) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most
}

// text reports whether s is 1 to most bytes that print on one line and do not begin or end in space.
func text(s string, most int) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most && strings.TrimSpace(s) == s
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
