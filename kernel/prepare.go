package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// prepareTime bounds how long an operation may take to say what it would have signed.
const prepareTime = 10 * time.Second

// PrepareIn asks what an operation would have the caller's device sign.
type PrepareIn struct {
	Operation   string          `json:"operation" doc:"name of the operation, e.g. of a payment"`
	Input       json.RawMessage `json:"input,omitempty" doc:"the operation's input"`
	Device      api.Key         `json:"device,omitzero" doc:"device that is to sign, 64 hexadecimal digits; default: the one that is logged in"`
	Auth        []byte          `json:"auth,omitempty" doc:"key event log that certifies the device, base64; needed for its first record in a topic, and for a device that is not logged in"`
	Idempotency string          `json:"idempotency,omitempty" doc:"name of the request, at most 64 characters: once a record of that name stands, its receipt is the answer"`
}

// Validate implements api.Validator.
func (in *PrepareIn) Validate() error {
	switch {
	case in.Operation == "":
		return api.Errorf("record.prepare", api.Invalid, "operation: missing; want the name of one that writes")
	case len(in.Auth) > record.MaxAuth:
		return api.Errorf("record.prepare", api.Invalid, "auth of %d bytes: at most %d", len(in.Auth), record.MaxAuth)
	case len(in.Idempotency) > api.MaxIdempotency:
		return api.Errorf("record.prepare", api.Invalid, "idempotency of %d bytes: at most %d", len(in.Idempotency), api.MaxIdempotency)
	}
	return nil
}

// PrepareOut is what is to be signed, or, without bytes, what the operation answers because nothing is.
type PrepareOut struct {
	Bytes       []byte           `json:"bytes,omitempty" doc:"exactly what the device signs, base64; none: there is nothing to sign"`
	Position    *api.Position    `json:"position,omitempty" doc:"where the record is going to stand, if no other comes first"`
	Description *api.Description `json:"description,omitempty" doc:"what the bytes say; derive it from them yourself and compare"`
	Idempotency string           `json:"idempotency,omitempty" doc:"hand this to record.submit together with the signed record"`
	More        bool             `json:"more,omitempty" doc:"the operation may have more to sign: once this record stands, prepare it again"`
	Receipt     *api.Receipt     `json:"receipt,omitempty" doc:"of a record of this request that stands already"`
	Output      any              `json:"output,omitempty" doc:"the operation's answer, when there is nothing to sign"`
}

// KindsOut is the answer of record.kinds.
type KindsOut struct {
	Kinds []api.KindSpec `json:"kinds" doc:"by topic and kind"`
}

func (k *Kernel) opKinds(context.Context, *api.Call, *None) (*KindsOut, error) {
	return &KindsOut{k.kindList}, nil
}

func (k *Kernel) opPrepare(ctx context.Context, call *api.Call, in *PrepareIn) (*PrepareOut, error) {
	return k.prepare(ctx, call, in)
}

// prepare calls an operation with a signer that keeps what it is asked to sign. The operation is checked in every way as if it were called, the record is
// folded, and nothing is written.
func (k *Kernel) prepare(ctx context.Context, call *api.Call, in *PrepareIn) (*PrepareOut, error) {
	const op = "record.prepare"
	e := k.byName[in.Operation]
	switch {
	case e == nil:
		return nil, api.Errorf(op, api.NotFound, "operation %q does not exist", clip(in.Operation))
	case e.Signs == api.SignsNone:
		return nil, api.Refusal(op, &api.Reason{
			Domain: "kernel", Rule: "nothing-to-sign", Text: e.Name + " has its caller sign no record, or does more on the node than write one",
			Inputs: map[string]string{"operation": e.Name}, Remedy: "call it as it is, or do it on your own node",
		})
	}
	c, err := newCapture(call, in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, captureKey{}, c), prepareTime)
	defer cancel()
	inner := *call
	inner.Signer, inner.Prepare, inner.Device, inner.Idempotency, inner.Wait = c, true, c.device, in.Idempotency, ""
	answer, err := k.serve(ctx, e, &inner, in.Input, nil)
	c.mu.Lock() // a handler may have left goroutines behind
	defer c.mu.Unlock()
	c.ended = true
	if c.bytes == nil {
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		return &PrepareOut{Receipt: c.receipt, Output: answer}, nil
	}
	r, err := record.Parse(c.bytes)
	if err != nil {
		return nil, api.Errorf(op, api.Internal, "the record to sign cannot be read: %w", err)
	}
	p := r.Position()
	return &PrepareOut{
		Bytes: c.bytes, Position: &p, Description: k.kinds.Describe(r), Idempotency: c.name, More: e.Signs == api.SignsSeveral || c.more, Receipt: c.receipt,
	}, nil
}

// captureKey finds the capture of a call that only prepares in the call's context.
type captureKey struct{}

// errPrepared ends an operation whose record is kept to be signed elsewhere.
var errPrepared = api.Errorf("record.prepare", api.Unsupported, "the record is kept for its author's device to sign")

// capture is the signer of a call that prepares. It takes the first record of the call that does not stand yet.
type capture struct {
	did    api.DID
	device api.Key
	auth   []byte

	mu      sync.Mutex // held while a record is made: a handler may write by several goroutines
	bytes   []byte
	name    string // of the request, as the record's draft has it
	more    bool   // another record was to be signed
	receipt *api.Receipt
	ended   bool
}

func newCapture(call *api.Call, in *PrepareIn) (*capture, error) {
	const op = "record.prepare"
	c := &capture{did: call.Actor, device: in.Device, auth: slices.Clone(in.Auth)}
	own := call.Device
	if s := call.Signer; s != nil {
		own = s.Device()
		if in.Device == own || in.Device == (api.Key{}) {
			if len(c.auth) == 0 {
				c.auth = s.Auth()
			}
		}
	}
	if c.device == (api.Key{}) {
		c.device = own
	}
	switch {
	case c.device == (api.Key{}):
		return nil, api.Errorf(op, api.Invalid, "device: missing, and no device is logged in; name the one that is to sign")
	case call.Remote() && own != (api.Key{}) && c.device != own:
		return nil, otherDevice(op, c.device, own)
	case len(c.auth) == 0 && c.device != own:
		return nil, api.Errorf(op, api.Invalid, "auth: missing; want the key event log that certifies device %s for %s", c.device, c.did)
	case len(c.auth) == 0:
		return c, nil
	}
	a, err := record.ParseAuth(c.auth)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "auth: %w", err)
	}
	if a.DID != c.did || a.Device != c.device {
		return nil, api.Errorf(op, api.Invalid, "auth: it certifies device %s for %s, want device %s for %s", a.Device, a.DID, c.device, c.did)
	}
	return c, nil
}

func otherDevice(op string, device, own api.Key) error {
	return api.Refusal(op, &api.Reason{
		Domain: "kernel", Rule: "other-device", Text: "the token is another device's: a device writes by its own login only",
		Inputs: map[string]string{"device": device.String(), "logged_in": own.String()}, Remedy: "log in with the device that signs",
	})
}

// DID, Device, Auth and Sign implement api.Signer. What an app wants signed that is no record it gets from nobody here.
func (c *capture) DID() api.DID    { return c.did }
func (c *capture) Device() api.Key { return c.device }
func (c *capture) Auth() []byte    { return c.auth }

// Sign implements api.Signer.
func (c *capture) Sign([]byte) ([]byte, error) {
	return nil, api.Errorf("record.prepare", api.Unsupported, "the operation wants more signed than a record: do it on the device's own node")
}

// capturing signs nothing but records, and those by keeping them.
type capturing struct{ *capture }

// Sign implements api.Signer.
func (c capturing) Sign(message []byte) ([]byte, error) {
	c.bytes = slices.Clone(message)
	return nil, errPrepared
}

// append takes a draft as far as it goes without a signature: to the receipt of a record that stands, or to the bytes.
func (c *capture) append(ctx context.Context, k *Kernel, draft api.Draft) (api.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes != nil || c.ended {
		c.more = true
		return api.Receipt{}, errPrepared
	}
	receipt, err := k.road.Append(ctx, capturing{c}, draft)
	switch {
	case err == nil: // the name was used before
		if _, v, _ := k.stored(receipt.Position); v.Void() { // a receipt would say that it is done
			return receipt, api.Refusal("record.prepare", v.Reason)
		}
		if receipt.Topic.Space.IsZero() { // by a record that is being committed this very moment
			receipt.Topic = draft.Topic
		}
		receipt.Level, receipt.Holders = k.level(receipt.Position)
		c.receipt = &receipt
	case errors.Is(err, errPrepared):
		c.name = draft.Idempotency
	}
	return receipt, err
}

// preparing refuses what a call that only prepares must not do.
func preparing(ctx context.Context, what string) error {
	if ctx.Value(captureKey{}) == nil {
		return nil
	}
	return api.Refusal("record.prepare", &api.Reason{
		Domain: "kernel", Rule: "here-only", Text: what + " is done for nobody who only asks what to sign", Remedy: "do it on the device's own node",
	})
}
