package membership

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// ShowIn is the input of space.show.
type ShowIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// Space is a space in a list.
type Space struct {
	Space      api.Hash   `json:"space"`
	Name       string     `json:"name"` // empty while the genesis is not here
	Kind       string     `json:"kind"`
	Test       bool       `json:"test"`
	Members    int64      `json:"members"`
	Currencies []Currency `json:"currencies"`
}

// Currency is a currency of a space.
type Currency struct {
	Code         string `json:"code"`
	Scale        int    `json:"scale"`
	DefaultLimit int64  `json:"default_limit"` // minor units; 0 in a gift currency, which has no limits
	Gift         bool   `json:"gift,omitempty" doc:"it counts what members do for each other, has no limits, and shows no balances"`
}

// ListOut is the output of space.list.
type ListOut struct {
	Spaces []Space `json:"spaces"`
}

func (a *App) list(_ context.Context, call *api.Call, _ *struct{}) (*ListOut, error) {
	host, err := a.with("space.list")
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	out := &ListOut{Spaces: []Space{}}
	for _, id := range host.Follows() {
		if !call.Sees(id) {
			continue
		}
		if s, ok := fact.Open(r, id); ok {
			out.Spaces = append(out.Spaces, describe(r, s))
		} else {
			out.Spaces = append(out.Spaces, Space{Space: id, Currencies: []Currency{}})
		}
	}
	return out, nil
}

func describe(r api.Reader, s *fact.Space) Space {
	d := Space{Space: s.ID, Name: s.Genesis.Name, Kind: s.Genesis.Kind, Test: s.Genesis.Test, Members: r.Counter(countMembers(s.ID)), Currencies: []Currency{}}
	for _, code := range s.Genesis.Currencies {
		if c, ok := s.Currency(code); ok {
			cur := Currency{Code: code, Scale: int(c.Scale), DefaultLimit: c.Limit, Gift: c.Gift()}
			if cur.Gift {
				cur.DefaultLimit = 0
			}
			d.Currencies = append(d.Currencies, cur)
		}
	}
	return d
}

// ShowOut is the output of space.show.
type ShowOut struct {
	Space      api.Hash     `json:"space"`
	Name       string       `json:"name"`
	Kind       string       `json:"kind"`
	Test       bool         `json:"test"`
	Members    int64        `json:"members"`
	Currencies []Currency   `json:"currencies"`
	Founders   []api.DID    `json:"founders"`
	Witnesses  []api.Key    `json:"witnesses"`
	Words      []Word       `json:"words" doc:"when each of these witnesses has last written, as far as is known here; who has nothing to say writes nothing"`
	Threshold  int          `json:"threshold"`
	Epoch      uint64       `json:"epoch" doc:"how often the witnesses have changed"`
	Next       []api.Key    `json:"next,omitempty" doc:"witnesses that are named and not in force yet"`
	Offices    []Office     `json:"offices"`
	Genesis    api.Position `json:"genesis"`
}

// Word is when a witness has last written, of what counts here.
type Word struct {
	Device api.Key   `json:"device"`
	Time   time.Time `json:"time,omitzero" doc:"by the witness's own clock; none: nothing of it has come here"`
}

// words lists when the witnesses in force have last written, in the order of their keys.
func words(r api.Reader, s *fact.Space) []Word {
	epoch, _ := s.Epoch()
	ws := make([]Word, len(epoch.Witnesses))
	for i, feed := range s.Finality() {
		ws[i].Device = epoch.Witnesses[i]
		if at, ok := r.Head(feed); ok && at.Seq > 0 {
			if rec, _, ok := r.Record(at); ok {
				ws[i].Time = rec.Time.Time()
			}
		}
	}
	return ws
}

// Office is an office of a space and who holds it.
type Office struct {
	Name   string  `json:"name"`
	DID    api.DID `json:"did"`
	Device api.Key `json:"device"`
}

func (a *App) show(_ context.Context, _ *api.Call, in *ShowIn) (*ShowOut, error) {
	const op = "space.show"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, err := a.open(op, r, in.Space)
	if err != nil {
		return nil, err
	}
	d := describe(r, s)
	epoch, _ := s.Epoch()
	next, _, _ := s.Named(epoch.Number + 1)
	out := &ShowOut{
		Space: d.Space, Name: d.Name, Kind: d.Kind, Test: d.Test, Members: d.Members, Currencies: d.Currencies,
		Witnesses: epoch.Witnesses, Words: words(r, s), Threshold: int(epoch.Threshold), Epoch: epoch.Number, Next: next.Witnesses, Genesis: s.Founded,
	}
	for _, m := range s.Genesis.Founders {
		out.Founders = append(out.Founders, m.DID)
	}
	for _, name := range s.Genesis.Offices {
		if o, ok := s.Office(name); ok {
			out.Offices = append(out.Offices, Office{Name: name, DID: o.DID, Device: o.Device})
		}
	}
	return out, nil
}

// MembersIn is the input of member.list.
type MembersIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *MembersIn) Validate() error {
	if in.Limit < 0 || in.Limit > maxPage {
		return fmt.Errorf("limit %d: want 1 to %d", in.Limit, maxPage)
	}
	return nil
}

// Member is a member in a list.
type Member struct {
	DID     api.DID   `json:"did"`
	Device  api.Key   `json:"device"`
	Since   time.Time `json:"since"`
	Founder bool      `json:"founder"`

	Name string `json:"name,omitempty" doc:"how the member wants to be called; it proves nothing"`
	Area string `json:"area,omitempty"`
}

// MembersOut is the output of member.list.
type MembersOut struct {
	Members []Member `json:"members"`
	Cursor  string   `json:"cursor,omitempty"` // empty on the last page
}

func (a *App) members(_ context.Context, _ *api.Call, in *MembersIn) (*MembersOut, error) {
	const op = "member.list"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, err := a.open(op, r, in.Space)
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = defaultPage
	}
	var after []byte
	if in.Cursor != "" {
		after = append([]byte(in.Cursor), 1) // behind all rows of that DID, which go on with 0
	}
	out := &MembersOut{Members: []Member{}}
	for k, v := range r.Index(indexMembers(s.ID), after, false) {
		m, ok := current(s, k, v)
		if !ok {
			continue
		}
		if len(out.Members) == limit {
			out.Cursor = string(out.Members[limit-1].DID)
			break
		}
		p, _ := s.Profile(m.DID)
		out.Members = append(out.Members, Member{
			DID: m.DID, Device: m.Device, Since: time.UnixMilli(m.Since).UTC(), Founder: m.Founder, Name: p.Name, Area: p.Area,
		})
	}
	return out, nil
}

// current reads a row of the list of members, if it is of a member as things are now: not one removed since, and not a device before.
func current(s *fact.Space, k, v []byte) (m member, ok bool) {
	if codec.Unmarshal(v, &m) != nil {
		return m, false
	}
	_, by, ok := s.Member(m.DID)
	return m, ok && bytes.HasSuffix(k, append(by.Feed[:], api.Seq8(by.Seq)...))
}

// Roll implements fact.Roll.
func (a *App) Roll(space api.Hash) ([]api.DID, error) {
	host, err := a.with("member.list")
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, err := a.open("member.list", r, space)
	if err != nil {
		return nil, err
	}
	var all []api.DID
	for k, v := range r.Index(indexMembers(s.ID), nil, false) {
		if m, ok := current(s, k, v); ok {
			all = append(all, m.DID)
		}
	}
	return all, nil
}
