package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Identity is who a node signs for: a key event log, and the keys of one device and one node. It may hold the key in charge of the log, with which it
// changes devices; it never holds the next one (see Phrase). It is safe for concurrent use; Close it when done.
type Identity struct {
	device  api.Key
	nodeKey api.Key
	used    bool // the device key may have signed records

	mu     sync.RWMutex
	seed   *seeds      // nil once closed
	log    *record.Log // nil for a new device that nobody has added yet
	auth   []byte      // log's for device; nil while the log does not let it sign: the identity waits
	phrase *Phrase     // until TakePhrase
}

// seeds are the secrets: the 32-byte Ed25519 seeds of RFC 8032, and the keys expanded from them.
type seeds struct {
	control      ed25519.PrivateKey // the key in charge; of an identity that waits for guardians the one that will be; nil where another device has it
	device, node ed25519.PrivateKey
}

func (s *seeds) wipe() {
	for _, k := range []ed25519.PrivateKey{s.control, s.device, s.node} {
		clear(k)
	}
}

// Generate makes a new Identity from 96 bytes of randomness; rand must be cryptographically secure, such as crypto/rand.Reader. Its log is an
// inception that commits to the next key of a new recovery phrase, which TakePhrase returns.
func Generate(rand io.Reader) (*Identity, error) {
	const op = "identity.generate"
	b := make([]byte, 3*ed25519.SeedSize)
	defer clear(b)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, api.Errorf(op, api.Internal, "read randomness: %w", err)
	}
	if err := differ(b[:32], b[32:64], b[64:]); err != nil {
		return nil, err
	}
	p := newPhrase(b[:32])
	id := newIdentity(p.control(0), b[32:64], b[64:])
	id.phrase = p
	if err := id.incept(); err != nil {
		id.Close()
		return nil, api.Wrap(op, err)
	}
	return id, nil
}

// incept starts the log of a new identity.
func (id *Identity) incept() error {
	next, err := id.phrase.public(1, false)
	if err != nil {
		return err
	}
	k, err := record.NewControlKey(id.seed.control, false)
	if err != nil {
		return err
	}
	l, err := record.Incept(k, record.Terms{Next: next.Commitment()}, record.Device{Key: id.device, Role: record.Primary})
	if err != nil {
		return err
	}
	return id.take(l)
}

// differ refuses seeds that are equal: a key has one purpose.
func differ(control, device, node []byte) error {
	if string(control) == string(device) || string(control) == string(node) || string(device) == string(node) {
		return api.Errorf("identity", api.Invalid, "control, device and node keys must differ")
	}
	return nil
}

// newIdentity expands the seeds of a device and a node; control may be nil, and is kept.
func newIdentity(control ed25519.PrivateKey, device, node []byte) *Identity {
	s := &seeds{control: control, device: ed25519.NewKeyFromSeed(device), node: ed25519.NewKeyFromSeed(node)}
	return &Identity{device: public(s.device), nodeKey: public(s.node), seed: s}
}

// take makes l the log. Callers hold mu, or nobody else has the identity.
func (id *Identity) take(l *record.Log) error {
	auth, err := l.Auth(id.device)
	if err != nil {
		return err
	}
	id.log, id.auth = l, auth
	return nil
}

func public(k ed25519.PrivateKey) api.Key { return api.Key(k.Public().(ed25519.PublicKey)) }

// DID returns who the identity is: the one spelling of the root key. It is empty for a new device that nobody has added yet.
func (id *Identity) DID() api.DID {
	if l := id.Log(); l != nil {
		return l.DID()
	}
	return ""
}

// Log returns the key event log as this identity knows it, nil for a new device that nobody has added yet.
func (id *Identity) Log() *record.Log {
	id.mu.RLock()
	defer id.mu.RUnlock()
	return id.log
}

// Waiting reports whether the device may not sign yet: its log does not have it.
func (id *Identity) Waiting() bool {
	id.mu.RLock()
	defer id.mu.RUnlock()
	return id.auth == nil
}

// InCharge reports whether the identity holds the key in charge of its log.
func (id *Identity) InCharge() bool {
	id.mu.RLock()
	defer id.mu.RUnlock()
	return id.inCharge()
}

func (id *Identity) inCharge() bool {
	return id.seed != nil && id.seed.control != nil && id.log != nil && public(id.seed.control) == id.log.Control().Key
}

// TakePhrase returns the recovery phrase of an identity that was just made, once; nil after that, and for an identity that was opened: the keystore
// does not have it. The caller shows it and wipes it.
func (id *Identity) TakePhrase() *Phrase {
	id.mu.Lock()
	defer id.mu.Unlock()
	p := id.phrase
	id.phrase = nil
	return p
}

// Used reports whether the device key may have signed records, in a store that is not the one at hand: the identity was opened from a keystore without
// the mark of a new one (see MarkUsed).
func (id *Identity) Used() bool { return id.used }

// Device returns the public device key, and Node the public node key.
func (id *Identity) Device() api.Key { return id.device }

// Node returns the public node key.
func (id *Identity) Node() api.Key { return id.nodeKey }

// Signer returns the signer of the device; its Auth is of the log as it is at each call. It signs until the Identity is closed, then its Sign fails
// with api.Unavailable, as it does while the identity waits.
func (id *Identity) Signer() api.Signer { return (*signer)(id) }

// NodeKey returns the node's private key, for the transport to own; nil once the Identity is closed.
func (id *Identity) NodeKey() ed25519.PrivateKey {
	id.mu.RLock()
	defer id.mu.RUnlock()
	if id.seed == nil {
		return nil
	}
	return slices.Clone(id.seed.node)
}

// Close wipes the private keys, best effort. It may be called twice.
func (id *Identity) Close() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.seed != nil {
		id.seed.wipe()
		id.seed = nil
	}
	if id.phrase != nil {
		id.phrase.Wipe()
		id.phrase = nil
	}
	return nil
}

// signer is an Identity as an api.Signer: a type of its own, so that an Identity in hand is not mistaken for a licence to sign.
type signer Identity

var _ api.Signer = (*signer)(nil)

func (s *signer) DID() api.DID    { return (*Identity)(s).DID() }
func (s *signer) Device() api.Key { return s.device }

func (s *signer) Auth() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.auth)
}

func (s *signer) Sign(message []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.seed == nil {
		return nil, api.Errorf("identity.sign", api.Unavailable, "the identity is closed")
	}
	if s.auth == nil {
		return nil, api.Errorf("identity.sign", api.Unavailable, "device %s waits to be added to a key event log", s.device)
	}
	return ed25519.Sign(s.seed.device, message), nil
}

// Derive returns the signer that belongs to (seed, label): always the same keys for the same words. Whoever knows the words holds the
// keys, so it is for tests, simulations and test spaces only, never for people.
func Derive(seed, label string) api.Signer { return derive(seed, label, "device") }

// DeriveDevice is Derive for a further device of the same DID, by its name.
func DeriveDevice(seed, label, name string) api.Signer { return derive(seed, label, "device/"+name) }

func derive(seed, label, purpose string) api.Signer {
	root := ed25519.NewKeyFromSeed(deriveSeed("root", seed, label))
	device := ed25519.NewKeyFromSeed(deriveSeed(purpose, seed, label))
	auth, err := record.SignKeyEvent(root, public(device))
	if err != nil {
		panic(err) // fixed types: they always encode
	}
	return &derived{did: record.DIDOf(public(root)), device: public(device), auth: auth, key: device}
}

// deriveSeed hashes the words with their lengths, so that no two triples of words share a key.
func deriveSeed(purpose, seed, label string) []byte {
	h := sha256.New()
	for _, s := range []string{"icn-derived-test-key", purpose, seed, label} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		io.WriteString(h, s)
	}
	return h.Sum(nil)
}

type derived struct {
	did    api.DID
	device api.Key
	auth   []byte
	key    ed25519.PrivateKey
}

func (d *derived) DID() api.DID                        { return d.did }
func (d *derived) Device() api.Key                     { return d.device }
func (d *derived) Auth() []byte                        { return slices.Clone(d.auth) }
func (d *derived) Sign(message []byte) ([]byte, error) { return ed25519.Sign(d.key, message), nil }
