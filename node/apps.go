package node

import (
	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/webhook"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
	"github.com/intercooperative/icn/obs"
)

// The oracles that decide who may follow a space, and whose scores set rates and admit connections.
const (
	accessDomain api.Domain = "membership"
	rateDomain   api.Domain = "trust"
)

// guardDomains are the oracles that may tighten what those allow.
var guardDomains = [...]api.Domain{"security"}

// apps returns the apps of a node that nobody measures and nobody logs in to.
func apps(c *config.Config) []api.App { return measuredApps(c, nil, app.Sessions{}) }

// measuredApps returns the apps of a node.
func measuredApps(c *config.Config, reg *obs.Registry, sessions app.Sessions) []api.App {
	return app.Standard(app.Options{
		MinScore: c.Network.MinTrustThreshold, Metrics: reg, Sessions: sessions,
		Webhook: webhook.Options{AllowPrivate: c.Webhook.AllowPrivate, AllowHTTP: c.Webhook.AllowHTTP, MaxHooks: c.Webhook.MaxHooks, MaxOwn: c.Webhook.MaxOwn},
	})
}
