package main

import (
	"context"
	"fmt"

	"github.com/intercooperative/icn/kernel/kerneltest"
)

// bloom is the size in bytes of a Bloom filter with 1% false positives over 100,000 ids: -n ln p / (ln 2)^2 bits. It misses 1% of what is missing.
const bloom = 119_814

// heal: two nodes with 100,000 records in 1,000 feeds, of which one has more, meet.
func heal(differences int) func(context.Context, *bench) ([]result, error) {
	return func(context.Context, *bench) ([]result, error) {
		name := fmt.Sprintf("heal-%d", differences)
		var rows []result
		for _, feeds := range []int{1_000, 10_000} {
			h, err := kerneltest.Heal(100_000, feeds, differences)
			if err != nil {
				return rows, err
			}
			row := result{
				name, float64(h.Find), "bytes", "Bloom filter 1%", bloom, bloom / float64(h.Find),
				fmt.Sprintf("100,000 records in %d feeds: %d B to find, %d B to ask, %d B of records, %.1f round trips", feeds, h.Find, h.Ask, h.Fetch, h.Trips),
			}
			if feeds != 1_000 {
				row.Name += fmt.Sprintf("-feeds-%d", feeds)
			}
			rows = append(rows, row)
			if feeds == 1_000 {
				rows = append(rows, result{name + "-trips", h.Trips, "round trips", "", 0, 0, ""})
			}
		}
		return rows, nil
	}
}
