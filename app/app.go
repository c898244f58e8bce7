// Package app is the list of apps that a node runs, and the one place where apps are given to each other. No app imports another: each declares
// the small interface it needs, and Standard fills it.
package app

import (
	"crypto/rand"

	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel/api"
)

// Standard returns the apps of a node, new ones at each call, in the order in which they start.
func Standard() []api.App {
	members := membership.New(rand.Reader)
	return []api.App{
		members,
		finality.New(),
		ledger.New(members),
		trust.New(members, trust.Options{}),
	}
}
