package membership

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	number := api.Source{Field: "number", From: api.FromSerial}
	return []api.KindSpec{
		api.Says[genesis](fact.SpaceTopic, kindGenesis, "Found the {kind} {name}[{?test}, as a test in which nothing is meant], with {founders} founders and {witnesses} as witnesses, {threshold} of which make a record final."),
		api.Says[invite](fact.SpaceTopic, kindInvite, "Write an invitation with which {uses} may join until {expires}."),
		api.Says[admit](fact.SpaceTopic, kindAdmit, "Admit {did} with the device {device} as member number {number}.").By("member.add", number),
		api.Says[device](fact.SpaceTopic, kindDevice, "Let the device {device} act for {did} in place of the one before.").By("member.device"),
		api.Says[remove](fact.SpaceTopic, kindRemove, "Remove the member {did}: {reason}.").By("member.remove"),
		api.Says[officeHand](fact.SpaceTopic, kindOffice, "Give the office {name} to {did} with the device {device}, its holder number {number}.").
			By("office.hand", api.Source{Field: "name", From: api.FromInput, Input: "office"}, number),
		api.Says[join](fact.JoinTopic, kindJoin, "Ask to be admitted as {did} with the device {device}, by an invitation.").
			By(
				"space.join", api.Source{Field: "did", From: api.FromAuthor}, api.Source{Field: "device", From: api.FromDevice},
				api.Source{Field: "key", From: api.FromNode, Why: "the invitation's key"},
				api.Source{Field: "signature", From: api.FromNode, Why: "what the invitation's key has signed"},
			),
		api.Says[profile](fact.JoinTopic, kindProfile, "Be shown to the members as {name}[{?area}, of {area}][{?about}: {about}].").By("member.profile"),
	}
}
