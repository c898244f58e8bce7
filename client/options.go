package client

import (
	"crypto/x509"

	"github.com/intercooperative/icn/kernel/api"
)

// An Option changes how Dial speaks to a gateway.
type Option func(*options)

type options struct {
	signer   api.Signer
	journal  Journal
	confirm  Confirm
	label    string
	within   api.Hash
	scopes   []string
	node     api.DID
	audience string
	roots    *x509.CertPool
	plain    bool
}

// Member gives the key of a member's device and the journal of all that it has signed. Without it nobody is logged in, and nothing is signed.
func Member(s api.Signer, j Journal) Option { return func(o *options) { o.signer, o.journal = s, j } }

// Asked gives who is asked when a record says something that the caller did not; without it such a record is refused.
func Asked(f Confirm) Option { return func(o *options) { o.confirm = f } }

// Label is what this device is called in the member's list of sessions, at most 64 bytes.
func Label(text string) Option { return func(o *options) { o.label = text } }

// Scopes are what the login is to be good for; default: what members usually need.
func Scopes(scopes ...string) Option { return func(o *options) { o.scopes = scopes } }

// Within binds the login to one space.
func Within(space api.Hash) Option { return func(o *options) { o.within = space } }

// Node is the DID of the node, when it is known beforehand: no other is logged in to.
func Node(did api.DID) Option { return func(o *options) { o.node = did } }

// Audience is whom the node's tokens are for, when that is neither its address nor its DID.
func Audience(text string) Option { return func(o *options) { o.audience = text } }

// RootCAs are the authorities that may vouch for the gateway, in place of the system's.
func RootCAs(pool *x509.CertPool) Option { return func(o *options) { o.roots = pool } }

// PlainHTTP allows http to other machines, where anybody on the way can read and change all: for networks that are protected otherwise.
func PlainHTTP() Option { return func(o *options) { o.plain = true } }
