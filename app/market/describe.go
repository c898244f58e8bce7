package market

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		api.Says[ad](Topic, kindPost, "Advertise in {category}, {side}: {title}[, for {amount}][, {price}][, in {area}][, within {grid} m of {lat}, {lon} in 1/100,000 degree{?grid}]. It is shown until {expires}."),
		api.Says[edit](Topic, kindEdit, "Change your ad {ad}: {new.side} in {new.category}, {new.title}. It is shown until {new.expires}."),
		api.Says[withdraw](Topic, kindWithdraw, "Withdraw your ad {ad}[: {reason}]."),
		api.Says[report](Topic, kindReport, "Report the ad {ad}: {reason}."),
		api.Says[act](Topic, kindHide, "Hide the ad {ad}: {reason}."),
		api.Says[act](Topic, kindUnhide, "Show the hidden ad {ad} again: {reason}."),
		fact.SaysClose(Topic),
	}
}
