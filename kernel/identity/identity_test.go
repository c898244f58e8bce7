package identity_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// counting is a reader of 0, 1, 2, ...: fixed randomness.
type counting byte

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(*c)
		*c++
	}
	return len(p), nil
}

func generate(t *testing.T) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(new(counting))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGenerate(t *testing.T) {
	id := generate(t)
	if id.Device() == id.Node() || string(record.DIDOf(id.Device())) == string(id.DID()) {
		t.Error("two of the keys are equal")
	}
	if got := public(id.NodeKey()); got != id.Node() {
		t.Errorf("NodeKey is of %s, Node is %s", got, id.Node())
	}
	s := id.Signer()
	a, err := record.ParseAuth(s.Auth())
	if err != nil || a.DID != id.DID() || a.Device != id.Device() || a.Role != record.Primary || a.Log.Terms().Next.IsZero() || !id.InCharge() || id.Waiting() {
		t.Errorf("auth %+v, %v; want device %s of %s", a, err, id.Device(), id.DID())
	}
	if _, err := record.ParseDID(string(id.DID())); err != nil {
		t.Error(err)
	}
	sig, err := s.Sign([]byte("hello"))
	if err != nil || !record.Verify(s.Device(), []byte("hello"), sig) || s.DID() != id.DID() {
		t.Errorf("signature does not fit: %v", err)
	}
}

func TestGenerateRefusesBadRandomness(t *testing.T) {
	if _, err := identity.Generate(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short: %v", err)
	}
	if _, err := identity.Generate(bytes.NewReader(make([]byte, 96))); api.KindOf(err) != api.Invalid {
		t.Errorf("constant: %v", err)
	}
}

func TestCloseEndsSigning(t *testing.T) {
	id := generate(t)
	s, key := id.Signer(), id.NodeKey()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				sig, err := s.Sign([]byte("m"))
				if err == nil && !record.Verify(s.Device(), []byte("m"), sig) {
					t.Error("a wrong signature beside Close")
				}
			}
		})
	}
	id.Close()
	wg.Wait()
	if err := id.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := s.Sign([]byte("m")); api.KindOf(err) != api.Unavailable {
		t.Errorf("Sign after Close: %v", err)
	}
	if id.NodeKey() != nil {
		t.Error("NodeKey after Close")
	}
	if public(key) != id.Node() || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte("m"), ed25519.Sign(key, []byte("m"))) {
		t.Error("Close wiped the key that the transport owns")
	}
}

func TestDeriveDevice(t *testing.T) {
	first, second, third := identity.Derive("demo", "alice"), identity.DeriveDevice("demo", "alice", "2"), identity.DeriveDevice("demo", "alice", "3")
	if second.DID() != first.DID() || third.DID() != first.DID() {
		t.Errorf("devices of %s are those of %s and %s", first.DID(), second.DID(), third.DID())
	}
	if second.Device() == first.Device() || third.Device() == first.Device() || third.Device() == second.Device() {
		t.Error("two devices share a key")
	}
	ke, err := record.ParseKeyEvent(second.Auth())
	if err != nil || ke.DID != second.DID() || ke.Device != second.Device() {
		t.Errorf("key event %+v, %v", ke, err)
	}
}

func TestDeriveIsFixedAndSeparated(t *testing.T) {
	// Golden: simulations and imported data name people by these.
	const want = "did:icn:V6HuP6nQnaSn2pwaTTFuULY1WHpqyi9cm83he3LxQhu"
	if got := identity.Derive("demo", "alice").DID(); got != want {
		t.Errorf("Derive(demo, alice) is %s, want %s", got, want)
	}
	seen := map[api.Key]string{}
	for _, w := range [][2]string{{"demo", "alice"}, {"demo", "bob"}, {"dem", "oalice"}, {"demoa", "lice"}, {"", "demoalice"}, {"alice", "demo"}} {
		s := identity.Derive(w[0], w[1])
		root, err := record.ParseDID(string(s.DID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []api.Key{root, s.Device()} {
			if other, dup := seen[k]; dup {
				t.Errorf("%q shares a key with %s", w, other)
			}
			seen[k] = fmt.Sprintf("%q", w)
		}
		ke, err := record.ParseKeyEvent(s.Auth())
		if err != nil || ke.DID != s.DID() || ke.Device != s.Device() {
			t.Errorf("%q: key event %+v, %v", w, ke, err)
		}
		sig, err := s.Sign([]byte("m"))
		if err != nil || !record.Verify(s.Device(), []byte("m"), sig) {
			t.Errorf("%q: signature does not fit: %v", w, err)
		}
	}
}

// An Auth that a caller scribbles over must not change what the next one gets.
func TestAuthIsACopy(t *testing.T) {
	for _, s := range []api.Signer{generate(t).Signer(), identity.Derive("a", "b")} {
		clear(s.Auth())
		if _, err := record.ParseAuth(s.Auth()); err != nil {
			t.Error(err)
		}
	}
}

func public(k ed25519.PrivateKey) api.Key { return api.Key(k.Public().(ed25519.PublicKey)) }

func ExampleGenerate() {
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		panic(err)
	}
	defer id.Close()
	r := &api.Record{
		Version: record.Version, Topic: api.Topic{Name: "notes"}, Seq: 1, Kind: "note",
		Auth: id.Signer().Auth(), Body: []byte("hello"),
	}
	e, err := record.Sign(r, id.Signer())
	if err != nil {
		panic(err)
	}
	back, err := record.Decode(e.Raw)
	fmt.Println(back.Author == id.DID(), record.Verify(back.Device, back.Signed, back.Signature), err)
	// Output: true true <nil>
}

func ExampleDerive() {
	once, again := identity.Derive("demo", "alice"), identity.Derive("demo", "alice")
	fmt.Println(once.DID() == again.DID())
	// Output: true
}
