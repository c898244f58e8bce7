package session

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	maxPairs     = 1024    // that members have tried to approve
	maxPairsEach = 16      // of one DID
	maxTries     = 3       // wrong codes before a pairing is dead
	maxSealed    = 512     // bytes of a pairing
	maxHanded    = 8 << 20 // bytes of key events that wait for their devices, of all pairings
)

// pairing is what members have made of a request. It is forgotten when the request expires.
type pairing struct {
	by      api.DID // who tried first
	tries   int     // wrong codes
	expires time.Time
	state   string
	proof   *proof
	auth    []byte // what certifies the device, for it to keep
	scopes  []string
	within  api.Hash
}

// The states of a pairing as its device sees them.
const (
	stateWaits   = "waiting"
	stateRefused = "refused"
	stateGranted = "granted"
	stateTaken   = "taken" // for nobody to see: the login that was granted has been claimed
)

// PairIn is the input of auth.pair.
type PairIn struct {
	Device api.Key `json:"device" doc:"Public key of the new device, 64 hexadecimal digits"`
	Label  string  `json:"label,omitempty" doc:"What the device calls itself, at most 64 bytes; who approves sees it"`
}

// Validate implements api.Validator.
func (in *PairIn) Validate() error {
	if !printable(in.Label) {
		return fmt.Errorf("label: want at most %d bytes that print on one line", maxLabel)
	}
	return record.CheckKey(in.Device)
}

// PairOut is the output of auth.pair.
type PairOut struct {
	Pairing []byte    `json:"pairing" doc:"what was asked, for auth.approve and auth.claim, base64; no secret"`
	URI     string    `json:"uri" doc:"the pairing as the text of a QR code, icn-login:..., for the camera of the device that approves"`
	Code    string    `json:"code" doc:"six digits to show on the screen; who approves reads them there and types them"`
	Secret  string    `json:"secret" doc:"a secret: to claim with; it stays on the device"`
	Message []byte    `json:"message" doc:"exactly the bytes that the device signs to claim, base64 (docs/protocol.md, 11)"`
	Expires time.Time `json:"expires"`
}

func (a *App) pair(_ context.Context, _ *api.Call, in *PairIn) (*PairOut, error) {
	const op = "auth.pair"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	q := &request{Device: in.Device, Label: in.Label, Expires: host.Now().Add(challengeTTL).UnixMilli()}
	if _, err := io.ReadFull(a.opt.Random, q.Nonce[:]); err != nil {
		return nil, api.Wrap(op, err)
	}
	sealed := sealPairing(k, q)
	link := &Link{Version: 1, Node: a.opt.Node, Audience: a.opt.Audience, Pairing: sealed}
	return &PairOut{
		Pairing: sealed, URI: link.Text(), Code: q.code(k), Secret: q.secret(k), Message: a.words(purposePair, "", q.Device, q.Nonce, q.Expires),
		Expires: time.UnixMilli(q.Expires).UTC(),
	}, nil
}

// open returns a request that is in force.
func open(op string, k *keys, now time.Time, sealed []byte) (*request, error) {
	q, ok := openPairing(k, sealed)
	if !ok || over(q.Expires, now) {
		return nil, noPairing(op)
	}
	return &q, nil
}

func noPairing(op string) error {
	return denied(op, api.Refused, "no-pairing", "the pairing was used, has expired, or was not made here since this node started")
}

func sealedSize(b []byte) error {
	if len(b) == 0 || len(b) > maxSealed {
		return fmt.Errorf("pairing: %d bytes, want 1 to %d", len(b), maxSealed)
	}
	return nil
}

// PairingIn is the input of auth.pairing.
type PairingIn struct {
	Pairing []byte `json:"pairing" doc:"As the QR code holds it, base64"`
	Code    string `json:"code,omitempty" doc:"The six digits that the new device shows: to have them checked before the device is certified; a wrong code counts" example:"493027"`
}

// Validate implements api.Validator.
func (in *PairingIn) Validate() error {
	if in.Code != "" {
		if err := codeSize(in.Code); err != nil {
			return err
		}
	}
	return sealedSize(in.Pairing)
}

func codeSize(code string) error {
	if len(code) != codeDigits {
		return fmt.Errorf("code: %d characters, want the %d digits that the new device shows", len(code), codeDigits)
	}
	return nil
}

// PairingOut is the output of auth.pairing.
type PairingOut struct {
	Device  api.Key   `json:"device" doc:"the new device: its key event has to name it"`
	Label   string    `json:"label,omitempty" doc:"what it calls itself; anybody can call a device anything"`
	Asked   time.Time `json:"asked"`
	Expires time.Time `json:"expires"`
}

func (a *App) pairing(_ context.Context, call *api.Call, in *PairingIn) (*PairingOut, error) {
	const op = "auth.pairing"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	q, err := open(op, k, host.Now(), in.Pairing)
	if err != nil {
		return nil, err
	}
	if in.Code != "" && a.granted(call.Actor, q) == nil {
		if err := a.checkCode(op, call.Actor, q, k, in.Code); err != nil {
			return nil, err
		}
	}
	expires := time.UnixMilli(q.Expires).UTC()
	return &PairingOut{Device: q.Device, Label: q.Label, Asked: expires.Add(-challengeTTL), Expires: expires}, nil
}

// ApproveIn is the input of auth.approve.
type ApproveIn struct {
	Pairing []byte   `json:"pairing" doc:"As the QR code holds it, base64"`
	Code    string   `json:"code,omitempty" doc:"The six digits that the new device shows" example:"493027"`
	Auth    []byte   `json:"auth,omitempty" doc:"Key event of your DID that certifies the new device, base64" example:"\"glh9\""`
	Deny    bool     `json:"deny,omitempty" doc:"Turn the device away instead; code and auth are not needed"`
	Scopes  []string `json:"scopes,omitempty" doc:"What its token is to be good for, none beyond your own; default: the usual ones that you hold"`
	Within  api.Hash `json:"within,omitzero" doc:"Id of a space: what the token is good for holds in it only; default: every space"`
}

// Validate implements api.Validator.
func (in *ApproveIn) Validate() error {
	switch {
	case !in.Deny && codeSize(in.Code) != nil:
		return codeSize(in.Code)
	case !in.Deny && len(in.Auth) == 0 || len(in.Auth) > record.MaxAuth:
		return fmt.Errorf("auth: %d bytes, want 1 to %d", len(in.Auth), record.MaxAuth)
	}
	if err := wanted(in.Scopes, in.Within, ""); err != nil {
		return err
	}
	return sealedSize(in.Pairing)
}

// ApproveOut is the output of auth.approve.
type ApproveOut struct {
	State  string   `json:"state" doc:"granted or refused"`
	Scopes []string `json:"scopes,omitempty" doc:"what the device's token will be good for"`
}

func (a *App) approve(_ context.Context, call *api.Call, in *ApproveIn) (*ApproveOut, error) {
	const op = "auth.approve"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	now := host.Now()
	q, err := open(op, k, now, in.Pairing)
	if err != nil {
		return nil, err
	}
	if in.Deny {
		_, err := a.decide(op, call.Actor, q, func(p *pairing) error { p.state = stateRefused; return nil })
		return &ApproveOut{State: stateRefused}, err
	}
	if p := a.granted(call.Actor, q); p != nil && in.Code == q.code(k) { // the answer was lost
		return &ApproveOut{State: stateGranted, Scopes: p.scopes}, nil
	}
	if err := a.checkCode(op, call.Actor, q, k, in.Code); err != nil {
		return nil, err
	}
	proof, granted, err := a.certified(op, host, call, q, in)
	if err != nil {
		return nil, err
	}
	p, err := a.decide(op, call.Actor, q, func(p *pairing) error {
		if handed := a.handed(); handed+len(in.Auth) > maxHanded {
			return denied(op, api.RateLimited, "too-many-pairs", "too many pairings are open")
		}
		p.state, p.proof, p.auth, p.scopes, p.within = stateGranted, proof, in.Auth, granted, in.Within
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ApproveOut{State: p.state, Scopes: granted}, nil
}

// checkCode counts wrong codes against the pairing, which is dead after some.
func (a *App) checkCode(op string, by api.DID, q *request, k *keys, code string) error {
	_, err := a.decide(op, by, q, func(p *pairing) error {
		if subtle.ConstantTimeCompare([]byte(code), []byte(q.code(k))) == 1 {
			return nil
		}
		if p.tries++; p.tries >= maxTries {
			p.state = stateRefused
		}
		return denied(op, api.Refused, "wrong-code", "this is not the code of the new device")
	})
	return err
}

// granted returns the pairing if the member has let its device in already, else nil. What it returns is not changed any more, but for its state.
func (a *App) granted(by api.DID, q *request) *pairing {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.pairs[q.Nonce]; p != nil && p.proof != nil && p.proof.DID == by {
		return p
	}
	return nil
}

// handed counts the bytes of key events that are kept for devices to claim. The caller holds mu.
func (a *App) handed() (n int) {
	for _, p := range a.pairs {
		n += len(p.auth)
	}
	return n
}

// decide lets f change a pairing that is still open.
func (a *App) decide(op string, by api.DID, q *request, f func(*pairing) error) (*pairing, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pairs[q.Nonce]
	if p == nil {
		mine := 0
		for _, o := range a.pairs {
			if o.by == by {
				mine++
			}
		}
		if mine >= maxPairsEach || len(a.pairs) >= maxPairs {
			return nil, denied(op, api.RateLimited, "too-many-pairs", "too many pairings are open")
		}
		p = &pairing{by: by, expires: time.UnixMilli(q.Expires), state: stateWaits}
		a.pairs[q.Nonce] = p
	}
	if p.state != stateWaits {
		return nil, noPairing(op)
	}
	return p, f(p)
}

// certified checks that the approver's DID lets the new device sign, and what it is given.
func (a *App) certified(op string, host api.Host, call *api.Call, q *request, in *ApproveIn) (*proof, []string, error) {
	p, err := proofOf(in.Auth)
	if err != nil || p.DID != call.Actor || p.Device != q.Device {
		return nil, nil, denied(op, api.Refused, "bad-proof", "the key event does not let the new device sign for your DID")
	}
	r := host.Read()
	defer r.Close()
	if why := a.standing(host, r, p, in.Within, true); why != nil {
		return nil, nil, api.Refusal(op, why)
	}
	granted, err := a.scopes.grant(op, in.Scopes, own(host, call.Actor), in.Within, call)
	return p, granted, err
}

// ClaimIn is the input of auth.claim.
type ClaimIn struct {
	Pairing   []byte `json:"pairing" doc:"As auth.pair gave it, base64"`
	Secret    string `json:"secret" doc:"As auth.pair gave it"`
	Signature []byte `json:"signature" doc:"Ed25519 by the device over the pairing's message, base64" example:"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\""`
}

// Validate implements api.Validator.
func (in *ClaimIn) Validate() error {
	switch {
	case len(in.Secret) > maxToken:
		return fmt.Errorf("secret: %d characters, want at most %d", len(in.Secret), maxToken)
	case len(in.Signature) != signatureLen:
		return fmt.Errorf("signature: %d bytes, want %d", len(in.Signature), signatureLen)
	}
	return sealedSize(in.Pairing)
}

// ClaimOut is the output of auth.claim.
type ClaimOut struct {
	State string    `json:"state" doc:"waiting: ask again in two seconds; refused; or granted"`
	Token *TokenOut `json:"token,omitempty" doc:"the login; with the first answer that says granted only: who has lost it logs in with the key event"`
	Auth  []byte    `json:"auth,omitempty" doc:"key event of whoever let the device in, base64, when it is granted: it certifies the device, which has to verify that and keep it"`
}

func (a *App) claim(_ context.Context, _ *api.Call, in *ClaimIn) (*ClaimOut, error) {
	const op = "auth.claim"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	now := host.Now()
	q, err := open(op, k, now, in.Pairing)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(in.Secret), []byte(q.secret(k))) != 1 ||
		!record.Verify(q.Device, a.words(purposePair, "", q.Device, q.Nonce, q.Expires), in.Signature) {
		return nil, denied(op, api.Unauthenticated, "bad-proof", "the secret or the signature does not prove that this is the device that asked")
	}
	a.mu.Lock()
	p := a.pairs[q.Nonce]
	if p == nil || p.state != stateGranted {
		defer a.mu.Unlock()
		switch {
		case p == nil || p.state == stateWaits:
			return &ClaimOut{State: stateWaits}, nil
		case p.state == stateRefused:
			return &ClaimOut{State: stateRefused}, nil
		}
		return &ClaimOut{State: stateGranted, Auth: p.auth}, nil
	}
	p.state = stateTaken
	granted := &session{kept: kept{Proof: *p.proof, Scopes: p.scopes, Within: p.within, Label: q.Label}}
	a.mu.Unlock()

	r := host.Read()
	defer r.Close()
	if why := a.standing(host, r, &granted.Proof, granted.Within, true); why != nil {
		return nil, api.Refusal(op, why)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	refresh, err := a.begin(k, now, granted)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	t, err := a.issue(k, now, &granted.kept, refresh)
	if err != nil {
		return nil, err
	}
	return &ClaimOut{State: stateGranted, Token: t, Auth: p.auth}, nil
}
