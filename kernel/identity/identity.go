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

// Identity is a root, a device and a node key. It is safe for concurrent use; Close it when done.
type Identity struct {
	did     api.DID
	device  api.Key
	nodeKey api.Key
	auth    []byte

	mu   sync.RWMutex // seeds against Close
	seed *seeds       // nil once closed
}

// seeds are the secrets: the 32-byte Ed25519 seeds of RFC 8032, and the keys expanded from them.
type seeds struct {
	root, device, node ed25519.PrivateKey
}

func (s *seeds) wipe() {
	for _, k := range []ed25519.PrivateKey{s.root, s.device, s.node} {
		clear(k)
	}
}

// Generate makes a new Identity from 96 bytes of randomness; rand must be cryptographically secure, such as crypto/rand.Reader.
func Generate(rand io.Reader) (*Identity, error) {
	b := make([]byte, 3*ed25519.SeedSize)
	defer clear(b)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, api.Errorf("identity.generate", api.Internal, "read randomness: %w", err)
	}
	return fromSeeds(b[:32], b[32:64], b[64:])
}

// fromSeeds expands three seeds. They must differ: a key has one purpose.
func fromSeeds(root, device, node []byte) (*Identity, error) {
	if string(root) == string(device) || string(root) == string(node) || string(device) == string(node) {
		return nil, api.Errorf("identity", api.Invalid, "root, device and node keys must differ")
	}
	s := &seeds{ed25519.NewKeyFromSeed(root), ed25519.NewKeyFromSeed(device), ed25519.NewKeyFromSeed(node)}
	id := &Identity{did: record.DIDOf(public(s.root)), device: public(s.device), nodeKey: public(s.node), seed: s}
	var err error
	if id.auth, err = record.SignKeyEvent(s.root, id.device); err != nil {
		s.wipe()
		return nil, api.Wrap("identity", err)
	}
	return id, nil
}

func public(k ed25519.PrivateKey) api.Key { return api.Key(k.Public().(ed25519.PublicKey)) }

// DID returns who the identity is: the one spelling of the root key.
func (id *Identity) DID() api.DID { return id.did }

// Device returns the public device key, and Node the public node key.
func (id *Identity) Device() api.Key { return id.device }

// Node returns the public node key.
func (id *Identity) Node() api.Key { return id.nodeKey }

// Signer returns the signer of the device. It signs until the Identity is closed, then its Sign fails with api.Unavailable.
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
	return nil
}

// signer is an Identity as an api.Signer: a type of its own, so that an Identity in hand is not mistaken for a licence to sign.
type signer Identity

var _ api.Signer = (*signer)(nil)

func (s *signer) DID() api.DID    { return s.did }
func (s *signer) Device() api.Key { return s.device }
func (s *signer) Auth() []byte    { return slices.Clone(s.auth) }

func (s *signer) Sign(message []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.seed == nil {
		return nil, api.Errorf("identity.sign", api.Unavailable, "the identity is closed")
	}
	return ed25519.Sign(s.seed.device, message), nil
}

// Derive returns the signer that belongs to (seed, label): always the same keys for the same words. Whoever knows the words holds the
// keys, so it is for tests, simulations and test spaces only, never for people.
func Derive(seed, label string) api.Signer {
	root := ed25519.NewKeyFromSeed(deriveSeed("root", seed, label))
	device := ed25519.NewKeyFromSeed(deriveSeed("device", seed, label))
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
