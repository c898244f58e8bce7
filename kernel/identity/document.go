package identity

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Document is a DID document (W3C DID Core 1.0) as a log gives it: a view for other software. Nodes go by the log.
type Document struct {
	Context              []string             `json:"@context"`
	ID                   api.DID              `json:"id"`
	VerificationMethod   []VerificationMethod `json:"verificationMethod"`
	Authentication       []string             `json:"authentication,omitempty"`       // the devices
	AssertionMethod      []string             `json:"assertionMethod,omitempty"`      // the devices
	CapabilityInvocation []string             `json:"capabilityInvocation,omitempty"` // the key in charge: it changes the log
	CapabilityDelegation []string             `json:"capabilityDelegation,omitempty"` // the key in charge
}

// VerificationMethod is a key in a Document.
type VerificationMethod struct {
	ID                 string  `json:"id"`
	Type               string  `json:"type"` // Multikey
	Controller         api.DID `json:"controller"`
	PublicKeyMultibase string  `json:"publicKeyMultibase"`
}

// MethodID is the name of a key of a DID in its Document: a DID URL whose fragment is the key.
func MethodID(did api.DID, k api.Key) string { return string(did) + "#" + record.Multikey(k) }

// NewDocument returns the Document of a log. The ML-DSA half of a key in charge does not stand in it: there is no registered form of it.
func NewDocument(l *record.Log) *Document {
	did := l.DID()
	d := &Document{Context: []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"}, ID: did}
	add := func(k api.Key) string {
		m := VerificationMethod{ID: MethodID(did, k), Type: "Multikey", Controller: did, PublicKeyMultibase: record.Multikey(k)}
		d.VerificationMethod = append(d.VerificationMethod, m)
		return m.ID
	}
	control := add(l.Control().Key)
	d.CapabilityInvocation, d.CapabilityDelegation = []string{control}, []string{control}
	for _, v := range l.Devices() {
		id := add(v.Key)
		d.Authentication, d.AssertionMethod = append(d.Authentication, id), append(d.AssertionMethod, id)
	}
	return d
}
