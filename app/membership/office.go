package membership

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// HandIn is the input of office.hand.
type HandIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Office string   `json:"office" doc:"Name of the office: registrar, clerk or treasury" example:"clerk"`
	DID    api.DID  `json:"did" doc:"DID of the new holder"`
	Device api.Key  `json:"device" doc:"Public key of the device that will write for the office, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *HandIn) Validate() error {
	if !code(in.Office, maxOffice) {
		return fmt.Errorf("office %q: want its name, e.g. clerk", clip(in.Office))
	}
	return identity(in.DID, in.Device)
}

// HandOut is the output of office.hand.
type HandOut struct {
	Receipt api.Receipt `json:"receipt"`
	Number  uint64      `json:"number" doc:"how many have held the office so far, the new holder among them"`
	Before  api.DID     `json:"before" doc:"who held it"`
}

// hand gives an office to another holder. The registrar decides. An office of the registrar's own passes by closing its feeds, and the new holder's
// go on from there; what other apps have their offices write ends by cuts for the sake of this record. Asked again, it does what a crash left out.
func (a *App) hand(ctx context.Context, call *api.Call, in *HandIn) (*HandOut, error) {
	const op = "office.hand"
	a.admit.Lock() // before reading: holders are numbered
	defer a.admit.Unlock()
	host, signer, r, s, err := a.asRegistrar(op, call, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o, at, ok := s.Holder(in.Office)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "office %q: %s has %s", in.Office, s.Genesis.Name, strings.Join(s.Genesis.Offices, ", "))
	}
	if o.DID == in.DID && o.Device == in.Device {
		before, _, _ := s.Handed(in.Office, o.Number-1)
		return &HandOut{Receipt: fact.Repeated(r, at), Number: o.Number, Before: before.DID}, nil
	}
	var cites []api.Position
	if in.Office == fact.Registrar {
		if cites, err = a.handCuts(ctx, host, signer, s, r, in, max(o.Number, 1)+1); err != nil {
			return nil, api.Wrap(op, err)
		}
	}
	d := registrarDraft(r, s, kindOffice, codec.MustMarshal(&officeHand{Name: in.Office, DID: in.DID, Device: in.Device, Number: max(o.Number, 1) + 1}), cites...)
	d.Idempotency = call.Idempotency
	rc, err := host.Append(ctx, signer, d, call.Wait)
	return &HandOut{Receipt: rc, Number: max(o.Number, 1) + 1, Before: o.DID}, api.Wrap(op, err)
}

// handCuts hands over what the registrar writes beside admissions, the feed of cuts, and returns what to cite for that: who knows the new registrar has
// to know both. A device that has written in either feed before would bring rows of its own, so it must be a new one.
func (a *App) handCuts(ctx context.Context, host api.Host, signer api.Signer, s *fact.Space, r api.Reader, in *HandIn, number uint64) ([]api.Position, error) {
	for _, topic := range [...]string{fact.SpaceTopic, fact.CutTopic} {
		if _, begun := r.Head(s.Feed(topic, in.Device)); begun {
			return nil, refuseUsed(topic, in)
		}
	}
	cutter, ok := api.Lookup[fact.Cutter](host.Services())
	if !ok {
		return nil, nil // nothing is cut here
	}
	at, err := cutter.Hand(ctx, signer, s.ID, fact.Office{DID: in.DID, Device: in.Device, Number: number})
	return []api.Position{at}, err
}

// refuseUsed refuses a device for the registrar's office, whose feed goes on from that of the one before.
func refuseUsed(topic string, in *HandIn) error {
	return api.Refusal("", &api.Reason{
		Domain: Domain, Rule: "device-used", Text: "the device has written in topic " + topic + " before; a registrar begins with a fresh one",
		Inputs: map[string]string{"device": in.Device.String()}, Remedy: "let " + string(in.DID) + " make another device: icnctl id device",
	})
}

// applyOffice gives an office to the next holder. When it is the registrar's own, this is the last record of its feed.
func applyOffice(tx api.Tx, rec *api.Record) api.Outcome {
	var h officeHand
	if err := decode(rec.Body, &h); err != nil {
		return malformed(err)
	}
	c, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	var last fact.Office
	b, ok := tx.Own(rowOffice(h.Name))
	if !ok || codec.Unmarshal(b, &last) != nil {
		return api.Voided(Domain, "no-such-office", "the genesis names no such office")
	}
	if heir, ok := fact.ReplacesAt(tx, rec); ok && h.Name == fact.Registrar && heir.Number > last.Number {
		last = heir
	}
	if h.Number != last.Number+1 {
		out := api.Voided(Domain, "out-of-order", "the holders of an office are numbered without gaps")
		out.Void.Inputs = map[string]string{"number": strconv.FormatUint(h.Number, 10), "last": strconv.FormatUint(last.Number, 10)}
		return out
	}
	if h.Device == last.Device {
		return api.Voided(Domain, "same-device", "the office is written for by this device already")
	}
	putOffice(tx, h.Name, fact.Office{DID: h.DID, Device: h.Device, Number: h.Number})
	if h.Name == fact.Registrar {
		c.Registrar = h.Device
		tx.Put(rowCharter, codec.MustMarshal(&c))
		tx.Cut(api.Cut{Feed: rec.Feed, At: rec.Position(), Next: h.Device})
	}
	return api.Accepted
}
