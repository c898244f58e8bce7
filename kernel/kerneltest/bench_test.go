package kerneltest

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

func TestHealFindsAll(t *testing.T) {
	h, err := Heal(1000, 100, 10)
	if err != nil {
		t.Fatal(err)
	}
	if h.Find == 0 || h.Ask == 0 || h.Fetch < 10*healRecord || h.Trips < 1 {
		t.Errorf("%+v: want something of each, and ten records", h)
	}
	if _, err := Heal(1, 2, 0); api.KindOf(err) != api.Invalid {
		t.Errorf("fewer records than feeds: %v, want invalid", err)
	}
}

func TestBareIngest(t *testing.T) {
	s := Signer("a")
	r := &api.Record{Version: record.Version, Topic: api.Topic{Name: "toy"}, Seq: 1, Time: api.MakeTimestamp(1, 0), Kind: "found", Auth: s.Auth()}
	e, err := record.Sign(r, s)
	if err != nil {
		t.Fatal(err)
	}
	if took, err := BareIngest(t.TempDir(), [][][]byte{{e.Raw, e.Raw}, {e.Raw}}); err != nil || took <= 0 || took > time.Minute {
		t.Errorf("%s, %v", took, err)
	}
	bad := append([]byte{}, e.Raw...)
	bad[len(bad)-1] ^= 1
	if _, err := BareIngest(t.TempDir(), [][][]byte{{bad, e.Raw}}); api.KindOf(err) != api.Refused {
		t.Errorf("a bad signature: %v, want refused", err)
	}
}
