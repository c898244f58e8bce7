package membership

import (
	"context"
	"slices"

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

// uncut are topics whose feeds do not pass to another device: what the registrar and the witnesses write, and logs, which prove themselves.
var uncut = []string{fact.FinalityTopic, fact.CutTopic, fact.SpaceTopic, fact.KeysTopic}

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
		rec, v, _ := r.Record(at)
		out.Before, out.Receipt = m.Before, api.Receipt{Position: at, Topic: rec.Topic, Time: rec.Time, Final: v.Final, Repeated: true}
	} else {
		if office := officeOf(s, m.Device); office != "" {
			return nil, api.Refusal(op, &api.Reason{
				Domain: Domain, Rule: "holds-office", Text: "the device fills the office of " + office + ", which does not pass to another device by itself",
				Inputs: map[string]string{"office": office, "device": m.Device.String()}, Remedy: "hand the office over first; this version cannot do that yet",
			})
		}
		d := registrarDraft(r, s, kindDevice, codec.MustMarshal(&device{DID: in.DID, Device: in.Device}))
		d.Idempotency = call.Idempotency
		if out.Receipt, err = host.Append(ctx, signer, d, call.Wait); err != nil {
			return nil, api.Wrap(op, err)
		}
	}
	cutter, ok := api.Lookup[fact.Cutter](host.Services())
	if !ok {
		return out, api.Errorf(op, api.Unavailable, "the device is given; nobody here cuts the feeds of the one before: ask again when the node has started")
	}
	topics := []string{fact.LedgerTopic} // even if nothing was written there: nothing will be
	for _, h := range host.Heads(api.Topic{Space: s.ID}) {
		if h.Device == out.Before && !slices.Contains(uncut, h.Topic.Name) && !slices.Contains(topics, h.Topic.Name) {
			topics = append(topics, h.Topic.Name)
		}
	}
	for _, topic := range topics {
		if c, _, ok := s.Cut(s.Feed(topic, out.Before)); ok && c.Next == in.Device {
			continue
		}
		q := fact.CutRequest{Topic: topic, Device: out.Before, Next: in.Device, Causes: []api.Position{out.Receipt.Position}}
		feed, number, _, err := cutter.Cut(ctx, signer, s.ID, q, api.WaitLocal)
		if err != nil && api.KindOf(err) != api.Conflict {
			return out, api.Wrap(op, err)
		}
		out.Cuts = append(out.Cuts, DeviceCut{Topic: topic, Feed: feed, Number: number})
	}
	return out, nil
}

// Move implements fact.Mover.
func (a *App) Move(ctx context.Context, signer api.Signer, space api.Hash, did api.DID, device api.Key) error {
	_, err := a.device(ctx, &api.Call{Actor: signer.DID(), Signer: signer}, &DeviceIn{Space: space, DID: did, Device: device})
	if api.KindOf(err) == api.Conflict { // it acts with the device already
		return nil
	}
	return err
}

// officeOf names an office that a device fills, empty for none.
func officeOf(s *fact.Space, device api.Key) string {
	for _, name := range s.Genesis.Offices {
		if o, ok := s.Office(name); ok && o.Device == device {
			return name
		}
	}
	return ""
}
