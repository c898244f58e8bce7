package membership

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func sample() *invitation {
	return &invitation{
		Version: 1, Space: api.Hash{1}, Feed: api.Hash{2}, Seq: 3, ID: api.Hash{4}, Seed: bytes.Repeat([]byte{7}, 32),
		Addresses: []string{"icn://did:icn:x@127.0.0.1:7100"}, Name: "Bakers", Expires: 99,
	}
}

func TestInvitationText(t *testing.T) {
	s := sample().text()
	got, err := parseInvitation(" " + s + "\n")
	if err != nil || fmt.Sprintf("%x", codec.MustMarshal(got)) != fmt.Sprintf("%x", codec.MustMarshal(sample())) {
		t.Fatalf("read back: %v", err)
	}
	for i := range s {
		for _, c := range []byte{'A', 'b', '-', '=', ' '} {
			if s[i] == c {
				continue
			}
			changed := s[:i] + string(c) + s[i+1:]
			if got, err := parseInvitation(changed); err == nil && strings.TrimSpace(changed) != s {
				t.Fatalf("one character changed at %d goes unnoticed: %v", i, codec.MustMarshal(got))
			}
		}
	}
	for _, cut := range []string{s[:len(s)-1], s[1:], s + "A", "", strings.ToUpper(s)} {
		if _, err := parseInvitation(cut); api.KindOf(err) != api.Invalid {
			t.Errorf("cut: %v, want invalid", err)
		}
	}
	bad := sample()
	bad.Addresses = make([]string, maxAddresses+1)
	if _, err := parseInvitation(bad.text()); err == nil {
		t.Error("too many addresses")
	}
}

// The secret does not get into logs by mistake.
func TestInvitationPrintsAsNothing(t *testing.T) {
	var b bytes.Buffer
	inv := sample()
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "inv", *inv, "ptr", inv)
	fmt.Fprintf(&b, "%v %+v %s %#v %v", *inv, *inv, *inv, *inv, inv)
	if out := b.String(); strings.Contains(out, "7 7 7") || strings.Contains(out, "BwcH") || strings.Contains(out, "0x7, 0x7") {
		t.Errorf("printed: %s", out)
	}
	_, err := parseInvitation(inv.text()[:60])
	if strings.Contains(err.Error(), inv.text()[20:40]) {
		t.Errorf("the error repeats the text: %v", err)
	}
}

func FuzzInvitation(f *testing.F) {
	f.Add(sample().text())
	f.Fuzz(func(t *testing.T, s string) {
		if inv, err := parseInvitation(s); err == nil && inv.text() != strings.TrimSpace(s) {
			t.Errorf("%q has another spelling", s)
		}
	})
}

// Whatever decodes is within bounds and has this one encoding.
func FuzzBodies(f *testing.F) {
	s := kerneltest.Signer("ann")
	f.Add(codec.MustMarshal(&invite{Key: s.Device(), Uses: 1, Expires: 1}))
	f.Add(codec.MustMarshal(&admit{DID: s.DID(), Device: s.Device(), Number: 2}))
	f.Add(joinBody(sample(), s))
	f.Add(codec.MustMarshal(&genesis{Name: "x", Kind: "personal", Nonce: make([]byte, 16), Witnesses: []api.Key{s.Device()}, Threshold: 1}))
	f.Add(codec.MustMarshal(&remove{DID: s.DID(), Reason: "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []interface{ check() error }{&genesis{}, &invite{}, &join{}, &admit{}, &remove{}} {
			if decode(b, v) == nil && !bytes.Equal(codec.MustMarshal(v), b) {
				t.Errorf("%T has another encoding: %x", v, b)
			}
		}
	})
}
