package market

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Advertised is the data of market.posted and market.edited.
type Advertised struct {
	Ad       api.Hash `json:"ad"`
	Side     string   `json:"side" doc:"offer or want"`
	Title    string   `json:"title"`
	Category string   `json:"category"`
}

// Withdrawn is the data of market.withdrawn.
type Withdrawn struct {
	Ad     api.Hash `json:"ad"`
	Reason string   `json:"reason,omitempty"`
}

// Moderated is the data of market.reported, market.hidden and market.shown.
type Moderated struct {
	Ad     api.Hash `json:"ad"`
	Reason string   `json:"reason"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	of := func(name, summary, kind string) api.EventType {
		return api.EventType{Name: "market." + name, Scope: scopeRead, Summary: summary, Topic: Topic, Kinds: []string{kind}}
	}
	act := func(_ api.Past, rec *api.Record) *Moderated {
		var a act
		if decode(rec.Body, &a) != nil {
			return nil
		}
		return &Moderated{Ad: a.Ad, Reason: a.Reason}
	}
	return []api.EventType{
		api.Tell(of("posted", "A member offers or wants something", kindPost), func(_ api.Past, rec *api.Record) *Advertised {
			var a ad
			if decode(rec.Body, &a) != nil {
				return nil
			}
			return &Advertised{Ad: rec.ID, Side: a.Side, Title: a.Title, Category: a.Category}
		}),
		api.Tell(of("edited", "A member has changed an ad", kindEdit), func(_ api.Past, rec *api.Record) *Advertised {
			var e edit
			if decode(rec.Body, &e) != nil {
				return nil
			}
			return &Advertised{Ad: e.Ad, Side: e.New.Side, Title: e.New.Title, Category: e.New.Category}
		}),
		api.Tell(of("withdrawn", "A member has withdrawn an ad", kindWithdraw), func(_ api.Past, rec *api.Record) *Withdrawn {
			var w withdraw
			if decode(rec.Body, &w) != nil {
				return nil
			}
			return &Withdrawn{Ad: w.Ad, Reason: w.Reason}
		}),
		api.Tell(of("reported", "A member has reported an ad", kindReport), func(_ api.Past, rec *api.Record) *Moderated {
			var r report
			if decode(rec.Body, &r) != nil {
				return nil
			}
			return &Moderated{Ad: r.Ad, Reason: r.Reason}
		}),
		api.Tell(of("hidden", "A moderator has hidden an ad", kindHide), act),
		api.Tell(of("shown", "A moderator shows a hidden ad again", kindUnhide), act),
		fact.CloseEvent("market", scopeRead, Topic),
	}
}
