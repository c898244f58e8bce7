package session

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// vector is a message to sign, for those who write the other side in another language.
type vector struct {
	Purpose   string  `json:"purpose"`
	Node      api.DID `json:"node"`
	Audience  string  `json:"audience"`
	DID       api.DID `json:"did"`
	Seed      string  `json:"device_seed"` // the device's private key, RFC 8032
	Device    api.Key `json:"device"`
	Nonce     string  `json:"nonce"`
	Expires   int64   `json:"expires"`
	Message   string  `json:"message"`
	Signature string  `json:"signature"`
}

func TestVectors(t *testing.T) {
	device := seedKey("vector device")
	node, did := record.DIDOf(keyOf(seedKey("vector node"))), record.DIDOf(keyOf(seedKey("vector root")))
	var got []vector
	for _, c := range []vector{
		{Purpose: purposeLogin, Node: node, Audience: "https://coop.example", DID: did, Nonce: "000102030405060708090a0b0c0d0e0f", Expires: 1_800_000_300_000},
		{Purpose: purposeLogin, Node: node, Audience: string(node), DID: did, Nonce: "ffffffffffffffffffffffffffffffff", Expires: 1_800_000_300_001},
		{Purpose: purposePair, Node: node, Audience: "https://coop.example", Nonce: "000102030405060708090a0b0c0d0e0f", Expires: 1_800_000_300_000},
	} {
		n, err := hex.DecodeString(c.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		a := New(&knownLogs{}, nil, Options{Node: c.Node, Audience: c.Audience})
		message := a.words(c.Purpose, c.DID, keyOf(device), nonce(n), c.Expires)
		c.Seed, c.Device, c.Message = hex.EncodeToString(device.Seed()), keyOf(device), hex.EncodeToString(message)
		c.Signature = hex.EncodeToString(ed25519.Sign(device, message))
		got = append(got, c)
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	const path = "testdata/login.json"
	if *rewrite {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("the message to sign has changed, which other software relies on:\n%s", text)
	}
}
