package membership

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Founded is the data of membership.founded.
type Founded struct {
	Name       string    `json:"name"`
	Kind       string    `json:"kind" doc:"cooperative, community, federation or personal"`
	Test       bool      `json:"test" doc:"nothing in the space is meant"`
	Founders   []api.DID `json:"founders"`
	Currencies []string  `json:"currencies" doc:"codes"`
}

// Invited is the data of membership.invited.
type Invited struct {
	Key     api.Key `json:"key" doc:"public key of the invitation"`
	Uses    uint32  `json:"uses"`
	Expires int64   `json:"expires" doc:"Unix milliseconds"`
}

// Device is the data of membership.asked, membership.joined and membership.moved.
type Device struct {
	DID    api.DID `json:"did"`
	Device api.Key `json:"device" doc:"that acts for the member"`
}

// Removed is the data of membership.removed.
type Removed struct {
	DID    api.DID `json:"did"`
	Reason string  `json:"reason"`
}

// Handed is the data of membership.handed.
type Handed struct {
	Office string  `json:"office"`
	DID    api.DID `json:"did" doc:"who holds it now"`
	Device api.Key `json:"device"`
	Number uint64  `json:"number" doc:"how many have held it, this one included"`
}

// read decodes the body of a record that was accepted.
func read[T any, P interface {
	*T
	check() error
}](rec *api.Record) *T {
	v := new(T)
	if decode(rec.Body, P(v)) != nil {
		return nil
	}
	return v
}

// Named is the data of membership.named.
type Named struct {
	DID   api.DID `json:"did"`
	Name  string  `json:"name" doc:"how the member wants to be called; it proves nothing"`
	About string  `json:"about,omitempty"`
	Area  string  `json:"area,omitempty"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	of := func(name, scope, summary, topic, kind string) api.EventType {
		return api.EventType{Name: "membership." + name, Scope: scope, Summary: summary, Topic: topic, Kinds: []string{kind}}
	}
	return []api.EventType{
		api.Tell(of("founded", "space:read", "A space was founded", fact.SpaceTopic, kindGenesis), func(_ api.Past, rec *api.Record) *Founded {
			g := read[genesis](rec)
			if g == nil {
				return nil
			}
			f := &Founded{Name: g.Name, Kind: g.Kind, Test: g.Test, Founders: []api.DID{}, Currencies: []string{}}
			for _, m := range g.Founders {
				f.Founders = append(f.Founders, m.DID)
			}
			for _, c := range g.Currencies {
				f.Currencies = append(f.Currencies, c.Code)
			}
			return f
		}),
		api.Tell(of("invited", "member:read", "The registrar has made an invitation", fact.SpaceTopic, kindInvite), func(_ api.Past, rec *api.Record) *Invited {
			i := read[invite](rec)
			if i == nil {
				return nil
			}
			return &Invited{Key: i.Key, Uses: i.Uses, Expires: i.Expires}
		}),
		api.Tell(of("asked", "member:read", "Somebody with an invitation has asked to be admitted", fact.JoinTopic, kindJoin), func(_ api.Past, rec *api.Record) *Device {
			j := read[join](rec)
			if j == nil {
				return nil
			}
			return &Device{DID: j.DID, Device: j.Device}
		}),
		api.Tell(of("named", "member:read", "A member has said how it wants to be called", fact.JoinTopic, kindProfile), func(_ api.Past, rec *api.Record) *Named {
			p := read[profile](rec)
			if p == nil {
				return nil
			}
			return &Named{DID: rec.Author, Name: p.Name, About: p.About, Area: p.Area}
		}),
		api.Tell(of("joined", "member:read", "The registrar has admitted a member", fact.SpaceTopic, kindAdmit), func(_ api.Past, rec *api.Record) *Device {
			a := read[admit](rec)
			if a == nil {
				return nil
			}
			return &Device{DID: a.DID, Device: a.Device}
		}),
		api.Tell(of("moved", "member:read", "Another device acts for a member from now on", fact.SpaceTopic, kindDevice), func(_ api.Past, rec *api.Record) *Device {
			d := read[device](rec)
			if d == nil {
				return nil
			}
			return &Device{DID: d.DID, Device: d.Device}
		}),
		api.Tell(of("removed", "member:read", "The registrar has removed a member", fact.SpaceTopic, kindRemove), func(_ api.Past, rec *api.Record) *Removed {
			r := read[remove](rec)
			if r == nil {
				return nil
			}
			return &Removed{DID: r.DID, Reason: r.Reason}
		}),
		api.Tell(of("handed", "space:read", "An office has another holder", fact.SpaceTopic, kindOffice), func(_ api.Past, rec *api.Record) *Handed {
			h := read[officeHand](rec)
			if h == nil {
				return nil
			}
			return &Handed{Office: h.Name, DID: h.DID, Device: h.Device, Number: h.Number}
		}),
	}
}
