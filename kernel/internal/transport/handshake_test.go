package transport_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

var nodeA, nodeB, nodeC = nodeDID("a"), nodeDID("b"), nodeDID("c")

func nodeDID(name string) api.DID { return kerneltest.NodeDID(kerneltest.NodeKey(name)) }

func nodeKey(name string) api.Key {
	return api.Key(kerneltest.NodeKey(name).Public().(ed25519.PublicKey))
}

func nonce(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func hash(s string) api.Hash { return sha256.Sum256([]byte(s)) }

func greeting(t testing.TB, self, peer api.DID, n byte) *transport.Greeting {
	t.Helper()
	g, err := transport.NewGreeting(self, peer, "test", nonce(n), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestHelloHidesSpaces checks that a Hello shows a space only to who follows it too.
func TestHelloHidesSpaces(t *testing.T) {
	a, b := greeting(t, nodeA, nodeB, 1), greeting(t, nodeB, nodeA, 2)
	common, onlyA, onlyB := hash("common"), hash("only a"), hash("only b")
	ha := a.Hello(transport.Local{Spaces: []api.Hash{onlyA, common}}, nil)
	hb := b.Hello(transport.Local{Spaces: []api.Hash{common, onlyB, common}}, nil)
	for _, s := range slices.Concat(ha.Spaces, hb.Spaces) {
		for _, h := range []api.Hash{common, onlyA, onlyB} {
			if bytes.Equal(s, h[:]) {
				t.Error("a space id travels in the open")
			}
		}
	}
	other := greeting(t, nodeA, nodeC, 1).Hello(transport.Local{Spaces: []api.Hash{onlyA, common}}, nil)
	for _, s := range other.Spaces {
		if slices.ContainsFunc(ha.Spaces, func(o []byte) bool { return bytes.Equal(s, o) }) {
			t.Error("two peers are told the same hash: they could compare")
		}
	}
	if !slices.IsSortedFunc(ha.Spaces, bytes.Compare) {
		t.Error("the order of the hashes tells something")
	}
	if err := errors.Join(a.Meet(hb), b.Meet(ha)); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*transport.Greeting{a, b} {
		if got := g.Shared(); !slices.Equal(got, []api.Hash{common}) {
			t.Errorf("shared: %v", got)
		}
	}
	want := sha256.Sum256(slices.Concat([]byte("icn-space"), low(nodeKey("a"), nodeKey("b")), high(nodeKey("a"), nodeKey("b")), common[:]))
	if got := transport.SaltSpace(nodeKey("b"), nodeKey("a"), common); got != want || !bytes.Equal(ha.Spaces[0], want[:]) && !bytes.Equal(ha.Spaces[1], want[:]) {
		t.Errorf("salted hash %s: want %x", got, want)
	}
}

func low(a, b api.Key) []byte {
	if bytes.Compare(a[:], b[:]) < 0 {
		return a[:]
	}
	return b[:]
}

func high(a, b api.Key) []byte {
	if bytes.Compare(a[:], b[:]) < 0 {
		return b[:]
	}
	return a[:]
}

// badSigner fails to sign, as a locked key does.
type badSigner struct{ api.Signer }

func (badSigner) Sign([]byte) ([]byte, error) { return nil, errors.New("locked") }

// TestMembersAreProven checks that nothing but the device's own signature over this session counts.
func TestMembersAreProven(t *testing.T) {
	ann, ben := kerneltest.Signer("ann"), kerneltest.Signer("ben")
	// pair returns the greetings of a session after both Hellos.
	pair := func(a, b api.DID, na, nb byte) (*transport.Greeting, *transport.Greeting) {
		ga, gb := greeting(t, a, b, na), greeting(t, b, a, nb)
		ha, hb := ga.Hello(transport.Local{}, nil), gb.Hello(transport.Local{}, nil)
		if err := errors.Join(ga.Meet(hb), gb.Meet(ha)); err != nil {
			t.Fatal(err)
		}
		return ga, gb
	}
	serve := func(g *transport.Greeting, ss ...api.Signer) *wire.Members {
		return g.Members(transport.Local{Members: ss}, []byte("proof"))
	}
	ga, gb := pair(nodeA, nodeB, 1, 2)
	good := serve(ga, ann, badSigner{ben}, ben)
	p, err := gb.Verify(good)
	if err != nil || p.Node != nodeA || string(p.Proof) != "proof" ||
		!slices.Equal(p.Members, []transport.Member{{DID: ann.DID(), Device: ann.Device()}, {DID: ben.DID(), Device: ben.Device()}}) {
		t.Fatalf("got %+v, %v", p, err)
	}
	oldA, _ := pair(nodeA, nodeB, 1, 3)   // b's nonce was another
	otherA, _ := pair(nodeA, nodeC, 1, 2) // signed for another node
	relayed, _ := pair(nodeC, nodeB, 1, 2)
	mixed := serve(ga, ann)
	mixed.Served[0].Auth = ben.Auth()
	twice := serve(ga, ann)
	twice.Served = append(twice.Served, twice.Served[0])
	garbage := serve(ga, ann)
	garbage.Served[0].Auth = []byte("rubbish")
	for name, m := range map[string]*wire.Members{
		"replayed": serve(oldA, ann), "for another node": serve(otherA, ann), "by another node": serve(relayed, ann),
		"reflected": serve(gb, ann), "another's certificate": mixed, "twice": twice, "garbage": garbage,
	} {
		if p, err := gb.Verify(m); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	many := make([]api.Signer, wire.MaxMembers+1)
	for i := range many {
		many[i] = kerneltest.Signer("ann/" + string(rune('a'+i)))
	}
	if m := serve(ga, many...); len(m.Served) != wire.MaxMembers {
		t.Errorf("%d devices told", len(m.Served))
	}
	if m := ga.Members(transport.Local{}, make([]byte, wire.MaxProof+1)); m.Proof != nil {
		t.Error("a proof over the limit would make the frame malformed")
	}
}

func TestMeet(t *testing.T) {
	g := greeting(t, nodeA, nodeB, 1)
	g.Hello(transport.Local{}, nil)
	hello := func(lo, hi uint16, n byte) *wire.Hello {
		return &wire.Hello{Min: lo, Max: hi, Nonce: nonce(n), Build: "theirs", Addresses: []string{
			"icn://" + string(nodeB) + "@192.0.2.7:7100", "icn://" + string(nodeC) + "@192.0.2.8:7100", "rubbish",
		}}
	}
	if err := g.Meet(hello(wire.Version, wire.Version, 1)); api.KindOf(err) != api.Invalid {
		t.Errorf("our own nonce: %v", err)
	}
	if err := g.Meet(hello(wire.Version+1, wire.Version+3, 2)); api.KindOf(err) != api.Unsupported || !strings.Contains(err.Error(), "upgrade") ||
		!strings.Contains(err.Error(), "speaks 2 to 4") || !strings.Contains(err.Error(), "speaks 1 to 1") {
		t.Errorf("no common version: %v", err)
	}
	if err := g.Meet(hello(0, 9, 2)); err != nil || g.Version() != wire.Version {
		t.Errorf("highest common version: %v, %d", err, g.Version())
	}
	if err := g.Meet(hello(0, 9, 3)); api.KindOf(err) != api.Invalid {
		t.Errorf("another nonce in the same session: %v", err)
	}
	p, err := g.Verify(&wire.Members{})
	if err != nil || len(p.Addresses) != 1 || p.Build != "theirs" {
		t.Errorf("a peer speaks for its own addresses only: %+v, %v", p, err)
	}
	if _, err := transport.NewGreeting(nodeA, nodeA, "", nonce(1), nil); api.KindOf(err) != api.Invalid {
		t.Errorf("a handshake with oneself: %v", err)
	}
}
