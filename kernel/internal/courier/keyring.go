package courier

import (
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// keyring remembers the keys that peers said to seal to; the one heard of longest ago gives way.
type keyring struct {
	most   int
	age    time.Duration
	byNode map[api.DID]heard
	order  []api.DID // as heard
}

type heard struct {
	key []byte
	at  time.Time
}

func newKeyring(most int, age time.Duration) keyring {
	return keyring{most: most, age: age, byNode: map[api.DID]heard{}}
}

func (r *keyring) put(now time.Time, node api.DID, key []byte) {
	r.drop(node)
	if len(r.order) >= r.most {
		r.drop(r.order[0])
	}
	r.byNode[node] = heard{key, now}
	r.order = append(r.order, node)
}

// get returns the key of node, nil when it is not known or too old. A clock that steps back makes no key older.
func (r *keyring) get(now time.Time, node api.DID) []byte {
	h, ok := r.byNode[node]
	if ok && now.Sub(h.at) >= r.age {
		r.drop(node)
		return nil
	}
	return h.key
}

func (r *keyring) drop(node api.DID) {
	if _, ok := r.byNode[node]; ok {
		delete(r.byNode, node)
		r.order = slices.DeleteFunc(r.order, func(n api.DID) bool { return n == node })
	}
}
