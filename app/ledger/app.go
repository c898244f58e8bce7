package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "ledger"

// Spaces is what this app asks of whoever knows spaces.
type Spaces interface {
	// Default returns the space that is meant when none is named.
	Default() (api.Hash, error)
}

// App is the ledger app. Make one with New.
type App struct {
	spaces Spaces
	grants sync.Mutex // one grant, schedule or charge at a time: they are numbered
	owed   fact.Owed  // cuts, on the registrar's node
	turns  turns      // of standing orders

	inspector inspector
	spoken    spoken // escrows that may be decided, on the clerk's node

	mu      sync.Mutex
	host    api.Host
	looked  time.Time            // when Tick looked at the schedules
	charged map[billed]uint64    // newest period that everybody was charged for, as far as this node has looked
	graded  map[api.Hash]api.DID // the account at which the last turn of granting by policy has stopped; empty: at the last
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.Examiner          = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Ticker            = (*App)(nil)
	_ fact.Balances         = (*App)(nil)
)

// New returns the app.
func New(spaces Spaces) *App { return &App{spaces: spaces} }

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "ledger", Topics: []api.TopicSpec{
		{Name: fact.LedgerTopic, Retention: api.Log, Kinds: []string{
			kindTransfer, kindBatch, kindRequest, kindCancel, kindDecline, kindOrder, kindEndOrder, kindAck, kindGrant, kindAllot, kindReturn, kindMandate, kindPropose, kindProposeRules, kindApprove, fact.KindClose,
			kindEscrow, kindRelease, kindEscrowBack, kindAward, kindDispute, kindSay, kindBind, kindOffer, kindAccept, kindJudge, kindUphold, kindImportTake,
		}},
		{Name: fact.PostingsTopic, Retention: api.Log, Kinds: []string{kindSchedule, kindCharge, kindDue, kindSettle, kindRedress, kindTally, kindFreeze, kindImport, kindImportUndo, kindImportBind, kindPolicy}},
		{Name: fact.TreasuryTopic, Retention: api.Log, Kinds: []string{kindRules, kindSpend, kindPay}},
	}}
}

// Start implements api.Starter.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	a.host = host
	a.mu.Unlock()
	api.Provide[fact.Balances](host.Services(), a)
	a.findOwed(host)
	return nil
}

// with returns the host, or an error before Start.
func (a *App) with(op string) (api.Host, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host == nil {
		return nil, api.Errorf(op, api.Unavailable, "the node is still starting")
	}
	return a.host, nil
}

// open opens a space over r; a zero id is the default space.
func (a *App) open(op string, r api.Reader, id api.Hash) (*fact.Space, error) {
	if id.IsZero() {
		var err error
		if id, err = a.spaces.Default(); err != nil {
			return nil, err
		}
	}
	s, ok := fact.Open(r, id)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", id)
	}
	return s, nil
}

// see opens a snapshot and a space over it. The caller closes the Reader.
func (a *App) see(op string, id api.Hash) (api.Host, api.Reader, *fact.Space, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, nil, nil, err
	}
	r := host.Read()
	s, err := a.open(op, r, id)
	if err != nil {
		r.Close()
		return nil, nil, nil, err
	}
	return host, r, s, nil
}
