package fact

import "github.com/intercooperative/icn/kernel/api"

// Balances reads what accounts have, found among api.Services.
type Balances interface {
	// Balances returns the balance of each account in a currency of a space, minor units, all from one moment; 0 of who has none.
	Balances(space api.Hash, accounts []api.DID, currency string) ([]int64, error)
}
