package finality

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		api.Says[statement](fact.FinalityTopic, kindStatement, "As a witness: hold {final} feeds final up to where they are named, and lock {locks}."),
		api.Says[promise](fact.FinalityTopic, kindPromise, "As a witness: for cut {number} of feed {feed}, promise to hold nothing final behind record {at.seq}."),
		api.Says[turn](fact.FinalityTopic, kindSeal, "As a witness: say nothing more before epoch {number}."),
		api.Says[turn](fact.FinalityTopic, kindStart, "As a witness: begin to speak in epoch {number}."),
		api.Says[vote](fact.FinalityTopic, kindVote, "As a witness: vote in ballot {ballot} for {did} with the device {device} as registrar number {number}."),
		api.Says[check](fact.FinalityTopic, kindCheck, "As a witness: checkpoint {number} comes to the state {digest}[{?apps}, which is another one than it names]."),
		api.Says[draft](fact.CutTopic, kindDraft, "Announce cut {number} of the feed of device {target.device} in {target.topic}[, to adopt its branch at record {adopt.seq}][, with the device {next} to go on from there, or nobody where that is the same device]."),
		api.Says[cut](fact.CutTopic, kindCut, "Cut {number}: the feed of device {target.device} in {target.topic} ends at record {at.seq}."),
		api.Says[hand](fact.CutTopic, kindHand, "Leave the cuts to registrar number {number}, {did} with the device {device}."),
		api.Says[epoch](fact.CutTopic, kindEpoch, "Name as witnesses of epoch {number}: {witnesses}, {threshold} of which make a record final."),
		api.Says[checkpoint](fact.CutTopic, kindCheckpoint, "Checkpoint {number}: {records} records come to the state {digest}."),
		api.Says[replace](fact.OfficeTopic, kindReplace, "Take office as registrar number {number} for {did}, in place of the silent device {before}, by ballot {ballot}."),
	}
}
