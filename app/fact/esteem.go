package fact

import "github.com/intercooperative/icn/kernel/api"

// Esteem says what this node's member thinks of others, by what members have said of each other in a space; found among api.Services. It is a viewpoint and
// no fact: two nodes may differ.
type Esteem interface {
	// Esteem is 0, nothing is known of them, to 10000, in full. Of the node's own member it is 0: nobody vouches for oneself.
	Esteem(space api.Hash, did api.DID) int64
}
