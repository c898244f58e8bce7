package finality

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	number := api.Source{Field: "number", From: api.FromSerial}
	why := api.Source{Field: "causes", From: api.FromNode, Why: "the records for whose sake it is cut"}
	return []api.KindSpec{
		api.Says[statement](fact.FinalityTopic, kindStatement, "As a witness: hold {final} feeds final up to where they are named, and lock {locks}."),
		api.Says[promise](fact.FinalityTopic, kindPromise, "As a witness: for cut {number} of feed {feed}, promise to hold nothing final behind record {at.seq}."),
		api.Says[turn](fact.FinalityTopic, kindSeal, "As a witness: say nothing more before epoch {number}."),
		api.Says[turn](fact.FinalityTopic, kindStart, "As a witness: begin to speak in epoch {number}."),
		api.Says[vote](fact.FinalityTopic, kindVote, "As a witness: vote in ballot {ballot} for {did} with the device {device} as registrar number {number}."),
		api.Says[check](fact.FinalityTopic, kindCheck, "As a witness: checkpoint {number} comes to the state {digest}[{?apps}, which is another one than it names]."),
		api.Says[draft](fact.CutTopic, kindDraft, "Announce cut {number} of the feed of device {target.device} in {target.topic}[, to adopt its branch at record {adopt.seq}][, with the device {next} to go on from there, or nobody where that is the same device].").
			By(
				"feed.cut", number, api.Source{Field: "target.topic", From: api.FromInput, Input: "topic"}, api.Source{Field: "target.device", From: api.FromInput, Input: "device"},
				api.Source{Field: "adopt.seq", From: api.FromNode, Why: "how far the branch goes that is adopted"},
				api.Source{Field: "adopt.id", From: api.FromInput, Input: "adopt"}, why,
			).
			By("member.device", cutFor("of the device before", why, number)...).
			By("member.remove", cutFor("of the member's device", why, number)...).
			By("ledger.grant", cutFor("of the account, which less binds from then on", why, number)...).
			By("ledger.freeze", cutFor("of the account, which less binds from then on", why, number)...).
			By("ledger.regrade", cutFor("of the account, which less binds from then on", why, number)...),
		api.Says[cut](fact.CutTopic, kindCut, "Cut {number}: the feed of device {target.device} in {target.topic} ends at record {at.seq}."),
		api.Says[hand](fact.CutTopic, kindHand, "Leave the cuts to registrar number {number}, {did} with the device {device}.").By("office.hand", number),
		api.Says[epoch](fact.CutTopic, kindEpoch, "Name as witnesses of epoch {number}: {witnesses}, {threshold} of which make a record final.").By("space.witness", number, api.Source{Field: "witnesses", From: api.FromSet, Input: "witnesses"}),
		api.Says[checkpoint](fact.CutTopic, kindCheckpoint, "Checkpoint {number}: {records} records come to the state {digest}."),
		api.Says[replace](fact.OfficeTopic, kindReplace, "Take office as registrar number {number} for {did}, in place of the silent device {before}, by ballot {ballot}."),
	}
}

// cutFor says how a cut is announced for what another operation does: which feeds that are is the node's to say.
func cutFor(whose string, more ...api.Source) []api.Source {
	for _, field := range [...]string{"topic", "device"} {
		more = append(more, api.Source{Field: "target." + field, From: api.FromNode, Why: "the feed that is cut, " + whose})
	}
	return append(
		more, api.Source{Field: "adopt", From: api.FromNode, Why: "the branch of it that is adopted"},
		api.Source{Field: "next", From: api.FromNode, Why: "the device that goes on"},
	)
}
