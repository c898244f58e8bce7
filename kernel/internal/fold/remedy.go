package fold

import "github.com/intercooperative/icn/kernel/api"

// remedies returns what to do about the rules by which this package makes records void, and about those that every app has.
func remedies() (own, all map[string]string) {
	own = map[string]string{
		"foreign-dep":   "the program that wrote the record is at fault: upgrade it, and make the record again",
		"founding":      "the program that wrote the record is at fault: upgrade it, and found the space again: icnctl space create",
		"apply-panic":   "nothing else is lost: tell whoever maintains this program, with what icnctl explain shows of the record",
		"cut-elsewhere": "write from the device that goes on, icnctl feed list --odd shows it; else the registrar cuts the feed anew: icnctl feed cut",
		"feed-ended":    "write from the device that goes on, icnctl member list shows it; who has lost that comes back by icnctl id restore",
	}
	all = map[string]string{
		"malformed":    "the program that wrote the record is at fault, or too old or too new for this one: upgrade both, and make the record again",
		"unknown-kind": "upgrade this node, then run icnctl state rebuild",
	}
	return own, all
}

// Advise completes a reason with what to do about its rule, as the app of its domain says. It returns r itself, which may be nil, when there is nothing
// to add.
func (a *Apps) Advise(r *api.Reason) *api.Reason {
	if r == nil || r.Remedy != "" {
		return r
	}
	remedy, ok := a.remedies[string(r.Domain)][r.Rule]
	if !ok {
		if remedy, ok = a.remedies[""][r.Rule]; !ok {
			return r
		}
	}
	out := *r
	out.Remedy = remedy
	return &out
}

// Advised makes the reader complete the reasons that it gives.
func (r *Reader) Advised(a *Apps) *Reader {
	r.apps = a
	return r
}
