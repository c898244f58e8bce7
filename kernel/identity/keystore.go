package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// KeystoreFile is the name of the keystore in a data directory.
const KeystoreFile = "keystore.age"

// unusedFile stands beside a keystore whose device key has signed no record yet, and names the key. A copy of the keystore alone is without it.
const unusedFile = "keystore.unused"

// The work factors of scrypt, as powers of two: 18 takes about a second and 256 MiB, each step up doubles both.
const (
	DefaultWorkFactor = 18
	MaxWorkFactor     = 22 // a file that asks for more is refused: it would stop the machine
)

// The bounds of a keystore's file, against one that is not ours.
const (
	keystoreVersion = 2
	maxKeystore     = 192 << 10 // a log of record.MaxAuth, twice in base64
)

// ErrPassphrase is the error of a wrong passphrase. Its kind is api.Invalid.
var ErrPassphrase = api.Errorf("keystore.open", api.Invalid, "wrong passphrase")

// payload is the plain text of the keystore. The DID stands there for people, and is checked. A keystore of version 1 has a root seed, and its log is the
// one event that it makes; a later one has the log, and the seed of the key in charge where it is this device's to hold. No version has the next key's.
type payload struct {
	Version int     `json:"version"`
	DID     api.DID `json:"did,omitempty"`
	Root    string  `json:"root_seed,omitempty"` // version 1
	Log     []byte  `json:"log,omitempty"`
	Control string  `json:"control_seed,omitempty"`
	Device  string  `json:"device_seed"`
	Node    string  `json:"node_seed"`
}

// Create makes a new Identity and keeps it in dir, which it creates if need be for the owner alone. The passphrase must have
// MinPassphrase characters; a work factor of 0 is the default. A keystore that is there already is never overwritten: that is
// api.Conflict. When Create returns without an error the file is on the disk for good.
//
// Its recovery phrase, which TakePhrase returns, stands nowhere else.
func Create(dir string, passphrase []byte, workFactor int) (*Identity, error) {
	return CreateWith(dir, passphrase, workFactor, func() (*Identity, error) { return Generate(rand.Reader) })
}

// CreateWith is Create of the Identity that make returns: a new device's, a restored one, one that asks guardians. It closes it on error.
func CreateWith(dir string, passphrase []byte, workFactor int, make func() (*Identity, error)) (*Identity, error) {
	const op = "keystore.create"
	if workFactor == 0 {
		workFactor = DefaultWorkFactor
	}
	if workFactor < 1 || workFactor > MaxWorkFactor {
		return nil, api.Errorf(op, api.Invalid, "work factor %d: want 1 to %d", workFactor, MaxWorkFactor)
	}
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, api.Wrap(op, err)
	}
	if err := makeDir(dir); err != nil {
		return nil, api.Wrap(op, err)
	}
	path := filepath.Join(dir, KeystoreFile)
	// Asked before a second of scrypt; the answer that counts comes from writeNew.
	if _, err := os.Lstat(path); err == nil {
		return nil, errExists(path)
	}
	id, err := make()
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	sealed, err := id.seal(passphrase, workFactor)
	if err == nil { // first the mark: a keystore without it does not start on an empty store
		err = os.WriteFile(filepath.Join(dir, unusedFile), []byte(id.device.String()+"\n"), 0o600)
	}
	if err == nil {
		err = writeNew(path, sealed)
	}
	if err != nil {
		id.Close()
		return nil, api.Wrap(op, err)
	}
	return id, nil
}

// MarkUsed says for good that the device key of the keystore in dir may have signed records. Whoever opens a store for it does so once the store knows
// the key, and before anything is signed.
func MarkUsed(dir string) error {
	err := os.Remove(filepath.Join(dir, unusedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(dir)
	}
	return api.Wrap("keystore.used", err)
}

// unused reports whether the keystore in dir is marked as one whose device key, this one, has signed nothing.
func unused(dir string, device api.Key) bool {
	b, err := os.ReadFile(filepath.Join(dir, unusedFile))
	return err == nil && string(b) == device.String()+"\n"
}

// Open reads the keystore in dir. A wrong passphrase is ErrPassphrase, no keystore api.NotFound; a file that others can read, that is
// damaged or that asks for more than MaxWorkFactor is api.Invalid, one of a newer build api.Unsupported. An identity that waits to be added to a log
// is api.Unavailable: it cannot run a node; OpenWaiting opens it.
func Open(dir string, passphrase []byte) (*Identity, error) {
	id, err := OpenWaiting(dir, passphrase)
	if err != nil {
		return nil, err
	}
	if id.Waiting() {
		id.Close()
		return nil, api.Errorf("keystore.open", api.Unavailable, "device %s waits to be added to a key event log: see `icnctl id device join` and `icnctl id recover apply`", id.device)
	}
	return id, nil
}

// OpenWaiting is Open of an identity that may wait.
func OpenWaiting(dir string, passphrase []byte) (*Identity, error) {
	const op = "keystore.open"
	path := filepath.Join(dir, KeystoreFile)
	sealed, err := readPrivate(path)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	plain, err := unseal(sealed, passphrase)
	defer clear(plain)
	if err != nil {
		if errors.Is(err, age.ErrIncorrectIdentity) {
			return nil, wrongIdentity(path, err)
		}
		return nil, api.Errorf(op, api.Invalid, "%s: %w", path, err)
	}
	id, err := parsePayload(plain)
	if err != nil {
		return nil, api.Errorf(op, api.KindOf(err), "%s: %w", path, err)
	}
	id.used = !unused(dir, id.device)
	return id, nil
}

// Save writes the identity to the keystore in dir, in place of the one that Open or Create left there, whole or not at all. The passphrase must be the
// keystore's: it is not a way to change it. A node that runs on the keystore goes on with what it opened.
func Save(dir string, passphrase []byte, id *Identity) error {
	const op = "keystore.save"
	path := filepath.Join(dir, KeystoreFile)
	old, err := readPrivate(path)
	if err != nil {
		return api.Wrap(op, err)
	}
	factor, plain, err := open(old, passphrase)
	clear(plain)
	if err != nil {
		if errors.Is(err, age.ErrIncorrectIdentity) {
			return wrongIdentity(path, err)
		}
		return api.Errorf(op, api.Invalid, "%s: %w", path, err)
	}
	sealed, err := id.seal(passphrase, factor)
	if err == nil {
		err = replace(path, sealed)
	}
	return api.Wrap(op, err)
}

// wrongIdentity tells a wrong passphrase from a file that no passphrase opens.
func wrongIdentity(path string, err error) error {
	var no *age.NoIdentityMatchError
	if errors.As(err, &no) && len(no.StanzaTypes) == 1 && no.StanzaTypes[0] == "scrypt" {
		return ErrPassphrase
	}
	return api.Errorf("keystore.open", api.Invalid, "%s: not encrypted to a passphrase", path)
}

func (id *Identity) seal(passphrase []byte, workFactor int) ([]byte, error) {
	id.mu.RLock()
	defer id.mu.RUnlock()
	if id.seed == nil {
		return nil, api.Errorf("keystore.seal", api.Unavailable, "the identity is closed")
	}
	text := func(k []byte) string { return hex.EncodeToString(k[:32]) } // a private key starts with its seed
	p := payload{Version: keystoreVersion, Device: text(id.seed.device), Node: text(id.seed.node)}
	if id.log != nil {
		p.DID, p.Log = id.log.DID(), id.log.Bytes()
	}
	if id.seed.control != nil {
		p.Control = text(id.seed.control)
	}
	plain, err := json.MarshalIndent(p, "", "  ")
	defer clear(plain)
	if err != nil {
		return nil, err
	}
	to, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(workFactor)
	var out bytes.Buffer
	wrapped := armor.NewWriter(&out)
	w, err := age.Encrypt(wrapped, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close(), wrapped.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// unseal returns the plain text of an age file, armored or not.
func unseal(sealed, passphrase []byte) ([]byte, error) {
	_, plain, err := open(sealed, passphrase)
	return plain, err
}

// open is unseal with the file's work factor.
func open(sealed, passphrase []byte) (factor int, plain []byte, err error) {
	by, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return 0, nil, err
	}
	by.SetMaxWorkFactor(MaxWorkFactor)
	var src io.Reader = bytes.NewReader(sealed)
	if bytes.HasPrefix(sealed, []byte(armor.Header)) {
		src = armor.NewReader(src)
	}
	seen := &factored{Identity: by, factor: DefaultWorkFactor}
	r, err := age.Decrypt(src, seen)
	if err != nil {
		return 0, nil, err
	}
	plain, err = io.ReadAll(io.LimitReader(r, maxKeystore))
	return seen.factor, plain, err
}

// factored is an age identity that notes the work factor it was asked for.
type factored struct {
	age.Identity
	factor int
}

// Unwrap implements age.Identity.
func (f *factored) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type == "scrypt" && len(s.Args) == 2 {
			if n, err := strconv.Atoi(s.Args[1]); err == nil {
				f.factor = n
			}
		}
	}
	return f.Identity.Unwrap(stanzas)
}

func parsePayload(plain []byte) (*Identity, error) {
	bad := func(why string) error { return api.Errorf("keystore.open", api.Invalid, "damaged: %s", why) }
	var v struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(plain, &v) != nil { // its error could quote the secrets
		return nil, bad("not JSON")
	}
	if v.Version != 1 && v.Version != keystoreVersion {
		return nil, api.Errorf("keystore.open", api.Unsupported, "keystore of version %d: this build reads 1 to %d", v.Version, keystoreVersion)
	}
	var p payload
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil {
		return nil, bad("unknown fields")
	}
	if v.Version == 1 && (p.Control != "" || len(p.Log) > 0) || v.Version > 1 && p.Root != "" {
		return nil, bad("fields of another version")
	}
	if v.Version == 1 {
		p.Control = p.Root
	}
	var raw [3][]byte // control, device, node
	defer func() {
		for _, b := range raw {
			clear(b)
		}
	}()
	for i, s := range []string{p.Control, p.Device, p.Node} {
		b, err := hex.DecodeString(s)
		if raw[i] = b; (err != nil || len(b) != 32) && (i > 0 || s != "" || v.Version == 1) {
			return nil, bad("a seed is not 64 hexadecimal digits")
		}
	}
	if differ(raw[0], raw[1], raw[2]) != nil {
		return nil, bad("two seeds are equal")
	}
	var control ed25519.PrivateKey
	if len(raw[0]) > 0 {
		control = ed25519.NewKeyFromSeed(raw[0])
	}
	id := newIdentity(control, raw[1], raw[2])
	if err := id.loadLog(&p); err != nil {
		id.Close()
		return nil, bad(err.Error())
	}
	return id, nil
}

// loadLog finds the log of a keystore's identity.
func (id *Identity) loadLog(p *payload) error {
	if p.Version == 1 {
		b, err := record.SignKeyEvent(id.seed.control, id.device)
		if err != nil {
			return err
		}
		p.Log = b
	}
	if len(p.Log) == 0 {
		if p.DID != "" || id.seed.control != nil {
			return errors.New("a DID without a log")
		}
		return nil
	}
	l, err := record.ParseLog(p.Log)
	if err != nil {
		return err
	}
	if l.DID() != p.DID {
		return errors.New("the DID does not fit the keys")
	}
	if _, found := l.Role(id.device); found {
		return id.take(l)
	}
	id.log = l
	return nil
}
