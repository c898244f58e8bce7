package fact

import (
	"bytes"
	"fmt"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// MaxWitnesses bounds the witnesses of a space at a time.
const MaxWitnesses = 16

// FillQuorum fills in what a request leaves open about n witnesses: a third of the others may lie, and as few make a record final as is safe then.
func FillQuorum(n int, threshold, faulty **int) {
	if *faulty == nil {
		*faulty = new(max(0, n-1) / 3)
	}
	if *threshold == nil {
		*threshold = new((n+**faulty)/2 + 1)
	}
}

// CheckQuorumFields checks the two numbers of a request by themselves.
func CheckQuorumFields(threshold, faulty int) error {
	switch {
	case faulty < 0 || faulty > MaxWitnesses:
		return fmt.Errorf("faulty %d: want 0 to %d", faulty, MaxWitnesses)
	case threshold < 1 || threshold > MaxWitnesses:
		return fmt.Errorf("threshold %d: want 1 to %d", threshold, MaxWitnesses)
	}
	return nil
}

// CheckQuorum checks that threshold t of n witnesses is safe while f of them lie, and reached while f are silent.
func CheckQuorum(n, t, f int) error {
	switch {
	case n == 0 || n > MaxWitnesses:
		return fmt.Errorf("%d witnesses: want 1 to %d", n, MaxWitnesses)
	case 2*t <= n+f || t > n-f:
		return fmt.Errorf("threshold %d of %d witnesses of which %d may be faulty: want more than half of their sum, and no more than the %d others", t, n, f, n-f)
	}
	return nil
}

// CheckWitnesses checks that the keys are keys, each once and in order.
func CheckWitnesses(ws []api.Key) error {
	for i, w := range ws {
		if i > 0 && bytes.Compare(ws[i-1][:], w[:]) >= 0 {
			return fmt.Errorf("witnesses: want strictly ascending order of key")
		}
		if err := record.CheckKey(w); err != nil {
			return fmt.Errorf("witness %d: %w", i, err)
		}
	}
	return nil
}
