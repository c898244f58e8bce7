package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/intercooperative/icn/app/market"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// trade lets a member do something in the market: post, change or withdraw an ad, report one of somebody else's, or, as the registrar or the clerk, hide it or
// show it again.
func (w *World) advertise(n *kerneltest.Node) error {
	try := func(n *kerneltest.Node, op string, in any) {
		if _, err := call(n, op, in); err == nil {
			w.Count(strings.Replace(op, ".", "-", 1), "by %s", n.Name)
		}
	}
	out, err := n.Ask("market.list", market.ListIn{Space: w.Space, All: true, Limit: 20})
	if err != nil {
		return nil //nolint:nilerr // it has not heard of the space yet
	}
	ads := out.(*market.ListOut).Ads
	if len(ads) == 0 || w.Rand.IntN(3) == 0 {
		side := [...]string{"offer", "want"}[w.Rand.IntN(2)]
		try(n, "market.post", market.PostIn{
			Space: w.Space, Side: side, Title: fmt.Sprint("Loaf ", w.Rand.IntN(100)), Category: fmt.Sprint("c", w.Rand.IntN(4)), At: fmt.Sprintf("53.%d,-2.%d", w.Rand.IntN(100), w.Rand.IntN(100)),
			Days: 1 + w.Rand.IntN(300),
		})
		return nil
	}
	ad, reason := ads[w.Rand.IntN(len(ads))].ID, fmt.Sprint("because ", w.Rand.IntN(9))
	switch w.Rand.IntN(6) {
	case 0, 1:
		try(n, "market.edit", market.EditIn{Space: w.Space, Ad: ad, Title: fmt.Sprint("Cake ", w.Rand.IntN(100))})
	case 2:
		try(n, "market.withdraw", market.WithdrawIn{Space: w.Space, Ad: ad, Reason: reason})
	case 3:
		try(n, "market.report", market.ReportIn{Space: w.Space, Ad: ad, Reason: reason})
	default:
		op := [...]string{"market.hide", "market.unhide"}[w.Rand.IntN(2)]
		for _, m := range []*kerneltest.Node{w.members[0], w.clerk} {
			try(m, op, market.ActIn{Space: w.Space, Ad: ad, Reason: reason})
		}
	}
	return nil
}

// stalls checks, when all nodes have the same records, that they show the same market to the same person: what they keep in memory follows from the records alone, by
// whatever way they came, and whatever was forked or cut meanwhile.
func (w *World) stalls() error {
	var first string
	var at *kerneltest.Node
	for _, n := range w.members {
		if n.Liar() || !n.Up() {
			continue
		}
		text, err := w.stall(n)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", n.Name, err)
		case at == nil:
			first, at = text, n
		case text != first:
			return fmt.Errorf("%s and %s show different markets:\n%s\n%s", at.Name, n.Name, first, text)
		}
	}
	return nil
}

// stall is all that a node shows of its market, but for what depends on its own clock.
func (w *World) stall(n *kerneltest.Node) (string, error) {
	out, err := n.Ask("market.list", market.ListIn{Space: w.Space, All: true, Limit: 200})
	if err != nil {
		return "", err
	}
	type shown struct {
		ID    api.Hash
		Title string
	}
	var ads []shown
	for _, a := range out.(*market.ListOut).Ads {
		if a.Hidden == nil { // whom the node belongs to decides whether it sees the others
			ads = append(ads, shown{a.ID, a.Title})
		}
	}
	out, err = n.Ask("market.moderation", market.ModerationIn{Space: w.Space, Limit: 200})
	if err != nil {
		return "", err
	}
	cases := out.(*market.ModerationOut).Cases
	for i := range cases {
		cases[i].Title = "" // told to whom it may concern
	}
	text, err := json.Marshal([]any{ads, cases})
	return string(text), err
}
