package main

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

func (c *ctl) idExportCmd() *cobra.Command {
	var document, asLog, asCredential bool
	var subject, space string
	var days int
	cmd := &cobra.Command{
		Use: "export", Short: "Write the DID document, the key event log or a credential for other software", Args: cobra.NoArgs,
		Long: "--did-document is a W3C DID document. --credential is a W3C Verifiable Credential 2.0 about a member, secured as a JSON Web Signature\n" +
			"(vc+jwt, EdDSA) by this device: its key stands in the DID document under the header's kid. It says that this DID says so; whether this\n" +
			"DID may say so for the space is for whoever reads it to find out.",
		RunE: func(*cobra.Command, []string) error {
			return c.withKeystore(false, func(id *identity.Identity) error {
				l := id.Log()
				switch {
				case l == nil:
					return c.showLog(nil, id)
				case document:
					return c.printValue(identity.NewDocument(l))
				case asLog:
					return c.printLog(l)
				}
				who, err := did(subject)
				if err != nil {
					return err
				}
				h, err := spaceID(space)
				if err != nil {
					return err
				}
				if h.IsZero() {
					return api.Errorf("--space", api.Invalid, "name the space that the credential is about")
				}
				token, err := membershipCredential(id.Signer(), who, h, time.Now(), time.Duration(days)*24*time.Hour)
				if err != nil {
					return err
				}
				if c.json {
					return c.printValue(map[string]string{"credential": token})
				}
				return c.print([]byte(token + "\n"))
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&document, "did-document", false, "the DID document, as JSON")
	f.BoolVar(&asLog, "log", false, "the key event log, as text")
	f.BoolVar(&asCredential, "credential", false, "a membership credential, as vc+jwt")
	f.StringVar(&subject, "subject", "", "DID that the credential is about")
	f.StringVar(&space, "space", "", "id of the space that the credential is about")
	f.IntVar(&days, "days", 365, "how long the credential holds")
	cmd.MarkFlagsOneRequired("did-document", "log", "credential")
	cmd.MarkFlagsMutuallyExclusive("did-document", "log", "credential")
	c.passphraseFlag(cmd)
	return cmd
}

// The media types of a credential that is secured with JOSE (W3C, Securing Verifiable Credentials using JOSE and COSE).
type joseHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	Content   string `json:"cty"`
	Key       string `json:"kid"`
	Issuer    string `json:"iss"`
}

type credential struct {
	Context    []any             `json:"@context"`
	Type       []string          `json:"type"`
	Issuer     api.DID           `json:"issuer"`
	ValidFrom  string            `json:"validFrom"`
	ValidUntil string            `json:"validUntil"`
	Subject    credentialSubject `json:"credentialSubject"`
}

type credentialSubject struct {
	ID    api.DID `json:"id"`
	Space string  `json:"memberOf"`
}

// membershipCredential says that subject is a member of space from now on for so long, as s's DID says.
func membershipCredential(s api.Signer, subject api.DID, space api.Hash, now time.Time, valid time.Duration) (string, error) {
	const op = "credential"
	if valid <= 0 {
		return "", api.Errorf("--days", api.Invalid, "want 1 or more")
	}
	header, err := json.Marshal(joseHeader{"EdDSA", "vc+jwt", "vc", identity.MethodID(s.DID(), s.Device()), string(s.DID())})
	if err != nil {
		return "", api.Errorf(op, api.Internal, "%w", err)
	}
	body, err := json.Marshal(credential{
		// The two terms that are ours are defined in place: there is no document to fetch.
		Context: []any{"https://www.w3.org/ns/credentials/v2", map[string]any{
			"MembershipCredential": "urn:icn:MembershipCredential", "memberOf": map[string]string{"@id": "urn:icn:memberOf", "@type": "@id"},
		}},
		Type: []string{"VerifiableCredential", "MembershipCredential"}, Issuer: s.DID(),
		ValidFrom: now.UTC().Format(time.RFC3339), ValidUntil: now.Add(valid).UTC().Format(time.RFC3339),
		Subject: credentialSubject{ID: subject, Space: "urn:icn:space:" + space.String()},
	})
	if err != nil {
		return "", api.Errorf(op, api.Internal, "%w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	sig, err := s.Sign([]byte(text))
	if err != nil {
		return "", api.Wrap(op, err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}
