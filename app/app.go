// Package app is the list of apps that a node runs, and the one place where apps are given to each other. No app imports another: each declares
// the small interface it needs, and Standard fills it.
package app

import (
	"context"
	"crypto/rand"
	"io"
	"math"

	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/keys"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/market"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/security"
	"github.com/intercooperative/icn/app/session"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/app/webhook"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// Options are what an operator may set of the apps.
type Options struct {
	// MinScore is the least trust score, 0 to 1, of a member whose node may connect; 0 lets everybody in, a newly invited member too.
	MinScore float64
	// Random is where invitation keys and the nonces of new spaces come from, safe for concurrent use; nil is crypto/rand.
	Random io.Reader
	// Sessions is what logins need; its zero value is for nodes that nobody logs in to.
	Sessions Sessions
	// Webhook is what the operator has set of webhooks; Random and Access are filled in.
	Webhook webhook.Options
	// Metrics is where apps count; nil counts for nobody.
	Metrics *obs.Registry
}

// Sessions are the settings of logins.
type Sessions = session.Options

// Issuer is another issuer of tokens that are taken as logins.
type Issuer = session.External

// Audited is what an auditor's envelope was found to be.
type Audited = ledger.Audited

// VerifyAudit checks an auditor's envelope; see ledger.VerifyAudit.
func VerifyAudit(ctx context.Context, src io.Reader, replay ledger.Replay) (*Audited, error) {
	return ledger.VerifyAudit(ctx, src, replay)
}

// Proven is what a receipt was found to prove.
type Proven = ledger.Proven

// VerifyReceipt checks a receipt; see ledger.VerifyReceipt.
func VerifyReceipt(ctx context.Context, src io.Reader, replay ledger.Replay) (*Proven, error) {
	return ledger.VerifyReceipt(ctx, src, replay, finality.VerifyCertificate)
}

// Standard returns the apps of a node, new ones at each call, in the order in which they start.
func Standard(o Options) []api.App {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Sessions.Random == nil {
		o.Sessions.Random = o.Random
	}
	members := membership.New(o.Random)
	logs := keys.New(members)
	o.Webhook.Random, o.Webhook.Access = o.Random, membership.Domain
	apps := []api.App{
		members,
		finality.New(members),
		logs,
		ledger.New(members).Measured(o.Metrics),
		trust.New(members, trust.Options{MinConnect: trust.Score(math.Round(o.MinScore * 10000))}),
		security.New(members, security.Options{Metrics: o.Metrics}),
		market.New(members),
		webhook.New(members, o.Webhook),
	}
	return append(apps, session.New(logs, apps, o.Sessions))
}
