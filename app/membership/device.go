package membership

import (
	"context"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// DeviceIn is the input of member.device.
type DeviceIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did" doc:"DID of the member"`
	Device api.Key  `json:"device" doc:"Public key of the new device, 64 hexadecimal digits; the member's root key must have certified it"`
}

// Validate implements api.Validator.
func (in *DeviceIn) Validate() error { return identity(in.DID, in.Device) }

// DeviceOut is the output of member.device.
type DeviceOut struct {
	Receipt api.Receipt `json:"receipt"`
	Before  api.Key     `json:"before" doc:"the device that ends"`
	Cuts    []DeviceCut `json:"cuts"`
}

// DeviceCut is a feed of the old device that is cut; the new device goes on from there once the cut is final.
type DeviceCut struct {
	Topic  string   `json:"topic"`
	Feed   api.Hash `json:"feed"`
	Number uint64   `json:"number"`
}

// device moves a member to another device: it says so, and cuts all feeds of the one before, so that whoever holds that can write nothing more
// that counts. Asked again, it announces what a crash left out.
func (a *App) device(ctx context.Context, call *api.Call, in *DeviceIn) (*DeviceOut, error) {
	const op = "member.device"
	a.admit.Lock() // before reading: the device must be the newest
	defer a.admit.Unlock()
	host, signer, r, s, err := a.asRegistrar(op, call, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m, at, ok := s.Member(in.DID)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "did: %s is no member of %s", in.DID, s.Genesis.Name)
	}
	out := &DeviceOut{Before: m.Device, Cuts: []DeviceCut{}}
	if m.Device == in.Device {
		if m.Before == (api.Key{}) {
			return nil, api.Errorf(op, api.Conflict, "device: the member acts with this device already")
		}
		out.Before, out.Receipt = m.Before, fact.Repeated(r, at)
	} else {
		if why := inOffice(s, m.Device); why != nil {
			return nil, api.Refusal(op, why)
		}
		d := registrarDraft(r, s, kindDevice, codec.MustMarshal(&device{DID: in.DID, Device: in.Device}))
		d.Idempotency = call.Idempotency
		if out.Receipt, err = host.Append(ctx, signer, d, call.Wait); err != nil {
			return nil, api.Wrap(op, err)
		}
	}
	out.Cuts, err = a.cutOwed(ctx, host, signer, s.ID, in.DID)
	return out, api.Wrap(op, err)
}

// Move implements fact.Mover.
func (a *App) Move(ctx context.Context, signer api.Signer, space api.Hash, did api.DID, device api.Key) error {
	_, err := a.device(ctx, &api.Call{Actor: signer.DID(), Signer: signer}, &DeviceIn{Space: space, DID: did, Device: device})
	if api.KindOf(err) == api.Conflict { // it acts with the device already
		return nil
	}
	return err
}
