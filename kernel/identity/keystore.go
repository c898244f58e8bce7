package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/intercooperative/icn/kernel/api"
)

// KeystoreFile is the name of the keystore in a data directory.
const KeystoreFile = "keystore.age"

// The work factors of scrypt, as powers of two: 18 takes about a second and 256 MiB, each step up doubles both.
const (
	DefaultWorkFactor = 18
	MaxWorkFactor     = 22 // a file that asks for more is refused: it would stop the machine
)

// The bounds of a keystore's file, against one that is not ours.
const (
	keystoreVersion = 1
	maxKeystore     = 64 << 10
)

// ErrPassphrase is the error of a wrong passphrase. Its kind is api.Invalid.
var ErrPassphrase = api.Errorf("keystore.open", api.Invalid, "wrong passphrase")

// payload is the plain text of the keystore. The DID stands there for people, and is checked.
type payload struct {
	Version int     `json:"version"`
	DID     api.DID `json:"did"`
	Root    string  `json:"root_seed"`
	Device  string  `json:"device_seed"`
	Node    string  `json:"node_seed"`
}

// Create makes a new Identity and keeps it in dir, which it creates if need be for the owner alone. The passphrase must have
// MinPassphrase characters; a work factor of 0 is the default. A keystore that is there already is never overwritten: that is
// api.Conflict. When Create returns without an error the file is on the disk for good.
func Create(dir string, passphrase []byte, workFactor int) (*Identity, error) {
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
	id, err := Generate(rand.Reader)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	sealed, err := id.seal(passphrase, workFactor)
	if err == nil {
		err = writeNew(path, sealed)
	}
	if err != nil {
		id.Close()
		return nil, api.Wrap(op, err)
	}
	return id, nil
}

// Open reads the keystore in dir. A wrong passphrase is ErrPassphrase, no keystore api.NotFound; a file that others can read, that is
// damaged or that asks for more than MaxWorkFactor is api.Invalid, one of a newer build api.Unsupported.
func Open(dir string, passphrase []byte) (*Identity, error) {
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
	return id, nil
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
	text := func(k []byte) string { return hex.EncodeToString(k[:32]) } // a private key starts with its seed
	plain, err := json.MarshalIndent(payload{
		Version: keystoreVersion, DID: id.did, Root: text(id.seed.root), Device: text(id.seed.device), Node: text(id.seed.node),
	}, "", "  ")
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
	by, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	by.SetMaxWorkFactor(MaxWorkFactor)
	var src io.Reader = bytes.NewReader(sealed)
	if bytes.HasPrefix(sealed, []byte(armor.Header)) {
		src = armor.NewReader(src)
	}
	r, err := age.Decrypt(src, by)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxKeystore))
}

func parsePayload(plain []byte) (*Identity, error) {
	bad := func(why string) error { return api.Errorf("keystore.open", api.Invalid, "damaged: %s", why) }
	var v struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(plain, &v) != nil { // its error could quote the secrets
		return nil, bad("not JSON")
	}
	if v.Version != keystoreVersion {
		return nil, api.Errorf("keystore.open", api.Unsupported, "keystore of version %d: this build reads %d", v.Version, keystoreVersion)
	}
	var p payload
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil {
		return nil, bad("unknown fields")
	}
	var raw [3][]byte
	defer func() {
		for _, b := range raw {
			clear(b)
		}
	}()
	for i, s := range []string{p.Root, p.Device, p.Node} {
		b, err := hex.DecodeString(s)
		if raw[i] = b; err != nil || len(b) != 32 {
			return nil, bad("a seed is not 64 hexadecimal digits")
		}
	}
	id, err := fromSeeds(raw[0], raw[1], raw[2])
	if err != nil {
		return nil, bad("two seeds are equal")
	}
	if id.did != p.DID {
		id.Close()
		return nil, bad("the DID does not fit the root seed")
	}
	return id, nil
}

func errExists(path string) error {
	return api.Errorf("keystore.create", api.Conflict, "%s exists: it holds the only copy of its keys and is never overwritten", path)
}

// makeDir creates dir for its owner alone. One that is there may be readable by others, but not writable: who can rename files in it can
// replace the keystore.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if perm := info.Mode().Perm(); checkModes && perm&0o022 != 0 {
		return api.Errorf("keystore.dir", api.Invalid, "%s can be written by others (mode %04o): chmod 700 %s", dir, perm, dir)
	}
	return nil
}

// checkModes is whether file modes mean anything here.
const checkModes = runtime.GOOS != "windows"

// readPrivate reads a file that nobody else may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf("keystore.open", api.NotFound, "%s does not exist: create it with `icnd init`", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what stands at the path by now
	if err != nil {
		return nil, err
	}
	switch perm := info.Mode().Perm(); {
	case !info.Mode().IsRegular():
		return nil, api.Errorf("keystore.open", api.Invalid, "%s is not a file", path)
	case checkModes && perm&0o077 != 0:
		return nil, api.Errorf("keystore.open", api.Invalid, "%s can be read by others (mode %04o): chmod 600 %s", path, perm, path)
	case info.Size() > maxKeystore:
		return nil, api.Errorf("keystore.open", api.Invalid, "%s has %d bytes: a keystore has at most %d", path, info.Size(), maxKeystore)
	}
	return io.ReadAll(io.LimitReader(f, maxKeystore))
}

// writeNew puts b at path, whole or not at all, where nothing stands yet, and durably.
func writeNew(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keystore-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // what stays after a crash is encrypted
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	switch err := os.Link(f.Name(), path); { // unlike a rename, a link replaces nothing
	case errors.Is(err, fs.ErrExist):
		return errExists(path)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission): // a file system without links
		if _, err := os.Lstat(path); err == nil {
			return errExists(path)
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	// The directory may be new too.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
