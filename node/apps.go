package node

import (
	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

// The oracles that decide who may follow a space, and whose scores set rates and admit connections.
const (
	accessDomain api.Domain = "membership"
	rateDomain   api.Domain = "trust"
)

// apps returns the apps of a node.
func apps(c *config.Config) []api.App {
	return app.Standard(app.Options{MinScore: c.Network.MinTrustThreshold})
}
