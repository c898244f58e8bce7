package market

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	filled := func(field, what string) api.Source { return api.Source{Field: field, From: api.FromNode, Why: what} }
	return []api.KindSpec{
		api.Says[ad](Topic, kindPost, "Advertise in {category}, {side}: {title}[, for {amount}][, {price}][, in {area}][, within {grid} m of {lat}, {lon} in 1/100,000 degree{?grid}]. It is shown until {expires}.").
			By(
				"market.post", filled("lat", "where it is, in the grid"), filled("lon", "where it is, in the grid"), filled("grid", "how coarse the place is told"),
				filled("expires", "until when it is shown"),
			),
		api.Says[edit](Topic, kindEdit, "Change your ad {ad}: {new.side} in {new.category}, {new.title}. It is shown until {new.expires}.").By("market.edit", filled("new", "the ad as it would be")),
		api.Says[withdraw](Topic, kindWithdraw, "Withdraw your ad {ad}[: {reason}].").By("market.withdraw"),
		api.Says[report](Topic, kindReport, "Report the ad {ad}: {reason}.").By("market.report"),
		api.Says[act](Topic, kindHide, "Hide the ad {ad}: {reason}.").By("market.hide", filled("after", "the act before")),
		api.Says[act](Topic, kindUnhide, "Show the hidden ad {ad} again: {reason}.").By("market.unhide", filled("after", "the act before")),
		fact.SaysClose(Topic),
	}
}
