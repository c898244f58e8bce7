package identity_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func TestDocument(t *testing.T) {
	id := generate(t)
	second := must(identity.NewDevice(from(1)))
	must(id.AddDevice(second.Device(), record.Secondary))
	var got struct {
		Context            []string `json:"@context"`
		ID                 api.DID  `json:"id"`
		VerificationMethod []struct {
			ID, Type           string
			Controller         api.DID
			PublicKeyMultibase string
		}
		Authentication, AssertionMethod, CapabilityInvocation, CapabilityDelegation []string
	}
	b := must(json.Marshal(identity.NewDocument(id.Log())))
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != id.DID() || len(got.VerificationMethod) != 3 || got.Context[0] != "https://www.w3.org/ns/did/v1" {
		t.Errorf("%s", b)
	}
	keys := map[string]api.Key{}
	for _, m := range got.VerificationMethod {
		k, err := record.ParseMultikey(m.PublicKeyMultibase)
		if err != nil || m.Type != "Multikey" || m.Controller != id.DID() || m.ID != string(id.DID())+"#"+m.PublicKeyMultibase {
			t.Errorf("%+v, %v", m, err)
		}
		keys[m.ID] = k
	}
	var devices []api.Key
	for _, m := range got.Authentication {
		devices = append(devices, keys[m])
	}
	for _, d := range []api.Key{id.Device(), second.Device()} {
		if !slices.Contains(devices, d) {
			t.Errorf("%s does not stand in %s", d, b)
		}
	}
	if len(devices) != 2 || !slices.Equal(got.Authentication, got.AssertionMethod) {
		t.Errorf("%s", b)
	}
	if root := must(record.ParseDID(string(id.DID()))); keys[got.CapabilityInvocation[0]] != root || keys[got.CapabilityDelegation[0]] != root {
		t.Errorf("%s", b)
	}
}
