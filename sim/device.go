package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// moving is how far a member's change of device has come.
type moving uint8

const (
	moveNot   moving = iota
	moveAsked        // the registrar was to give the device, and something of that may have failed
	moveGiven        // the member may take it into use
)

// GiveDevice lets the registrar give a member its next device, and cut the feeds of the one before.
func (w *World) GiveDevice(m *kerneltest.Node) error {
	_, err := w.giveDevice(m, m.NextDevice())
	return err
}

// GiveUsed is GiveDevice for a device that the member uses already, as after a loss of its disk.
func (w *World) GiveUsed(m *kerneltest.Node) error {
	_, err := w.giveDevice(m, m.Member())
	return err
}

func (w *World) giveDevice(m *kerneltest.Node, s api.Signer) (cuts int, err error) {
	out, err := call(w.members[0], "member.device", membership.DeviceIn{Space: w.Space, DID: s.DID(), Device: s.Device()})
	if err != nil {
		w.moves[m] = max(w.moves[m], moveAsked)
		return 0, err
	}
	if s.Device() != m.Member().Device() {
		w.moves[m] = moveGiven
	}
	return len(out.(*membership.DeviceOut).Cuts), nil
}

// TakeDevice lets a member take its next device into use.
func (w *World) TakeDevice(m *kerneltest.Node) error {
	delete(w.moves, m)
	w.moved[m] = true
	return m.Switch()
}

// Restored says that a node was restored with its member's next device, which is to be given to it.
func (w *World) Restored(m *kerneltest.Node) {
	w.moved[m] = true
}

// device lets somebody begin, or go on, to change devices. A witness's device and a clerk's are named as they are and stay, as does the founder's.
func (w *World) device() error {
	others := w.movable()
	if len(others) == 0 {
		return nil
	}
	m := others[w.Rand.IntN(len(others))]
	if z := w.liar(false); z != nil && !w.Witness(z) && !w.clerks[z] && w.Rand.IntN(2) == 0 {
		m = z
	}
	if w.moves[m] == moveGiven {
		return w.TakeDevice(m)
	}
	_ = w.GiveDevice(m)
	return nil
}

// movable are the members who may change devices: those who hold no office and are no witnesses.
func (w *World) movable() (ns []*kerneltest.Node) {
	for _, m := range w.members[1:] {
		if !w.Witness(m) && !w.clerks[m] {
			ns = append(ns, m)
		}
	}
	return ns
}

// CloseFeed lets a member end its own feed of payments. The error is the refusal.
func (w *World) CloseFeed(m *kerneltest.Node) error {
	out, err := call(m, "feed.close", finality.CloseIn{Space: w.Space, Topic: fact.LedgerTopic})
	if err == nil {
		w.Count("close", "%s at %d", m.Name, out.(*finality.CloseOut).At)
	}
	return err
}

// CloseAt lets a dishonest member sign a close that follows on the newest of its payments that the first of those to whom it shows that has, and names p.
func (w *World) CloseAt(z *kerneltest.Node, p api.Position, to ...*kerneltest.Node) error {
	prev, ok := w.end(to[0], z, fact.LedgerTopic)
	if !ok {
		return fmt.Errorf("%s knows no payment by %s", to[0].Name, z.Name)
	}
	_, err := z.Forge(api.Draft{Topic: w.Topic(), Kind: fact.KindClose, Body: fact.CloseBody(fact.Place{Seq: p.Seq, ID: p.ID})}, prev, to...)
	return err
}

// closeFeed lets somebody end its own feed, to go on with another device.
func (w *World) closeFeed() error {
	others := w.movable()
	if len(others) == 0 {
		return nil
	}
	m := others[w.Rand.IntN(len(others))]
	if m.Up() && w.CloseFeed(m) == nil {
		w.moves[m] = max(w.moves[m], moveAsked)
	}
	return nil
}

// endMoves lets all who change devices come to an end of it, once all is well: the registrar asks again for what a crash, or another cut under way,
// has left out.
func (w *World) endMoves() error {
	for _, m := range w.members {
		if w.moves[m] == moveAsked {
			if err := w.GiveDevice(m); err != nil {
				return fmt.Errorf("%s is not given a device: %w", m.Name, err)
			}
		}
		if w.moves[m] == moveGiven {
			if err := w.TakeDevice(m); err != nil {
				return err
			}
		}
	}
	for _, m := range w.members {
		if !w.moved[m] {
			continue
		}
		for try := 0; ; try++ {
			cuts, err := w.giveDevice(m, m.Member())
			if err != nil {
				return fmt.Errorf("the device of %s: %w", m.Name, err)
			}
			if cuts == 0 {
				break
			}
			if try == 3 {
				return fmt.Errorf("%d feeds of the device before of %s cannot be cut", cuts, m.Name)
			}
			if err := w.Agree(settleMost); err != nil {
				return err
			}
		}
	}
	return nil
}
