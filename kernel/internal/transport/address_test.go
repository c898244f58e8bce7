package transport_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestParseAddress(t *testing.T) {
	did := string(kerneltest.NodeDID(kerneltest.NodeKey("a")))
	for _, c := range []struct{ hostport, err string }{
		{"192.0.2.7:7100", ""},
		{"127.0.0.1:1", ""},
		{"[::1]:7100", ""},
		{"[2001:db8::7]:65535", ""},
		{"localhost:7100", ""},
		{"node-1.food-coop.example:7100", ""},
		{"3com.example:7100", ""},
		{"", "want host:port"},
		{"192.0.2.7", "want host:port"},
		{"192.0.2.7:", "port"},
		{"192.0.2.7:0", "port 0"},
		{"192.0.2.7:07100", "leading zeroes"},
		{"192.0.2.7:+1", "port"},
		{"192.0.2.7:65536", "port"},
		{"192.0.2.07:7100", "host"},
		{"192.0.2:7100", "host"},
		{"example.7:7100", "host"},
		{"0.0.0.0:7100", "unspecified"},
		{"[::]:7100", "unspecified"},
		{"224.0.0.1:7100", "multicast"},
		{"::1:7100", "brackets"},
		{"[::1:7100", "brackets"},
		{"[0:0::1]:7100", "shortest"},
		{"[::FFFF:1.2.3.4]:7100", "shortest"},
		{"[::ffff:1.2.3.4]:7100", "IPv6"},
		{"[fe80::1%eth0]:7100", "IPv6"},
		{"[192.0.2.7]:7100", "IPv6"},
		{"Node.example:7100", "lower-case"},
		{"node.example.:7100", "host"},
		{"-node.example:7100", "host"},
		{"no_de.example:7100", "host"},
		{" node.example:7100", "host"},
		{"node.example/x:7100", "host"},
		{"a@node.example:7100", "host"},
		{strings.Repeat("a", 64) + ".example:7100", "host"},
		{strings.Repeat("a.", 126) + "b:7100", "longer"},
	} {
		s := "icn://" + did + "@" + c.hostport
		a, err := transport.ParseAddress(s)
		switch {
		case c.err == "" && (err != nil || a.String() != s || string(a.Node) != did):
			t.Errorf("%s: got %v, %v", s, a, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || api.KindOf(err) != api.Invalid):
			t.Errorf("%s: got %v, want an error with %q", s, err, c.err)
		}
	}
	for _, s := range []string{
		"", "icn://", did + "@h:1", "ICN://" + did + "@h:1", "icn://" + did, "icn://" + did + "/h:1", "icn://did:key:z6@h:1",
		"icn://" + did[:len(did)-1] + "@h:1", "icn://" + did + "1@h:1",
	} {
		if a, err := transport.ParseAddress(s); api.KindOf(err) != api.Invalid {
			t.Errorf("%q: got %v, %v", s, a, err)
		}
	}
	if s, err := transport.FormatAddress(api.DID(did), "[::1]:7100"); err != nil || s != "icn://"+did+"@[::1]:7100" {
		t.Errorf("format: %q, %v", s, err)
	}
	for _, hp := range []string{"h", "h:0", "[::]:1", "h:99999"} {
		if s, err := transport.FormatAddress(api.DID(did), hp); err == nil {
			t.Errorf("format %q: got %q", hp, s)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	did := string(kerneltest.NodeDID(kerneltest.NodeKey("a")))
	for _, hp := range []string{"192.0.2.7:7100", "[::1]:7100", "node.example:1", "[fe80::1%1]:1", "0x7f.1:1", "a@b:1", "[::ffff:1.2.3.4]:9"} {
		f.Add("icn://" + did + "@" + hp)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := transport.ParseAddress(s)
		if err != nil {
			if api.KindOf(err) != api.Invalid {
				t.Errorf("%q: %v is not invalid", s, err)
			}
			return
		}
		if a.String() != s {
			t.Errorf("%q: one address, two spellings: %q", s, a)
		}
		if _, err := transport.MultiAddr(a); err != nil {
			t.Errorf("%q cannot be dialled: %v", s, err)
		}
	})
}

func TestNodeDIDIsPeerID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := sha256.Sum256(binary.BigEndian.AppendUint64(nil, rapid.Uint64().Draw(t, "seed")))
		did := kerneltest.NodeDID(ed25519.NewKeyFromSeed(seed[:]))
		id, err := transport.PeerID(did)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := transport.DIDOf(id); err != nil || back != did {
			t.Errorf("%s became %s, %v", did, back, err)
		}
	})
	// A peer id of another kind of key, here a hash, is no node.
	if did, err := transport.DIDOf("\x12\x20" + "0123456789abcdef0123456789abcdef"); err == nil {
		t.Errorf("a hash became %s", did)
	}
}

// TestAddresses checks what a node says about where it listens.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		listen, announce []string
		check            func(host string) bool
	}{
		{[]string{"127.0.0.1:0"}, nil, func(h string) bool { return h == "127.0.0.1" }},
		{[]string{"[::1]:0"}, nil, func(h string) bool { return h == "::1" }},
		{[]string{"0.0.0.0:0"}, nil, func(h string) bool { return h != "0.0.0.0" && !strings.Contains(h, ":") }},
		{[]string{"127.0.0.1:0"}, []string{"node.example:7100"}, func(h string) bool { return h == "node.example" || h == "127.0.0.1" }},
	} {
		o := options("a")
		o.Listen, o.Announce = c.listen, c.announce
		n, _ := start(t, o)
		as := n.Addresses()
		if len(as) < 1+len(c.announce) {
			t.Errorf("listen %v: addresses %v", c.listen, as)
		}
		for i, s := range as {
			a, err := transport.ParseAddress(s)
			if err != nil || a.Node != n.Self() || !c.check(a.Host) {
				t.Errorf("listen %v: address %s: %v", c.listen, s, err)
			}
			if i == 0 && len(c.announce) > 0 && a.Host != "node.example" {
				t.Errorf("the announced address comes first: %v", as)
			}
		}
	}
}
