package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// decisions says of every operation what somebody elsewhere may do with it: how access is decided, and how many records the caller signs.
const decisions = `
auth.approve own none
auth.challenge public none
auth.claim public none
auth.pair public none
auth.pairing own none
auth.refresh public none
auth.revoke own none
auth.sessions own none
auth.verify public none
blob.get space none
blob.put space none
event.stream own none
event.types scope none
feed.advise space none
feed.close space one
feed.cut space one
feed.list space none
id.show scope none
key.follow here none
key.log space none
key.own public none
key.publish space one
key.recoveries space none
key.veto space one
ledger.allot space one
ledger.allotments space none
ledger.approve space one
ledger.audit here none
ledger.balance space none
ledger.batch space several
ledger.cancel space one
ledger.charge space several
ledger.decline space one
ledger.dispute.accept space one
ledger.dispute.award space one
ledger.dispute.file space one
ledger.dispute.list space none
ledger.dispute.mediator space one
ledger.dispute.offer space one
ledger.dispute.say space one
ledger.dispute.show space none
ledger.dispute.uphold space one
ledger.escrow.award space one
ledger.escrow.giveback space one
ledger.escrow.list space none
ledger.escrow.new space one
ledger.escrow.release space one
ledger.escrow.show space none
ledger.export space none
ledger.freeze space several
ledger.freezes space none
ledger.grant space several
ledger.grants space none
ledger.history space none
ledger.import.accounts space none
ledger.import.bind space one
ledger.import.file space several
ledger.import.list space none
ledger.import.presets scope none
ledger.import.take space one
ledger.import.undo space several
ledger.limit space none
ledger.limits space none
ledger.mandate space one
ledger.mandates space none
ledger.order.end space one
ledger.order.new space one
ledger.order.pay space one
ledger.orders space none
ledger.policy.presets scope none
ledger.policy.set space one
ledger.policy.show space none
ledger.receipt here none
ledger.regrade space several
ledger.rehearse space none
ledger.report space none
ledger.request space one
ledger.requests space none
ledger.retry space one
ledger.return space one
ledger.reverse space one
ledger.schedule space one
ledger.schedules space none
ledger.statement space none
ledger.transfer space one
ledger.uri.make space none
ledger.uri.read space none
ledger.verify space none
ledger.void space none
market.categories space none
market.edit space one
market.hide space one
market.list space none
market.moderation space none
market.post space one
market.report space one
market.rings space none
market.show space none
market.unhide space one
market.withdraw space one
member.add space one
member.device space several
member.list space none
member.profile space one
member.remove space several
node.config scope none
node.doctor scope none
node.status scope none
office.hand space several
office.replace here none
peer.ban scope none
peer.cut scope none
peer.dial scope none
peer.list scope none
peer.mend scope none
peer.ping scope none
peer.refusals scope none
peer.unban scope none
record.explain own none
record.kinds public none
record.prepare own none
record.submit own none
refusal.explain own none
refusal.list own none
security.appeal space one
security.list operator none
security.pardon space one
security.reports space none
security.show operator none
snapshot.create scope none
space.checkpoint.create here none
space.checkpoint.list space none
space.checkpoint.show space none
space.checkpoint.verify operator none
space.create here none
space.invite here none
space.join own one
space.list own none
space.show space none
space.witness space one
state.digest scope none
state.rebuild scope none
state.verify scope none
topic.list space none
topic.tail space none
treasury.approve space one
treasury.do space one
treasury.pay space one
treasury.proposals space none
treasury.propose space one
treasury.revise space one
treasury.show space none
trust.add space one
trust.graph space none
trust.import here none
trust.list space none
trust.score space none
webhook.add space none
webhook.deliveries own none
webhook.list own none
webhook.remove own none
webhook.test own none
`

// Every operation has a decision: who adds one has to say here what a member whose key is elsewhere may do with it.
func TestEveryOperationIsDecided(t *testing.T) {
	g := newGreeter(t)
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(decisions)) {
		name, how, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = how
	}
	for _, op := range g.Operations() {
		how := op.Access.String()
		names := slices.ContainsFunc([]string{"space", "topic"}, func(f string) bool {
			field, ok := op.In.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, f) })
			return ok && strings.HasPrefix(field.Tag.Get("json"), f)
		})
		switch {
		case op.Scope == api.ScopePublic:
			how = "public"
		case op.Access == api.AccessSpace && !names:
			how = "scope"
		}
		how += " " + op.Signs.String()
		if want[op.Name] != how {
			t.Errorf("%s: %q, decided was %q", op.Name, how, want[op.Name])
		}
		delete(want, op.Name)
		if op.Signs != api.SignsNone && !op.Write {
			t.Errorf("%s signs and does not write", op.Name)
		}
	}
	for name := range want {
		t.Errorf("%s is decided and does not exist", name)
	}
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// inputs are such that an operation gets as far as it can: those that are not here need none.
func (g *greeter) inputs() map[string]string {
	did, key := g.bob.DID(), g.bob.Device()
	who := fmt.Sprintf(`"did":%q,"device":%q`, did, key)
	money := fmt.Sprintf(`"to":%q,"currency":"hours"`, did)
	inv := here[client.SpaceInviteOut](g, "space.invite", nil).Invitation
	id := fmt.Sprintf(`{"id":%q}`, g.space)
	return map[string]string{
		"feed.close": `{"topic":"ledger"}`, "feed.cut": fmt.Sprintf(`{"topic":"ledger","device":%q}`, key), "key.veto": fmt.Sprintf(`{"event":%q,"signature":"AA=="}`, g.space),
		"ledger.allot":  fmt.Sprintf(`{"device":%q,"currency":"hours","amount":1}`, g.eve.Device()),
		"ledger.freeze": "{" + money + "}", "ledger.grant": "{" + money + `,"limit":5}`, "ledger.retry": id, "ledger.return": `{"currency":"hours"}`,
		"ledger.approve": id, "ledger.cancel": id, "ledger.decline": id, "ledger.reverse": id, "ledger.request": fmt.Sprintf(`{"payer":%q,"currency":"hours","amount":1}`, did),
		"ledger.order.new": fmt.Sprintf(`{"to":%q,"currency":"hours","amount":1,"unit":"days","first":"2026-01-01"}`, did), "ledger.order.end": id, "ledger.order.pay": id,
		"ledger.dispute.file": fmt.Sprintf(`{"about":%q,"against":%q,"currency":"hours","amount":1,"reason":"x"}`, g.space, did), "ledger.dispute.say": fmt.Sprintf(`{"id":%q,"what":"withdraw"}`, g.space),
		"ledger.dispute.mediator": fmt.Sprintf(`{"id":%q,"mediator":%q}`, g.space, did), "ledger.dispute.offer": fmt.Sprintf(`{"id":%q,"amount":1}`, g.space),
		"ledger.dispute.award": fmt.Sprintf(`{"id":%q,"amount":1}`, g.space), "ledger.dispute.accept": fmt.Sprintf(`{"id":%q,"offer":%q}`, g.space, g.space), "ledger.dispute.uphold": fmt.Sprintf(`{"id":%q}`, g.space),
		"ledger.escrow.new": fmt.Sprintf(`{"payee":%q,"currency":"hours","amount":1,"expires":"2099-01-01T00:00:00Z"}`, did), "ledger.escrow.release": id, "ledger.escrow.giveback": id, "ledger.escrow.award": fmt.Sprintf(`{"id":%q,"amount":1}`, g.space),
		"ledger.batch":  fmt.Sprintf(`{"rows":[{"to":%q,"currency":"hours","amount":1}]}`, did),
		"ledger.charge": `{"name":"dues","dry_run":true}`, "ledger.policy.set": `{"currency":"hours","preset":"conservative"}`, "ledger.regrade": "{" + money + "}",
		"ledger.schedule":    `{"name":"dues","charge":"dues","currency":"hours","amount":1,"every":"month"}`,
		"ledger.import.file": `{"mapping":"komunitin-accounts","csv":"code,balance\nA,1\nB,-1\n"}`, "ledger.import.bind": fmt.Sprintf(`{"account":"A","to":%q}`, did),
		"ledger.mandate":     fmt.Sprintf(`{"device":%q,"helper":%q,"currency":"hours","amount":1,"every":"day"}`, g.eve.Device(), did),
		"ledger.import.take": `{"account":"B"}`, "ledger.import.undo": fmt.Sprintf(`{"file":%q}`, g.space),
		"ledger.transfer": "{" + money + `,"amount":1}`, "member.add": fmt.Sprintf(`{"did":%q,"device":%q}`, g.eve.DID(), g.eve.Device()), "member.device": "{" + who + "}",
		"member.profile": `{"name":"Ann"}`, "member.remove": fmt.Sprintf(`{"did":%q,"reason":"x"}`, did), "office.hand": `{"office":"clerk",` + who + "}", "office.replace": fmt.Sprintf(`{"silent":%q,%s}`, g.self.DID(), who),
		"blob.put": `{"data":"AA=="}`, "market.post": `{"side":"offer","title":"x","category":"x"}`, "market.report": fmt.Sprintf(`{"ad":%q,"reason":"x"}`, g.space),
		"market.hide": fmt.Sprintf(`{"ad":%q,"reason":"x"}`, g.space), "market.unhide": fmt.Sprintf(`{"ad":%q,"reason":"x"}`, g.space),
		"market.edit": fmt.Sprintf(`{"ad":%q,"title":"x"}`, g.space), "market.withdraw": fmt.Sprintf(`{"ad":%q}`, g.space),
		"security.appeal": `{"text":"x"}`, "security.pardon": fmt.Sprintf(`{"subject":%q,"local":true}`, did), "space.create": `{"name":"Mine"}`,
		"space.join": fmt.Sprintf(`{"invitation":%q}`, inv), "space.witness": fmt.Sprintf(`{"witnesses":[%q]}`, g.self.Device()),
		"treasury.approve": fmt.Sprintf(`{"proposal":%q}`, g.space), "treasury.do": fmt.Sprintf(`{"proposal":%q}`, g.space), "treasury.pay": "{" + money + `,"amount":1}`,
		"treasury.propose": "{" + money + `,"amount":1}`, "treasury.revise": fmt.Sprintf(`{"approvers":[%q],"need":1}`, did),
		"trust.add": fmt.Sprintf(`{"to":%q,"score":1}`, did), "trust.import": `{"seed":"x","rows":[{"source":"a","target":"b","rating":1,"time":1}]}`,
		"record.submit": `{"records":["AA=="]}`,
	}
}
