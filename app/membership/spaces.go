package membership

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Default returns the space that is meant when none is named: the only one that this node follows.
func (a *App) Default() (api.Hash, error) {
	host, err := a.with("space")
	if err != nil {
		return api.Hash{}, err
	}
	switch all := host.Follows(); len(all) {
	case 1:
		return all[0], nil
	case 0:
		return api.Hash{}, api.Errorf("space", api.Invalid, "space: this node follows no space yet: icnctl space create, or icnctl space join")
	default:
		return api.Hash{}, api.Errorf("space", api.Invalid, "space: this node follows %d spaces, name one", len(all))
	}
}

// Test reports whether the space is here and a test space.
func (a *App) Test(space api.Hash) bool {
	test := false
	a.see(space, func(s *fact.Space) { test = s.Genesis.Test })
	return test
}

// Genesis returns the position of the record that founded the space, to cite; false when it is not here.
func (a *App) Genesis(space api.Hash) (pos api.Position, ok bool) {
	a.see(space, func(s *fact.Space) { pos, ok = s.Founded, true })
	return pos, ok
}

// MemberDep returns a position to cite that shows did to be a member.
func (a *App) MemberDep(space api.Hash, did api.DID) (pos api.Position, ok bool) {
	a.see(space, func(s *fact.Space) { _, pos, ok = s.Member(did) })
	return pos, ok
}

// see calls f with the space if its genesis is here.
func (a *App) see(space api.Hash, f func(*fact.Space)) {
	host, err := a.with("space")
	if err != nil {
		return
	}
	r := host.Read()
	defer r.Close()
	if s, ok := fact.Open(r, space); ok {
		f(s)
	}
}
