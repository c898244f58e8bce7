package identity_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/vectors/inceptions.json")

// inceptionVector is how a person starts, for every implementation (sdk/ts reads it): from the 32 bytes of the phrase and the 32 of the device's seed
// to the auth. Bytes are hexadecimal.
type inceptionVector struct {
	Entropy    string   `json:"entropy"` // of the phrase
	Phrase     string   `json:"phrase"`
	DeviceSeed string   `json:"device_seed"`
	DID        api.DID  `json:"did"`    // of the key 0 of the phrase
	Device     api.Key  `json:"device"` //
	Next       api.Hash `json:"next"`   // commitment to the key 1 of the phrase
	Auth       string   `json:"auth"`
}

func makeInceptions(t *testing.T) (out []inceptionVector) {
	for i := range 16 {
		var randomness []byte
		for part := range 3 {
			h := sha256.Sum256([]byte{byte(i), byte(part)})
			randomness = append(randomness, h[:]...)
		}
		if i == 0 {
			clear(randomness[:32]) // the phrase of zeroes, which BIP-39's own vectors have
		}
		id, err := identity.Generate(bytes.NewReader(randomness))
		if err != nil {
			t.Fatal(err)
		}
		p := id.TakePhrase()
		out = append(out, inceptionVector{
			Entropy: hex.EncodeToString(randomness[:32]), Phrase: string(p.Words()), DeviceSeed: hex.EncodeToString(randomness[32:64]),
			DID: id.DID(), Device: id.Device(), Next: id.Log().Terms().Next, Auth: hex.EncodeToString(id.Signer().Auth()),
		})
		p.Wipe()
		if err := id.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestVectorsInceptions(t *testing.T) {
	path := filepath.Join("testdata", "vectors", "inceptions.json")
	want, err := json.MarshalIndent(makeInceptions(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what this build makes; look at the change with -rewrite and git diff", path)
	}
	var vs []inceptionVector
	if err := json.Unmarshal(got, &vs); err != nil {
		t.Fatal(err)
	}
	for _, v := range vs {
		b, err := hex.DecodeString(v.Auth)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := record.ParseAuth(b); err != nil || a.DID != v.DID || a.Device != v.Device || a.Log.Terms().Next != v.Next {
			t.Errorf("%s: %+v, %v", v.DID, a, err)
		}
		if _, err := identity.ParsePhrase([]byte(v.Phrase)); err != nil {
			t.Errorf("%s: %v", v.DID, err)
		}
	}
}
