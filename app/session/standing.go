package session

import (
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// proof is what of a key event log is kept with a session: enough to hold it against what is known of the DID later.
type proof struct {
	_       struct{} `cbor:",toarray"`
	DID     api.DID
	Device  api.Key
	Primary api.Key    // by the log; zero for none
	Events  []api.Hash // of the log
	Kinds   []byte     // of these, record.EventKind
}

// proofOf reads what certifies a device. The error is of who made it up.
func proofOf(auth []byte) (*proof, error) {
	au, err := record.ParseAuth(auth)
	if err != nil {
		return nil, err
	}
	p := &proof{DID: au.DID, Device: au.Device, Primary: au.Log.Primary()}
	for _, e := range au.Log.Events() {
		p.Events, p.Kinds = append(p.Events, e.ID), append(p.Kinds, byte(e.Kind))
	}
	return p, nil
}

// common counts the events that the proof's log shares with another.
func (p *proof) common(l *record.Log) int {
	n := 0
	for n < len(p.Events) && n < len(l.Events()) && p.Events[n] == l.Events()[n].ID {
		n++
	}
	return n
}

// revokedBy reports whether a log of the DID, which a space follows or not, does without the device. Of one that nobody follows a recovery by guardians does
// not count, which may wait for an objection, nor what comes after it; and of another branch only what it removes by name: whoever has stolen a key can write
// one that leaves devices out.
func (p *proof) revokedBy(l *record.Log, followed bool) bool {
	if l == nil || len(l.Events()) == 1 && l.Head().Version == 1 { // such an event stands alone and says nothing of other devices
		return false
	}
	if !followed {
		if l = p.undisputed(l); l == nil {
			return false
		}
	}
	if slices.Contains(l.Removed(), p.Device) {
		return true
	}
	if _, has := l.Role(p.Device); has {
		return false
	}
	n := p.common(l)
	behind := n == len(p.Events)
	return behind || followed && n < len(l.Events())
}

// undisputed returns a log up to the first recovery that the proof's log has not.
func (p *proof) undisputed(l *record.Log) *record.Log {
	for i := p.common(l); i < len(l.Events()); i++ {
		if l.Events()[i].Kind == record.Recovery {
			before, err := l.Prefix(i)
			if err != nil { // a log does not begin with one
				return nil
			}
			return before
		}
	}
	return l
}

// rotatedBeyond reports whether the proof's log goes on from what a space follows, nil for nothing, with a rotation, which only the owner of the next key can
// make. A recovery by guardians does not count before the space follows it: it waits, so that the owner can object.
func (p *proof) rotatedBeyond(l *record.Log) bool {
	from := 1
	if l != nil {
		if from = p.common(l); from < len(l.Events()) {
			return false
		}
	}
	later := p.Kinds[min(from, len(p.Kinds)):]
	return slices.Contains(later, byte(record.Rotation)) && !slices.Contains(later, byte(record.Recovery))
}

// standing says why nobody may be logged in on a proof, nil when they may: whose device it is must belong to a space that this node follows, or be the node's
// own member, and no space nor key event log that is known may have removed the device. With deep it also looks at what has been shown and is not followed.
func (a *App) standing(host api.Host, r api.Reader, p *proof, within api.Hash, deep bool) *api.Reason {
	belongs, fits, removed := false, false, false
	if self := host.Self(); self != nil && self.DID() == p.DID && within.IsZero() {
		belongs, fits = true, p.Device == self.Device()
		if own, err := record.ParseAuth(self.Auth()); err == nil {
			removed = p.revokedBy(own.Log, true)
			_, named := own.Log.Role(p.Device)
			fits = fits || named
		}
	}
	for _, space := range host.Follows() {
		s, ok := fact.Open(r, space)
		if !ok {
			continue
		}
		followed := a.logs.Followed(space, p.DID)
		removed = removed || p.revokedBy(followed, true)
		if deep {
			for _, l := range a.logs.Shown(space, p.DID) {
				removed = removed || p.revokedBy(l, false)
			}
		}
		m, _, known := s.Known(p.DID)
		if known && m.Before == p.Device && m.Device != p.Device && m.Device != p.Primary && m.Device != (api.Key{}) {
			removed = true
		}
		if !s.Belongs(p.DID) || !within.IsZero() && space != within {
			continue
		}
		belongs = true
		switch {
		case m.Device == p.Device, m.Device == p.Primary && m.Device != (api.Key{}), p.rotatedBeyond(followed):
			fits = true
		case followed != nil && followed.Primary() == p.Primary && m.Before != p.Primary: // it is being moved
			fits = true
		case m.Device == (api.Key{}): // holds an office and is no member
			fits = fits || holdsOffice(s, p)
		}
	}
	switch {
	case removed:
		return &api.Reason{Domain: Domain, Rule: "device-removed", Text: "this device was removed or replaced"}
	case !belongs:
		return &api.Reason{Domain: Domain, Rule: "not-a-member", Text: "the DID is no member of a space that this node follows"}
	case !fits:
		return &api.Reason{Domain: Domain, Rule: "other-device", Text: "the spaces that this node follows know another device of this DID"}
	}
	return nil
}

func holdsOffice(s *fact.Space, p *proof) bool {
	return slices.ContainsFunc(s.Genesis.Offices, func(name string) bool {
		o, ok := s.Office(name)
		return ok && o.DID == p.DID && (o.Device == p.Device || o.Device == p.Primary)
	})
}

// familiar reports whether a device is one that this node knows as the DID's: its own, one that acts in a space, or one with a session.
func (a *App) familiar(host api.Host, r api.Reader, did api.DID, device api.Key) bool {
	if self := host.Self(); self != nil && self.DID() == did && self.Device() == device {
		return true
	}
	a.mu.Lock()
	for _, s := range a.sessions.by[did] {
		if s.Proof.Device == device {
			a.mu.Unlock()
			return true
		}
	}
	a.mu.Unlock()
	return slices.ContainsFunc(host.Follows(), func(space api.Hash) bool {
		s, ok := fact.Open(r, space)
		if !ok {
			return false
		}
		m, _, ok := s.Known(did)
		return ok && m.Device == device
	})
}

// belongs reports whether did is somebody to whom this node lends anything: its own member, or of a space that it follows.
func (a *App) belongs(host api.Host, did api.DID) bool {
	if own(host, did) {
		return true
	}
	r := host.Read()
	defer r.Close()
	return slices.ContainsFunc(host.Follows(), func(space api.Hash) bool {
		s, ok := fact.Open(r, space)
		return ok && s.Belongs(did)
	})
}
