package session

import (
	"sync"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/intercooperative/icn/kernel/api"
)

const (
	maxKnown  = 2 << 10 // bytes of a token that is remembered; ours have some 600
	knownHalf = 2048    // tokens of each half of what is remembered: 2 MB of both, 16 at worst
)

// token is what a token says that its issuer has signed. It is not changed.
type token struct {
	std      jwt.Claims
	own      claims
	scopes   []string // those of own
	external bool
}

// known remembers tokens whose signature was found good, by their digest: a signature costs more than most of what is asked for. It says nothing of whether
// a token holds: its times, its session and its device are looked at each time. What nobody has shown for a while is forgotten by halves.
type known struct {
	mu         sync.Mutex
	young, old map[api.Hash]*token
}

func (k *known) get(sum api.Hash) *token {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.young[sum]; t != nil {
		return t
	}
	t := k.old[sum]
	if t != nil {
		k.add(sum, t)
	}
	return t
}

func (k *known) put(sum api.Hash, t *token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(sum, t)
}

// add puts a token into the younger half. The caller holds mu.
func (k *known) add(sum api.Hash, t *token) {
	if k.young == nil || len(k.young) >= knownHalf {
		k.old, k.young = k.young, map[api.Hash]*token{}
	}
	k.young[sum] = t
}
